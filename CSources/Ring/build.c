// Builds rings.
//
// Points are hashed member by member: XXH3-64 of `id bytes, 0x00, u32le j` for j = 0 ..< points,
// the low 16 bits replaced by the owner. A point depends on its member alone, and a larger weight
// only appends points, so a change of weight moves that member's arcs and no others.
//
// Sorting. Positions are uniform, so one radix pass over the top b bits, 2^b >= n / 2, leaves each
// point within a place or two of where it belongs, and an insertion pass finishes. Against three
// stable passes of 16 bits (LSD) this reads and writes every point once instead of three times.
// Whoever could choose ids whose points cluster would make it quadratic: a second at most, for the
// 65,535 members that a ring may have.
//
// Changing a ring merges: old points pass over in order under new owner numbers, the points of
// changed members are hashed, sorted and merged in. Owner numbers ascend by id on both sides, so
// the outcome is the same, bit for bit, as that of building anew.

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "CCycladesRing.h"
#include "ring.h"

_Static_assert(sizeof(cyc_ring) == 64, "the header is one cache line");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "points are hashed as they lie");

enum {
  CELL_LOAD = 5,  // points of a cell: five to ten on average, see search.c
  SORT_LOAD = 1,  // points of a bucket while sorting: one or two
  HUGE_PAGE = 2 << 20,
};

/// Bits that name a bucket of `load` to twice `load` points, on average.
static uint32_t bucket_bits(uint32_t points, uint32_t load) {
  return points < 4 * load ? 1 : 31 - (uint32_t)__builtin_clz(points / load);
}

