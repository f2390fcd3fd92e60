// The aggregation table: combines as pairs arrive.
//
//   index    | tags 4 x 8 | entries 4 x 8 |   buckets of one cache line; tag 0 = free
//   entries  | key 16 | tag 4 | length 4 | value 8 x words |   dense, in order of first arrival
//   keys     bytes of keys longer than 16, back to back
//
// A key of up to 16 bytes lies in its entry, zero padded; of a longer one the entry holds the first
// 8 bytes and, in the other 8, where the whole key is in `keys`.
//
// Invariants: entry e is named by exactly one slot, whose tag equals the entry's; buckets between a
// key's home and its bucket are full; slots of a bucket are taken in order. Entry 0 is a dummy, so
// that a free slot may be prefetched through like any other.
//
// Why dense entries behind a small index, and not one array of entries: frequent keys of real text
// appear early, so they lie together in the first pages and stay in L1/L2; growing rebuilds 8-byte
// slots from the stored tags and moves no entry; and the order of entries, hence of everything that
// is written, depends on the input alone, never on a capacity left over from an earlier task.
//
// A batch runs in three passes - load, hash and prefetch buckets, find candidates and prefetch
// entries, verify or add in order - so that the misses of 64 keys overlap. A bucket's eight tags
// are compared at once. Dropped: XXH3 of the keys, whose branches on length cost a word count a
// tenth.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "order.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define INLINE_KEY 16
#define ENTRY_HEAD 24
#define SLOTS 8
#define FIRST_BUCKETS ((uint32_t)1 << 9)
#define FULLEST 5 // entries per bucket, on average, before the index grows
#define MOST_ENTRIES ((size_t)1 << 28)

typedef struct {
  uint32_t tags[SLOTS];
  uint32_t entries[SLOTS];
} bucket;

typedef struct {
  uint64_t low, high; // the key, zero padded; or its first 8 bytes and its place in `keys`
  uint32_t tag;
  uint32_t length;
  uint64_t value[];
} entry;

_Static_assert(sizeof(bucket) == 64, "a bucket is a cache line");
_Static_assert(sizeof(entry) == ENTRY_HEAD, "an entry of one word is half a cache line");

struct cyc_shuffle_table {
  cyc_shuffle_region index, entries, keys, refs;
  size_t count;     // entries, the dummy not counted
  size_t key_bytes; // used in `keys`
  uint32_t buckets;
  uint32_t shift; // 32 - log2(buckets)
  uint32_t stride;
  uint32_t value_words;
};

static inline entry *entry_at(const cyc_shuffle_table *table, size_t number) {
  return (entry *)(table->entries.bytes + number * table->stride);
}

static inline uint32_t home_of(uint32_t tag, uint32_t shift) {
  return (tag * 0x9E3779B1u) >> shift;
}

// The first 16 bytes of a key with what lies behind it masked off, without a branch on its length.
static inline void load_key(const uint8_t *key, uint32_t length, uint64_t *low, uint64_t *high) {
  static const uint8_t ones[32] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  uint32_t kept = length < INLINE_KEY ? length : INLINE_KEY;
  uint64_t bytes[2], mask[2];
  memcpy(bytes, key, sizeof bytes);
  memcpy(mask, ones + INLINE_KEY - kept, sizeof mask);
  *low = bytes[0] & mask[0];
  *high = bytes[1] & mask[1];
}

static inline const uint8_t *entry_key(const cyc_shuffle_table *table, const entry *e) {
  return e->length <= INLINE_KEY ? (const uint8_t *)&e->low : table->keys.bytes + e->high;
}

// Bit i is set when tags[i] == tag.
static inline uint32_t equal_tags(const uint32_t *tags, uint32_t tag) {
#if defined(__SSE2__)
  const __m128i wanted = _mm_set1_epi32((int)tag);
  __m128i low = _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)tags), wanted);
  __m128i high = _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)(tags + 4)), wanted);
  __m128i both = _mm_packs_epi32(low, high);
  return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(both, _mm_setzero_si128()));
#else
  uint32_t mask = 0;
  for (int i = 0; i < SLOTS; i++) mask |= (uint32_t)(tags[i] == tag) << i;
  return mask;
#endif
}

