/*
 * Deadlines: a heap in which every parent has four children. The earliest deadline is timer 0, and
 * each entry knows its place, so a deadline is changed or dropped in O(log n) without a search.
 * Entries without a deadline cost four bytes here and nothing else.
 *
 * Four children instead of two: half the levels, and the children of one parent are one cache line.
 */
#include "entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ARITY = 4 };

uint64_t cyc_heap_deadline(const cyc_heap *heap, const cyc_entry *entry) {
  return entry->timer == 0 ? CYC_DEADLINE_NONE : heap->timers[entry->timer - 1].deadline;
}

static void place(cyc_heap *heap, uint32_t at, cyc_timer timer) {
  heap->timers[at] = timer;
  timer.entry->timer = at + 1;
}

/* A total order, so that what is removed first does not depend on how the heap came to be. */
static bool is_before(cyc_timer a, cyc_timer b) {
  if (a.deadline != b.deadline) return a.deadline < b.deadline;
  const cyc_entry *x = a.entry, *y = b.entry;
  if (x->hash != y->hash) return x->hash < y->hash;
  const uint32_t shorter = x->key_length < y->key_length ? x->key_length : y->key_length;
  const int order = memcmp(x->bytes, y->bytes, shorter);
  return order != 0 ? order < 0 : x->key_length < y->key_length;
}

static void sift_up(cyc_heap *heap, uint32_t at, cyc_timer timer) {
  while (at > 0) {
    const uint32_t parent = (at - 1) / ARITY;
    if (!is_before(timer, heap->timers[parent])) break;
    place(heap, at, heap->timers[parent]);
    at = parent;
  }
  place(heap, at, timer);
}

static void sift_down(cyc_heap *heap, uint32_t at, cyc_timer timer) {
  for (;;) {
    const uint64_t first = (uint64_t)at * ARITY + 1;
    if (first >= heap->count) break;
    const uint64_t end = first + ARITY < heap->count ? first + ARITY : heap->count;
    uint32_t least = (uint32_t)first;
    for (uint32_t child = least + 1; child < end; child++) {
      if (is_before(heap->timers[child], heap->timers[least])) least = child;
    }
    if (!is_before(heap->timers[least], timer)) break;
    place(heap, at, heap->timers[least]);
    at = least;
  }
  place(heap, at, timer);
}

static void replace(cyc_heap *heap, uint32_t at, cyc_timer old, cyc_timer timer) {
  if (is_before(timer, old)) {
    sift_up(heap, at, timer);
  } else {
    sift_down(heap, at, timer);
  }
}

void cyc_heap_set(cyc_heap *heap, cyc_entry *entry, uint64_t deadline) {
  if (deadline != CYC_DEADLINE_NONE) {
    const cyc_timer timer = {deadline, entry};
    if (entry->timer != 0) {
      const uint32_t at = entry->timer - 1;
      replace(heap, at, heap->timers[at], timer);
      return;
    }
    if (heap->count == heap->capacity) {
      assert(heap->capacity <= UINT32_MAX / 2);
      heap->capacity = heap->capacity == 0 ? 64 : heap->capacity * 2;
      heap->timers =
          cyc_table_allocate(heap->timers, (size_t)heap->capacity * sizeof *heap->timers);
    }
    heap->count++;
    sift_up(heap, heap->count - 1, timer);
  } else if (entry->timer != 0) {
    const uint32_t at = entry->timer - 1;
    const cyc_timer old = heap->timers[at];
    const cyc_timer last = heap->timers[--heap->count];
    entry->timer = 0;
    if (at < heap->count) replace(heap, at, old, last);
  }
}

void cyc_heap_relocate(cyc_heap *heap, cyc_entry *entry) {
  if (entry->timer != 0) heap->timers[entry->timer - 1].entry = entry;
}

void cyc_heap_clear(cyc_heap *heap) {
  free(heap->timers);
  *heap = (cyc_heap){0};
}
