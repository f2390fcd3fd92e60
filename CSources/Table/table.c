/*
 * The table: buckets of one cache line, indexed by the leading bits of the key's hash.
 *
 *   bucket   | 7 tags, 1 byte each | chained | 7 lanes: pointers to entries |
 *            0                     7         8                              64
 *
 * A tag is the low byte of an entry's hash, 0 for an empty lane (a hash that ends in 0 is tagged
 * 1). Eight bytes are compared at once, so a lookup usually reads the bucket's line and one entry.
 * A full bucket turns its last lane into the address of an overflow bucket of the same shape.
 *
 * Since leading bits index, the order of buckets is the order of hashes, and doubling the table
 * turns bucket i into 2i and 2i + 1. Growing and shrinking is therefore a sweep over hash
 * positions:
 *
 *        positions below the frontier            at and above
 *   |  live in `now`                   |  live in `old`                 |
 *                                      ^ `moved`, in buckets of the smaller array
 *
 * One comparison decides in which array a key is. Every insertion and removal moves the frontier
 * by one bucket, so a sweep has ended long before the load calls for the next one. New arrays come
 * zeroed from the kernel page by page; what is left of a stall is the unmapping of the old array
 * at the sweep's end. Huge pages for the arrays were tried and showed no gain above the noise.
 *
 * Linear probing was not taken: its runs cross bucket borders, which would blur the frontier.
 */
#include "entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LANES = 7, LINK = LANES - 1, BITS_MIN = 3, BITS_MAX = 40, LOAD_MAX = 5 };

typedef struct bucket {
  uint8_t tags[LANES];
  uint8_t chained; /* lanes[LINK] is the next bucket */
  void *lanes[LANES];
} bucket;

_Static_assert(sizeof(bucket) == 64, "a bucket is a cache line");

struct cyc_table {
  bucket *now;
  bucket *old; /* being emptied, or NULL */
  unsigned bits, old_bits;
  uint64_t moved;
  uint64_t count;
  uint64_t overflow; /* buckets outside the arrays */
  uint64_t entry_bytes;
  uint64_t digest;
  uint64_t seed;
  cyc_heap heap;
};

/* Where an entry is. */
typedef struct place {
  bucket *bucket;
  unsigned lane;
} place;

/* ---- Buckets ----------------------------------------------------------------------------------*/

/* Arrays from this size on are mapped: they come zeroed, page by page as they are touched. */
enum { MAPPED_MIN = 64 << 10 };

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

static void free_zeroed(void *memory, size_t bytes) {
  if (bytes < MAPPED_MIN) {
    free(memory);
  } else {
    munmap(memory, bytes);
  }
}

static uint8_t tag_of(uint64_t hash) {
  const uint8_t tag = (uint8_t)hash;
  return tag != 0 ? tag : 1;
}

static unsigned lanes_of(const bucket *b) {
  return b->chained ? LINK : LANES;
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
static bool is_old(const cyc_table *table, uint64_t hash) {
  if (table->old == NULL) return false;
  const unsigned coarse = table->bits < table->old_bits ? table->bits : table->old_bits;
  return hash >> (64 - coarse) >= table->moved;
}

static bucket *bucket_of(const cyc_table *table, uint64_t hash) {
  return is_old(table, hash) ? &table->old[hash >> (64 - table->old_bits)]
                             : &table->now[hash >> (64 - table->bits)];
}

static bool find(
    const cyc_table *table, uint64_t hash, const uint8_t *key, uint32_t length, place *at) {
  const uint8_t tag = tag_of(hash);
  for (bucket *b = bucket_of(table, hash);; b = b->lanes[LINK]) {
    for (uint64_t lanes = match(b, tag); lanes != 0; lanes &= lanes - 1) {
      const unsigned lane = (unsigned)__builtin_ctzll(lanes) / 8;
      const cyc_entry *entry = b->lanes[lane];
      if (b->tags[lane] == tag && entry->hash == hash && entry->key_length == length
          && (length == 0 || memcmp(entry->bytes, key, length) == 0)) {
        *at = (place){b, lane};
        return true;
      }
    }
    if (!b->chained) return false;
  }
}

static cyc_entry *entry_at(place at) {
  return at.bucket->lanes[at.lane];
}

/* Puts an entry into the chain that begins at `b`. */
static void insert(cyc_table *table, bucket *b, cyc_entry *entry) {
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
      table->overflow++;
      next->tags[0] = b->tags[LINK];
      next->lanes[0] = b->lanes[LINK];
      b->tags[LINK] = 0;
      b->lanes[LINK] = next;
      b->chained = 1;
    }
    b = b->lanes[LINK];
  }
}

