// What build.c and search.c share: where the parts of a block lie.
#pragma once

#include <stdbool.h>

#include "CCycladesRing.h"

// Keys and virtual-node names are short: inlining XXH3 saves a call of 1 ns per key.
#define XXH_INLINE_ALL
#include <xxhash.h>

#define POSITION_MASK (~(uint64_t)0xFFFF)
#define SEEN_WORDS ((CYC_RING_MEMBERS_MAX + 64) / 64)

static inline uint64_t *points_of(const cyc_ring *ring) {
  return (uint64_t *)((uintptr_t)ring + sizeof(cyc_ring));
}

static inline uint32_t *index_of(const cyc_ring *ring) {
  return (uint32_t *)((uintptr_t)ring + ring->index_offset);
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
