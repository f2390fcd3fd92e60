// Cutting records into fields.
//
// Without quotes a field ends at a separator and nothing else matters: 16 bytes are compared at
// once and the loop takes bits. With quotes (RFC 4180) the same scan runs from field to field, and
// only a field that begins with a quote is read byte by byte by memchr from quote to quote.
//
// Nothing is copied: a field is a span of the record. Doubled quotes inside a quoted field are left
// there and flagged, since most fields have none.
#include <assert.h>
#include <string.h>

#include "CCycladesShuffle.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// The first `byte` at or after `at`, or `length`. Fields are short: no call for the first 16 bytes.
static inline uint32_t find_byte(const uint8_t *text, uint32_t length, uint32_t at, uint8_t byte) {
#if defined(__SSE2__)
  const __m128i wanted = _mm_set1_epi8((char)byte);
  for (; length - at >= 16; at += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)(text + at));
    int hits = _mm_movemask_epi8(_mm_cmpeq_epi8(v, wanted));
    if (hits != 0) return at + (uint32_t)__builtin_ctz((unsigned)hits);
  }
#endif
  while (at < length && text[at] != byte) at++;
  return at;
}

static uint32_t plain_fields(
  const uint8_t *text, uint32_t length, uint8_t separator, cyc_text_span *spans, uint32_t limit) {
  uint32_t count = 0, start = 0, at = 0;
#if defined(__SSE2__)
  const __m128i wanted = _mm_set1_epi8((char)separator);
  for (; length - at >= 16; at += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)(text + at));
    unsigned hits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, wanted));
    for (; hits != 0 && count + 1 < limit; hits &= hits - 1) {
      uint32_t end = at + (uint32_t)__builtin_ctz(hits);
      spans[count++] = (cyc_text_span){start, end - start};
      start = end + 1;
    }
  }
#endif
  for (; at < length && count + 1 < limit; at++) {
    if (text[at] != separator) continue;
    spans[count++] = (cyc_text_span){start, at - start};
    start = at + 1;
  }
  spans[count++] = (cyc_text_span){start, length - start};
  return count;
}

// The field that begins with the quote at `at`; returns where what is behind it begins.
static uint32_t quoted_field(
  const uint8_t *text, uint32_t length, uint32_t at, uint8_t quote, cyc_text_span *span) {
  uint32_t start = at + 1, doubled = 0;
  uint32_t end = find_byte(text, length, start, quote);
  while (end + 1 < length && text[end + 1] == quote) {
    doubled = CYC_TEXT_DOUBLED;
    end = find_byte(text, length, end + 2, quote);
  }
  *span = (cyc_text_span){start, (end - start) | doubled};
  return end < length ? end + 1 : length;
}

uint32_t cyc_text_fields(
  const uint8_t *text, uint32_t length, uint8_t separator, uint8_t quote, cyc_text_span *spans,
  uint32_t limit) {
  assert(limit > 0 && length < CYC_TEXT_DOUBLED);
  if (quote == 0) return plain_fields(text, length, separator, spans, limit);
  uint32_t count = 0, at = 0;
  while (count < limit) {
    uint32_t end;
    if (at < length && text[at] == quote) {
      uint32_t behind = quoted_field(text, length, at, quote, &spans[count++]);
      // What stands between a closing quote and the separator is malformed and dropped.
      end = find_byte(text, length, behind, separator);
    } else {
      end = count + 1 == limit ? length : find_byte(text, length, at, separator);
      spans[count++] = (cyc_text_span){at, end - at};
    }
    if (end == length) break;
    at = end + 1;
  }
  return count;
}

size_t cyc_text_csv_skip(const uint8_t *text, size_t length, uint8_t quote) {
  size_t at = 0;
  while (at < length) {
    const uint8_t *newline = memchr(text + at, '\n', length - at);
    if (newline == NULL) return 0;
    size_t end = (size_t)(newline - text);
    const uint8_t *open = memchr(text + at, quote, end - at);
    if (open == NULL) return end + 1;
    // Doubled quotes close and open again, so they need no case of their own.
    size_t inside = (size_t)(open - text) + 1;
    const uint8_t *close = memchr(text + inside, quote, length - inside);
    if (close == NULL) return 0;
    at = (size_t)(close - text) + 1;
  }
  return 0;
}
