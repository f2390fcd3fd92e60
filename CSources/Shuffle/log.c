// The log: keeps every pair, for jobs that see all values of a key and for combiners that do not
// pay.
//
//   records  | varint key length | varint value length, unless fixed | key | value |
//   refs     | key prefix 8 | partition << 48 | offset of the record 8 |   one per record
//
// A record is encoded once, as it arrives, and copied as it is when blocks are written. Offsets
// only grow, so equal keys keep their order of arrival through every sort.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "order.h"

struct cyc_shuffle_log {
  cyc_shuffle_region records, refs, arranged;
  size_t count;
  size_t used; // bytes of `records`
  uint32_t value_bytes;
};

cyc_shuffle_log *cyc_shuffle_log_create(uint32_t value_bytes, size_t limit) {
  cyc_shuffle_log *log = calloc(1, sizeof *log);
  if (log == NULL) return NULL;
  log->value_bytes = value_bytes;
  // The smallest record takes 2 bytes and a ref takes 16, or twice that while sorting.
  int error = cyc_shuffle_region_open(&log->records, limit);
  if (error == 0) error = cyc_shuffle_region_open(&log->refs, limit * 8);
  if (error == 0) error = cyc_shuffle_region_open(&log->arranged, limit * 16);
  if (error != 0) {
    cyc_shuffle_log_destroy(log);
    errno = -error;
    return NULL;
  }
  return log;
}

void cyc_shuffle_log_destroy(cyc_shuffle_log *log) {
  if (log == NULL) return;
  cyc_shuffle_region_close(&log->records);
  cyc_shuffle_region_close(&log->refs);
  cyc_shuffle_region_close(&log->arranged);
  free(log);
}

void cyc_shuffle_log_reset(cyc_shuffle_log *log) {
  log->count = 0;
  log->used = 0;
}

size_t cyc_shuffle_log_count(const cyc_shuffle_log *log) {
  return log->count;
}

size_t cyc_shuffle_log_bytes(const cyc_shuffle_log *log) {
  return log->used + log->count * sizeof(cyc_shuffle_ref);
}

int cyc_shuffle_log_append(
  cyc_shuffle_log *log, const cyc_shuffle_partitioner *how, const uint8_t *const *keys,
  const uint32_t *lengths, uint32_t count, const uint8_t *values, const uint32_t *value_lengths) {
  assert(count <= CYC_SHUFFLE_BATCH);
  size_t need = log->used;
  for (uint32_t i = 0; i < count; i++) {
    need += 10 + (size_t)lengths[i] + (log->value_bytes ? log->value_bytes : value_lengths[i]);
  }
  int error = cyc_shuffle_region_ensure(&log->records, need);
  size_t refs_bytes = (log->count + count) * sizeof(cyc_shuffle_ref);
  if (error == 0) error = cyc_shuffle_region_ensure(&log->refs, refs_bytes);
  if (error != 0) return error;
  cyc_shuffle_ref *refs = (cyc_shuffle_ref *)log->refs.bytes + log->count;
  uint8_t *at = log->records.bytes + log->used;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t value_length = log->value_bytes ? log->value_bytes : value_lengths[i];
    refs[i].prefix = key_prefix(keys[i], lengths[i]);
    refs[i].where = (uint64_t)cyc_shuffle_partition(how, keys[i], lengths[i]) << PLACE_BITS
      | (uint64_t)(at - log->records.bytes);
    at = varint_write(at, lengths[i]);
    if (log->value_bytes == 0) at = varint_write(at, value_length);
    memcpy(at, keys[i], lengths[i]);
    memcpy(at + lengths[i], values, value_length);
    at += lengths[i] + value_length;
    values += value_length;
  }
  log->used = (size_t)(at - log->records.bytes);
  log->count += count;
  return 0;
}

static inline size_t record_at(
  const cyc_shuffle_log *log, uint64_t where, cyc_shuffle_record *record) {
  const uint8_t *at = log->records.bytes + (where & PLACE_MASK);
  const uint8_t *end = record_read(at, log->records.bytes + log->used, log->value_bytes, record);
  assert(end != NULL);
  return (size_t)(end - at);
}

static cyc_shuffle_key key_at(const void *owner, uint64_t where) {
  cyc_shuffle_record record;
  record_at(owner, where, &record);
  return (cyc_shuffle_key){record.key, record.key_length};
}

int cyc_shuffle_log_arrange(
  cyc_shuffle_log *log, uint32_t partitions, int sorted, uint64_t *counts, uint64_t *bytes) {
  assert(partitions >= 1 && partitions <= CYC_SHUFFLE_PARTITIONS);
  size_t refs_bytes = log->count * sizeof(cyc_shuffle_ref);
  int error = cyc_shuffle_region_ensure(&log->arranged, sorted ? refs_bytes * 2 : refs_bytes);
  uint64_t *places = error != 0 ? NULL : malloc(partitions * sizeof *places);
  if (places == NULL) return error != 0 ? error : -ENOMEM;
  memset(counts, 0, partitions * sizeof *counts);
  memset(bytes, 0, partitions * sizeof *bytes);
  const cyc_shuffle_ref *refs = (const cyc_shuffle_ref *)log->refs.bytes;
  for (size_t i = 0; i < log->count; i++) {
    // In order of arrival a record ends where the next begins.
    uint64_t end = i + 1 < log->count ? refs[i + 1].where & PLACE_MASK : log->used;
    uint32_t partition = (uint32_t)(refs[i].where >> PLACE_BITS);
    assert(partition < partitions);
    counts[partition]++;
    bytes[partition] += end - (refs[i].where & PLACE_MASK);
  }
  starts_from_counts(counts, places, partitions);
  cyc_shuffle_ref *arranged = (cyc_shuffle_ref *)log->arranged.bytes;
  for (size_t i = 0; i < log->count; i++) arranged[places[refs[i].where >> PLACE_BITS]++] = refs[i];
  if (sorted) sort_partitions(arranged, arranged + log->count, places, partitions, log, key_at);
  free(places);
  return 0;
}

static inline uint64_t arranged_at(const cyc_shuffle_log *log, uint64_t at) {
  return ((const cyc_shuffle_ref *)log->arranged.bytes)[at].where;
}

size_t cyc_shuffle_log_size(const cyc_shuffle_log *log, uint64_t at) {
  cyc_shuffle_record record;
  return record_at(log, arranged_at(log, at), &record);
}

uint64_t cyc_shuffle_log_write(
  const cyc_shuffle_log *log, uint64_t from, uint64_t to, uint8_t *out, size_t capacity,
  size_t *used) {
  assert(to <= log->count);
  size_t filled = 0;
  uint64_t next = from;
  for (; next < to; next++) {
    if (next + 8 < to) {
      __builtin_prefetch(log->records.bytes + (arranged_at(log, next + 8) & PLACE_MASK));
    }
    cyc_shuffle_record record;
    uint64_t where = arranged_at(log, next);
    size_t size = record_at(log, where, &record);
    if (size > capacity - filled) break;
    memcpy(out + filled, log->records.bytes + (where & PLACE_MASK), size);
    filled += size;
  }
  *used = filled;
  return next - from;
}
