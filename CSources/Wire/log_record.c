// Log record prefixes; the drawing and the invariants are in cyc_log_record.h.

#include "cyc_log_record.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static_assert(sizeof(cyc_log_prefix) == CYC_LOG_PREFIX_SIZE, "the prefix has no padding");
static_assert(offsetof(cyc_log_prefix, log) == 8, "layout");
static_assert(offsetof(cyc_log_prefix, generation) == 32, "layout");
static_assert(offsetof(cyc_log_prefix, round) == 48, "layout");
static_assert(offsetof(cyc_log_prefix, checksum) == 56, "layout");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

enum { CYC_LOG_VERSION = 2 };

static uint64_t cyc_log_prefix_checksum(const cyc_log_prefix *prefix) {
  return XXH3_64bits_withSeed(prefix, offsetof(cyc_log_prefix, checksum), prefix->log);
}

void cyc_log_prefix_encode(void *target, const cyc_log_prefix *prefix) {
  assert(prefix->size >= CYC_LOG_PREFIX_SIZE);
  assert(prefix->kind == CYC_LOG_ENTRY || prefix->size == CYC_LOG_PREFIX_SIZE);
  cyc_log_prefix copy = *prefix;
  copy.version = CYC_LOG_VERSION;
  copy.checksum = cyc_log_prefix_checksum(&copy);
  memcpy(target, &copy, sizeof copy);
}

int cyc_log_prefix_decode(
  const void *bytes, size_t length, uint64_t log, uint32_t segment, uint32_t offset,
  cyc_log_prefix *prefix) {
  if (length < CYC_LOG_PREFIX_SIZE) return 0;
  cyc_log_prefix copy;
  memcpy(&copy, bytes, sizeof copy);
  if (copy.log != log || copy.segment != segment || copy.offset != offset) return 0;
  if (copy.version != CYC_LOG_VERSION || copy.first > 1) return 0;
  if (copy.size < CYC_LOG_PREFIX_SIZE || copy.start > copy.offset) return 0;
  if (copy.length % CYC_LOG_WRITE_ALIGNMENT != 0) return 0;
  if ((uint64_t)copy.offset + copy.size > (uint64_t)copy.start + copy.length) return 0;
  if (copy.kind < CYC_LOG_ENTRY || copy.kind > CYC_LOG_END) return 0;
  if (copy.kind != CYC_LOG_ENTRY && copy.size != CYC_LOG_PREFIX_SIZE) return 0;
  if (copy.checksum != cyc_log_prefix_checksum(&copy)) return 0;
  *prefix = copy;
  return 1;
}
