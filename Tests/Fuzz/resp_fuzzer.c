/*
 * Fuzzes what reads bytes that anybody may send: the request parser, the packed command's decoder,
 * and the numbers. Checked besides what the sanitizers check: every argument lies in the bytes it
 * is a view of, a parsed request is found again when the parser is given just its bytes, an
 * incomplete one asks for more bytes than there are, and what was packed decodes to the same
 * arguments.
 */
#include "CCycladesRESP.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 64, LINE = 512 };

static const cyc_resp_limits LIMITS = {
    .arguments = 1024, .bulk = 1 << 16, .line = LINE, .request = 1 << 18};

static void check(bool holds) {
  if (!holds) abort();
}

static void check_packed(
    const uint8_t *base, const cyc_resp_argument *arguments, uint32_t count) {
  const size_t size = cyc_packed_size(arguments, count);
  uint8_t *packed = malloc(size);
  cyc_packed_encode((cyc_packed){7, CYC_PACKED_RESP3, count}, base, arguments, packed);
  cyc_packed header;
  check(cyc_packed_decode(packed, size, &header) && header.count == count && header.code == 7);
  cyc_resp_argument again[CAPACITY];
  cyc_packed_arguments(packed, header, again);
  for (uint32_t i = 0; i < count; i++) {
    check(again[i].length == arguments[i].length);
    if (again[i].length == 0) continue;
    check(memcmp(packed + again[i].offset, base + arguments[i].offset, again[i].length) == 0);
  }
  free(packed);
}

static void parse(const uint8_t *bytes, size_t size) {
  uint8_t scratch[LINE], other[LINE];
  cyc_resp_argument arguments[CAPACITY], again[CAPACITY];
  for (size_t at = 0; at < size;) {
    cyc_resp_request request;
    const cyc_resp_status status = cyc_resp_parse(
        bytes + at, size - at, &LIMITS, scratch, arguments, CAPACITY, &request);
    if (status < 0) {
      check(strlen(cyc_resp_status_text(status)) > 0);
      return;
    }
    if (status == CYC_RESP_INCOMPLETE) {
      check(request.needed > size - at);
      return;
    }
    if (status == CYC_RESP_ARGUMENTS_FULL) {
      check(request.count > CAPACITY);
      return;
    }
    check(request.consumed > 0 && request.consumed <= size - at);
    const size_t limit = request.in_scratch ? sizeof scratch : request.consumed;
    for (uint32_t i = 0; i < request.count; i++) {
      check((size_t)arguments[i].offset + arguments[i].length <= limit);
    }
    cyc_resp_request same;
    check(cyc_resp_parse(
              bytes + at, request.consumed, &LIMITS, other, again, CAPACITY, &same)
          == CYC_RESP_OK);
    check(same.count == request.count && same.consumed == request.consumed);
    const uint8_t *base = request.in_scratch ? scratch : bytes + at;
    check_packed(base, arguments, request.count);
    at += request.consumed;
  }
}

static void decode(const uint8_t *bytes, size_t size) {
  const cyc_resp_argument first = cyc_packed_first(bytes, size);
  check((size_t)first.offset + first.length <= size);
  cyc_packed_short whole;
  const bool is_short = cyc_packed_decode_short(bytes, size, &whole);
  cyc_packed header;
  if (!cyc_packed_decode(bytes, size, &header)) return;
  cyc_resp_argument *arguments = calloc(header.count + 1, sizeof *arguments);
  cyc_packed_arguments(bytes, header, arguments);
  for (uint32_t i = 0; i < header.count; i++) {
    check((size_t)arguments[i].offset + arguments[i].length <= size);
  }
  check(is_short == (header.count == 1 || header.count == 2));
  if (is_short) check(memcmp(&whole.first, arguments, sizeof first) == 0);
  free(arguments);
}

static void numbers(const uint8_t *bytes, size_t size) {
  int64_t integer;
  if (cyc_integer_parse(bytes, size, &integer)) {
    uint8_t text[CYC_INTEGER_MAX_BYTES];
    check(cyc_integer_format(integer, text) == size && memcmp(text, bytes, size) == 0);
  }
  double value;
  if (cyc_double_parse(bytes, size, false, &value)) check(value == value);
  uint8_t sum[CYC_DECIMAL_MAX_BYTES];
  size_t length;
  const size_t half = size / 2;
  if (cyc_decimal_add(bytes, half, bytes + half, size - half, sum, &length) == CYC_DECIMAL_OK) {
    check(length > 0 && length <= sizeof sum);
  }
  check(cyc_slot_of(bytes, size) < CYC_SLOT_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  parse(data, size);
  decode(data, size);
  numbers(data, size);
  return 0;
}
