// MD5 (RFC 1321), for nothing but ketama's positions: it is broken as a cryptographic hash.
//
// A message is followed by 0x80, zeros and its length in bits as u64, up to a multiple of 64 bytes.
// Each block of sixteen u32 goes through 64 steps in four rounds, which differ in their function,
// in the order in which they take the words, and in how far they rotate.

#include <string.h>

#include "CCycladesRing.h"

// floor(2^32 * |sin(i + 1)|)
static const uint32_t constants[64] = {
  0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a,
  0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
  0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340,
  0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
  0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
  0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
  0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
  0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
  0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92,
  0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
  0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const uint8_t rotations[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23},
                                        {6, 10, 15, 21}};

static void mix_block(uint32_t state[4], const uint8_t *block) {
  uint32_t words[16];
  memcpy(words, block, sizeof words);
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  for (uint32_t step = 0; step < 64; step++) {
    uint32_t mixed, word;
    switch (step / 16) {
      case 0: mixed = (b & c) | (~b & d), word = step; break;
      case 1: mixed = (d & b) | (~d & c), word = 5 * step + 1; break;
      case 2: mixed = b ^ c ^ d, word = 3 * step + 5; break;
      default: mixed = c ^ (b | ~d), word = 7 * step; break;
    }
    uint32_t sum = a + mixed + constants[step] + words[word % 16];
    uint32_t by = rotations[step / 16][step % 4];
    a = d, d = c, c = b;
    b += sum << by | sum >> (32 - by);
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

void cyc_ring_md5(const void *bytes, size_t length, uint32_t digest[4]) {
  uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  size_t whole = length / 64 * 64, rest = length - whole;
  for (size_t at = 0; at < whole; at += 64) mix_block(state, (const uint8_t *)bytes + at);
  uint8_t last[128] = {0};
  if (rest > 0) memcpy(last, (const uint8_t *)bytes + whole, rest);
  last[rest] = 0x80;
  size_t end = rest < 56 ? 64 : 128;
  uint64_t bits = (uint64_t)length * 8;
  memcpy(last + end - sizeof bits, &bits, sizeof bits);
  for (size_t at = 0; at < end; at += 64) mix_block(state, last + at);
  memcpy(digest, state, sizeof state);
}
