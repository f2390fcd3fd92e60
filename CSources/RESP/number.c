/*
 * Numbers in Redis' textual forms. Strictness is part of the contract: what INCR refuses, a client
 * may rely on being refused, and the same text must mean the same on every replica.
 *
 * INCRBYFLOAT adds in `long double`, which is what Redis does and what its documented results come
 * from: 80-bit on x86-64, 128-bit on arm64. Replicas of one group must therefore run on one
 * architecture; the state digest shows it when they do not.
 */
#include "CCycladesRESP.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cyc_integer_parse(const uint8_t *text, size_t length, int64_t *value) {
  if (length == 0 || length > CYC_INTEGER_MAX_BYTES) return false;
  if (length == 1 && text[0] == '0') {
    *value = 0;
    return true;
  }
  const bool negative = text[0] == '-';
  size_t at = negative ? 1 : 0;
  if (at == length || text[at] < '1' || text[at] > '9') return false;
  uint64_t number = 0;
  for (; at < length; at++) {
    const uint8_t digit = (uint8_t)(text[at] - '0');
    if (digit > 9) return false;
    if (__builtin_mul_overflow(number, 10u, &number)) return false;
    if (__builtin_add_overflow(number, digit, &number)) return false;
  }
  if (number > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
  *value = negative ? (int64_t)(0 - number) : (int64_t)number;
  return true;
}

size_t cyc_integer_format(int64_t value, uint8_t *out) {
  uint8_t digits[CYC_INTEGER_MAX_BYTES];
  size_t at = sizeof digits;
  uint64_t number = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do {
    digits[--at] = (uint8_t)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  if (value < 0) digits[--at] = '-';
  memcpy(out, digits + at, sizeof digits - at);
  return sizeof digits - at;
}

bool cyc_double_parse(const uint8_t *text, size_t length, bool is_lenient, double *value) {
  char buffer[CYC_DECIMAL_MAX_BYTES];
  if (length >= sizeof buffer || (!is_lenient && (length == 0 || isspace(text[0])))) return false;
  if (length != 0) memcpy(buffer, text, length);
  buffer[length] = 0;
  char *end = NULL;
  errno = 0;
  *value = strtod(buffer, &end);
  if (end != buffer + (is_lenient ? strlen(buffer) : length) || isnan(*value)) return false;
  return is_lenient || errno != ERANGE || !(isinf(*value) || fpclassify(*value) == FP_ZERO);
}

static bool decimal_parse(const uint8_t *text, size_t length, long double *value) {
  char buffer[CYC_DECIMAL_MAX_BYTES];
  if (length == 0 || length >= sizeof buffer || isspace(text[0])) return false;
  memcpy(buffer, text, length);
  buffer[length] = 0;
  char *end = NULL;
  errno = 0;
  *value = strtold(buffer, &end);
  if (end != buffer + length || isnan(*value) || errno == EINVAL) return false;
  return errno != ERANGE || !(isinf(*value) || fpclassify(*value) == FP_ZERO);
}

cyc_decimal_status cyc_decimal_add(
    const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length, uint8_t *out,
    size_t *out_length) {
  long double x, y;
  if (!decimal_parse(a, a_length, &x) || !decimal_parse(b, b_length, &y)) {
    return CYC_DECIMAL_INVALID;
  }
  x += y;
  if (isnan(x) || isinf(x)) return CYC_DECIMAL_OVERFLOW;
  /* The largest long double has 4933 digits before the point, so the buffer is large enough. */
  int length = snprintf((char *)out, CYC_DECIMAL_MAX_BYTES, "%.17Lf", x);
  if (memchr(out, '.', (size_t)length) != NULL) {
    while (out[length - 1] == '0') length--;
    if (out[length - 1] == '.') length--;
  }
  if (length == 2 && out[0] == '-' && out[1] == '0') {
    out[0] = '0';
    length = 1;
  }
  *out_length = (size_t)length;
  return CYC_DECIMAL_OK;
}