static bool is_empty(const bucket *b) {
  const uint8_t none[LANES] = {0};
  return memcmp(b->tags, none, lanes_of(b)) == 0;
}

/* Empties a lane, and gives back the overflow bucket that held it when nothing else is in it. */
static void vacate(cyc_table *table, uint64_t hash, place at) {
  at.bucket->tags[at.lane] = 0;
  at.bucket->lanes[at.lane] = NULL;
  bucket *head = bucket_of(table, hash);
  if (at.bucket == head || !is_empty(at.bucket)) return;
  bucket *before = head;
  while (before->lanes[LINK] != at.bucket) before = before->lanes[LINK];
  before->chained = at.bucket->chained;
  before->lanes[LINK] = at.bucket->lanes[LINK];
  free(at.bucket);
  table->overflow--;
}

/* ---- Growing and shrinking --------------------------------------------------------------------*/

static void prefetch_entries(const bucket *b) {
  for (unsigned lane = 0; lane < lanes_of(b); lane++) {
    if (b->tags[lane] != 0) __builtin_prefetch(b->lanes[lane]);
  }
}

static void move_bucket(cyc_table *table, bucket *from) {
  bool is_head = true;
  for (bucket *b = from; b != NULL;) {
    for (unsigned lane = 0; lane < lanes_of(b); lane++) {
      if (b->tags[lane] == 0) continue;
      cyc_entry *entry = b->lanes[lane];
      insert(table, &table->now[entry->hash >> (64 - table->bits)], entry);
    }
    bucket *next = b->chained ? b->lanes[LINK] : NULL;
    if (!is_head) {
      free(b);
      table->overflow--;
    }
    is_head = false;
    b = next;
  }
  memset(from, 0, sizeof *from);
}

/* Moves the frontier by one bucket of the smaller array. */
static void step(cyc_table *table) {
  if (table->old == NULL) return;
  const bool grows = table->bits > table->old_bits;
  const unsigned coarse = grows ? table->old_bits : table->bits;
  const unsigned width = grows ? 0 : table->old_bits - table->bits;
  const uint64_t begin = table->moved << width, end = (table->moved + 1) << width;
  for (uint64_t i = begin; i < end; i++) move_bucket(table, &table->old[i]);
  table->moved++;
  if (table->moved == UINT64_C(1) << coarse) {
    free_zeroed(table->old, array_bytes(table->old_bits));
    table->old = NULL;
    return;
  }
  prefetch_entries(&table->old[end]);
}

static void resize(cyc_table *table, unsigned bits) {
  assert(table->old == NULL);
  table->old = table->now;
  table->old_bits = table->bits;
  table->now = allocate_zeroed(array_bytes(bits));
  table->bits = bits;
  table->moved = 0;
}

/* Called after every insertion and removal. */
static void balance(cyc_table *table) {
  if (table->old != NULL) {
    step(table);
    return;
  }
  const uint64_t buckets = UINT64_C(1) << table->bits;
  if (table->count > buckets * LOAD_MAX && table->bits < BITS_MAX) {
    resize(table, table->bits + 1);
  } else if (table->count < buckets && table->bits > BITS_MIN) {
    resize(table, table->bits - 1);
  }
}

/* ---- Operations -------------------------------------------------------------------------------*/

cyc_table *cyc_table_create(uint64_t seed) {
  cyc_table *table = cyc_table_allocate(NULL, sizeof *table);
  *table = (cyc_table){.bits = BITS_MIN, .seed = seed};
  table->now = allocate_zeroed(array_bytes(BITS_MIN));
  return table;
}

