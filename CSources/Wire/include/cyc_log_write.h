#pragma once

// One write of the log: its records, and a parity that makes up for a run of sectors that rots: any
// one sector, 4 KiB of a larger write.
//
//   |prefix|frame|prefix|frame|...|END|  zeros  |  parity  |
//    64 B   as it travelled        64 B            n sectors
//   |<-------- length, N sectors of 512 B ----->|  n = min(N, 8)
//
// Number the sectors of a write and of its parity 0 ... N + n - 1, and put sector i into column
// i mod n. The parity is what makes the exclusive or of every column zero. Any n neighbours stand
// in n different columns, so whatever happens to a run of up to n sectors, wherever it begins, the
// others of each column give it back; a write of up to 4 KiB simply stands there twice.
//
// Which run it was nobody says. The columns that are not zero say what is wrong with it; each place
// it may have in or around the first record that fails its checksum is tried, and the checksums of
// all records say which one is right.
//
// Invariants:
//  - Writes are numbered without a gap, and write g + 1 starts only after write g is durable.
//  - A write starts at a multiple of 512, a record at a multiple of 8: a sector that holds
//    acknowledged bytes is never written again, but to repair it.
//  - So a write was acknowledged only if all of its sectors were on the disk, and one that lacks
//    more than the parity gives back, with no later write behind it, was either never acknowledged
//    or has lost more than one run since.

#include <stddef.h>
#include <stdint.h>

#include "cyc_log_record.h"

enum {
  CYC_LOG_PARITY_SECTORS_MAX = 8,
};

enum cyc_log_state {
  CYC_LOG_DAMAGED = -1,       // more is wrong than the parity gives back
  CYC_LOG_WHOLE = 0,
  CYC_LOG_PARITY_DAMAGED = 1, // the records are whole, the parity is not
  CYC_LOG_RECORDS_DAMAGED = 2 // repaired by cyc_log_repair
};

/// Where a write stands, to read it by.
typedef struct cyc_log_place {
  uint64_t log;
  uint64_t cluster;
  uint32_t segment;
  uint32_t start;
} cyc_log_place;

/// The bytes of parity behind a write of `length` bytes, a multiple of 512.
size_t cyc_log_parity_size(size_t length);

/// Adds `count` bytes at `position` of a write of `length` bytes to its parity, zeros at first.
void cyc_log_parity_add(
  void *parity, size_t length, size_t position, const void *bytes, size_t count);

/// The length of the write at the start of `count` bytes, as any intact prefix in it tells, or 0.
/// Reads no further than the first record of a write of another place.
size_t cyc_log_length(const void *bytes, size_t count, const cyc_log_place *place);

/// Checks a write of `length` bytes and its parity behind it, all of which are there.
int cyc_log_check(const void *bytes, size_t length, const cyc_log_place *place);

/// As cyc_log_check, and mends in memory what is damaged. CYC_LOG_DAMAGED leaves the bytes as they
/// were. Looking for the place of the damage takes time with the square of the damaged record's
/// size: beyond 5 MiB it is not tried.
int cyc_log_repair(void *bytes, size_t length, const cyc_log_place *place);

/// The offset of the first intact prefix at or behind `from`, at a multiple of 8; `count` when
/// there is none. `place->start` is where `bytes` stand in the segment.
size_t cyc_log_find(
  const void *bytes, size_t count, size_t from, const cyc_log_place *place, cyc_log_prefix *found);
