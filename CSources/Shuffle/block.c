// Frames and the records in blocks.
//
//   | header 64 | record | record | ... | 16 to 23 zero bytes |
//                 record = varint key length, varint value length (absent when fixed), key, value
//
// Everything between workers is a frame, and a frame is never used before its checksum is
// verified. The checksum covers the header and, through its hash, the payload, so that neither can
// be taken for another's; the payload's own hash comes out on the way and tells whether a repeated
// task wrote the same bytes. The zero bytes let readers load 16 bytes at any key and keep frames a
// multiple of 8.
//
// There is a checksum but no hash per record: hashing a key again costs less than sending 8 bytes.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "order.h"

#define VERSION 1

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "headers are little-endian in memory");

static uint64_t checksum(const uint8_t *frame, uint64_t payload_hash) {
  uint8_t covered[sizeof(cyc_shuffle_header)];
  memcpy(covered, frame, offsetof(cyc_shuffle_header, checksum));
  memcpy(covered + offsetof(cyc_shuffle_header, checksum), &payload_hash, sizeof payload_hash);
  return XXH3_64bits(covered, sizeof covered);
}

uint64_t cyc_shuffle_frame_seal(uint8_t *frame, cyc_shuffle_header header, size_t payload) {
  assert(payload <= UINT32_MAX - sizeof header);
  header.size = (uint32_t)(sizeof header + payload);
  header.version = VERSION;
  header.length = payload;
  memcpy(frame, &header, sizeof header);
  uint64_t hash = XXH3_64bits(frame + sizeof header, payload);
  header.checksum = checksum(frame, hash);
  memcpy(frame, &header, sizeof header);
  return hash;
}

int cyc_shuffle_frame_open(const uint8_t *frame, size_t length, cyc_shuffle_header *header) {
  if (length < sizeof *header) return -EBADMSG;
  memcpy(header, frame, sizeof *header);
  if (header->size != length || header->version != VERSION) return -EBADMSG;
  if (header->length != length - sizeof *header) return -EBADMSG;
  uint64_t hash = XXH3_64bits(frame + sizeof *header, header->length);
  return header->checksum == checksum(frame, hash) ? 0 : -EBADMSG;
}

int cyc_shuffle_block_read(
  const uint8_t *records, size_t length, size_t *offset, uint32_t value_bytes,
  cyc_shuffle_record *out, uint32_t limit) {
  if (*offset > length) return -EBADMSG;
  const uint8_t *at = records + *offset, *end = records + length;
  uint32_t count = 0;
  while (at < end && count < limit) {
    at = record_read(at, end, value_bytes, &out[count++]);
    if (at == NULL) return -EBADMSG;
  }
  *offset = (size_t)(at - records);
  return (int)count;
}

size_t cyc_shuffle_record_size(const cyc_shuffle_record *record, uint32_t value_bytes) {
  size_t lengths = varint_size(record->key_length);
  if (value_bytes == 0) lengths += varint_size(record->value_length);
  return lengths + record->key_length + record->value_length;
}

uint32_t cyc_shuffle_records_write(
  const cyc_shuffle_record *records, uint32_t count, uint32_t value_bytes, uint8_t *out,
  size_t capacity, size_t *used) {
  uint8_t *at = out;
  uint32_t next = 0;
  for (; next < count; next++) {
    const cyc_shuffle_record *record = &records[next];
    size_t left = capacity - (size_t)(at - out);
    if (cyc_shuffle_record_size(record, value_bytes) > left) break;
    at = varint_write(at, record->key_length);
    if (value_bytes == 0) at = varint_write(at, record->value_length);
    memcpy(at, record->key, record->key_length);
    memcpy(at + record->key_length, record->value, record->value_length);
    at += record->key_length + record->value_length;
  }
  *used = (size_t)(at - out);
  return next;
}

uint64_t cyc_shuffle_hash(const uint8_t *bytes, size_t length) {
  return XXH3_64bits(bytes, length);
}

struct cyc_shuffle_digest {
  XXH3_state_t state;
};

cyc_shuffle_digest *cyc_shuffle_digest_create(void) {
  cyc_shuffle_digest *digest = aligned_alloc(64, (sizeof *digest + 63) / 64 * 64);
  if (digest != NULL) XXH3_64bits_reset(&digest->state);
  return digest;
}

void cyc_shuffle_digest_destroy(cyc_shuffle_digest *digest) {
  free(digest);
}

void cyc_shuffle_digest_update(cyc_shuffle_digest *digest, const uint8_t *bytes, size_t length) {
  if (length > 0) XXH3_64bits_update(&digest->state, bytes, length);
}

uint64_t cyc_shuffle_digest_value(const cyc_shuffle_digest *digest) {
  return XXH3_64bits_digest(&digest->state);
}
