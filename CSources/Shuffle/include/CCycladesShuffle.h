// CCycladesShuffle: the bytes of MapReduce. Scan text, combine by key, arrange by partition and
// key, write blocks, merge them. No I/O, no threads, no global state; every decision is Swift's.
//
//   text ──words/lines/find──> keys ──┬─ table (combining) ─┐
//                                     └─ log (all values)  ─┴─ arrange ──write──> blocks
//   blocks ──read──┬─ table ── arrange sorted ──> part file
//                  └─ merge of sorted runs ─────> groups for reduce
//
// Contracts that hold everywhere:
//  - A key handed in has 16 readable bytes at its address, whatever its length. Text windows,
//    staging areas and blocks end in 16 spare bytes for that reason.
//  - A key's partition is the upper 32 bits of its XXH3-64 * partitions >> 32, unless the job says
//    otherwise. Tables hash by a cheaper function of their own, so that the keys of one partition
//    do not crowd a table, and compute partitions per distinct key when they are arranged.
//  - Memory is address space reserved once, populated in growing steps ahead of use, and kept when
//    its owner is reset: the hot path takes no page faults after the first task.
//  - Functions that can fail return 0 or a negative errno value.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CYC_SHUFFLE_BATCH 64         // pairs hashed, prefetched and probed together
#define CYC_SHUFFLE_SLACK 16         // readable bytes required past the start of any key
#define CYC_SHUFFLE_VALUE_WORDS 8    // most 8-byte words of a combined value
#define CYC_SHUFFLE_PARTITIONS 65536 // most partitions of a job

// ---------------------------------------------------------------------------------------------
// Memory: a reserved range of addresses whose first `ready` bytes are populated.

typedef struct {
  uint8_t *bytes;
  size_t reserved;
  size_t ready;
} cyc_shuffle_region;

// Reserves `reserve` bytes of addresses and populates nothing.
int cyc_shuffle_region_open(cyc_shuffle_region *region, size_t reserve);
void cyc_shuffle_region_close(cyc_shuffle_region *region);
// Populates the slow way; use `cyc_shuffle_region_ensure`.
int cyc_shuffle_region_grow(cyc_shuffle_region *region, size_t bytes);

// Makes the first `bytes` bytes usable. -ENOMEM beyond what was reserved. Addresses never move.
static inline int cyc_shuffle_region_ensure(cyc_shuffle_region *region, size_t bytes) {
  return bytes <= region->ready ? 0 : cyc_shuffle_region_grow(region, bytes);
}

// ---------------------------------------------------------------------------------------------
// Text. White space is what isspace() knows in the C locale: space \t \n \v \f \r. All other
// bytes, zero and non-ASCII ones included, are content.

typedef struct {
  uint32_t start;
  uint32_t length;
} cyc_text_span;

// Writes the next words at or after `*cursor` to `spans`, at most `limit` of them (limit >= 64),
// and moves the cursor. A word that touches the end of the text ends there. Returns how many; 0 at
// the end. `length` is below 4 GiB.
uint32_t cyc_text_words(
  const uint8_t *text, uint32_t length, uint32_t *cursor, cyc_text_span *spans, uint32_t limit);
// The same for lines; the newline is not part of the line. A last line without one counts.
uint32_t cyc_text_lines(
  const uint8_t *text, uint32_t length, uint32_t *cursor, cyc_text_span *spans, uint32_t limit);
// Cuts a record at every `separator`: spans[0 ..< result], an empty record is one empty field. What
// is behind field number limit - 1 belongs to it. `quote` != 0: a field that begins with it ends at
// the next one that is not doubled; its span is what lies between, and CYC_TEXT_DOUBLED is set in
// its length when doubled quotes are in there.
uint32_t cyc_text_fields(
  const uint8_t *text, uint32_t length, uint8_t separator, uint8_t quote, cyc_text_span *spans,
  uint32_t limit);
#define CYC_TEXT_DOUBLED 0x80000000u
// One past the newline that ends the first CSV record (a newline inside quotes ends nothing), or 0.
size_t cyc_text_csv_skip(const uint8_t *text, size_t length, uint8_t quote);
// The offset of the first occurrence of `needle` (not empty) at or after `from`, or `length`.
size_t cyc_text_find(
  const uint8_t *text, size_t length, size_t from, const uint8_t *needle, size_t needle_length);
// One past the last white-space byte (`any` nonzero) or newline, or 0 when there is none.
size_t cyc_text_cut(const uint8_t *text, size_t length, int any);
// One past the first white-space byte or newline, or 0 when there is none.
size_t cyc_text_skip(const uint8_t *text, size_t length, int any);
// The byte-at-a-time reference of `cyc_text_words`; the tests compare the two.
uint32_t cyc_text_words_reference(
  const uint8_t *text, uint32_t length, uint32_t *cursor, cyc_text_span *spans, uint32_t limit);

// ---------------------------------------------------------------------------------------------
// Order: references to keys, sorted by bytes.

typedef struct {
  uint64_t prefix; // first 8 bytes of the key, big-endian, zero padded
  uint64_t where;  // partition << 48 | place in the owner; ties keep their order
} cyc_shuffle_ref;

