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
// The comparison looks at 8-byte prefixes, then at the keys, then at the run's number, so equal
// keys come out in order of run and, inside a run, of place: the order of the values of a key
// depends on the input alone.
//
// A run is fed piece by piece. When the winner's piece ends the tree cannot be replayed before the
// next piece is there: the run is *hungry*, and the batch that was begun ends early. So runs need
// no more memory than a piece each, whoever keeps them and wherever.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "order.h"

typedef struct {
  uint64_t prefix;
  cyc_shuffle_record record;
  const uint8_t *at, *end; // what is left of the piece
  int done;
} run;

struct cyc_shuffle_merge {
  run *runs;
  uint32_t *tree; // tree[0] = winner, tree[1 ..< count] = losers
  uint32_t count;
  uint32_t started; // runs that were fed their first piece; the tree stands when all were
  uint32_t value_bytes;
  int64_t hungry;
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

// Moves a run to the next record of its piece, which has one.
static inline int advance(const cyc_shuffle_merge *merge, run *r) {
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

static inline void replay(cyc_shuffle_merge *merge) {
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

cyc_shuffle_merge *cyc_shuffle_merge_create(uint32_t runs, uint32_t value_bytes) {
  cyc_shuffle_merge *merge = calloc(1, sizeof *merge);
  if (merge == NULL) return NULL;
  merge->count = runs;
  merge->value_bytes = value_bytes;
  merge->hungry = runs > 0 ? 0 : -1;
  merge->runs = calloc((size_t)runs + 1, sizeof *merge->runs);
  merge->tree = calloc((size_t)runs + 1, sizeof *merge->tree);
  if (merge->runs == NULL || merge->tree == NULL) {
    cyc_shuffle_merge_destroy(merge);
    return NULL;
  }
  return merge;
}

void cyc_shuffle_merge_destroy(cyc_shuffle_merge *merge) {
  if (merge == NULL) return;
  free(merge->runs);
  free(merge->tree);
  free(merge);
}

int64_t cyc_shuffle_merge_hungry(const cyc_shuffle_merge *merge) {
  return merge->hungry;
}

int cyc_shuffle_merge_feed(cyc_shuffle_merge *merge, const uint8_t *records, size_t length) {
  assert(merge->hungry >= 0);
  run *r = &merge->runs[merge->hungry];
  r->at = records;
  r->end = records + length;
  r->done = length == 0;
  if (!r->done && advance(merge, r) != 0) return -EBADMSG;
  if (merge->started < merge->count) {
    merge->started++;
    merge->hungry = merge->started < merge->count ? (int64_t)merge->started : -1;
    if (merge->started == merge->count) merge->tree[0] = play(merge, 1);
  } else {
    merge->hungry = -1;
    replay(merge);
  }
  return 0;
}

int cyc_shuffle_merge_take(cyc_shuffle_merge *merge, cyc_shuffle_record *records, uint32_t limit) {
  assert(merge->started == merge->count);
  uint32_t taken = 0;
  while (taken < limit && merge->count > 0 && merge->hungry < 0) {
    run *winner = &merge->runs[merge->tree[0]];
    if (winner->done) break;
    records[taken++] = winner->record;
    if (winner->at == winner->end) {
      merge->hungry = merge->tree[0];
    } else {
      int error = advance(merge, winner);
      if (error != 0) return error;
      replay(merge);
    }
  }
  return (int)taken;
}
