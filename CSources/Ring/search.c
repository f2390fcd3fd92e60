// Finds owners.
//
// Index path: the top bits of a position choose a bucket, the bucket says where its points start,
// and the points below the position among the next four are counted. A bucket has one or two
// points, so the count nearly always ends in the first window, and its length does not depend on
// the data: nothing is mispredicted. Two dependent loads: a counter, a window of points. Measured
// at 256 k points, one by one and in batches: windows of two 10.5 and 7.0 ns, of four 6.0 and 3.5,
// of eight 8.9 and 4.2; one point a bucket is no faster than two and takes twice the index. Copying
// the points of a bucket into a cache line of its own saves the first load but triples the memory:
// 8.0 and 4.9 ns.
//
// Search path: halves an interval with conditional moves. Swift's clang turns the multiply, mask
// and ternary forms of this loop back into branches (119 ns instead of 35 ns at 256 k points);
// `__builtin_unpredictable` keeps it from doing so. It is the reference for tests and benchmarks,
// and for nothing else: at 64 points it takes 6 ns and the index 2 ns.
//
// Batches go in rounds of 64: hash all keys, prefetch all counters, then all windows, then count.
// With one key at a time the second load waits for the first; 64 keys wait together. Rounds of
// sixteen are as fast for positions (3.3 ns) but not for keys (8.2 instead of 6.3 ns): hashing a
// round fills the processor's window, so it does not reach the loads of the next round while it
// waits for this one.

#include <assert.h>
#include <string.h>

#include "CCycladesRing.h"
#include "ring.h"

enum { BATCH = 64, WINDOW = 4 };
_Static_assert(WINDOW <= CYC_RING_PADDING, "a window may begin at the end");

uint64_t cyc_ring_hash(const void *key, size_t length) { return XXH3_64bits(key, length); }

void cyc_ring_digest(const void *bytes, size_t length, uint64_t digest[2]) {
  XXH128_hash_t hash = XXH3_128bits(bytes, length);
  digest[0] = hash.low64;
  digest[1] = hash.high64;
}

const uint64_t *cyc_ring_points(const cyc_ring *ring) { return points_of(ring); }

/// The first point from `window` on that is not below `bound`.
static inline const uint64_t *skip_below(const uint64_t *window, uint64_t bound) {
  for (;;) {
    uint32_t below = 0;
    for (uint32_t i = 0; i < WINDOW; i++) below += window[i] < bound;
    window += below;
    if (__builtin_expect(below < WINDOW, 1)) return window;
  }
}

static inline const uint64_t *find(const cyc_ring *ring, uint64_t position) {
  uint32_t start = index_of(ring)[position >> ring->shift];
  return skip_below(points_of(ring) + start, position & POSITION_MASK);
}

uint16_t cyc_ring_owner(const cyc_ring *ring, uint64_t position) {
  return (uint16_t)*find(ring, position);
}

uint16_t cyc_ring_owner_by_search(const cyc_ring *ring, uint64_t position) {
  const uint64_t *base = points_of(ring);
  uint64_t bound = position & POSITION_MASK;
  for (size_t length = ring->points; length > 0;) {
    size_t half = (length + 1) / 2;
    base = __builtin_unpredictable(base[half - 1] < bound) ? base + half : base;
    length -= half;
  }
  return (uint16_t)*base;
}

static inline void find_batch(const cyc_ring *ring, const uint64_t *positions, size_t count,
                              uint16_t *owners) {
  const uint32_t *index = index_of(ring);
  const uint64_t *points = points_of(ring), *windows[BATCH];
  uint32_t shift = ring->shift;
  for (size_t i = 0; i < count; i++) __builtin_prefetch(&index[positions[i] >> shift]);
  for (size_t i = 0; i < count; i++) {
    windows[i] = points + index[positions[i] >> shift];
    __builtin_prefetch(windows[i]);
  }
  for (size_t i = 0; i < count; i++) {
    owners[i] = (uint16_t)*skip_below(windows[i], positions[i] & POSITION_MASK);
  }
}

void cyc_ring_owners(const cyc_ring *ring, const uint64_t *positions, size_t count,
                     uint16_t *owners) {
  size_t i = 0;
  for (; i + BATCH <= count; i += BATCH) find_batch(ring, positions + i, BATCH, owners + i);
  find_batch(ring, positions + i, count - i, owners + i);
}

/// Hashes `count` keys, the first of which starts at byte `start`; returns where the last one ends.
static inline uint32_t hash_batch(const uint8_t *bytes, uint32_t start, const uint32_t *ends,
                                  size_t count, uint64_t *positions) {
  for (size_t i = 0; i < count; i++) {
    positions[i] = XXH3_64bits(bytes + start, ends[i] - start);
    start = ends[i];
  }
  return start;
}

void cyc_ring_owners_of_keys(const cyc_ring *ring, const uint8_t *bytes, const uint32_t *ends,
                             size_t count, uint16_t *owners) {
  uint64_t positions[BATCH];
  uint32_t start = 0;
  size_t i = 0;
  for (; i + BATCH <= count; i += BATCH) {
    start = hash_batch(bytes, start, ends + i, BATCH, positions);
    find_batch(ring, positions, BATCH, owners + i);
  }
  hash_batch(bytes, start, ends + i, count - i, positions);
  find_batch(ring, positions, count - i, owners + i);
}

size_t cyc_ring_walk(const cyc_ring *ring, uint64_t position, cyc_ring_distinct distinct,
                     size_t limit, uint16_t *owners) {
  uint64_t seen[SEEN_WORDS];
  memset(seen, 0, (ring->members + 63) / 64 * sizeof *seen);
  bool by_zone = distinct == CYC_RING_ZONES;
  size_t there_are = by_zone ? ring->placed_zones : ring->placed;
  if (limit > there_are) limit = there_are;
  const uint64_t *points = points_of(ring), *end = points + ring->points;
  const uint64_t *point = find(ring, position);
  const uint16_t *zones = zones_of(ring);
  for (size_t count = 0; count < limit; point++) {
    if (point >= end) point = points;
    uint16_t owner = (uint16_t)*point;
    assert(owner < ring->members);
    if (mark_seen(seen, by_zone ? zones[owner] : owner)) owners[count++] = owner;
  }
  return limit;
}
