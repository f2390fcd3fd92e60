/*
 * The buckets: one cache line each, indexed by the leading bits of the key's hash.
 *
 *   bucket   | 7 tags, 1 byte each | chained | 7 lanes: pointers to entries |
 *            0                     7         8                              64
 *
 * A tag is the low byte of an entry's hash, 0 for an empty lane (a hash that ends in 0 is tagged
 * 1). Eight bytes are compared at once, so a lookup usually reads the bucket's line and one entry.
 * A full bucket turns its last lane into the address of an overflow bucket of the same shape.
 *
 * Since leading bits index, the order of buckets is the order of hashes, and doubling the space
 * turns bucket i into 2i and 2i + 1. Growing and shrinking is therefore a sweep over hash
 * positions:
 *
 *        positions below the frontier            at and above
 *   |  live in `now`                   |  live in `old`                 |
 *                                      ^ `moved`, in buckets of the smaller array
 *
 * One comparison decides in which array a key is. Every insertion and removal moves the frontier
 * by one bucket, so a sweep has ended long before the load calls for the next one. New arrays come
 * zeroed from the kernel page by page, and the old array goes back to it in pieces as the frontier
 * passes: unmapping it as a whole took milliseconds. Huge pages for the arrays were tried and
 * showed no gain above the noise.
 *
 * Linear probing was not taken: its runs cross bucket borders, which would blur the frontier.
 */
#include "space.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BITS_MIN = 3, BITS_MAX = 40, LOAD_MAX = 5 };

typedef cyc_bucket bucket;

_Static_assert(sizeof(bucket) == 64, "a bucket is a cache line");

/* ---- Arrays -----------------------------------------------------------------------------------*/

/* Arrays from this size on are mapped: they come zeroed, page by page as they are touched. */
enum { MAPPED_MIN = 64 << 10 };

/* How much of an array that is being emptied goes back at once. */
enum { UNMAP_STEP = 256 << 10 };

static size_t array_bytes(unsigned bits) {
  return sizeof(bucket) << bits;
}

static void *allocate_zeroed(size_t bytes) {
  void *memory = bytes < MAPPED_MIN
      ? aligned_alloc(sizeof(bucket), bytes)
      : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == NULL || memory == MAP_FAILED) cyc_table_exhausted(bytes);
  if (bytes < MAPPED_MIN) memset(memory, 0, bytes);
  return memory;
}

/* Gives an array back, of which `unmapped` bytes are given back already. */
static void free_array(bucket *array, unsigned bits, uint64_t unmapped) {
  const size_t bytes = array_bytes(bits);
  if (bytes < MAPPED_MIN) {
    free(array);
  } else if (unmapped < bytes) {
    munmap((uint8_t *)array + unmapped, bytes - unmapped);
  }
}

/* Gives back what lies in front of bucket `emptied` of `array`, when that is enough to be worth
 * a system call. */
static void unmap_emptied(bucket *array, unsigned bits, uint64_t emptied, uint64_t *unmapped) {
  if (array_bytes(bits) < MAPPED_MIN) return;
  const uint64_t end = emptied * sizeof(bucket) / UNMAP_STEP * UNMAP_STEP;
  if (end <= *unmapped) return;
  munmap((uint8_t *)array + *unmapped, end - *unmapped);
  *unmapped = end;
}

/* ---- Buckets ----------------------------------------------------------------------------------*/

static uint8_t tag_of(uint64_t hash) {
  const uint8_t tag = (uint8_t)hash;
  return tag != 0 ? tag : 1;
}

/* One bit at position 8i + 7 for each lane i whose tag may be `tag`: the lowest is exact, a higher
 * one may be false. */
static uint64_t match(const bucket *b, uint8_t tag) {
  const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  uint64_t word;
  memcpy(&word, b, sizeof word);
  word ^= ones * tag;
  const uint64_t lanes = b->chained ? 0x0000ffffffffffffu : 0x00ffffffffffffffu;
  return (word - ones) & ~word & highs & lanes;
}

/* Whether a position is at or above the frontier of a sweep. */
static bool is_old(const cyc_space *space, uint64_t hash) {
  if (space->old == NULL) return false;
  const unsigned coarse = space->bits < space->old_bits ? space->bits : space->old_bits;
  return hash >> (64 - coarse) >= space->moved;
}

static bucket *bucket_of(const cyc_space *space, uint64_t hash) {
  return is_old(space, hash) ? &space->old[hash >> (64 - space->old_bits)]
                             : &space->now[hash >> (64 - space->bits)];
}

