// Feeds arbitrary bytes to what reads bytes of others: fields, CSV, words, frames, blocks, merges.
//
// The first byte chooses; the rest is copied to memory of exactly its size, so that a read behind
// it is found, but for the 16 bytes that keys and blocks are promised. What the scanners return is
// compared with loops that look at one byte at a time.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "CCycladesShuffle.h"

static void fields(const uint8_t *text, uint32_t length) {
  cyc_text_span spans[64];
  uint32_t count = cyc_text_fields(text, length, ',', 0, spans, 64), start = 0;
  for (uint32_t i = 0; i < count; i++) {
    assert(spans[i].start == start && spans[i].start + spans[i].length <= length);
    uint32_t end = start + spans[i].length;
    if (i + 1 < count) assert(text[end] == ',' && memchr(text + start, ',', end - start) == NULL);
    else assert(end == length);
    start = end + 1;
  }
  count = cyc_text_fields(text, length, ',', '"', spans, 64);
  assert(count >= 1 && count <= 64);
  for (uint32_t i = 0; i < count; i++) {
    assert(spans[i].start + (uint64_t)(spans[i].length & ~CYC_TEXT_DOUBLED) <= length);
  }
}

static void records(const uint8_t *text, size_t length) {
  for (size_t at = 0, next; at < length; at += next) {
    next = cyc_text_csv_skip(text + at, length - at, '"');
    if (next == 0) break;
    assert(next <= length - at && text[at + next - 1] == '\n');
    int quotes = 0;
    for (size_t i = 0; i < next; i++) quotes += text[at + i] == '"';
    assert(quotes % 2 == 0);
  }
}

static void words(const uint8_t *text, uint32_t length) {
  cyc_text_span fast[128], slow[128];
  uint32_t a = 0, b = 0;
  for (;;) {
    uint32_t count = cyc_text_words(text, length, &a, fast, 128);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t one = cyc_text_words_reference(text, length, &b, slow, 1);
      assert(one == 1 && slow[0].start == fast[i].start && slow[0].length == fast[i].length);
    }
    if (count == 0) break;
  }
  assert(cyc_text_words_reference(text, length, &b, slow, 1) == 0);
}

static void merge(const uint8_t *bytes, size_t length, uint32_t value_bytes) {
  size_t half = length / 2, fed[2] = {0, 0};
  cyc_shuffle_merge *merge = cyc_shuffle_merge_create(2, value_bytes);
  assert(merge != NULL);
  cyc_shuffle_record records[7];
  for (;;) {
    int64_t hungry;
    while ((hungry = cyc_shuffle_merge_hungry(merge)) >= 0) {
      const uint8_t *piece = hungry == 0 ? bytes : bytes + half;
      size_t size = fed[hungry]++ > 0 ? 0 : hungry == 0 ? half : length - half;
      if (cyc_shuffle_merge_feed(merge, piece, size) != 0) goto done;
    }
    int taken = cyc_shuffle_merge_take(merge, records, 7);
    if (taken < 0 || (taken == 0 && cyc_shuffle_merge_hungry(merge) < 0)) break;
    for (int i = 0; i < taken; i++) {
      const uint8_t *end = records[i].value + records[i].value_length;
      assert(records[i].key >= bytes && end <= bytes + length);
    }
  }
done:
  cyc_shuffle_merge_destroy(merge);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0 || size > 1 << 16) return 0;
  size_t length = size - 1;
  int padded = data[0] % 6 >= 4;
  uint8_t *bytes = malloc(length + (padded ? CYC_SHUFFLE_SLACK : 0) + 1);
  assert(bytes != NULL);
  uint8_t *copy = bytes + (padded ? 0 : 1); // ends where the memory ends
  memcpy(copy, data + 1, length);
  cyc_shuffle_header header;
  switch (data[0] % 6) {
    case 0: fields(copy, (uint32_t)length); break;
    case 1: records(copy, length); break;
    case 2: words(copy, (uint32_t)length); break;
    case 3: (void)cyc_shuffle_frame_open(copy, length, &header); break;
    case 4: merge(copy, length, 0); break;
    default: merge(copy, length, 8); break;
  }
  free(bytes);
  return 0;
}