static cyc_ring *allocate(uint32_t points, uint32_t members) {
  assert(points >= 1 && points <= CYC_RING_POINTS_MAX);
  assert(members >= 1 && members <= CYC_RING_MEMBERS_MAX);
  uint32_t bits = bucket_bits(points, CELL_LOAD);
  size_t points_offset = sizeof(cyc_ring) + (sizeof(cell) << bits);
  size_t starts_offset = points_offset + (points + 1) * sizeof(uint64_t);
  size_t zones_offset = starts_offset + ((1ull << bits) + 1) * sizeof(uint32_t);
  size_t size = zones_offset + members * sizeof(uint16_t);
  bool is_big = size >= HUGE_PAGE;
  void *memory = NULL;
  if (posix_memalign(&memory, is_big ? HUGE_PAGE : 64, size) != 0) return NULL;
  // Huge pages take a quarter off the time to build, and as much off lookups in 2.6 M points. It is
  // a wish: where the kernel does not grant it, all works as before.
  if (is_big) (void)madvise(memory, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
  cyc_ring *ring = memory;
  *ring = (cyc_ring){
    .size = size,
    .points_offset = points_offset,
    .starts_offset = starts_offset,
    .zones_offset = zones_offset,
    .points = points,
    .members = members,
    .shift = 64 - bits,
  };
  return ring;
}

/// Appends the points of one member in hash order, unsorted.
static uint64_t *hash_member(uint64_t *out, const cyc_ring_source *source, const uint8_t *ids,
                             uint16_t owner) {
  assert(source->id_length >= 1 && source->id_length <= CYC_RING_ID_MAX);
  uint8_t key[CYC_RING_ID_MAX + 5];
  size_t length = source->id_length;
  memcpy(key, ids + source->id_offset, length);
  key[length] = 0;
  for (uint32_t j = 0; j < source->points; j++) {
    memcpy(key + length + 1, &j, sizeof j);
    *out++ = (XXH3_64bits(key, length + 5) & POSITION_MASK) | owner;
  }
  return out;
}

/// Bytes that sort_points needs beside the points.
static size_t sort_bytes(uint32_t count) {
  return sizeof(uint32_t) << bucket_bits(count, SORT_LOAD);
}

/// Sorts `count` points from `from` to `to`.
static void sort_points(uint64_t *to, const uint64_t *from, uint32_t count, uint32_t *counts) {
  uint32_t bits = bucket_bits(count, SORT_LOAD), shift = 64 - bits, buckets = 1u << bits;
  memset(counts, 0, sort_bytes(count));
  for (uint32_t i = 0; i < count; i++) counts[from[i] >> shift]++;
  uint32_t sum = 0;
  for (uint32_t b = 0; b < buckets; b++) {
    uint32_t here = counts[b];
    counts[b] = sum;
    sum += here;
  }
  assert(sum == count);
  for (uint32_t i = 0; i < count; i++) to[counts[from[i] >> shift]++] = from[i];
  for (uint32_t i = 1; i < count; i++) {
    uint64_t point = to[i];
    uint32_t place = i;
    for (; place > 0 && to[place - 1] > point; place--) to[place] = to[place - 1];
    to[place] = point;
  }
}

// Both of these go without branches that depend on where points lie: with them, finding out where
// each bucket ends cost more than all else that a merge does, 1.0 of 1.4 ms at 256 k points.

static void fill_starts(cyc_ring *ring) {
  const uint64_t *points = points_of(ring);
  uint32_t *starts = starts_of(ring);
  uint32_t count = ring->points, shift = ring->shift, buckets = 1u << (64 - shift), sum = 0;
  memset(starts, 0, (buckets + 1) * sizeof *starts);
  for (uint32_t i = 0; i < count; i++) starts[(points[i] >> shift) + 1] = i + 1;
  for (uint32_t b = 0; b <= buckets; b++) {
    sum = starts[b] > sum ? starts[b] : sum;
    starts[b] = sum;
  }
  assert(sum == count);
}

static void fill_cells(cyc_ring *ring) {
  const uint32_t *starts = starts_of(ring);
  cell *cells = cells_of(ring);
  uint32_t buckets = 1u << (64 - ring->shift);
  for (uint32_t b = 0; b < buckets; b++) {
    const uint64_t *points = points_of(ring) + starts[b];
    uint32_t count = starts[b + 1] - starts[b];
    for (uint32_t i = 0; i < CELL_POINTS; i++) {
      uint64_t point = points[i < count ? i : count];
      cells[b].remainders[i] = i < count ? remainder_of(ring, point) : CELL_PAST;
      cells[b].owners[i] = (uint16_t)point;
    }
  }
}

/// Everything that follows from sorted points: padding, index, zones, placement hash.
static cyc_ring *finish(cyc_ring *ring, const cyc_ring_source *sources) {
  uint64_t *points = points_of(ring);
  points[ring->points] = POSITION_MASK | (uint16_t)points[0];
  fill_starts(ring);
  fill_cells(ring);
  uint64_t seen[SEEN_WORDS] = {0};
  uint16_t *zones = zones_of(ring);
  for (uint32_t m = 0; m < ring->members; m++) {
    assert(sources[m].zone < ring->members);
    zones[m] = sources[m].zone;
    if (sources[m].points == 0) continue;
    ring->placed++;
    ring->placed_zones += mark_seen(seen, sources[m].zone);
  }
  ring->placement = XXH3_64bits(points, ring->points * sizeof *points);
  return ring;
}

static uint64_t count_points(const cyc_ring_source *sources, uint32_t members, bool changed_only) {
  uint64_t sum = 0;
  for (uint32_t m = 0; m < members; m++) {
    if (!changed_only || sources[m].changed) sum += sources[m].points;
  }
  return sum;
}

cyc_ring *cyc_ring_build_from_points(const cyc_ring_source *sources, uint32_t members,
                                     const uint64_t *unsorted) {
  uint64_t count = count_points(sources, members, false);
  assert(count >= 1 && count <= CYC_RING_POINTS_MAX);
  cyc_ring *ring = allocate((uint32_t)count, members);
  uint32_t *counts = malloc(sort_bytes((uint32_t)count));
  if (ring == NULL || counts == NULL) {
    free(ring);
    free(counts);
    return NULL;
  }
  sort_points(points_of(ring), unsorted, (uint32_t)count, counts);
  free(counts);
  return finish(ring, sources);
}

cyc_ring *cyc_ring_build(const cyc_ring_source *sources, uint32_t members, const uint8_t *ids) {
  uint64_t count = count_points(sources, members, false);
  assert(count >= 1 && count <= CYC_RING_POINTS_MAX);
  uint64_t *unsorted = malloc(count * sizeof *unsorted);
  if (unsorted == NULL) return NULL;
  uint64_t *end = unsorted;
  for (uint32_t m = 0; m < members; m++) end = hash_member(end, &sources[m], ids, (uint16_t)m);
  assert(end == unsorted + count);
  cyc_ring *ring = cyc_ring_build_from_points(sources, members, unsorted);
  free(unsorted);
  return ring;
}

/// Merges what `old` keeps with `added` into `ring`.
static void merge_points(cyc_ring *ring, const cyc_ring *old, const uint16_t *renumber,
                         const uint64_t *added, uint32_t added_count) {
  uint64_t *out = points_of(ring);
  const uint64_t *old_points = points_of(old), *added_end = added + added_count;
  for (uint32_t i = 0; i < old->points; i++) {
    uint16_t owner = renumber[(uint16_t)old_points[i]];
    if (owner == CYC_RING_GONE) continue;
    uint64_t point = (old_points[i] & POSITION_MASK) | owner;
    while (added < added_end && *added < point) *out++ = *added++;
    *out++ = point;
  }
  while (added < added_end) *out++ = *added++;
  assert(out == points_of(ring) + ring->points);
}

cyc_ring *cyc_ring_merge(const cyc_ring *old, const uint16_t *renumber,
                         const cyc_ring_source *sources, uint32_t members, const uint8_t *ids) {
  uint64_t count = count_points(sources, members, false);
  uint32_t added = (uint32_t)count_points(sources, members, true);
  assert(count >= 1 && count <= CYC_RING_POINTS_MAX);
  cyc_ring *ring = allocate((uint32_t)count, members);
  uint64_t *unsorted = malloc(2ull * added * sizeof *unsorted + sort_bytes(added));
  if (ring == NULL || unsorted == NULL) {
    free(ring);
    free(unsorted);
    return NULL;
  }
  uint64_t *end = unsorted, *sorted = unsorted + added;
  for (uint32_t m = 0; m < members; m++) {
    if (sources[m].changed) end = hash_member(end, &sources[m], ids, (uint16_t)m);
  }
  assert(end == sorted);
  sort_points(sorted, unsorted, added, (uint32_t *)(sorted + added));
  merge_points(ring, old, renumber, sorted, added);
  free(unsorted);
  return finish(ring, sources);
}

void cyc_ring_free(const cyc_ring *ring) { free((void *)(uintptr_t)ring); }
