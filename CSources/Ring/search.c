// Finds owners.
//
// A lookup reads one cache line: the cell of the position's bucket.
//
//   0                                   32                                  64
//   +-----------------------------------+-----------------------------------+
//   | remainders i16[16], ascending     | slots u16[16]                     |
//   +-----------------------------------+-----------------------------------+
//
// A bucket has five to ten points on average. Its cell keeps sixteen bits of each point's position,
// those behind the bits that the bucket stands for, and the owner's slot. The places behind the
// last point have the highest remainder and the slot of the next point's owner, so that a position
// past all points of its bucket finds its owner in the same line. Two vector comparisons and a bit
// scan count the remainders below that of the position; the slot at that place names the owner.
//
// Sixteen bits are not the whole truth in two cases, one lookup in a hundred: a remainder equals
// that of the position (the bits behind them decide), or all sixteen are below it (the bucket may
// have more points). Then binary search among the bucket's points decides. So clustered points,
// which only chosen ids could bring about, cost a logarithm and never a scan.
//
// Measured and dropped, in ns for single and batched lookups at 256 k and 2.6 M points:
//
//   a counter per two points, then a window of points          6.2  4.2     45  21.6
//   cells as here, batches in rounds of 64                     4.9  2.7     24  14.9
//   cells as here, a rolling window of prefetches              4.9  2.2     21   7.3
//
// These were taken before rings shared cells, which cells.c has the price of.
//
// The first takes two dependent loads where a cell takes one, and 64 lines asked for at once wait
// in turns for some twenty line buffers, which then idle until the next round. Cells of four to
// eight points need 32 MB for 2.6 M points instead of 16 and are slower for it.
//
// Plain binary search halves the interval with conditional moves. Swift's clang turns the multiply,
// mask and ternary forms of this loop back into branches (119 ns instead of 40 ns at 256 k points);
// `__builtin_unpredictable` keeps it from doing so. It is the reference that tests and benchmarks
// measure the cells by, and what finishes inside a bucket. It is no path for small rings, though:
// these have few cells. In ns, with lookups that wait for the one before in brackets:
//
//   points                      1            4           16           64          256
//   cells                 1.6  (8.8)   1.6  (8.8)   1.6  (8.8)   1.6  (8.8)   1.6  (8.8)
//   binary search         1.2  (2.5)   1.9  (6.4)   3.1 (10.3)   4.5 (14.3)   6.4 (18.2)

#include <assert.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "CCycladesRing.h"
#include "ring.h"

/// How many lookups of a batch wait for memory at a time.
enum { AHEAD = 32 };

uint64_t cyc_ring_hash(const void *key, size_t length) { return XXH3_64bits(key, length); }

void cyc_ring_digest(const void *bytes, size_t length, uint64_t digest[2]) {
  XXH128_hash_t hash = XXH3_128bits(bytes, length);
  digest[0] = hash.low64;
  digest[1] = hash.high64;
}

const uint64_t *cyc_ring_points(const cyc_ring *ring) { return points_of(ring); }

/// The first of `count` points that is not below `bound`; the one behind them when all are.
static inline const uint64_t *search(const uint64_t *points, size_t count, uint64_t bound) {
  while (count > 0) {
    size_t half = (count + 1) / 2;
    points = __builtin_unpredictable(points[half - 1] < bound) ? points + half : points;
    count -= half;
  }
  return points;
}

uint16_t cyc_ring_owner_by_search(const cyc_ring *ring, uint64_t position) {
  return (uint16_t)*search(points_of(ring), ring->points, position & POSITION_MASK);
}

/// The point that has a position, from the points of its bucket.
static const uint64_t *find_point(const cyc_ring *ring, uint64_t position) {
  const uint32_t *start = starts_of(ring) + (position >> ring->shift);
  return search(points_of(ring) + start[0], start[1] - start[0], position & POSITION_MASK);
}

/// Kept out of line, so that the lookup that hardly ever needs it stays small.
__attribute__((noinline)) static uint16_t owner_by_points(const cyc_ring *ring, uint64_t position) {
  return (uint16_t)*find_point(ring, position);
}

static inline void prefetch(const cyc_ring *ring, uint64_t position) {
  __builtin_prefetch(cell_of(ring, position));
}

