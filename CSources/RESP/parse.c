/*
 * Request parser.
 *
 *   multibulk   *2\r\n $3\r\n GET\r\n $3\r\n key\r\n       inline   GET "key"\r\n
 *                       ^^^         ^^^  arguments point here
 *
 * In place and stateless: the parser sees a request from its first byte every time and either
 * accepts it whole or says how many bytes to wait for. That number is what keeps repeated scans
 * cheap: inside a bulk it is the end of the bulk, and every argument still to come adds the six
 * bytes of the shortest one ("$0\r\n\r\n"), so a rescan only ever follows real progress. A
 * resumable parser would save the rescan of the length lines and cost state per connection.
 *
 * Like Redis it trusts the two bytes behind a line and behind a bulk to be CRLF and skips them: the
 * lengths alone frame a request.
 *
 * Invariants: no byte at or beyond `bytes + length` is read; an argument lies wholly inside the
 * input, or inside the scratch; every offset fits 32 bits because a request is bounded by
 * `limits->request`.
 */
#include "CCycladesRESP.h"

#include <assert.h>
#include <string.h>

enum { SHORTEST_ARGUMENT = 6 };

const char *cyc_resp_status_text(cyc_resp_status status) {
  switch (status) {
  case CYC_RESP_BAD_COUNT:
    return "Protocol error: invalid multibulk length";
  case CYC_RESP_BAD_LENGTH:
    return "Protocol error: invalid bulk length";
  case CYC_RESP_NOT_BULK:
    return "Protocol error: expected '$', got '";
  case CYC_RESP_LONG_COUNT:
    return "Protocol error: too big mbulk count string";
  case CYC_RESP_LONG_LENGTH:
    return "Protocol error: too big bulk count string";
  case CYC_RESP_LONG_INLINE:
    return "Protocol error: too big inline request";
  case CYC_RESP_UNBALANCED:
    return "Protocol error: unbalanced quotes in request";
  case CYC_RESP_LONG_REQUEST:
    return "Protocol error: request exceeds the size limit";
  default:
    return "";
  }
}

typedef enum line_status { LINE_OK, LINE_INCOMPLETE, LINE_LONG, LINE_BAD } line_status;

/* Any line, by the letter. */
static line_status read_any_length(
    const uint8_t *bytes, size_t length, size_t line_max, size_t *position, int64_t *value) {
  const size_t start = *position;
  const uint8_t *end = start < length ? memchr(bytes + start, '\r', length - start) : NULL;
  if (end == NULL) return length - start >= line_max ? LINE_LONG : LINE_INCOMPLETE;
  const size_t at = (size_t)(end - bytes);
  if (at + 2 > length) return LINE_INCOMPLETE;
  if (!cyc_integer_parse(bytes + start, at - start, value)) return LINE_BAD;
  *position = at + 2;
  return LINE_OK;
}

/* Reads the number on the line at `*position`, one past its mark, and moves behind its CRLF.
 * Numbers of one to four digits, which is nearly all of them, are read here and in line. */
static inline line_status read_length(
    const uint8_t *bytes, size_t length, size_t line_max, size_t *position, int64_t *value) {
  const uint8_t *p = bytes + *position;
  if (length - *position >= 6 && (uint8_t)(p[0] - '1') < 9) {
    uint32_t number = (uint32_t)(p[0] - '0'), digits = 1;
    for (; digits < 4 && (uint8_t)(p[digits] - '0') < 10; digits++) {
      number = number * 10 + (uint32_t)(p[digits] - '0');
    }
    if (p[digits] == '\r') {
      *position += digits + 2;
      *value = number;
      return LINE_OK;
    }
  }
  return read_any_length(bytes, length, line_max, position, value);
}

static cyc_resp_status incomplete(cyc_resp_request *request, size_t needed) {
  request->needed = needed;
  return CYC_RESP_INCOMPLETE;
}

static cyc_resp_status parse_multibulk(
    const uint8_t *bytes, size_t length, const cyc_resp_limits *limits,
    cyc_resp_argument *arguments, uint32_t capacity, cyc_resp_request *request) {
  size_t at = 1;
  int64_t count = 0;
  switch (read_length(bytes, length, limits->line, &at, &count)) {
  case LINE_INCOMPLETE:
    return incomplete(request, length + 1);
  case LINE_LONG:
    return CYC_RESP_LONG_COUNT;
  case LINE_BAD:
    return CYC_RESP_BAD_COUNT;
  case LINE_OK:
    break;
  }
  if (count > (int64_t)limits->arguments) return CYC_RESP_BAD_COUNT;
  if (count <= 0) {
    request->consumed = at;
    return CYC_RESP_OK;
  }
  /* The caller's array grows only once the bytes that justify it have arrived. */
  if (count > capacity && length - at >= (size_t)count * SHORTEST_ARGUMENT) {
    request->count = (uint32_t)count;
    return CYC_RESP_ARGUMENTS_FULL;
  }

  for (int64_t i = 0; i < count; i++) {
    const size_t rest = (size_t)(count - i - 1) * SHORTEST_ARGUMENT;
    if (at >= length) return incomplete(request, at + SHORTEST_ARGUMENT + rest);
    if (bytes[at] != '$') {
      const uint8_t *end = memchr(bytes + at, '\r', length - at);
      if (end == NULL) {
        return length - at > limits->line ? CYC_RESP_LONG_LENGTH : incomplete(request, length + 1);
      }
      request->unexpected = bytes[at];
      return CYC_RESP_NOT_BULK;
    }
    size_t body = at + 1;
    int64_t size = 0;
    switch (read_length(bytes, length, limits->line, &body, &size)) {
    case LINE_INCOMPLETE: {
      const size_t least = at + SHORTEST_ARGUMENT + rest;
      return incomplete(request, least > length ? least : length + 1);
    }
    case LINE_LONG:
      return CYC_RESP_LONG_LENGTH;
    case LINE_BAD:
      return CYC_RESP_BAD_LENGTH;
    case LINE_OK:
      break;
    }
    if (size < 0 || size > (int64_t)limits->bulk) return CYC_RESP_BAD_LENGTH;
    const size_t end = body + (size_t)size + 2;
    if (end > limits->request) return CYC_RESP_LONG_REQUEST;
    if (end > length) return incomplete(request, end + rest);
    if (i < capacity) arguments[i] = (cyc_resp_argument){(uint32_t)body, (uint32_t)size};
    at = end;
  }
  assert(count <= capacity); /* that many arguments are enough bytes to have asked for room */
  request->count = (uint32_t)count;
  request->consumed = at;
  return CYC_RESP_OK;
}