typedef struct {
  const uint8_t *bytes;
  uint32_t length;
} cyc_shuffle_key;

typedef cyc_shuffle_key (*cyc_shuffle_key_at)(const void *owner, uint64_t where);

// Sorts by key bytes (memcmp order, a prefix before its extensions), stably. `scratch` holds as
// many refs. Radix passes on 8-byte digits, comparisons for what is small or deep.
void cyc_shuffle_sort(
  cyc_shuffle_ref *refs, cyc_shuffle_ref *scratch, size_t count, const void *owner,
  cyc_shuffle_key_at key_at);

// ---------------------------------------------------------------------------------------------
// Partitions.

typedef struct {
  uint32_t partitions;
  // NULL: by XXH3. Else partitions - 1 keys in order: a key goes behind the last that is <= it, so
  // that the parts in order are one order.
  const cyc_shuffle_key *boundaries;
  // Decides when it is not NULL; what it returns must be below `partitions`.
  uint32_t (*choose)(void *context, const uint8_t *key, uint32_t length);
  void *context;
} cyc_shuffle_partitioner;

uint32_t cyc_shuffle_partition(
  const cyc_shuffle_partitioner *how, const uint8_t *key, uint32_t length);

// ---------------------------------------------------------------------------------------------
// Table: one entry per distinct key, with the key's first bytes inside and a value of fixed width.

typedef struct cyc_shuffle_table cyc_shuffle_table;

// `limit` bounds each of its memory areas in bytes. NULL with errno when memory is refused.
cyc_shuffle_table *cyc_shuffle_table_create(uint32_t value_words, size_t limit);
void cyc_shuffle_table_destroy(cyc_shuffle_table *table);
// Forgets the entries, keeps the memory.
void cyc_shuffle_table_reset(cyc_shuffle_table *table);
size_t cyc_shuffle_table_count(const cyc_shuffle_table *table);
// Bytes in use by entries, long keys and index.
size_t cyc_shuffle_table_bytes(const cyc_shuffle_table *table);
// Finds or adds `count` <= 64 keys. values[i] = the value words of key i, valid until the next
// call; bit i of `fresh` is set when this call added key i, whose value is then zero: callers
// apply values in order of i, so that a key that is twice in a batch is combined right.
int cyc_shuffle_table_locate(
  cyc_shuffle_table *table, const uint8_t *const *keys, const uint32_t *lengths, uint32_t count,
  uint64_t **values, uint64_t *fresh);

// ---------------------------------------------------------------------------------------------
// Log: every pair, in order of arrival; for jobs that reduce, and when combining does not pay.

typedef struct cyc_shuffle_log cyc_shuffle_log;

// `value_bytes` > 0: every value has this width and no length is stored.
cyc_shuffle_log *cyc_shuffle_log_create(uint32_t value_bytes, size_t limit);
void cyc_shuffle_log_destroy(cyc_shuffle_log *log);
void cyc_shuffle_log_reset(cyc_shuffle_log *log);
size_t cyc_shuffle_log_count(const cyc_shuffle_log *log);
size_t cyc_shuffle_log_bytes(const cyc_shuffle_log *log);
// Appends `count` <= 64 pairs. `values` holds the values back to back; `value_lengths` is ignored
// when the width is fixed.
int cyc_shuffle_log_append(
  cyc_shuffle_log *log, const cyc_shuffle_partitioner *how, const uint8_t *const *keys,
  const uint32_t *lengths, uint32_t count, const uint8_t *values, const uint32_t *value_lengths);

// ---------------------------------------------------------------------------------------------
// Arranging and writing: both owners order their refs by partition (and key) and write records.

// counts[p], bytes[p] = records and encoded bytes of partition p. `sorted`: by key inside each.
int cyc_shuffle_table_arrange(
  cyc_shuffle_table *table, const cyc_shuffle_partitioner *how, int sorted, uint64_t *counts,
  uint64_t *bytes);
int cyc_shuffle_log_arrange(
  cyc_shuffle_log *log, uint32_t partitions, int sorted, uint64_t *counts, uint64_t *bytes);

// Writes records number `from` to `to` (in arranged order) while they fit into `capacity` bytes.
// Returns how many; `*used` = bytes written. 0 means that the next one needs a larger block.
uint64_t cyc_shuffle_table_write(
  const cyc_shuffle_table *table, uint64_t from, uint64_t to, uint8_t *out, size_t capacity,
  size_t *used);
uint64_t cyc_shuffle_log_write(
  const cyc_shuffle_log *log, uint64_t from, uint64_t to, uint8_t *out, size_t capacity,
  size_t *used);
// Encoded size of one arranged record.
size_t cyc_shuffle_table_size(const cyc_shuffle_table *table, uint64_t at);
size_t cyc_shuffle_log_size(const cyc_shuffle_log *log, uint64_t at);

// A record read from a table, a block or a merge. The value of a table entry is its words.
typedef struct {
  const uint8_t *key;
  const uint8_t *value;
  uint32_t key_length;
  uint32_t value_length;
} cyc_shuffle_record;

