/*
 * Redis' serialization protocol, RESP2 and RESP3: requests in, replies out, and the packed form in
 * which a command travels through the log. Bytes only; what a command means is decided in Swift.
 *
 *   parse.c    requests, in place over a contiguous span
 *   packed.c   the packed command
 *   write.c    the parts of replies that hold numbers; the rest is text, put together in Swift
 *   number.c   integers and floats in Redis' textual forms
 *   slot.c     cluster key slots
 *
 * No function allocates, keeps state, or needs a terminator behind the bytes it is given.
 */
#ifndef CCYCLADES_RESP_H
#define CCYCLADES_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Requests ---------------------------------------------------------------------------------*/

/* A view of one argument: where it lies, relative to the base its producer names. */
typedef struct cyc_resp_argument {
  uint32_t offset;
  uint32_t length;
} cyc_resp_argument;

/* What a client may send at most. All bounds are inclusive. */
typedef struct cyc_resp_limits {
  uint32_t arguments; /* arguments of a request */
  uint32_t bulk;      /* bytes of an argument */
  uint32_t line;      /* bytes of an inline request or of a length line */
  uint32_t request;   /* bytes of a whole request */
} cyc_resp_limits;

typedef enum cyc_resp_status {
  CYC_RESP_OK = 0,
  CYC_RESP_INCOMPLETE = 1,     /* `needed` says how many bytes, from the start, to wait for */
  CYC_RESP_ARGUMENTS_FULL = 2, /* `count` says how many arguments the array must hold */
  CYC_RESP_BAD_COUNT = -1,
  CYC_RESP_BAD_LENGTH = -2,
  CYC_RESP_NOT_BULK = -3, /* `unexpected` is the byte found instead of '$' */
  CYC_RESP_LONG_COUNT = -4,
  CYC_RESP_LONG_LENGTH = -5,
  CYC_RESP_LONG_INLINE = -6,
  CYC_RESP_UNBALANCED = -7,
  CYC_RESP_LONG_REQUEST = -8,
} cyc_resp_status;

typedef struct cyc_resp_request {
  size_t consumed;  /* bytes of this request */
  size_t needed;    /* when incomplete: no call with fewer bytes than this can succeed */
  uint32_t count;   /* arguments; 0 for an empty request, which is to be skipped */
  bool in_scratch;  /* arguments lie in the scratch (inline form), else in the input */
  uint8_t unexpected;
} cyc_resp_request;

/*
 * Parses the first request in `bytes`. `scratch` holds at least `limits->line` bytes and receives
 * the unquoted arguments of an inline request. O(arguments), whatever their size.
 */
cyc_resp_status cyc_resp_parse(
    const uint8_t *bytes, size_t length, const cyc_resp_limits *limits, uint8_t *scratch,
    cyc_resp_argument *arguments, uint32_t capacity, cyc_resp_request *request);

/* The text Redis 7 sends for a negative status, without "-ERR " and line end; for NOT_BULK the
 * caller appends the unexpected byte and a quote. */
const char *cyc_resp_status_text(cyc_resp_status status);

/* ---- Packed commands --------------------------------------------------------------------------*/

enum { CYC_PACKED_HEADER = 8, CYC_PACKED_RESP3 = 1 };

typedef struct cyc_packed {
  uint16_t code;
  uint8_t flags;
  uint32_t count;
} cyc_packed;

/* Bytes that `cyc_packed_encode` writes for these arguments. */
size_t cyc_packed_size(const cyc_resp_argument *arguments, uint32_t count);

/* Writes a packed command of `cyc_packed_size` bytes to `out`; arguments are relative to `base`. */
void cyc_packed_encode(
    cyc_packed header, const uint8_t *base, const cyc_resp_argument *arguments, uint8_t *out);

/* Checks that `bytes` are exactly one packed command. False for anything else. */
bool cyc_packed_decode(const uint8_t *bytes, size_t length, cyc_packed *header);

/* Fills `arguments`, `header.count` of them, of bytes that `cyc_packed_decode` accepted. */
void cyc_packed_arguments(const uint8_t *bytes, cyc_packed header, cyc_resp_argument *arguments);

/* A packed command of one or two arguments, which needs no array for them. */
typedef struct cyc_packed_short {
  cyc_packed header;
  cyc_resp_argument first;
  cyc_resp_argument second;
} cyc_packed_short;

/* Decodes a packed command of one or two arguments; false when the bytes are none. */
bool cyc_packed_decode_short(const uint8_t *bytes, size_t length, cyc_packed_short *command);

/* The first argument of a packed command, which most often is a key; its length is 0 when there is
 * none. Reads no byte beyond `length`, whatever the bytes are. */
cyc_resp_argument cyc_packed_first(const uint8_t *bytes, size_t length);

/* ---- Replies ----------------------------------------------------------------------------------*/

/* Room that either writer needs at most. */
enum { CYC_RESP_HEAD_MAX = 64 };

/* `mark`, a decimal number, CRLF: an integer (':'), or the head of a bulk string or an aggregate.
 * Returns the bytes written. */
size_t cyc_resp_write_number(uint8_t *out, char mark, int64_t value);

/* A double; a bulk string in RESP2. Returns the bytes written. */
size_t cyc_resp_write_double(uint8_t *out, bool resp3, double value);

/* ---- Numbers ----------------------------------------------------------------------------------*/

enum { CYC_INTEGER_MAX_BYTES = 20, CYC_DECIMAL_MAX_BYTES = 5120 };

/* Redis' strict integer: optional '-', no leading zero, no '+', no blanks, within 64 bits. */
bool cyc_integer_parse(const uint8_t *text, size_t length, int64_t *value);
/* Writes at most CYC_INTEGER_MAX_BYTES digits; returns their number. */
size_t cyc_integer_format(int64_t value, uint8_t *out);

/* A score, as ZADD takes it. Lenient: what ends a range of scores, where Redis also takes an empty
 * text, leading blanks, and what lies beyond the range of a double. Never NaN. */
bool cyc_double_parse(const uint8_t *text, size_t length, bool is_lenient, double *value);

typedef enum cyc_decimal_status {
  CYC_DECIMAL_OK = 0,
  CYC_DECIMAL_INVALID = -1,  /* an operand is not a float */
  CYC_DECIMAL_OVERFLOW = -2, /* the sum is not finite */
} cyc_decimal_status;

/* Adds two floats in `long double`, as INCRBYFLOAT does, and writes the sum in fixed notation with
 * trailing zeros trimmed; `out` holds CYC_DECIMAL_MAX_BYTES. */
cyc_decimal_status cyc_decimal_add(
    const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length, uint8_t *out,
    size_t *out_length);

/* ---- Key slots --------------------------------------------------------------------------------*/

enum { CYC_SLOT_COUNT = 16384 };

/* The cluster slot of a key: CRC16 of the key, or of its hash tag when it has one. */
uint16_t cyc_slot_of(const uint8_t *key, size_t length);

#endif
