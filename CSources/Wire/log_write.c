// Writes of the log: their parity, and what it gives back; cyc_log_write.h draws them.
//
// Nothing here allocates or keeps state. All positions are relative to the start of the write, and
// nothing is read before it is known to lie within the bytes given.

#include "cyc_log_write.h"

#include <assert.h>
#include <string.h>

#include "CCycladesWire.h"

enum { SECTOR = CYC_LOG_WRITE_ALIGNMENT, PREFIX = CYC_LOG_PREFIX_SIZE };

// Bytes that a search for the place of the damage may hash: some seconds.
#define SEARCH_MAX ((uint64_t)1 << 36)

static size_t sectors_of_parity(size_t length) {
  size_t sectors = length / SECTOR;
  return sectors < CYC_LOG_PARITY_SECTORS_MAX ? sectors : CYC_LOG_PARITY_SECTORS_MAX;
}

size_t cyc_log_parity_size(size_t length) { return sectors_of_parity(length) * SECTOR; }

static void exclusive_or(uint8_t *restrict target, const uint8_t *restrict source, size_t count) {
  for (size_t i = 0; i < count; i++) target[i] ^= source[i];
}

void cyc_log_parity_add(
  void *parity, size_t length, size_t position, const void *bytes, size_t count) {
  size_t width = cyc_log_parity_size(length);
  const uint8_t *source = bytes;
  // The first sector of the parity stands in column N mod n: turn the columns by that.
  size_t turned = position + width - length % width;
  while (count > 0) {
    size_t place = turned % width;
    size_t run = width - place < count ? width - place : count;
    exclusive_or((uint8_t *)parity + place, source, run);
    source += run;
    turned += run;
    count -= run;
  }
}

static int decode(
  const uint8_t *bytes, size_t available, size_t at, const cyc_log_place *place,
  cyc_log_prefix *prefix) {
  return cyc_log_prefix_decode(
    bytes, available, place->log, place->segment, place->start + (uint32_t)at, prefix);
}

size_t cyc_log_find(
  const void *bytes, size_t count, size_t from, const cyc_log_place *place,
  cyc_log_prefix *found) {
  const uint8_t *start = bytes;
  for (size_t at = from; at + PREFIX <= count; at += CYC_LOG_RECORD_ALIGNMENT) {
    uint64_t log;
    memcpy(&log, start + at + offsetof(cyc_log_prefix, log), sizeof log);
    if (log == place->log && decode(start + at, count - at, at, place, found)) return at;
  }
  return count;
}

size_t cyc_log_length(const void *bytes, size_t count, const cyc_log_place *place) {
  const uint8_t *start = bytes;
  cyc_log_prefix prefix;
  size_t at = cyc_log_find(bytes, count, 0, place, &prefix);
  if (at < count && prefix.start == place->start) return prefix.length;
  // Of a write that stands there twice, the second copy may be all there is.
  for (size_t length = SECTOR; length <= CYC_LOG_PARITY_SECTORS_MAX * SECTOR; length += SECTOR) {
    if (length > count) break;
    if (decode(start + length, count - length, 0, place, &prefix) && prefix.length == length) {
      return length;
    }
  }
  return 0;
}

static int is_zero(const uint8_t *bytes, size_t count) {
  uint8_t any = 0;
  for (size_t i = 0; i < count; i++) any |= bytes[i];
  return any == 0;
}