// The same for records that were read: they are written again, back to back.
size_t cyc_shuffle_record_size(const cyc_shuffle_record *record, uint32_t value_bytes);
uint32_t cyc_shuffle_records_write(
  const cyc_shuffle_record *records, uint32_t count, uint32_t value_bytes, uint8_t *out,
  size_t capacity, size_t *used);

// Reads up to `limit` arranged entries from number `from`. Returns how many.
uint32_t cyc_shuffle_table_read(
  const cyc_shuffle_table *table, uint64_t from, cyc_shuffle_record *records, uint32_t limit);

// ---------------------------------------------------------------------------------------------
// Frames: 64 bytes of header, then the payload. A block is a frame whose payload is records.

typedef struct {
  uint32_t size; // whole frame, header included
  uint8_t kind;
  uint8_t version;
  uint16_t flags;
  uint64_t job;
  uint32_t map;       // map task, or the task a message is about
  uint32_t attempt;
  uint32_t partition; // or the reduce task
  uint32_t sequence;  // block number within (map, attempt, partition), from 0
  uint32_t run;       // sorted run within (map, attempt, partition), from 0
  uint32_t records;
  uint64_t length;    // payload bytes = size - 64
  uint64_t extra;     // of a block: bytes of records, without what pads the payload
  uint64_t checksum;  // XXH3-64 of the 56 bytes before and the XXH3-64 of the payload
} cyc_shuffle_header;

_Static_assert(sizeof(cyc_shuffle_header) == 64, "the header is 64 bytes");
_Static_assert(offsetof(cyc_shuffle_header, map) == 16, "no padding before map");
_Static_assert(offsetof(cyc_shuffle_header, length) == 40, "no padding before length");
_Static_assert(offsetof(cyc_shuffle_header, checksum) == 56, "the checksum is last");

// Fills in size, version, length and checksum over a payload that follows the header in memory.
// Returns the XXH3-64 of the payload alone, which no attempt number changes.
uint64_t cyc_shuffle_frame_seal(uint8_t *frame, cyc_shuffle_header header, size_t payload);
// 0, or -EBADMSG when size, version, length or checksum do not agree with the bytes.
int cyc_shuffle_frame_open(const uint8_t *frame, size_t length, cyc_shuffle_header *header);

// Reads up to `limit` records from `*offset` in `length` bytes of records, which 16 more readable
// bytes follow. Returns how many, 0 at the end, -EBADMSG when the bytes are no records.
int cyc_shuffle_block_read(
  const uint8_t *records, size_t length, size_t *offset, uint32_t value_bytes,
  cyc_shuffle_record *out, uint32_t limit);

// ---------------------------------------------------------------------------------------------
// Merge of sorted runs by a loser tree; equal keys come in order of their run.
//
// Runs are fed piece by piece, so they may be longer than memory:
//
//   create -> feed every run -> take -> (n > 0: use the records) -> feed the hungry run -> take ...
//
// What was taken points into the pieces. A piece may go when its run has been fed the next one,
// and a run turns hungry only at the end of a batch, so a batch never outlives its pieces.

typedef struct cyc_shuffle_merge cyc_shuffle_merge;

// `value_bytes` > 0: every value has this width and no length is stored. NULL: no memory.
cyc_shuffle_merge *cyc_shuffle_merge_create(uint32_t runs, uint32_t value_bytes);
void cyc_shuffle_merge_destroy(cyc_shuffle_merge *merge);
// The run that must be fed before the next take, or -1.
int64_t cyc_shuffle_merge_hungry(const cyc_shuffle_merge *merge);
// Gives the hungry run its next records; length 0 ends it. Returns 0 or -EBADMSG.
int cyc_shuffle_merge_feed(cyc_shuffle_merge *merge, const uint8_t *records, size_t length);
// Takes up to `limit` records in key order. Returns how many, which may be 0 while a run is hungry,
// or -EBADMSG. 0 with no run hungry is the end.
int cyc_shuffle_merge_take(cyc_shuffle_merge *merge, cyc_shuffle_record *records, uint32_t limit);

// ---------------------------------------------------------------------------------------------
// Digests: XXH3-64, as `xxhsum -H3` prints them.

uint64_t cyc_shuffle_hash(const uint8_t *bytes, size_t length);
typedef struct cyc_shuffle_digest cyc_shuffle_digest;
cyc_shuffle_digest *cyc_shuffle_digest_create(void);
void cyc_shuffle_digest_destroy(cyc_shuffle_digest *digest);
void cyc_shuffle_digest_update(cyc_shuffle_digest *digest, const uint8_t *bytes, size_t length);
uint64_t cyc_shuffle_digest_value(const cyc_shuffle_digest *digest);

// ---------------------------------------------------------------------------------------------
// Worker processes.

// Starts a program that the kernel kills when the calling thread ends, even if it is stopped or
// busy. It leads a process group, reads nothing, writes to standard error, and has all signals at
// their defaults. Arguments and environment end in NULL. Returns when the program runs, or -errno.
int cyc_process_start(
  const char *program, char *const *arguments, char *const *environment, int32_t *process);
