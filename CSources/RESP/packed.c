/*
 * The packed command: how a command travels through batch, log and peers, and is applied.
 *
 *   0        2       3          4        8                      8 + 4 argc
 *   | u16    | u8    | u8       | u32    | u32 x argc           | bytes, one argument after another
 *   | code   | flags | 0        | argc   | argument lengths     |
 *
 * Little-endian, no alignment demanded. `code` stands for the command's name, which is not
 * repeated; flag bit 0 says that the reply is RESP3. Decoding checks once that the lengths add up
 * to the length of the whole, so that every view handed out later is inside it. It comes from a
 * decided entry, yet a decoder that trusted it would turn any bug above into memory corruption
 * here.
 */
#include "CCycladesRESP.h"

#include <assert.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed commands are little-endian");

static uint32_t load32(const uint8_t *from) {
  uint32_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

size_t cyc_packed_size(const cyc_resp_argument *arguments, uint32_t count) {
  size_t size = CYC_PACKED_HEADER + (size_t)count * sizeof(uint32_t);
  for (uint32_t i = 0; i < count; i++) size += arguments[i].length;
  return size;
}

void cyc_packed_encode(
    cyc_packed header, const uint8_t *base, const cyc_resp_argument *arguments, uint8_t *out) {
  memcpy(out, &header.code, sizeof header.code);
  out[2] = header.flags;
  out[3] = 0;
  memcpy(out + 4, &header.count, sizeof header.count);
  uint8_t *lengths = out + CYC_PACKED_HEADER;
  uint8_t *bytes = lengths + (size_t)header.count * sizeof(uint32_t);
  for (uint32_t i = 0; i < header.count; i++) {
    const uint32_t length = arguments[i].length;
    memcpy(lengths + (size_t)i * sizeof length, &length, sizeof length);
    if (length != 0) memcpy(bytes, base + arguments[i].offset, length);
    bytes += length;
  }
}

bool cyc_packed_decode(const uint8_t *bytes, size_t length, cyc_packed *header) {
  if (length < CYC_PACKED_HEADER || length > UINT32_MAX) return false;
  memcpy(&header->code, bytes, sizeof header->code);
  header->flags = bytes[2];
  header->count = load32(bytes + 4);
  if (bytes[3] != 0) return false;
  size_t rest = length - CYC_PACKED_HEADER;
  if (header->count > rest / sizeof(uint32_t)) return false;
  rest -= (size_t)header->count * sizeof(uint32_t);
  for (uint32_t i = 0; i < header->count; i++) {
    const uint32_t size = load32(bytes + CYC_PACKED_HEADER + (size_t)i * sizeof(uint32_t));
    if (size > rest) return false;
    rest -= size;
  }
  return rest == 0;
}

bool cyc_packed_decode_short(const uint8_t *bytes, size_t length, cyc_packed_short *command) {
  cyc_packed *header = &command->header;
  if (!cyc_packed_decode(bytes, length, header)) return false;
  if (header->count != 1 && header->count != 2) return false;
  cyc_resp_argument arguments[2] = {{0, 0}, {0, 0}};
  cyc_packed_arguments(bytes, *header, arguments);
  command->first = arguments[0];
  command->second = arguments[1];
  return true;
}

cyc_resp_argument cyc_packed_first(const uint8_t *bytes, size_t length) {
  const cyc_resp_argument none = {0, 0};
  if (length < CYC_PACKED_HEADER + sizeof(uint32_t) || length > UINT32_MAX) return none;
  const uint64_t count = load32(bytes + 4);
  const uint64_t offset = CYC_PACKED_HEADER + count * sizeof(uint32_t);
  if (count == 0 || offset > length) return none;
  const uint32_t size = load32(bytes + CYC_PACKED_HEADER);
  if (size > length - offset) return none;
  return (cyc_resp_argument){(uint32_t)offset, size};
}

void cyc_packed_arguments(const uint8_t *bytes, cyc_packed header, cyc_resp_argument *arguments) {
  uint32_t offset = CYC_PACKED_HEADER + header.count * (uint32_t)sizeof(uint32_t);
  for (uint32_t i = 0; i < header.count; i++) {
    const uint32_t size = load32(bytes + CYC_PACKED_HEADER + (size_t)i * sizeof(uint32_t));
    arguments[i] = (cyc_resp_argument){offset, size};
    assert(size <= UINT32_MAX - offset);
    offset += size;
  }
}