static bool is_blank(uint8_t byte) {
  return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int hex_digit(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  const uint8_t lower = byte | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decodes the escape behind a backslash at `*at`, as redis-cli and Redis write them. */
static uint8_t unescape(const uint8_t *line, size_t length, size_t *at) {
  const uint8_t byte = line[*at];
  if (byte == 'x' && *at + 2 < length) {
    const int high = hex_digit(line[*at + 1]), low = hex_digit(line[*at + 2]);
    if (high >= 0 && low >= 0) {
      *at += 3;
      return (uint8_t)(high << 4 | low);
    }
  }
  *at += 1;
  switch (byte) {
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  case 'b':
    return '\b';
  case 'a':
    return '\a';
  default:
    return byte;
  }
}

/*
 * Unquotes one argument of an inline request from `line[*at]` into `out`. Returns its length, or -1
 * when a quote is not closed or text follows the closing quote.
 */
static ptrdiff_t split_argument(const uint8_t *line, size_t length, size_t *at, uint8_t *out) {
  size_t i = *at;
  ptrdiff_t n = 0;
  uint8_t quote = 0;
  while (i < length) {
    const uint8_t byte = line[i];
    if (quote == 0) {
      if (is_blank(byte) || byte == 0) break;
      if (byte == '"' || byte == '\'') {
        quote = byte;
        i++;
        continue;
      }
      out[n++] = byte;
      i++;
    } else if (byte == '\\' && quote == '"' && i + 1 < length) {
      i++;
      out[n++] = unescape(line, length, &i);
    } else if (byte == '\\' && quote == '\'' && i + 1 < length && line[i + 1] == '\'') {
      out[n++] = '\'';
      i += 2;
    } else if (byte == quote) {
      if (i + 1 < length && !is_blank(line[i + 1]) && line[i + 1] != 0) return -1;
      i++;
      quote = 0;
      break;
    } else {
      out[n++] = byte;
      i++;
    }
  }
  if (quote != 0) return -1;
  *at = i;
  return n;
}

static cyc_resp_status parse_inline(
    const uint8_t *bytes, size_t length, const cyc_resp_limits *limits, uint8_t *scratch,
    cyc_resp_argument *arguments, uint32_t capacity, cyc_resp_request *request) {
  const size_t window = length <= limits->line ? length : (size_t)limits->line + 1;
  const uint8_t *end = memchr(bytes, '\n', window);
  if (end == NULL) {
    return length > limits->line ? CYC_RESP_LONG_INLINE : incomplete(request, length + 1);
  }
  size_t line = (size_t)(end - bytes);
  request->consumed = line + 1;
  if (line > 0 && bytes[line - 1] == '\r') line--;

  request->in_scratch = true;
  size_t at = 0;
  uint32_t count = 0, used = 0;
  for (;;) {
    while (at < line && is_blank(bytes[at])) at++;
    if (at >= line || bytes[at] == 0) break;
    const ptrdiff_t size = split_argument(bytes, line, &at, scratch + used);
    if (size < 0) return CYC_RESP_UNBALANCED;
    if (count < capacity) arguments[count] = (cyc_resp_argument){used, (uint32_t)size};
    count++;
    used += (uint32_t)size;
  }
  assert(used <= limits->line);
  request->count = count;
  if (count > limits->arguments) return CYC_RESP_BAD_COUNT;
  return count > capacity ? CYC_RESP_ARGUMENTS_FULL : CYC_RESP_OK;
}

cyc_resp_status cyc_resp_parse(
    const uint8_t *bytes, size_t length, const cyc_resp_limits *limits, uint8_t *scratch,
    cyc_resp_argument *arguments, uint32_t capacity, cyc_resp_request *request) {
  *request = (cyc_resp_request){0};
  if (length == 0) return incomplete(request, 1);
  return bytes[0] == '*'
      ? parse_multibulk(bytes, length, limits, arguments, capacity, request)
      : parse_inline(bytes, length, limits, scratch, arguments, capacity, request);
}
