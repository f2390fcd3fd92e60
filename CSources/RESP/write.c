/*
 * Reply writers. One reply element per call into memory the caller has reserved: payload plus
 * CYC_RESP_OVERHEAD. A type that RESP2 lacks falls back as Redis' does: map to flat array, null to
 * a nil bulk, boolean to 0 or 1, double and verbatim text to a bulk.
 */
#include "CCycladesRESP.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t end_line(uint8_t *out, size_t at) {
  out[at] = '\r';
  out[at + 1] = '\n';
  return at + 2;
}

static size_t copy(uint8_t *out, size_t at, const void *bytes, size_t length) {
  if (length != 0) memcpy(out + at, bytes, length);
  return at + length;
}

size_t cyc_resp_write_number(uint8_t *out, char mark, int64_t value) {
  out[0] = (uint8_t)mark;
  return end_line(out, 1 + cyc_integer_format(value, out + 1));
}

size_t cyc_resp_write_line(uint8_t *out, char mark, const uint8_t *text, size_t length) {
  out[0] = (uint8_t)mark;
  return end_line(out, copy(out, 1, text, length));
}

size_t cyc_resp_write_bulk(uint8_t *out, const uint8_t *bytes, size_t length) {
  const size_t at = cyc_resp_write_number(out, '$', (int64_t)length);
  return end_line(out, copy(out, at, bytes, length));
}

size_t cyc_resp_write_null(uint8_t *out, bool resp3, bool array) {
  const char *text = resp3 ? "_\r\n" : array ? "*-1\r\n" : "$-1\r\n";
  return copy(out, 0, text, strlen(text));
}

size_t cyc_resp_write_map(uint8_t *out, bool resp3, int64_t pairs) {
  return resp3 ? cyc_resp_write_number(out, '%', pairs) : cyc_resp_write_number(out, '*', pairs * 2);
}

size_t cyc_resp_write_boolean(uint8_t *out, bool resp3, bool value) {
  if (!resp3) return cyc_resp_write_number(out, ':', value);
  return cyc_resp_write_line(out, '#', (const uint8_t *)(value ? "t" : "f"), 1);
}

size_t cyc_resp_write_double(uint8_t *out, bool resp3, double value) {
  char text[32];
  const int length = isinf(value) ? snprintf(text, sizeof text, value > 0 ? "inf" : "-inf")
                                  : snprintf(text, sizeof text, "%.17g", value);
  return resp3 ? cyc_resp_write_line(out, ',', (const uint8_t *)text, (size_t)length)
               : cyc_resp_write_bulk(out, (const uint8_t *)text, (size_t)length);
}

size_t cyc_resp_write_verbatim(uint8_t *out, bool resp3, const uint8_t *text, size_t length) {
  if (!resp3) return cyc_resp_write_bulk(out, text, length);
  size_t at = cyc_resp_write_number(out, '=', (int64_t)length + 4);
  at = copy(out, at, "txt:", 4);
  return end_line(out, copy(out, at, text, length));
}
