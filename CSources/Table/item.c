/*
 * The keys that trees are sorted by: in the order of memcmp.
 *
 *   member   | hash of the bytes, 32 bits, big-endian | bytes |
 *   score    | the double's bits, big-endian, turned so that they sort as numbers do | bytes |
 */
#include "item.h"

cyc_tree_key cyc_tree_member_key(const uint8_t *bytes, uint32_t length) {
  cyc_tree_key key = {.head_length = 4, .tail = bytes, .tail_length = length};
  const uint32_t hash = __builtin_bswap32((uint32_t)XXH3_64bits(bytes, length));
  memcpy(key.head, &hash, sizeof hash);
  return key;
}

cyc_tree_key cyc_tree_score_key(double score, const uint8_t *bytes, uint32_t length) {
  cyc_tree_key key = {.head_length = 8, .tail = bytes, .tail_length = length};
  const double value = score == 0 ? 0.0 : score; /* -0 equals 0 */
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
  bits = __builtin_bswap64(bits);
  memcpy(key.head, &bits, sizeof bits);
  return key;
}

double cyc_tree_score_of(const uint8_t *key) {
  uint64_t bits;
  memcpy(&bits, key, sizeof bits);
  bits = __builtin_bswap64(bits);
  bits = bits >> 63 ? bits & ~(UINT64_C(1) << 63) : ~bits;
  double score;
  memcpy(&score, &bits, sizeof score);
  return score;
}