cyc_bucket *cyc_space_bucket(const cyc_space *space, uint64_t position, uint64_t *next) {
  const unsigned bits = is_old(space, position) ? space->old_bits : space->bits;
  *next = ((position >> (64 - bits)) + 1) << (64 - bits);
  return bucket_of(space, position);
}

bool cyc_space_find(
    const cyc_space *space, uint64_t hash, const uint8_t *key, uint32_t length, cyc_place *at) {
  const uint8_t tag = tag_of(hash);
  for (bucket *b = bucket_of(space, hash);; b = b->lanes[CYC_LINK]) {
    for (uint64_t lanes = match(b, tag); lanes != 0; lanes &= lanes - 1) {
      const unsigned lane = (unsigned)__builtin_ctzll(lanes) / 8;
      const cyc_entry *entry = b->lanes[lane];
      if (b->tags[lane] == tag && entry->hash == hash && entry->key_length == length
          && (length == 0 || memcmp(entry->bytes, key, length) == 0)) {
        *at = (cyc_place){b, lane};
        return true;
      }
    }
    if (!b->chained) return false;
  }
}

void cyc_space_warm_bucket(const cyc_space *space, uint64_t hash) {
  __builtin_prefetch(bucket_of(space, hash), 1);
}

void cyc_space_warm_entry(const cyc_space *space, uint64_t hash) {
  const bucket *b = bucket_of(space, hash);
  for (uint64_t lanes = match(b, tag_of(hash)); lanes != 0; lanes &= lanes - 1) {
    const unsigned lane = (unsigned)__builtin_ctzll(lanes) / 8;
    if (b->tags[lane] != tag_of(hash)) continue;
    const uint8_t *entry = b->lanes[lane];
    /* Head and key, and the small value behind them, lie in two lines or three. */
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + 64, 1);
  }
  if (b->chained) __builtin_prefetch(b->lanes[CYC_LINK], 1);
}

/* Puts an entry into the chain that begins at `b`. */
static void insert(cyc_space *space, bucket *b, cyc_entry *entry) {
  for (;;) {
    const uint64_t empty = match(b, 0);
    if (empty != 0) {
      const unsigned lane = (unsigned)__builtin_ctzll(empty) / 8;
      b->tags[lane] = tag_of(entry->hash);
      b->lanes[lane] = entry;
      return;
    }
    if (!b->chained) {
      bucket *next = allocate_zeroed(sizeof *next);
      space->overflow++;
      next->tags[0] = b->tags[CYC_LINK];
      next->lanes[0] = b->lanes[CYC_LINK];
      b->tags[CYC_LINK] = 0;
      b->lanes[CYC_LINK] = next;
      b->chained = 1;
    }
    b = b->lanes[CYC_LINK];
  }
}

void cyc_space_insert(cyc_space *space, cyc_entry *entry) {
  insert(space, bucket_of(space, entry->hash), entry);
  space->count++;
}

static bool is_empty(const bucket *b) {
  const uint8_t none[CYC_LANES] = {0};
  return memcmp(b->tags, none, cyc_lanes_of(b)) == 0;
}

void cyc_space_vacate(cyc_space *space, uint64_t hash, cyc_place at) {
  at.bucket->tags[at.lane] = 0;
  at.bucket->lanes[at.lane] = NULL;
  space->count--;
  bucket *head = bucket_of(space, hash);
  if (at.bucket == head || !is_empty(at.bucket)) return;
  bucket *before = head;
  while (before->lanes[CYC_LINK] != at.bucket) before = before->lanes[CYC_LINK];
  before->chained = at.bucket->chained;
  before->lanes[CYC_LINK] = at.bucket->lanes[CYC_LINK];
  free(at.bucket);
  space->overflow--;
}

/* ---- Growing and shrinking --------------------------------------------------------------------*/

static void prefetch_entries(const bucket *b) {
  for (unsigned lane = 0; lane < cyc_lanes_of(b); lane++) {
    if (b->tags[lane] != 0) __builtin_prefetch(b->lanes[lane]);
  }
}

static void move_bucket(cyc_space *space, bucket *from) {
  bool is_head = true;
  for (bucket *b = from; b != NULL;) {
    for (unsigned lane = 0; lane < cyc_lanes_of(b); lane++) {
      if (b->tags[lane] == 0) continue;
      cyc_entry *entry = b->lanes[lane];
      insert(space, &space->now[entry->hash >> (64 - space->bits)], entry);
    }
    bucket *next = b->chained ? b->lanes[CYC_LINK] : NULL;
    if (!is_head) {
      free(b);
      space->overflow--;
    }
    is_head = false;
    b = next;
  }
  memset(from, 0, sizeof *from);
}

