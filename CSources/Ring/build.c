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
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "CCycladesRing.h"
#include "ring.h"

_Static_assert(sizeof(cyc_ring) == 128, "the header is two cache lines");
_Static_assert(offsetof(cyc_ring, pool) == 64, "lookups read the first of them");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "points are hashed as they lie");

enum { SORT_LOAD = 1 };  // points of a bucket while sorting: one or two

/// Bits that name a bucket of `load` to twice `load` points, on average.
static uint32_t bucket_bits(uint32_t points, uint32_t load) {
  return points < 4 * load ? 1 : 31 - (uint32_t)__builtin_clz(points / load);
}

/// A block for a ring, a used one if `old` has one to spare, with its header filled in.
static cyc_ring *allocate(uint32_t points, uint32_t members, uint32_t slots,
                          const cyc_ring *old) {
  assert(points >= 1 && points <= CYC_RING_POINTS_MAX);
  assert(members >= 1 && members <= slots && slots <= CYC_RING_MEMBERS_MAX);
  uint32_t bits = bucket_bits(points, CELL_LOAD);
  uint32_t page_bits = bits > PAGES_BITS ? bits - PAGES_BITS : 0, pages = 1u << (bits - page_bits);
  size_t pages_offset = sizeof(cyc_ring) + (slots + 1) / 2 * 2 * sizeof(uint16_t);
  size_t points_offset = (pages_offset + pages * sizeof(uint32_t) + 63) / 64 * 64;
  size_t starts_offset = points_offset + (points + 1) * sizeof(uint64_t);
  size_t slots_offset = starts_offset + ((1ull << bits) + 1) * sizeof(uint32_t);
  size_t zones_offset = slots_offset + members * sizeof(uint16_t);
  size_t size = zones_offset + members * sizeof(uint16_t);
  cyc_ring *ring = old == NULL ? NULL : cyc_ring_take_block(old, size);
  // Some more than asked for, so that a block will do for a ring with a few members more.
  size_t capacity = ring == NULL ? size + size / 32 : ring->capacity;
  if (ring == NULL) ring = cyc_ring_allocate(capacity);
  if (ring == NULL) return NULL;
  *ring = (cyc_ring){
    .shift = 64 - bits,
    .page_shift = 64 - bits + page_bits,
    .pages_offset = pages_offset,
    .points_offset = points_offset,
    .starts_offset = starts_offset,
    .slots_offset = slots_offset,
    .zones_offset = zones_offset,
    .points = points,
    .members = members,
    .size = size,
    .capacity = capacity,
    .pages = pages,
    .slots = slots,
  };
  return ring;
}

/// Gives every member a slot: those that stay keep theirs, newcomers get the lowest free ones.
static void assign_slots(cyc_ring *ring, const cyc_ring *old, const uint16_t *renumber) {
  uint16_t *numbers = numbers_of(ring), *slots = slots_of(ring);
  memset(numbers, 0xFF, ring->slots * sizeof *numbers);
  memset(slots, 0xFF, ring->members * sizeof *slots);
  for (uint32_t m = 0; old != NULL && m < old->members; m++) {
    if (renumber[m] == CYC_RING_GONE) continue;
    uint16_t slot = slots_of(old)[m];
    slots[renumber[m]] = slot;
    numbers[slot] = renumber[m];
  }
  uint32_t free_slot = 0;
  for (uint32_t m = 0; m < ring->members; m++) {
    if (slots[m] != CYC_RING_GONE) continue;
    while (numbers[free_slot] != CYC_RING_GONE) free_slot++;
    assert(free_slot < ring->slots);
    slots[m] = (uint16_t)free_slot;
    numbers[free_slot] = (uint16_t)m;
  }
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

/// Without branches that depend on where points lie: these, here and in cells.c, cost more than all
/// else that a merge does, 1.0 of 1.4 ms at 256 k points.
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

/// Everything that follows from sorted points and slots: padding, index, zones, placement hash.
/// Returns NULL, and frees the ring, when memory is short.
static cyc_ring *finish(cyc_ring *ring, const cyc_ring *old, const cyc_ring_source *sources) {
  uint64_t *points = points_of(ring);
  points[ring->points] = POSITION_MASK | (uint16_t)points[0];
  fill_starts(ring);
  if (!cyc_ring_fill_cells(ring, old)) {
    free(ring);
    return NULL;
  }
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
  cyc_ring *ring = allocate((uint32_t)count, members, members, NULL);
  uint32_t *counts = malloc(sort_bytes((uint32_t)count));
  if (ring == NULL || counts == NULL) {
    free(ring);
    free(counts);
    return NULL;
  }
  assign_slots(ring, NULL, NULL);
  sort_points(points_of(ring), unsorted, (uint32_t)count, counts);
  free(counts);
  return finish(ring, NULL, sources);
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
  uint32_t slots = old->slots > members ? old->slots : members;
  cyc_ring *ring = allocate((uint32_t)count, members, slots, old);
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
  assign_slots(ring, old, renumber);
  merge_points(ring, old, renumber, sorted, added);
  free(unsorted);
  return finish(ring, old, sources);
}

void cyc_ring_free(const cyc_ring *ring) { cyc_ring_release((cyc_ring *)(uintptr_t)ring); }
