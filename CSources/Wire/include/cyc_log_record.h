#pragma once

// What the log adds to a frame: where it stands, and in which write it came.
//
//   byte  0 u32 size        prefix and frame together
//         4 u16 kind        entry: a frame follows; all others: the prefix alone
//         6 u8  version     2
//         7 u8  first       1 for the first record of a write
//         8 u64 log         random, one per data folder
//        16 u32 segment     number of the file
//        20 u32 offset      of this prefix in the file
//        24 u32 start       where the write that it came in begins
//        28 u32 length      of that write, its parity not counted (cyc_log_write.h)
//        32 u64 generation  number of the write; every record of one write carries the same
//        40 u32 group
//        44 u32 node    \   the ballot promised; 0 for an entry, whose frame says it
//        48 u64 round   /   of drop and forgot: a slot
//        56 u64 checksum    XXH3-64 of the 56 bytes before, seeded with `log`
//
// Invariants:
//  - The frame is what travelled, byte for byte: a position-bound prefix beside it, instead of a
//    position inside it, is what lets every node log the same bytes without encoding them again.
//  - log, segment and offset are under the checksum, so neither a stale record of a reused block
//    nor a user's value that imitates a record is ever taken for one.
//  - Any one prefix tells the extent of its write, so a reader that lost one knows where to go on.

#include <stddef.h>
#include <stdint.h>

enum {
  CYC_LOG_PREFIX_SIZE = 64,
  CYC_LOG_RECORD_ALIGNMENT = 8,
  CYC_LOG_WRITE_ALIGNMENT = 512,
  CYC_LOG_ENTRY = 1,
  CYC_LOG_PROMISE = 2,
  CYC_LOG_DROP = 3,   // the node left the group, having applied `round`: only promises still count
  CYC_LOG_FORGOT = 4, // what was accepted up to slot `round` was dropped at some time
  CYC_LOG_END = 5,    // behind the last record of every write
};

typedef struct cyc_log_prefix {
  uint32_t size;
  uint16_t kind;
  uint8_t version;
  uint8_t first;
  uint64_t log;
  uint32_t segment;
  uint32_t offset;
  uint32_t start;
  uint32_t length;
  uint64_t generation;
  uint32_t group;
  uint32_t node;
  uint64_t round;
  uint64_t checksum;
} cyc_log_prefix;

/// Writes `prefix` to `target` (CYC_LOG_PREFIX_SIZE bytes), with version and checksum filled in.
void cyc_log_prefix_encode(void *target, const cyc_log_prefix *prefix);

/// Reads the prefix at `bytes`. Returns 1 when at least CYC_LOG_PREFIX_SIZE of `length` bytes are
/// there and they are a prefix of log `log` written for this segment and offset, else 0.
/// The frame behind it, `size` bytes in all, is not looked at and may be cut off.
int cyc_log_prefix_decode(
  const void *bytes, size_t length, uint64_t log, uint32_t segment, uint32_t offset,
  cyc_log_prefix *prefix);
