// Scanning text: words, lines, substrings.
//
// Words and lines share one idea. 64 bytes become a 64-bit mask of separators; a word starts where
// a separator is followed by content and ends where content is followed by a separator, so
//
//   text        t w o     w o r d s .     e n d
//   content     1 1 1 0 0 1 1 1 1 1 1 0 0 1 1 1
//   edges       1 0 0 1 0 1 0 0 0 0 0 1 0 1 0 0      content ^ (content << 1 | carry)
//
// and the set bits of `edges` are alternately starts and ends. The loop takes bits, not bytes:
// about 2.5 ns a word of English. The state between calls is the cursor alone: a call stops between
// words, when fewer than 33 free spans are left (64 bytes end at most 32 words, and the span of a
// word that starts is written before it is known to count).
//
// SSE2 is the x86-64 baseline; anything else classifies by eight bytes in a register (SWAR). Both
// masks are the same, which the tests check through `cyc_text_words_reference`.
#include <assert.h>
#include <string.h>

#include "CCycladesShuffle.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static int is_space(uint8_t byte) {
  return byte == ' ' || (uint8_t)(byte - '\t') <= '\r' - '\t';
}

// Bit i is set when bytes[i] separates: any white space, or newlines alone.
#if defined(__SSE2__)
static inline uint64_t separators(const uint8_t *bytes, int any) {
  const __m128i space = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
  const __m128i tab = _mm_set1_epi8('\t'), four = _mm_set1_epi8('\r' - '\t');
  uint64_t mask = 0;
  for (int part = 0; part < 4; part++) {
    __m128i v = _mm_loadu_si128((const __m128i *)(bytes + part * 16));
    __m128i hit;
    if (any) {
      // byte - 9 <= 4 as unsigned: min(x, 4) == x
      __m128i shifted = _mm_sub_epi8(v, tab);
      __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(shifted, four), shifted);
      hit = _mm_or_si128(control, _mm_cmpeq_epi8(v, space));
    } else {
      hit = _mm_cmpeq_epi8(v, newline);
    }
    mask |= (uint64_t)(uint16_t)_mm_movemask_epi8(hit) << (part * 16);
  }
  return mask;
}
#else
// 0x80 in every byte of `word` that equals `byte`; exact, no carry crosses a byte.
static inline uint64_t equal_bytes(uint64_t word, uint8_t byte) {
  const uint64_t low = 0x7f7f7f7f7f7f7f7fULL;
  uint64_t x = word ^ (0x0101010101010101ULL * byte);
  return ~(((x & low) + low) | x | low);
}

