// Merging sorted runs with a loser tree.
//
//            winner
//              |
//            [ L1 ]            an inner node keeps the loser of its match; the winner went up.
//           /      \           Replacing the winner replays one path: log2(runs) comparisons,
//        [ L2 ]   [ L3 ]       against about twice as many in a heap.
//        /    \   /    \       .
//       r0    r1 r2    r3      leaves are the runs' next records
//
// A run is a list of blocks. The comparison looks at 8-byte prefixes, then at the keys, then at
// the run's number, so equal keys come out in order of run and, inside a run, of place: the order
// of the values of a key depends on the input alone.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "order.h"

typedef struct {
  uint64_t prefix;
  cyc_shuffle_record record;
  uint32_t next_extent, last_extent; // extents still to read: next ..< last
  const uint8_t *at, *end;           // in the current block
  int done;
} run;

struct cyc_shuffle_merge {
  const cyc_shuffle_extent *extents;
  cyc_shuffle_extent *owned;
  run *runs;
  uint32_t *tree; // tree[0] = winner, tree[1 ..< count] = losers
  uint32_t count;
  uint32_t value_bytes;
  int error;
};

static inline int run_before(const cyc_shuffle_merge *merge, uint32_t a, uint32_t b) {
  const run *x = &merge->runs[a], *y = &merge->runs[b];
  if (x->done || y->done) return x->done == y->done ? a < b : y->done;
  if (x->prefix != y->prefix) return x->prefix < y->prefix;
  uint32_t xl = x->record.key_length, yl = y->record.key_length;
  int difference = memcmp(x->record.key, y->record.key, xl < yl ? xl : yl);
  if (difference != 0) return difference < 0;
  return xl != yl ? xl < yl : a < b;
}

// Moves a run to its next record. Returns 0 or -EBADMSG.
static int advance(const cyc_shuffle_merge *merge, run *r) {
  while (r->at == r->end) {
    if (r->next_extent == r->last_extent) {
      r->done = 1;
      return 0;
    }
    const cyc_shuffle_extent *extent = &merge->extents[r->next_extent++];
    r->at = extent->records;
    r->end = extent->records + extent->length;
  }
  r->at = record_read(r->at, r->end, merge->value_bytes, &r->record);
  if (r->at == NULL) return -EBADMSG;
  r->prefix = key_prefix(r->record.key, r->record.key_length);
  return 0;
}

// Plays the match of an inner node and of all below it; returns the winner.
static uint32_t play(cyc_shuffle_merge *merge, uint32_t node) {
  if (node >= merge->count) return node - merge->count;
  uint32_t a = play(merge, node * 2), b = play(merge, node * 2 + 1);
  int first = run_before(merge, a, b);
  merge->tree[node] = first ? b : a;
  return first ? a : b;
}

static void replay(cyc_shuffle_merge *merge) {
  uint32_t winner = merge->tree[0];
  for (uint32_t node = (winner + merge->count) / 2; node > 0; node /= 2) {
    if (run_before(merge, merge->tree[node], winner)) {
      uint32_t swap = merge->tree[node];
      merge->tree[node] = winner;
      winner = swap;
    }
  }
  merge->tree[0] = winner;
}

static int assign_extents(cyc_shuffle_merge *merge, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    uint32_t number = merge->extents[i].run;
    if (number >= merge->count) return -EBADMSG;
    run *r = &merge->runs[number];
    if (r->last_extent == 0) r->next_extent = i;
    else if (r->last_extent != i) return -EBADMSG; // the extents of a run lie together
    r->last_extent = i + 1;
  }
  return 0;
}

cyc_shuffle_merge *cyc_shuffle_merge_create(
  const cyc_shuffle_extent *extents, uint32_t count, uint32_t value_bytes) {
  cyc_shuffle_merge *merge = calloc(1, sizeof *merge);
  if (merge == NULL) return NULL;
  uint32_t runs = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (extents[i].run >= count) {
      free(merge);
      errno = EBADMSG;
      return NULL;
    }
    if (extents[i].run >= runs) runs = extents[i].run + 1;
  }
  merge->count = runs;
  merge->value_bytes = value_bytes;
  merge->owned = malloc((count + 1) * sizeof *merge->owned);
  merge->runs = calloc(runs + 1, sizeof *merge->runs);
  merge->tree = calloc(runs + 1, sizeof *merge->tree);
  int error = merge->owned == NULL || merge->runs == NULL || merge->tree == NULL ? -ENOMEM : 0;
  if (error == 0) {
    if (count > 0) memcpy(merge->owned, extents, count * sizeof *extents);
    merge->extents = merge->owned;
    error = assign_extents(merge, count);
  }
  for (uint32_t i = 0; i < runs && error == 0; i++) error = advance(merge, &merge->runs[i]);
  if (error != 0) {
    cyc_shuffle_merge_destroy(merge);
    errno = -error;
    return NULL;
  }
  if (runs > 0) merge->tree[0] = play(merge, 1);
  return merge;
}

void cyc_shuffle_merge_destroy(cyc_shuffle_merge *merge) {
  if (merge == NULL) return;
  free(merge->owned);
  free(merge->runs);
  free(merge->tree);
  free(merge);
}

int cyc_shuffle_merge_take(cyc_shuffle_merge *merge, cyc_shuffle_record *records, uint32_t limit) {
  uint32_t taken = 0;
  while (taken < limit && merge->count > 0) {
    run *winner = &merge->runs[merge->tree[0]];
    if (winner->done) break;
    records[taken++] = winner->record;
    int error = advance(merge, winner);
    if (error != 0) return error;
    replay(merge);
  }
  return (int)taken;
}
