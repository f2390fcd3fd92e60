// What build.c and search.c share: where the parts of a block lie.
#pragma once

#include <stdbool.h>

#include "CCycladesRing.h"

// Keys and virtual-node names are short: inlining XXH3 saves a call of 1 ns per key.
#define XXH_INLINE_ALL
#include <xxhash.h>

#define POSITION_MASK (~(uint64_t)0xFFFF)
#define SEEN_WORDS ((CYC_RING_MEMBERS_MAX + 64) / 64)

enum { CELL_POINTS = 16, CELL_PAST = INT16_MAX };

/// What a lookup reads: the points of one bucket in one cache line. See search.c.
typedef struct cell {
  int16_t remainders[CELL_POINTS];  // ascending; CELL_PAST behind the bucket's last point
  uint16_t owners[CELL_POINTS];     // behind the bucket's last point: the next point's owner
} cell;

_Static_assert(sizeof(cell) == 64, "a cell is one cache line");

/// The sixteen bits of a position that follow those of its bucket, less 2^15: baseline x86-64
/// compares signed numbers only.
static inline int16_t remainder_of(const cyc_ring *ring, uint64_t position) {
  return (int16_t)((position >> (ring->shift - 16)) ^ 0x8000);
}

static inline cell *cells_of(const cyc_ring *ring) {
  return (cell *)((uintptr_t)ring + sizeof(cyc_ring));
}

static inline uint64_t *points_of(const cyc_ring *ring) {
  return (uint64_t *)((uintptr_t)ring + ring->points_offset);
}

/// starts[b] = number of points in buckets before b; one more entry than there are buckets.
static inline uint32_t *starts_of(const cyc_ring *ring) {
  return (uint32_t *)((uintptr_t)ring + ring->starts_offset);
}

static inline uint16_t *zones_of(const cyc_ring *ring) {
  return (uint16_t *)((uintptr_t)ring + ring->zones_offset);
}

/// Marks a member or zone number in a bitmap; true when it was not marked before.
static inline bool mark_seen(uint64_t *seen, uint16_t number) {
  uint64_t bit = 1ull << (number % 64), word = seen[number / 64];
  seen[number / 64] = word | bit;
  return (word & bit) == 0;
}