/* Moves the frontier by one bucket of the smaller array. */
static void step(cyc_space *space) {
  const bool grows = space->bits > space->old_bits;
  const unsigned coarse = grows ? space->old_bits : space->bits;
  const unsigned width = grows ? 0 : space->old_bits - space->bits;
  const uint64_t begin = space->moved << width, end = (space->moved + 1) << width;
  for (uint64_t i = begin; i < end; i++) move_bucket(space, &space->old[i]);
  space->moved++;
  if (space->moved == UINT64_C(1) << coarse) {
    free_array(space->old, space->old_bits, space->unmapped);
    space->old = NULL;
    return;
  }
  unmap_emptied(space->old, space->old_bits, end, &space->unmapped);
  prefetch_entries(&space->old[end]);
}

static void resize(cyc_space *space, unsigned bits) {
  assert(space->old == NULL);
  space->old = space->now;
  space->old_bits = space->bits;
  space->now = allocate_zeroed(array_bytes(bits));
  space->bits = bits;
  space->moved = 0;
  space->unmapped = 0;
}

void cyc_space_balance(cyc_space *space) {
  if (space->old != NULL) {
    step(space);
    return;
  }
  const uint64_t buckets = UINT64_C(1) << space->bits;
  if (space->count > buckets * LOAD_MAX && space->bits < BITS_MAX) {
    resize(space, space->bits + 1);
  } else if (space->count < buckets && space->bits > BITS_MIN) {
    resize(space, space->bits - 1);
  }
}

void cyc_space_open(cyc_space *space) {
  *space = (cyc_space){.bits = BITS_MIN, .now = allocate_zeroed(array_bytes(BITS_MIN))};
}

uint64_t cyc_space_overhead(const cyc_space *space) {
  uint64_t buckets = (UINT64_C(1) << space->bits) + space->overflow;
  if (space->old != NULL) buckets += UINT64_C(1) << space->old_bits;
  return buckets * sizeof(bucket) - (space->old != NULL ? space->unmapped : 0)
      + (uint64_t)space->heap.capacity * sizeof(cyc_timer);
}

/* ---- Ruins ------------------------------------------------------------------------------------*/

void cyc_ruin_add(cyc_ruin **ruins, cyc_space *space) {
  cyc_ruin *ruin = cyc_table_allocate(NULL, sizeof *ruin);
  cyc_heap_clear(&space->heap);
  *ruin = (cyc_ruin){.space = *space, .rest = *ruins};
  *ruins = ruin;
}

static void free_bucket(bucket *head, cyc_tree_waste *waste) {
  for (bucket *b = head; b != NULL;) {
    for (unsigned lane = 0; lane < cyc_lanes_of(b); lane++) {
      if (b->tags[lane] != 0) cyc_entry_free(b->lanes[lane], waste);
    }
    bucket *next = b->chained ? b->lanes[CYC_LINK] : NULL;
    if (b != head) free(b);
    b = next;
  }
}

void cyc_ruin_clear(cyc_ruin **ruins, uint64_t buckets, cyc_tree_waste *waste) {
  while (*ruins != NULL && buckets > 0) {
    cyc_ruin *ruin = *ruins;
    cyc_space *space = &ruin->space;
    if (space->old != NULL && ruin->cleared == 0) {
      /* The part in front of the frontier is zeroed or unmapped. */
      const bool grows = space->bits > space->old_bits;
      ruin->cleared = space->moved << (grows ? 0 : space->old_bits - space->bits);
    }
    bucket *array = space->old != NULL ? space->old : space->now;
    const unsigned bits = space->old != NULL ? space->old_bits : space->bits;
    while (buckets > 0 && ruin->cleared < UINT64_C(1) << bits) {
      free_bucket(&array[ruin->cleared++], waste);
      buckets--;
    }
    if (ruin->cleared < UINT64_C(1) << bits) {
      unmap_emptied(array, bits, ruin->cleared, &space->unmapped);
      return;
    }
    free_array(array, bits, space->unmapped);
    ruin->cleared = 0;
    space->unmapped = 0;
    if (space->old != NULL) {
      space->old = NULL;
    } else {
      *ruins = ruin->rest;
      free(ruin);
    }
  }
}
