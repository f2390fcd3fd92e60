// Fuzzes what reads frames and logs: the decoder of frames, the search for writes in a segment, and the
// repair of a write by its parity.
//
// The first byte of an input chooses what it is taken for:
//   0  bytes from a peer or a disk, as they are
//   1  a header to be sealed, then a byte of the frame to spoil: that must be found
//   2  records of a write, then a run to spoil: as long as the parity it must be given back exactly,
//      and whatever else happens, what is called repaired is what was written
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "CCycladesWire.h"

enum { CLUSTER = 77, LOG = 0x1234567, SEGMENT = 3, START = 512 * 9 };

#define CHECK(condition) \
  if (!(condition)) abort()

static const cyc_log_place place = {LOG, CLUSTER, SEGMENT, START};

static void raw(const uint8_t *data, size_t size) {
  cyc_log_prefix prefix;
  cyc_wire_verify(data, size, CLUSTER);
  cyc_wire_verify_header(data, size, CLUSTER);
  cyc_log_length(data, size, &place);
  CHECK(cyc_log_find(data, size, 0, &place, &prefix) <= size);
  size_t length = size / 512 / 2 * 512;
  if (length == 0) return;
  // The parity fits: it is never longer than the write.
  uint8_t *copy = malloc(2 * length);
  memcpy(copy, data, 2 * length);
  cyc_log_check(copy, length, &place);
  cyc_log_repair(copy, length, &place);
  free(copy);
}

static void frame(const uint8_t *data, size_t size) {
  if (size < CYC_WIRE_HEADER_SIZE + 4) return;
  uint8_t *copy = malloc(size);
  memcpy(copy, data, size);
  uint32_t place = 0, bit = copy[size - 1] % 8;
  memcpy(&place, copy + size - 4, 3);
  struct cyc_wire_header header = cyc_wire_load(copy);
  header.size = (uint32_t)size;
  header.kind = (uint8_t)(1 + header.kind % CYC_WIRE_NOTICE);
  header.cluster = CLUSTER;
  cyc_wire_seal(copy, &header);
  CHECK(cyc_wire_verify(copy, size, CLUSTER) == CYC_WIRE_OK);
  CHECK(cyc_wire_verify(copy, size - 1, CLUSTER) == CYC_WIRE_SIZE);
  copy[place % size] ^= (uint8_t)(1 << bit);
  CHECK(cyc_wire_verify(copy, size, CLUSTER) != CYC_WIRE_OK);
  free(copy);
}

static void align(size_t *offset, size_t to) { *offset = (*offset + to - 1) / to * to; }

// Encodes up to eight entries whose sizes and bodies the input gives; returns the length.
static size_t encode(uint8_t *write, const uint8_t *data, size_t size) {
  size_t count = 1 + data[0] % 8, offset = 0, sizes[8];
  for (size_t i = 0; i < count; i++) {
    sizes[i] = CYC_WIRE_HEADER_SIZE + data[1 + i] * (size_t)data[9] % 3000;
    offset += CYC_LOG_PREFIX_SIZE + sizes[i];
    align(&offset, CYC_LOG_RECORD_ALIGNMENT);
  }
  size_t length = offset + CYC_LOG_PREFIX_SIZE;
  align(&length, CYC_LOG_WRITE_ALIGNMENT);
  memset(write, 0, 2 * length);
  offset = 0;
  for (size_t i = 0; i <= count; i++) {
    int isEnd = i == count;
    cyc_log_prefix prefix = {
      .size = (uint32_t)(CYC_LOG_PREFIX_SIZE + (isEnd ? 0 : sizes[i])),
      .kind = isEnd ? CYC_LOG_END : CYC_LOG_ENTRY, .first = i == 0, .log = LOG,
      .segment = SEGMENT, .offset = (uint32_t)(START + offset), .start = START,
      .length = (uint32_t)length, .generation = 5};
    cyc_log_prefix_encode(write + offset, &prefix);
    offset += CYC_LOG_PREFIX_SIZE;
    if (isEnd) break;
    for (size_t j = CYC_WIRE_HEADER_SIZE; j < sizes[i]; j++) {
      write[offset + j] = data[(i + j) % size];
    }
    struct cyc_wire_header header = {
      .size = (uint32_t)sizes[i], .kind = CYC_WIRE_ACCEPT, .cluster = CLUSTER, .slot = i + 1};
    cyc_wire_seal(write + offset, &header);
    offset += sizes[i];
    align(&offset, CYC_LOG_RECORD_ALIGNMENT);
  }
  cyc_log_parity_add(write + length, length, 0, write, length / 3);
  cyc_log_parity_add(write + length, length, length / 3, write + length / 3, length - length / 3);
  return length;
}

static void repair(const uint8_t *data, size_t size) {
  if (size < 24) return;
  uint8_t *write = malloc(2 * 40000), *spoiled = malloc(2 * 40000);
  size_t length = encode(write, data, size), parity = cyc_log_parity_size(length);
  size_t total = length + parity;
  CHECK(cyc_log_check(write, length, &place) == CYC_LOG_WHOLE);
  CHECK(cyc_log_length(write, total, &place) == length);
  memcpy(spoiled, write, total);
  // A run from any sector on, then perhaps a second one.
  size_t from = (data[10] | (size_t)data[11] << 8) % (total / 512) * 512;
  size_t run = 512 + data[12] * (size_t)512 % parity;
  if (run > total - from) run = total - from;
  for (size_t i = 0; i < run; i++) spoiled[from + i] ^= data[(13 + i) % size];
  int isSecond = data[13] % 2;
  if (isSecond) spoiled[(data[14] | (size_t)data[15] << 8) % total] ^= data[16];
  if (!isSecond) CHECK(cyc_log_length(spoiled, total, &place) == length || run == parity);
  int state = cyc_log_repair(spoiled, length, &place);
  if (!isSecond) CHECK(state != CYC_LOG_DAMAGED);
  if (state != CYC_LOG_DAMAGED) {
    CHECK(cyc_log_check(spoiled, length, &place) == CYC_LOG_WHOLE);
    CHECK(memcmp(spoiled, write, total) == 0);
  }
  free(write);
  free(spoiled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  switch (data[0] % 3) {
    case 0: raw(data + 1, size - 1); break;
    case 1: frame(data + 1, size - 1); break;
    default: repair(data + 1, size - 1);
  }
  return 0;
}