// Walks the records that begin in from ..< end; 1 when all are intact, and the last one ends the
// write if it may, else the bytes of the first that is not.
static int walk(
  const uint8_t *bytes, size_t length, size_t from, size_t end, const cyc_log_place *place,
  size_t *bad_from, size_t *bad_to) {
  size_t at = from;
  uint64_t generation = 0;
  for (;;) {
    if (at >= end && end < length) return 1;
    cyc_log_prefix prefix;
    *bad_from = at;
    *bad_to = at + PREFIX < length ? at + PREFIX : length;
    if (at >= length) return 0;
    if (!decode(bytes + at, length - at, at, place, &prefix)) return 0;
    if (prefix.start != place->start || prefix.length != length) return 0;
    if ((prefix.first == 1) != (at == 0)) return 0;
    if (generation != 0 && prefix.generation != generation) return 0;
    generation = prefix.generation;
    if (prefix.kind == CYC_LOG_END) {
      *bad_to = length;
      return is_zero(bytes + at + PREFIX, length - at - PREFIX);
    }
    if (prefix.kind == CYC_LOG_ENTRY) {
      size_t size = prefix.size - PREFIX;
      *bad_to = at + prefix.size;
      if (cyc_wire_verify(bytes + at + PREFIX, size, place->cluster) != CYC_WIRE_OK) return 0;
      if (cyc_wire_load(bytes + at + PREFIX).size != size) return 0;
    }
    size_t gap = -(size_t)prefix.size % CYC_LOG_RECORD_ALIGNMENT;
    at += prefix.size;
    if (gap > length - at || !is_zero(bytes + at, gap)) return 0;
    at += gap;
  }
}

// What is wrong with each column: zeros when nothing is. Sector i of write and parity belongs to
// sector (i mod n) of it.
static size_t syndrome(uint8_t *columns, const uint8_t *bytes, size_t length) {
  size_t width = cyc_log_parity_size(length);
  memset(columns, 0, width);
  for (size_t at = 0; at < length + width; at += width) {
    size_t run = length + width - at < width ? length + width - at : width;
    exclusive_or(columns, bytes + at, run);
  }
  return width;
}

int cyc_log_check(const void *bytes, size_t length, const cyc_log_place *place) {
  uint8_t columns[CYC_LOG_PARITY_SECTORS_MAX * SECTOR];
  size_t bad_from, bad_to;
  assert(length >= SECTOR && length % SECTOR == 0);
  if (!walk(bytes, length, 0, length, place, &bad_from, &bad_to)) return CYC_LOG_RECORDS_DAMAGED;
  size_t width = syndrome(columns, bytes, length);
  return is_zero(columns, width) ? CYC_LOG_WHOLE : CYC_LOG_PARITY_DAMAGED;
}

// Adds what is wrong with the columns to the sectors from one on. Doing it again undoes it.
static void mend(uint8_t *bytes, const uint8_t *columns, size_t sectors, size_t first) {
  for (size_t i = first; i < first + sectors; i++) {
    exclusive_or(bytes + i * SECTOR, columns + i % sectors * SECTOR, SECTOR);
  }
}

int cyc_log_repair(void *bytes, size_t length, const cyc_log_place *place) {
  uint8_t columns[CYC_LOG_PARITY_SECTORS_MAX * SECTOR];
  size_t bad_from, bad_to, from, to;
  size_t sectors = sectors_of_parity(length);
  int state = cyc_log_check(bytes, length, place);
  if (state == CYC_LOG_WHOLE) return state;
  size_t width = syndrome(columns, bytes, length);
  if (state == CYC_LOG_PARITY_DAMAGED) {
    mend(bytes, columns, sectors, length / SECTOR);
    return state;
  }
  if (is_zero(columns, width)) return CYC_LOG_DAMAGED;
  walk(bytes, length, 0, length, place, &bad_from, &bad_to);
  uint64_t size = bad_to - bad_from;
  if (size / SECTOR * size > SEARCH_MAX) return CYC_LOG_DAMAGED;
  size_t first = bad_from / SECTOR >= sectors ? bad_from / SECTOR - (sectors - 1) : 0;
  for (size_t start = first; start * SECTOR < bad_to; start++) {
    mend(bytes, columns, sectors, start);
    // First the record that failed, then all: what was mended may reach into others.
    if (walk(bytes, length, bad_from, bad_to, place, &from, &to) &&
        walk(bytes, length, 0, length, place, &from, &to)) {
      return CYC_LOG_RECORDS_DAMAGED;
    }
    mend(bytes, columns, sectors, start);
  }
  return CYC_LOG_DAMAGED;
}