static void free_array(bucket *buckets, unsigned bits) {
  if (buckets == NULL) return;
  for (uint64_t i = 0; i < UINT64_C(1) << bits; i++) {
    for (bucket *b = &buckets[i]; b != NULL;) {
      for (unsigned lane = 0; lane < lanes_of(b); lane++) {
        if (b->tags[lane] != 0) free(b->lanes[lane]);
      }
      bucket *next = b->chained ? b->lanes[LINK] : NULL;
      if (b != &buckets[i]) free(b);
      b = next;
    }
  }
  free_zeroed(buckets, array_bytes(bits));
}

void cyc_table_destroy(cyc_table *table) {
  if (table == NULL) return;
  free_array(table->old, table->old_bits);
  free_array(table->now, table->bits);
  cyc_heap_clear(&table->heap);
  free(table);
}

void cyc_table_clear(cyc_table *table) {
  free_array(table->old, table->old_bits);
  free_array(table->now, table->bits);
  cyc_heap_clear(&table->heap);
  *table = (cyc_table){.bits = BITS_MIN, .seed = table->seed};
  table->now = allocate_zeroed(array_bytes(BITS_MIN));
}

static cyc_table_item item_of(const cyc_table *table, const cyc_entry *entry) {
  return (cyc_table_item){
      .key = entry->bytes,
      .value = cyc_entry_value_const(entry),
      .key_length = entry->key_length,
      .value_length = entry->value_length,
      .deadline = cyc_heap_deadline(&table->heap, entry),
      .position = entry->hash,
  };
}

cyc_table_item cyc_table_get(const cyc_table *table, const uint8_t *key, uint32_t length) {
  place at;
  if (!find(table, cyc_entry_hash(key, length, table->seed), key, length, &at)) {
    return (cyc_table_item){0};
  }
  return item_of(table, entry_at(at));
}

/* Takes an entry out of the sums before it changes, and puts it back in afterwards. */
static void discount(cyc_table *table, const cyc_entry *entry) {
  table->digest -= cyc_entry_digest(entry, cyc_heap_deadline(&table->heap, entry));
  table->entry_bytes -= cyc_entry_bytes(entry);
}

static void recount(cyc_table *table, const cyc_entry *entry) {
  table->digest += cyc_entry_digest(entry, cyc_heap_deadline(&table->heap, entry));
  table->entry_bytes += cyc_entry_bytes(entry);
}

static cyc_entry *add(
    cyc_table *table, uint64_t hash, const uint8_t *key, uint32_t length, uint32_t capacity) {
  cyc_entry *entry = cyc_entry_create(hash, key, length, capacity);
  insert(table, bucket_of(table, hash), entry);
  table->count++;
  return entry;
}

/* Gives the entry at a place room for `capacity` bytes; it may get another address. */
static cyc_entry *reserve(cyc_table *table, place at, uint32_t capacity) {
  cyc_entry *entry = cyc_entry_reserve(entry_at(at), capacity);
  at.bucket->lanes[at.lane] = entry;
  cyc_heap_relocate(&table->heap, entry);
  return entry;
}

void cyc_table_put(
    cyc_table *table, const uint8_t *key, uint32_t length, const uint8_t *value,
    uint32_t value_length, uint64_t deadline) {
  assert(length <= CYC_TABLE_KEY_MAX);
  const uint64_t hash = cyc_entry_hash(key, length, table->seed);
  place at;
  cyc_entry *entry;
  const bool is_new = !find(table, hash, key, length, &at);
  if (is_new) {
    entry = add(table, hash, key, length, value_length);
  } else {
    entry = entry_at(at);
    discount(table, entry);
    /* Memory is kept unless the new value would leave more than half of it unused. */
    if (value_length > entry->capacity || entry->capacity / 2 > value_length + 64) {
      entry->value_length = 0;
      entry = reserve(table, at, value_length);
    }
  }
  cyc_entry_assign(entry, value, value_length);
  cyc_heap_set(&table->heap, entry, deadline);
  recount(table, entry);
  if (is_new) balance(table);
}