static int clear_index(cyc_shuffle_table *table, uint32_t buckets) {
  int error = cyc_shuffle_region_ensure(&table->index, (size_t)buckets * sizeof(bucket));
  if (error != 0) return error;
  memset(table->index.bytes, 0, (size_t)buckets * sizeof(bucket));
  table->buckets = buckets;
  table->shift = 32 - (uint32_t)__builtin_ctz(buckets);
  return 0;
}

cyc_shuffle_table *cyc_shuffle_table_create(uint32_t value_words, size_t limit) {
  assert(value_words >= 1 && value_words <= CYC_SHUFFLE_VALUE_WORDS);
  cyc_shuffle_table *table = calloc(1, sizeof *table);
  if (table == NULL) return NULL;
  table->value_words = value_words;
  table->stride = ENTRY_HEAD + 8 * value_words;
  int error = cyc_shuffle_region_open(&table->index, limit * 2);
  if (error == 0) error = cyc_shuffle_region_open(&table->entries, limit);
  if (error == 0) error = cyc_shuffle_region_open(&table->keys, limit);
  if (error == 0) error = cyc_shuffle_region_open(&table->refs, limit * 2);
  if (error == 0) error = cyc_shuffle_region_ensure(&table->entries, table->stride);
  if (error == 0) error = clear_index(table, FIRST_BUCKETS);
  if (error != 0) {
    cyc_shuffle_table_destroy(table);
    errno = -error;
    return NULL;
  }
  return table;
}

void cyc_shuffle_table_destroy(cyc_shuffle_table *table) {
  if (table == NULL) return;
  cyc_shuffle_region_close(&table->index);
  cyc_shuffle_region_close(&table->entries);
  cyc_shuffle_region_close(&table->keys);
  cyc_shuffle_region_close(&table->refs);
  free(table);
}

void cyc_shuffle_table_reset(cyc_shuffle_table *table) {
  table->count = 0;
  table->key_bytes = 0;
  int error = clear_index(table, FIRST_BUCKETS);
  assert(error == 0); // these buckets were ready before
  (void)error;
}

size_t cyc_shuffle_table_count(const cyc_shuffle_table *table) {
  return table->count;
}

size_t cyc_shuffle_table_bytes(const cyc_shuffle_table *table) {
  return table->count * table->stride + table->key_bytes + (size_t)table->buckets * sizeof(bucket);
}

// Names a new entry in the first free slot from its home on. It must not be there yet.
static inline void link_entry(
  bucket *index, uint32_t mask, uint32_t at, uint32_t tag, size_t number) {
  uint32_t free = equal_tags(index[at].tags, 0);
  while (free == 0) free = equal_tags(index[at = (at + 1) & mask].tags, 0);
  int slot = __builtin_ctz(free);
  index[at].tags[slot] = tag;
  index[at].entries[slot] = (uint32_t)number;
}

static int grow_index(cyc_shuffle_table *table, uint32_t buckets) {
  int error = clear_index(table, buckets);
  if (error != 0) return error;
  bucket *index = (bucket *)table->index.bytes;
  for (size_t number = 1; number <= table->count; number++) {
    uint32_t tag = entry_at(table, number)->tag;
    link_entry(index, buckets - 1, home_of(tag, table->shift), tag, number);
  }
  return 0;
}

// Room for a whole batch of new keys, so that nothing moves or fails while it is applied.
static int reserve_batch(cyc_shuffle_table *table, const uint32_t *lengths, uint32_t count) {
  size_t entries = table->count + count, long_keys = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (lengths[i] > INLINE_KEY) long_keys += lengths[i];
  }
  if (entries > MOST_ENTRIES) return -ENOMEM;
  // The old index stays valid when a new one is refused: ensure comes before any change.
  size_t buckets = table->buckets;
  while (buckets * FULLEST < entries) buckets *= 2;
  int error = cyc_shuffle_region_ensure(&table->index, buckets * sizeof(bucket));
  if (error == 0) error = cyc_shuffle_region_ensure(&table->entries, (entries + 1) * table->stride);
  if (error == 0 && long_keys > 0) {
    size_t keys = table->key_bytes + long_keys + CYC_SHUFFLE_SLACK;
    error = cyc_shuffle_region_ensure(&table->keys, keys);
  }
  if (error == 0 && buckets > table->buckets) error = grow_index(table, (uint32_t)buckets);
  return error;
}

