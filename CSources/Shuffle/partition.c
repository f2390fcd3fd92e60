// Which part a key goes to: by hash, by ranges of keys, or as the job says.
//
//   boundaries       b0      b1      b2          partitions - 1 keys, in order
//   partitions    0  |   1   |   2   |   3       a key equal to a boundary lies behind it
#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "order.h"

static int key_before(const uint8_t *key, uint32_t length, const cyc_shuffle_key *boundary) {
  uint32_t shorter = length < boundary->length ? length : boundary->length;
  int difference = shorter == 0 ? 0 : memcmp(key, boundary->bytes, shorter);
  return difference != 0 ? difference < 0 : length < boundary->length;
}

static uint32_t range_of(
  const cyc_shuffle_partitioner *how, const uint8_t *key, uint32_t length) {
  uint32_t low = 0, high = how->partitions - 1;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (key_before(key, length, &how->boundaries[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

uint32_t cyc_shuffle_partition(
  const cyc_shuffle_partitioner *how, const uint8_t *key, uint32_t length) {
  if (how->choose != NULL) {
    uint32_t chosen = how->choose(how->context, key, length);
    assert(chosen < how->partitions);
    return chosen;
  }
  if (how->boundaries != NULL) return range_of(how, key, length);
  return (uint32_t)((XXH3_64bits(key, length) >> 32) * how->partitions >> 32);
}