uint32_t cyc_table_write(
    cyc_table *table, const uint8_t *key, uint32_t length, uint32_t offset, const uint8_t *bytes,
    uint32_t count) {
  assert(length <= CYC_TABLE_KEY_MAX && count <= UINT32_MAX - offset);
  const uint64_t hash = cyc_entry_hash(key, length, table->seed);
  const uint32_t end = offset + count;
  place at;
  cyc_entry *entry;
  const bool is_new = !find(table, hash, key, length, &at);
  if (is_new) {
    entry = add(table, hash, key, length, end);
  } else {
    entry = entry_at(at);
    discount(table, entry);
    if (end > entry->capacity) entry = reserve(table, at, cyc_entry_grown(end));
  }
  cyc_entry_write(entry, offset, bytes, count);
  recount(table, entry);
  const uint32_t result = entry->value_length;
  if (is_new) balance(table);
  return result;
}

bool cyc_table_set_deadline(
    cyc_table *table, const uint8_t *key, uint32_t length, uint64_t deadline) {
  place at;
  if (!find(table, cyc_entry_hash(key, length, table->seed), key, length, &at)) return false;
  cyc_entry *entry = entry_at(at);
  discount(table, entry);
  cyc_heap_set(&table->heap, entry, deadline);
  recount(table, entry);
  return true;
}

static void remove_at(cyc_table *table, place at) {
  cyc_entry *entry = entry_at(at);
  discount(table, entry);
  cyc_heap_set(&table->heap, entry, CYC_DEADLINE_NONE);
  vacate(table, entry->hash, at);
  free(entry);
  table->count--;
  balance(table);
}

bool cyc_table_remove(cyc_table *table, const uint8_t *key, uint32_t length) {
  place at;
  if (!find(table, cyc_entry_hash(key, length, table->seed), key, length, &at)) return false;
  remove_at(table, at);
  return true;
}

uint64_t cyc_table_next_deadline(const cyc_table *table) {
  return table->heap.count == 0 ? CYC_DEADLINE_NONE : table->heap.timers[0].deadline;
}

uint64_t cyc_table_advance(cyc_table *table, uint64_t time) {
  uint64_t removed = 0;
  while (table->heap.count != 0 && table->heap.timers[0].deadline <= time) {
    const cyc_entry *due = table->heap.timers[0].entry;
    place at;
    const bool found = find(table, due->hash, due->bytes, due->key_length, &at);
    assert(found);
    (void)found;
    remove_at(table, at);
    removed++;
  }
  return removed;
}

uint64_t cyc_table_count(const cyc_table *table) {
  return table->count;
}

uint64_t cyc_table_used_bytes(const cyc_table *table) {
  uint64_t buckets = (UINT64_C(1) << table->bits) + table->overflow;
  if (table->old != NULL) buckets += UINT64_C(1) << table->old_bits;
  return table->entry_bytes + buckets * sizeof(bucket)
      + (uint64_t)table->heap.capacity * sizeof(cyc_timer);
}

uint64_t cyc_table_digest(const cyc_table *table) {
  return table->digest;
}

/* ---- Iteration --------------------------------------------------------------------------------*/

uint64_t cyc_table_scan(
    const cyc_table *table, uint64_t cursor, uint64_t count, cyc_table_visitor visit,
    void *context) {
  uint64_t visited = 0;
  for (;;) {
    const unsigned bits = is_old(table, cursor) ? table->old_bits : table->bits;
    for (const bucket *b = bucket_of(table, cursor); b != NULL;
         b = b->chained ? b->lanes[LINK] : NULL) {
      for (unsigned lane = 0; lane < lanes_of(b); lane++) {
        if (b->tags[lane] == 0) continue;
        const cyc_entry *entry = b->lanes[lane];
        if (entry->hash < cursor) continue; /* visited when buckets were narrower */
        const cyc_table_item item = item_of(table, entry);
        visit(context, &item);
        visited++;
      }
    }
    /* The first position behind this bucket; past the last one it wraps to 0, the end. */
    cursor = ((cursor >> (64 - bits)) + 1) << (64 - bits);
    if (cursor == 0 || visited >= count) return cursor;
  }
}
