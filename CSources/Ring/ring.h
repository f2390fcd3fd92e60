// What build.c, cells.c and search.c share: where the parts of a block lie.
#pragma once

#include <stdbool.h>

#include "CCycladesRing.h"

// Keys and virtual-node names are short: inlining XXH3 saves a call of 1 ns per key.
#define XXH_INLINE_ALL
#include <xxhash.h>

#define POSITION_MASK (~(uint64_t)0xFFFF)
#define SEEN_WORDS ((CYC_RING_MEMBERS_MAX + 64) / 64)

enum {
  CELL_POINTS = 16,
  CELL_PAST = INT16_MAX,
  CELL_LOAD = 5,    // points of a cell: five to ten on average, see search.c
  PAGES_BITS = 12,  // a ring has at most 2^12 pages, see cells.c
};

/// What a lookup reads: the points of one bucket in one cache line. See search.c.
typedef struct cyc_ring_cell {
  int16_t remainders[CELL_POINTS];  // ascending; CELL_PAST behind the bucket's last point
  uint16_t slots[CELL_POINTS];      // behind the bucket's last point: that of the next point
} cell;

_Static_assert(sizeof(cell) == 64, "a cell is one cache line");

/// The sixteen bits of a position that follow those of its bucket, less 2^15: baseline x86-64
/// compares signed numbers only.
static inline int16_t remainder_of(const cyc_ring *ring, uint64_t position) {
  return (int16_t)((position >> (ring->shift - 16)) ^ 0x8000);
}

/// numbers[slot] = owner. They stand behind the header, where they take no offset to find.
static inline uint16_t *numbers_of(const cyc_ring *ring) {
  return (uint16_t *)((uintptr_t)ring + sizeof(cyc_ring));
}

/// What to add to a bucket, modulo 2^32, for the place of its cell in the pool; one per page.
static inline uint32_t *pages_of(const cyc_ring *ring) {
  return (uint32_t *)((uintptr_t)ring + ring->pages_offset);
}

/// The cell of a position.
static inline const cell *cell_of(const cyc_ring *ring, uint64_t position) {
  uint32_t page = pages_of(ring)[position >> ring->page_shift];
  return ring->cells + (uint32_t)((position >> ring->shift) + page);
}

/// slots[owner] = slot.
static inline uint16_t *slots_of(const cyc_ring *ring) {
  return (uint16_t *)((uintptr_t)ring + ring->slots_offset);
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

/// Memory for something large, on huge pages where the kernel grants them: they take a quarter off
/// the time to build, and as much off lookups in 2.6 M points.
void *cyc_ring_allocate(size_t size);

/// Fills in the cells of a ring that has all else, shared with `old` where they are the same.
/// Returns false when memory is short.
bool cyc_ring_fill_cells(cyc_ring *ring, const cyc_ring *old);

/// The block of a ring that was made from the same one as `old` and is not used any more; NULL when
/// there is none with room for `size` bytes.
cyc_ring *cyc_ring_take_block(const cyc_ring *old, size_t size);

/// Gives back a ring that nobody uses any more: its cells, and its block.
void cyc_ring_release(cyc_ring *ring);

/// Marks a member or zone number in a bitmap; true when it was not marked before.
static inline bool mark_seen(uint64_t *seen, uint16_t number) {
  uint64_t bit = 1ull << (number % 64), word = seen[number / 64];
  seen[number / 64] = word | bit;
  return (word & bit) == 0;
}
