/*
 * Entries and digests.
 *
 * Key and value share one allocation: a lookup that hits touches the bucket's cache line and the
 * entry's, and a small entry has 36 bytes of overhead. Sizes are rounded up to what malloc hands
 * out anyway, so a value that changes its length a little stays where it is. A value that grows by
 * being written to at its end doubles its room, up to one mebibyte more than it needs.
 *
 * The digest of a table is the sum of its entries' digests, so it does not depend on history, and
 * changing an entry means to subtract its old share and add the new one. A value enters its entry's
 * digest as the sum of the hashes of its 4 KiB chunks, each seeded with its number: appending to a
 * large value hashes the last chunk again and not the whole.
 */
#include "entry.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096, PREALLOCATE_MAX = 1 << 20 };

/* Of the buckets, a key has 64 / (2.5 ... 5) bytes: this much on the average over sizes. */
enum { BUCKET_SHARE = 17 };

_Static_assert(CYC_ENTRY_HEAD == 36, "an entry's overhead");

_Noreturn void cyc_table_exhausted(size_t bytes) {
  fprintf(stderr, "cyclades: out of memory: a table could not get %zu bytes\n", bytes);
  abort();
}

void *cyc_table_allocate(void *old, size_t bytes) {
  void *memory = realloc(old, bytes);
  if (memory == NULL) cyc_table_exhausted(bytes);
  return memory;
}

void cyc_table_tune_allocator(void) {
#ifdef M_MXFAST
  mallopt(M_MXFAST, 0);
#endif
}

uint64_t cyc_entry_hash(const uint8_t *key, uint32_t length, uint64_t seed) {
  return XXH3_64bits_withSeed(key, length, seed);
}

/* What malloc really hands out on 64-bit glibc: a multiple of 16, less its 8-byte header. */
static size_t rounded(size_t bytes) {
  return ((bytes + 8 + 15) & ~(size_t)15) - 8;
}

static uint64_t trees_cost(const cyc_entry *entry) {
  uint64_t cost = 0;
  for (unsigned i = 0; i < cyc_entry_tree_count(entry); i++) {
    cost += cyc_tree_cost(&cyc_entry_trees_const(entry)[i]);
  }
  return cost;
}

size_t cyc_entry_bytes(const cyc_entry *entry) {
  return (size_t)CYC_ENTRY_HEAD + entry->key_length + entry->capacity + 8 + trees_cost(entry);
}

uint64_t cyc_entry_cost(const cyc_entry *entry) {
  const size_t bytes = (size_t)CYC_ENTRY_HEAD + entry->key_length + entry->value_length;
  const size_t timer = entry->timer != 0 ? sizeof(cyc_timer) : 0;
  return rounded(bytes) + 8 + BUCKET_SHARE + timer + trees_cost(entry);
}

static uint32_t room(uint32_t key_length, uint32_t capacity) {
  const size_t fixed = (size_t)CYC_ENTRY_HEAD + key_length;
  const size_t free_bytes = rounded(fixed + capacity) - fixed;
  return free_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)free_bytes;
}

cyc_entry *cyc_entry_create(
    uint64_t hash, const uint8_t *key, uint32_t length, uint32_t capacity) {
  capacity = room(length, capacity);
  cyc_entry *entry = cyc_table_allocate(NULL, (size_t)CYC_ENTRY_HEAD + length + capacity);
  entry->hash = hash;
  entry->sum = 0;
  entry->key_length = length;
  entry->value_length = 0;
  entry->capacity = capacity;
  entry->timer = 0;
  entry->epoch = 0;
  entry->pinned = 0;
  entry->kind = 0;
  if (length != 0) memcpy(entry->bytes, key, length);
  return entry;
}