static inline int same_key(
  const cyc_shuffle_table *table, const entry *e, const uint8_t *key, uint32_t length, uint64_t low,
  uint64_t high) {
  if (e->length != length || e->low != low) return 0;
  if (length <= INLINE_KEY) return e->high == high;
  return memcmp(table->keys.bytes + e->high + 8, key + 8, length - 8) == 0;
}

static entry *add(
  cyc_shuffle_table *table, uint32_t tag, const uint8_t *key, uint32_t length, uint64_t low,
  uint64_t high) {
  entry *e = entry_at(table, ++table->count);
  e->low = low;
  e->high = high;
  e->tag = tag;
  e->length = length;
  memset(e->value, 0, table->value_words * 8);
  if (length > INLINE_KEY) {
    e->high = table->key_bytes;
    memcpy(table->keys.bytes + table->key_bytes, key, length);
    table->key_bytes += length;
  }
  return e;
}

// The entry of a key from bucket `at` on, or NULL.
static inline entry *find(
  const cyc_shuffle_table *table, uint32_t at, uint32_t tag, const uint8_t *key, uint32_t length,
  uint64_t low, uint64_t high) {
  const bucket *index = (const bucket *)table->index.bytes;
  for (;; at = (at + 1) & (table->buckets - 1)) {
    for (uint32_t hits = equal_tags(index[at].tags, tag); hits != 0; hits &= hits - 1) {
      entry *e = entry_at(table, index[at].entries[__builtin_ctz(hits)]);
      if (same_key(table, e, key, length, low, high)) return e;
    }
    if (index[at].tags[SLOTS - 1] == 0) return NULL;
  }
}

// What a key's tag and home slot come from; any 64 bits that differ between keys will do, since
// only partitions, which everybody must agree on, are taken from XXH3. Keys of up to 16 bytes,
// nearly all there are, take two multiplications and no branch on their length.
static inline uint64_t table_hash(
  const uint8_t *key, uint32_t length, uint64_t low, uint64_t high) {
  if (__builtin_expect(length > INLINE_KEY, 0)) return XXH3_64bits(key, length);
  __uint128_t mixed = (__uint128_t)(low ^ 0x9E3779B97F4A7C15ULL) * (high ^ 0xD6E8FEB86659FD93ULL);
  // The sum keeps keys apart for which one factor is zero.
  uint64_t folded = (uint64_t)mixed ^ (uint64_t)(mixed >> 64) ^ (low + (high << 32 | high >> 32));
  folded ^= length;
  return folded * 0xC2B2AE3D27D4EB4FULL;
}

int cyc_shuffle_table_locate(
  cyc_shuffle_table *table, const uint8_t *const *keys, const uint32_t *lengths, uint32_t count,
  uint64_t **values, uint64_t *fresh) {
  assert(count <= CYC_SHUFFLE_BATCH);
  int error = reserve_batch(table, lengths, count);
  if (error != 0) return error;
  bucket *index = (bucket *)table->index.bytes;
  uint64_t lows[CYC_SHUFFLE_BATCH], highs[CYC_SHUFFLE_BATCH];
  uint32_t tags[CYC_SHUFFLE_BATCH], homes[CYC_SHUFFLE_BATCH], candidates[CYC_SHUFFLE_BATCH];
  for (uint32_t i = 0; i < count; i++) {
    load_key(keys[i], lengths[i], &lows[i], &highs[i]);
    uint32_t tag = (uint32_t)(table_hash(keys[i], lengths[i], lows[i], highs[i]) >> 32);
    tags[i] = tag + (tag == 0); // 0 marks a free slot
    homes[i] = home_of(tags[i], table->shift);
    __builtin_prefetch(&index[homes[i]], 1);
  }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t hits = equal_tags(index[homes[i]].tags, tags[i]);
    uint32_t number = index[homes[i]].entries[__builtin_ctz(hits | 1 << (SLOTS - 1))];
    candidates[i] = hits != 0 ? number : 0;
    __builtin_prefetch(entry_at(table, candidates[i]), 1);
  }
  uint64_t added = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t low = lows[i], high = highs[i];
    entry *e = entry_at(table, candidates[i]);
    if (candidates[i] == 0 || !same_key(table, e, keys[i], lengths[i], low, high)) {
      // Not in its home bucket when this batch began: further on, or added since, or new.
      e = find(table, homes[i], tags[i], keys[i], lengths[i], low, high);
      if (e == NULL) {
        e = add(table, tags[i], keys[i], lengths[i], low, high);
        link_entry(index, table->buckets - 1, homes[i], tags[i], table->count);
        added |= 1ULL << i;
      }
    }
    values[i] = e->value;
  }
  *fresh = added;
  return 0;
}

