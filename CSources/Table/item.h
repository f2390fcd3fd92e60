/*
 * One item of a tree, as it lies in a leaf and in a snapshot:
 *
 *   | key length | value length | key | value |      lengths: 7 bits a byte, low ones first
 *
 * What lies in a leaf was written here and is read without checks; `cyc_tree_append_run` checks
 * what comes from outside. Inline, because a lookup spends its time here.
 */
#ifndef CYC_TABLE_ITEM_H
#define CYC_TABLE_ITEM_H

#include "include/CCycladesTree.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

static inline uint32_t load_length(const uint8_t **at) {
  uint32_t value = *(*at)++;
  if (value < 0x80) return value;
  value &= 0x7f;
  for (unsigned shift = 7;; shift += 7) {
    const uint32_t byte = *(*at)++;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

static inline uint8_t *store_length(uint8_t *at, uint32_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
  *at++ = (uint8_t)value;
  return at;
}

static inline uint32_t length_size(uint32_t value) {
  uint32_t size = 1;
  for (; value >= 0x80; value >>= 7) size++;
  return size;
}

/* Reads the item at `at`; returns the place behind it. */
static inline const uint8_t *read_item(const uint8_t *at, cyc_tree_item *item) {
  item->key_length = load_length(&at);
  item->value_length = load_length(&at);
  item->key = at;
  item->value = at + item->key_length;
  return item->value + item->value_length;
}

static inline const uint8_t *skip_items(const uint8_t *at, uint64_t count) {
  cyc_tree_item item;
  while (count-- > 0) at = read_item(at, &item);
  return at;
}

static inline uint64_t item_hash(const cyc_tree_item *item) {
  const uint64_t key = XXH3_64bits(item->key, item->key_length);
  return XXH3_64bits_withSeed(item->value, item->value_length, key);
}

static inline int compare(const cyc_tree_item *item, const cyc_tree_key *key) {
  const uint32_t head = item->key_length < key->head_length ? item->key_length : key->head_length;
  int order = memcmp(item->key, key->head, head);
  if (order != 0) return order;
  if (item->key_length < key->head_length) return -1;
  const uint32_t rest = item->key_length - key->head_length;
  const uint32_t shorter = rest < key->tail_length ? rest : key->tail_length;
  order = shorter == 0 ? 0 : memcmp(item->key + key->head_length, key->tail, shorter);
  if (order != 0) return order;
  return rest < key->tail_length ? -1 : rest > key->tail_length;
}

static inline uint64_t big_endian(const uint8_t *bytes, uint32_t length) {
  uint8_t first[8] = {0};
  if (length != 0) memcpy(first, bytes, length < 8 ? length : 8);
  uint64_t word;
  memcpy(&word, first, sizeof word);
  return __builtin_bswap64(word);
}

static inline uint64_t lead_of_key(const cyc_tree_key *key) {
  uint8_t first[8] = {0};
  memcpy(first, key->head, key->head_length);
  const uint32_t room = 8 - key->head_length;
  const uint32_t tail = key->tail_length < room ? key->tail_length : room;
  if (tail != 0) memcpy(first + key->head_length, key->tail, tail);
  return big_endian(first, 8);
}

#endif