static inline uint64_t separators(const uint8_t *bytes, int any) {
  uint64_t mask = 0;
  for (int part = 0; part < 8; part++) {
    uint64_t word;
    memcpy(&word, bytes + part * 8, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    uint64_t hit = equal_bytes(word, '\n');
    if (any) {
      hit |= equal_bytes(word, ' ') | equal_bytes(word, '\t') | equal_bytes(word, '\v');
      hit |= equal_bytes(word, '\f') | equal_bytes(word, '\r');
    }
    // Gathers the eight 0x80 bits into one byte.
    mask |= (((hit >> 7) * 0x0102040810204080ULL) >> 56) << (part * 8);
  }
  return mask;
}
#endif

// The separators of text[at ..< at + 64); everything past the end separates.
static inline uint64_t separators_at(
  const uint8_t *text, uint32_t length, uint32_t at, int any) {
  if (length - at >= 64) return separators(text + at, any);
  uint8_t tail[64] = {0};
  memcpy(tail, text + at, length - at);
  return separators(tail, any) | ~0ULL << (length - at);
}

uint32_t cyc_text_words(
  const uint8_t *text, uint32_t length, uint32_t *cursor, cyc_text_span *spans, uint32_t limit) {
  assert(limit >= CYC_SHUFFLE_BATCH && *cursor <= length && length < UINT32_MAX - 64);
  uint32_t count = 0, at = *cursor, start = 0;
  uint64_t carry = 0; // 1 while inside a word that began in an earlier chunk
  while (at < length && count + 33 <= limit) {
    uint64_t content = ~separators_at(text, length, at, 1);
    uint64_t edges = content ^ (content << 1 | carry);
    carry = content >> 63;
    while (edges != 0) {
      uint32_t edge = at + (uint32_t)__builtin_ctzll(edges);
      edges &= edges - 1;
      // Written for every edge, kept for every second one: no branch on text.
      uint64_t ending = (content >> (edge - at) & 1) ^ 1;
      spans[count].start = start;
      spans[count].length = edge - start;
      count += (uint32_t)ending;
      start = edge;
    }
    at += 64;
  }
  if (at > length) at = length;
  if (carry != 0) {
    if (at == length) { // the text ends inside a word, exactly at a chunk's end
      spans[count++] = (cyc_text_span){start, at - start};
    } else { // the spans ran out; the next call reads the cut word from its start
      assert(count > 0);
      at = start;
    }
  }
  *cursor = at;
  return count;
}

uint32_t cyc_text_words_reference(
  const uint8_t *text, uint32_t length, uint32_t *cursor, cyc_text_span *spans, uint32_t limit) {
  uint32_t count = 0, at = *cursor;
  while (count < limit) {
    while (at < length && is_space(text[at])) at++;
    if (at == length) break;
    uint32_t start = at;
    while (at < length && !is_space(text[at])) at++;
    spans[count++] = (cyc_text_span){start, at - start};
  }
  *cursor = at;
  return count;
}

uint32_t cyc_text_lines(
  const uint8_t *text, uint32_t length, uint32_t *cursor, cyc_text_span *spans, uint32_t limit) {
  assert(limit >= CYC_SHUFFLE_BATCH && *cursor <= length && length < UINT32_MAX - 64);
  uint32_t count = 0, start = *cursor, at = *cursor;
  while (at < length && count + 64 <= limit) {
    uint64_t ends = separators_at(text, length, at, 0);
    uint32_t left = length - at;
    if (left < 64) ends &= (1ULL << left) - 1;
    while (ends != 0) {
      uint32_t end = at + (uint32_t)__builtin_ctzll(ends);
      ends &= ends - 1;
      spans[count++] = (cyc_text_span){start, end - start};
      start = end + 1;
    }
    at += left < 64 ? left : 64;
  }
  if (at == length && start < length) {
    spans[count++] = (cyc_text_span){start, length - start};
    start = length;
  }
  *cursor = start;
  return count;
}

size_t cyc_text_skip(const uint8_t *text, size_t length, int any) {
  if (!any) {
    const uint8_t *hit = length == 0 ? NULL : memchr(text, '\n', length);
    return hit == NULL ? 0 : (size_t)(hit - text) + 1;
  }
  for (size_t at = 0; at < length; at++) {
    if (is_space(text[at])) return at + 1;
  }
  return 0;
}

size_t cyc_text_cut(const uint8_t *text, size_t length, int any) {
  if (!any) {
    const uint8_t *hit = length == 0 ? NULL : memrchr(text, '\n', length);
    return hit == NULL ? 0 : (size_t)(hit - text) + 1;
  }
  for (size_t at = length; at > 0; at--) {
    if (is_space(text[at - 1])) return at;
  }
  return 0;
}

// Candidates have the needle's first and last byte at the right distance; 16 places are tested at
// once and few survive. The tail, and machines without SSE2, look for the first byte by memchr.
size_t cyc_text_find(
  const uint8_t *text, size_t length, size_t from, const uint8_t *needle, size_t needle_length) {
  assert(needle_length > 0);
  if (needle_length > length) return length;
  size_t at = from, last = length - needle_length; // the last place where it may begin
#if defined(__SSE2__)
  const __m128i first_byte = _mm_set1_epi8((char)needle[0]);
  const __m128i last_byte = _mm_set1_epi8((char)needle[needle_length - 1]);
  for (; at + 15 <= last; at += 16) {
    __m128i a = _mm_loadu_si128((const __m128i *)(text + at));
    __m128i b = _mm_loadu_si128((const __m128i *)(text + at + needle_length - 1));
    __m128i both = _mm_and_si128(_mm_cmpeq_epi8(a, first_byte), _mm_cmpeq_epi8(b, last_byte));
    for (uint32_t hits = (uint32_t)_mm_movemask_epi8(both); hits != 0; hits &= hits - 1) {
      size_t place = at + (size_t)__builtin_ctz(hits);
      if (memcmp(text + place, needle, needle_length) == 0) return place;
    }
  }
#endif
  while (at <= last) {
    const uint8_t *hit = memchr(text + at, needle[0], last - at + 1);
    if (hit == NULL) break;
    at = (size_t)(hit - text);
    if (memcmp(hit, needle, needle_length) == 0) return at;
    at++;
  }
  return length;
}