cyc_entry *cyc_entry_clone(const cyc_entry *entry) {
  cyc_entry *clone =
      cyc_entry_create(entry->hash, entry->bytes, entry->key_length, entry->value_length);
  clone->sum = entry->sum;
  clone->value_length = entry->value_length;
  clone->kind = entry->kind;
  memcpy(cyc_entry_value(clone), cyc_entry_value_const(entry), entry->value_length);
  for (unsigned i = 0; i < cyc_entry_tree_count(clone); i++) {
    cyc_tree_share(&cyc_entry_trees(clone)[i]);
  }
  return clone;
}

void cyc_entry_free(cyc_entry *entry, cyc_tree_waste *waste) {
  for (unsigned i = 0; i < cyc_entry_tree_count(entry); i++) {
    cyc_tree_drop(&cyc_entry_trees(entry)[i], waste);
  }
  free(entry);
}

void cyc_entry_plant(cyc_entry *entry, const uint8_t *orders, unsigned count) {
  assert(count * sizeof(cyc_tree) <= entry->capacity);
  for (unsigned i = 0; i < count; i++) {
    cyc_entry_trees(entry)[i] = (cyc_tree){.order = orders[i]};
  }
  entry->value_length = (uint32_t)(count * sizeof(cyc_tree));
}

void cyc_entry_sum_trees(cyc_entry *entry) {
  cyc_tree *first = cyc_entry_trees(entry);
  const uint64_t words[2] = {cyc_tree_digest(first), first->count};
  entry->sum = XXH3_64bits(words, sizeof words);
}

uint32_t cyc_entry_grown(uint32_t needed) {
  const uint32_t extra = needed < PREALLOCATE_MAX ? needed : PREALLOCATE_MAX;
  return needed <= UINT32_MAX - extra ? needed + extra : UINT32_MAX;
}

cyc_entry *cyc_entry_reserve(cyc_entry *entry, uint32_t capacity) {
  capacity = room(entry->key_length, capacity);
  assert(capacity >= entry->value_length);
  entry = cyc_table_allocate(entry, (size_t)CYC_ENTRY_HEAD + entry->key_length + capacity);
  entry->capacity = capacity;
  return entry;
}

/* Sum of the hashes of the chunks that hold bytes [from, to) of a value of `length` bytes. */
static uint64_t chunk_sum(const uint8_t *value, uint32_t length, uint32_t from, uint32_t to) {
  uint64_t sum = 0;
  for (uint64_t at = from & ~(uint32_t)(CHUNK - 1); at < to && at < length; at += CHUNK) {
    const size_t size = length - at < CHUNK ? (size_t)(length - at) : CHUNK;
    sum += XXH3_64bits_withSeed(value + at, size, at / CHUNK + 1);
  }
  return sum;
}

void cyc_entry_assign(cyc_entry *entry, const uint8_t *value, uint32_t length) {
  assert(length <= entry->capacity);
  if (length != 0) memcpy(cyc_entry_value(entry), value, length);
  entry->value_length = length;
  entry->sum = chunk_sum(cyc_entry_value(entry), length, 0, length);
}

void cyc_entry_write(
    cyc_entry *entry, uint32_t offset, const uint8_t *bytes, uint32_t count) {
  assert(count != 0 && (uint64_t)offset + count <= entry->capacity);
  uint8_t *value = cyc_entry_value(entry);
  const uint32_t end = offset + count, old = entry->value_length;
  const uint32_t from = offset < old ? offset : old; /* the first byte that changes */
  const uint32_t length = end > old ? end : old;
  /* Chunks that change, or did not exist: a last chunk that becomes longer changes as well. */
  const uint32_t to = length > old ? length : end;
  entry->sum -= chunk_sum(value, old, from, to);
  if (offset > old) memset(value + old, 0, offset - old);
  memcpy(value + offset, bytes, count);
  entry->value_length = length;
  entry->sum += chunk_sum(value, length, from, to);
}

uint64_t cyc_entry_digest(const cyc_entry *entry, uint64_t deadline) {
  const uint64_t shape = (uint64_t)entry->kind << 32 | entry->value_length;
  const uint64_t words[4] = {entry->hash, entry->sum, shape, deadline};
  return XXH3_64bits(words, sizeof words);
}