/// How many remainders of a cell are below one.
static inline uint32_t count_below(const cell *cell, int16_t remainder) {
#ifdef __SSE2__
  const __m128i *halves = (const __m128i *)cell->remainders, bound = _mm_set1_epi16(remainder);
  __m128i low = _mm_cmplt_epi16(_mm_load_si128(halves), bound);
  __m128i high = _mm_cmplt_epi16(_mm_load_si128(halves + 1), bound);
  // Remainders ascend, so the mask is a run of ones from bit 0 on.
  uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
  return (uint32_t)__builtin_ctz(~mask);
#else
  uint32_t below = 0;
  for (uint32_t i = 0; i < CELL_POINTS; i++) below += cell->remainders[i] < remainder;
  return below;
#endif
}

static inline uint16_t find_owner(const cyc_ring *ring, uint64_t position) {
  const cell *cell = cell_of(ring, position);
  int16_t remainder = remainder_of(ring, position);
  uint32_t below = count_below(cell, remainder);
  if (__builtin_expect(below == CELL_POINTS || cell->remainders[below] == remainder, 0)) {
    return owner_by_points(ring, position);
  }
  return numbers_of(ring)[cell->slots[below]];
}

uint16_t cyc_ring_owner(const cyc_ring *ring, uint64_t position) {
  return find_owner(ring, position);
}

void cyc_ring_owners(const cyc_ring *ring, const uint64_t *positions, size_t count,
                     uint16_t *owners) {
  size_t ahead = count < AHEAD ? count : AHEAD, i = 0;
  for (; i < ahead; i++) prefetch(ring, positions[i]);
  for (; i < count; i++) {
    prefetch(ring, positions[i]);
    owners[i - AHEAD] = find_owner(ring, positions[i - AHEAD]);
  }
  for (i -= ahead; i < count; i++) owners[i] = find_owner(ring, positions[i]);
}

void cyc_ring_owners_of_keys(const cyc_ring *ring, const uint8_t *bytes, const uint32_t *ends,
                             size_t count, uint16_t *owners) {
  uint64_t waiting[AHEAD];
  size_t ahead = count < AHEAD ? count : AHEAD, i = 0;
  uint32_t start = 0;
  for (; i < ahead; start = ends[i++]) {
    waiting[i] = XXH3_64bits(bytes + start, ends[i] - start);
    prefetch(ring, waiting[i]);
  }
  for (; i < count; start = ends[i++]) {
    owners[i - AHEAD] = find_owner(ring, waiting[i % AHEAD]);
    waiting[i % AHEAD] = XXH3_64bits(bytes + start, ends[i] - start);
    prefetch(ring, waiting[i % AHEAD]);
  }
  for (i -= ahead; i < count; i++) owners[i] = find_owner(ring, waiting[i % AHEAD]);
}

size_t cyc_ring_walk(const cyc_ring *ring, uint64_t position, cyc_ring_distinct distinct,
                     size_t limit, uint16_t *owners) {
  uint64_t seen[SEEN_WORDS];
  memset(seen, 0, (ring->members + 63) / 64 * sizeof *seen);
  bool by_zone = distinct == CYC_RING_ZONES;
  size_t there_are = by_zone ? ring->placed_zones : ring->placed;
  if (limit > there_are) limit = there_are;
  const uint64_t *points = points_of(ring), *end = points + ring->points;
  const uint64_t *point = find_point(ring, position);
  const uint16_t *zones = zones_of(ring);
  for (size_t count = 0; count < limit; point++) {
    if (point >= end) point = points;
    uint16_t owner = (uint16_t)*point;
    assert(owner < ring->members);
    if (mark_seen(seen, by_zone ? zones[owner] : owner)) owners[count++] = owner;
  }
  return limit;
}

uint16_t cyc_ring_owner_with_room(const cyc_ring *ring, uint64_t position, const uint32_t *loads,
                                  const double *shares, double bound) {
  uint16_t first = find_owner(ring, position);
  if (loads[first] < bound * shares[first]) return first;
  const uint64_t *points = points_of(ring), *end = points + ring->points;
  const uint64_t *point = find_point(ring, position);
  for (uint32_t walked = 0; walked < ring->points; walked++, point++) {
    if (point >= end) point = points;
    uint16_t owner = (uint16_t)*point;
    if (loads[owner] < bound * shares[owner]) return owner;
  }
  return first;
}
