// Finds owners.
//
// Index path: the top bits of a position choose a bucket, the bucket says where its points start,
// and the points below the position among the next eight are counted. There is about one point a
// bucket, so the count nearly always ends in the first window, and its length does not depend on
// the data: nothing is mispredicted. Two dependent loads: a counter, a window of points.
//
// Search path: halves an interval with conditional moves. Swift's clang turns the multiply, mask
// and ternary forms of this loop back into branches (119 ns instead of 35 ns at 256 k points);
// `__builtin_unpredictable` keeps it from doing so. It is the reference for tests and benchmarks.
//
// Batches go in rounds of sixteen: prefetch all counters, then all windows, then count. With one
// key at a time the second load waits for the first; sixteen keys wait together.

#include <assert.h>
#include <string.h>

#include "CCycladesRing.h"
#include "ring.h"

enum { BATCH = 16 };

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
    for (uint32_t i = 0; i < CYC_RING_PADDING; i++) below += window[i] < bound;
    window += below;
    if (__builtin_expect(below < CYC_RING_PADDING, 1)) return window;
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

void cyc_ring_owners_of_keys(const cyc_ring *ring, const uint8_t *bytes, const uint32_t *ends,
                             size_t count, uint16_t *owners) {
  uint64_t positions[BATCH];
  uint32_t start = 0;
  for (size_t i = 0; i < count; i += BATCH) {
    size_t round = count - i < BATCH ? count - i : BATCH;
    for (size_t j = 0; j < round; j++) {
      uint32_t end = ends[i + j];
      positions[j] = XXH3_64bits(bytes + start, end - start);
      start = end;
    }
    find_batch(ring, positions, round, owners + i);
  }
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
