/*
 * Replies: the elements that hold a number. An element is one line,
 *
 *   :42\r\n     *3\r\n     $5\r\n followed by five bytes and \r\n     ,1.5\r\n
 *
 * and doubles, which RESP2 lacks, become bulk strings there, as in Redis.
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

size_t cyc_resp_write_number(uint8_t *out, char mark, int64_t value) {
  out[0] = (uint8_t)mark;
  return end_line(out, 1 + cyc_integer_format(value, out + 1));
}

size_t cyc_resp_write_double(uint8_t *out, bool resp3, double value) {
  char text[32]; /* sign, 17 digits, point, exponent */
  const int length = isinf(value) ? snprintf(text, sizeof text, value > 0 ? "inf" : "-inf")
                                  : snprintf(text, sizeof text, "%.17g", value);
  size_t at = 1;
  if (resp3) {
    out[0] = ',';
  } else {
    at = cyc_resp_write_number(out, '$', length);
  }
  memcpy(out + at, text, (size_t)length);
  return end_line(out, at + (size_t)length);
}
