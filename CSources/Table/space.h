/* Internal: the buckets that entries lie in, with the heap of their deadlines. */
#ifndef CYC_SPACE_H
#define CYC_SPACE_H

#include "entry.h"

enum { CYC_LANES = 7, CYC_LINK = CYC_LANES - 1 };

typedef struct cyc_bucket {
  uint8_t tags[CYC_LANES];
  uint8_t chained; /* lanes[CYC_LINK] is the next bucket */
  void *lanes[CYC_LANES];
} cyc_bucket;

typedef struct cyc_space {
  cyc_bucket *now;
  cyc_bucket *old; /* being emptied, or NULL */
  unsigned bits, old_bits;
  uint64_t moved;    /* buckets of the smaller array behind the frontier */
  uint64_t unmapped; /* bytes at the beginning of `old` that are given back already */
  uint64_t count;
  uint64_t overflow; /* buckets outside the arrays */
  uint64_t entry_bytes;
  cyc_heap heap;
} cyc_space;

/* Where an entry is. */
typedef struct cyc_place {
  cyc_bucket *bucket;
  unsigned lane;
} cyc_place;

static inline cyc_entry *cyc_entry_at(cyc_place at) {
  return at.bucket->lanes[at.lane];
}

static inline unsigned cyc_lanes_of(const cyc_bucket *b) {
  return b->chained ? CYC_LINK : CYC_LANES;
}

void cyc_space_open(cyc_space *space);

bool cyc_space_find(
    const cyc_space *space, uint64_t hash, const uint8_t *key, uint32_t length, cyc_place *at);

/* Ask for the bucket of a hash, and then, when that has come, for the entries that may be its own. */
void cyc_space_warm_bucket(const cyc_space *space, uint64_t hash);
void cyc_space_warm_entry(const cyc_space *space, uint64_t hash);

/* Adds an entry whose key is not there. */
void cyc_space_insert(cyc_space *space, cyc_entry *entry);

/* Empties a lane; the entry, whose hash is given, is the caller's from then on. */
void cyc_space_vacate(cyc_space *space, uint64_t hash, cyc_place at);

/* Goes on with growing or shrinking, or begins it; called after every insertion and removal. */
void cyc_space_balance(cyc_space *space);

/* Bytes of the buckets and the heap. */
uint64_t cyc_space_overhead(const cyc_space *space);

/* The bucket, at the head of its chain, that covers a position. `*next` becomes the first position
 * behind it, 0 when it is the last. */
cyc_bucket *cyc_space_bucket(const cyc_space *space, uint64_t position, uint64_t *next);

/* ---- Ruins ------------------------------------------------------------------------------------*/

/* A space that is given back little by little: freeing millions of entries at once would stall. */
typedef struct cyc_ruin {
  cyc_space space;
  uint64_t cleared;
  struct cyc_ruin *rest;
} cyc_ruin;

/* Leaves a space to be freed; it is open no more. */
void cyc_ruin_add(cyc_ruin **ruins, cyc_space *space);

/* Frees the entries of at most `buckets` buckets. */
void cyc_ruin_clear(cyc_ruin **ruins, uint64_t buckets, cyc_tree_waste *waste);

#endif