static cyc_shuffle_key key_at(const void *owner, uint64_t where) {
  const cyc_shuffle_table *table = owner;
  const entry *e = entry_at(table, where & PLACE_MASK);
  return (cyc_shuffle_key){entry_key(table, e), e->length};
}

static inline size_t encoded_size(const cyc_shuffle_table *table, const entry *e) {
  return varint_size(e->length) + e->length + 8 * (size_t)table->value_words;
}

int cyc_shuffle_table_arrange(
  cyc_shuffle_table *table, const cyc_shuffle_partitioner *how, int sorted, uint64_t *counts,
  uint64_t *bytes) {
  uint32_t partitions = how->partitions;
  assert(partitions >= 1 && partitions <= CYC_SHUFFLE_PARTITIONS);
  size_t refs_bytes = table->count * sizeof(cyc_shuffle_ref);
  int error = cyc_shuffle_region_ensure(&table->refs, refs_bytes * 2);
  uint64_t *places = error != 0 ? NULL : malloc(partitions * sizeof *places);
  if (places == NULL) return error != 0 ? error : -ENOMEM;
  memset(counts, 0, partitions * sizeof *counts);
  memset(bytes, 0, partitions * sizeof *bytes);
  // What is asked once per entry is kept where the refs that are not dealt out yet will lie.
  cyc_shuffle_ref *refs = (cyc_shuffle_ref *)table->refs.bytes;
  uint16_t *chosen = (uint16_t *)(refs + table->count);
  for (size_t number = 1; number <= table->count; number++) {
    const entry *e = entry_at(table, number);
    uint32_t partition = cyc_shuffle_partition(how, entry_key(table, e), e->length);
    chosen[number - 1] = (uint16_t)partition;
    counts[partition]++;
    bytes[partition] += encoded_size(table, e);
  }
  starts_from_counts(counts, places, partitions);
  for (size_t number = 1; number <= table->count; number++) {
    const entry *e = entry_at(table, number);
    uint32_t partition = chosen[number - 1];
    refs[places[partition]++] = (cyc_shuffle_ref){
      sorted ? key_prefix(entry_key(table, e), e->length) : 0,
      (uint64_t)partition << PLACE_BITS | number};
  }
  if (sorted) sort_partitions(refs, refs + table->count, places, partitions, table, key_at);
  free(places);
  return 0;
}

static inline const entry *arranged(const cyc_shuffle_table *table, uint64_t at) {
  const cyc_shuffle_ref *refs = (const cyc_shuffle_ref *)table->refs.bytes;
  return entry_at(table, refs[at].where & PLACE_MASK);
}

size_t cyc_shuffle_table_size(const cyc_shuffle_table *table, uint64_t at) {
  return encoded_size(table, arranged(table, at));
}

uint64_t cyc_shuffle_table_write(
  const cyc_shuffle_table *table, uint64_t from, uint64_t to, uint8_t *out, size_t capacity,
  size_t *used) {
  assert(to <= table->count);
  uint8_t *at = out;
  uint64_t next = from;
  for (; next < to; next++) {
    if (next + 8 < to) __builtin_prefetch(arranged(table, next + 8));
    const entry *e = arranged(table, next);
    if (encoded_size(table, e) > capacity - (size_t)(at - out)) break;
    at = varint_write(at, e->length);
    memcpy(at, entry_key(table, e), e->length);
    memcpy(at + e->length, e->value, 8 * table->value_words);
    at += e->length + 8 * table->value_words;
  }
  *used = (size_t)(at - out);
  return next - from;
}

uint32_t cyc_shuffle_table_read(
  const cyc_shuffle_table *table, uint64_t from, cyc_shuffle_record *records, uint32_t limit) {
  uint32_t count = 0;
  for (; count < limit && from + count < table->count; count++) {
    const entry *e = arranged(table, from + count);
    records[count] = (cyc_shuffle_record){
      entry_key(table, e), (const uint8_t *)e->value, e->length, 8 * table->value_words};
  }
  return count;
}
