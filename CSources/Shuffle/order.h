// What table and log share when they arrange and write their records.
#pragma once

#include <string.h>

#include "CCycladesShuffle.h"

#define PLACE_BITS 48
#define PLACE_MASK ((1ULL << PLACE_BITS) - 1)

static inline uint64_t key_prefix(const uint8_t *key, uint32_t length) {
  uint64_t prefix = 0;
  memcpy(&prefix, key, length < 8 ? length : 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  prefix = __builtin_bswap64(prefix);
#endif
  return prefix;
}

// Unsigned LEB128, at most five bytes for 32 bits.
static inline size_t varint_size(uint32_t value) {
  if (value < 1u << 7) return 1;
  if (value < 1u << 14) return 2;
  if (value < 1u << 21) return 3;
  return value < 1u << 28 ? 4 : 5;
}

static inline uint8_t *varint_write(uint8_t *out, uint32_t value) {
  while (value >= 0x80) {
    *out++ = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  *out++ = (uint8_t)value;
  return out;
}

// NULL when the bytes end early or say more than 32 bits.
static inline const uint8_t *varint_read(const uint8_t *at, const uint8_t *end, uint32_t *value) {
  if (at < end && *at < 0x80) {
    *value = *at;
    return at + 1;
  }
  uint64_t result = 0;
  for (int shift = 0; shift < 35 && at < end; shift += 7) {
    uint8_t byte = *at++;
    result |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = (uint32_t)result;
      return result <= UINT32_MAX ? at : NULL;
    }
  }
  return NULL;
}

// Reads one record that must end at or before `end`; NULL when it does not. `value_bytes` == 0:
// the value's length is stored.
static inline const uint8_t *record_read(
  const uint8_t *at, const uint8_t *end, uint32_t value_bytes, cyc_shuffle_record *record) {
  record->value_length = value_bytes;
  if ((at = varint_read(at, end, &record->key_length)) == NULL) return NULL;
  if (value_bytes == 0 && (at = varint_read(at, end, &record->value_length)) == NULL) return NULL;
  if ((uint64_t)(end - at) < (uint64_t)record->key_length + record->value_length) return NULL;
  record->key = at;
  record->value = at + record->key_length;
  return record->value + record->value_length;
}

// Turns counts per partition into the refs' first places, and checks the sum.
static inline uint64_t starts_from_counts(const uint64_t *counts, uint64_t *starts, uint32_t n) {
  uint64_t sum = 0;
  for (uint32_t p = 0; p < n; p++) {
    starts[p] = sum;
    sum += counts[p];
  }
  return sum;
}

// Sorts each partition's refs by key. `starts` are consumed: they are the ends of the partitions
// after the refs were dealt out.
static inline void sort_partitions(
  cyc_shuffle_ref *refs, cyc_shuffle_ref *scratch, const uint64_t *ends, uint32_t partitions,
  const void *owner, cyc_shuffle_key_at key_at) {
  uint64_t from = 0;
  for (uint32_t p = 0; p < partitions; p++) {
    cyc_shuffle_sort(refs + from, scratch, ends[p] - from, owner, key_at);
    from = ends[p];
  }
}
