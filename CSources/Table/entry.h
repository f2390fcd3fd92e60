/* Internal: one key with its value, and the heap of deadlines. */
#ifndef CYC_ENTRY_H
#define CYC_ENTRY_H

#include "CCycladesTable.h"

/*
 *   0     8     16        20          24        28      32
 *   | u64 | u64 | u32     | u32       | u32     | u32   | key bytes | value bytes | free |
 *   | hash| sum | key len | value len | capacity| timer |           |<------ capacity -->|
 */
typedef struct cyc_entry {
  uint64_t hash;
  uint64_t sum; /* of the hashes of the value's chunks */
  uint32_t key_length;
  uint32_t value_length;
  uint32_t capacity; /* room for the value */
  uint32_t timer;    /* 1 + place in the heap; 0 when there is no deadline */
  uint8_t bytes[];
} cyc_entry;

static inline uint8_t *cyc_entry_value(cyc_entry *entry) {
  return entry->bytes + entry->key_length;
}

static inline const uint8_t *cyc_entry_value_const(const cyc_entry *entry) {
  return entry->bytes + entry->key_length;
}

static inline size_t cyc_entry_bytes(const cyc_entry *entry) {
  return sizeof *entry + entry->key_length + entry->capacity;
}

uint64_t cyc_entry_hash(const uint8_t *key, uint32_t length, uint64_t seed);

/* Makes an entry with an empty value and room for at least `capacity` bytes. */
cyc_entry *cyc_entry_create(
    uint64_t hash, const uint8_t *key, uint32_t length, uint32_t capacity);

/* The room to make for a value that grows to `needed` bytes and will probably grow again. */
uint32_t cyc_entry_grown(uint32_t needed);

/* Moves the entry so that its value has room for `capacity` bytes. */
cyc_entry *cyc_entry_reserve(cyc_entry *entry, uint32_t capacity);

/* Replaces the value, which must fit. */
void cyc_entry_assign(cyc_entry *entry, const uint8_t *value, uint32_t length);

/* Writes into the value at an offset, filling a gap with zeros; the result must fit. */
void cyc_entry_write(
    cyc_entry *entry, uint32_t offset, const uint8_t *bytes, uint32_t count);

/* The entry's share of the table's digest. */
uint64_t cyc_entry_digest(const cyc_entry *entry, uint64_t deadline);

/* ---- Deadlines --------------------------------------------------------------------------------*/

typedef struct cyc_timer {
  uint64_t deadline;
  cyc_entry *entry;
} cyc_timer;

typedef struct cyc_heap {
  cyc_timer *timers;
  uint32_t count;
  uint32_t capacity;
} cyc_heap;

uint64_t cyc_heap_deadline(const cyc_heap *heap, const cyc_entry *entry);
/* Adds, moves or, with CYC_DEADLINE_NONE, removes the entry's timer. */
void cyc_heap_set(cyc_heap *heap, cyc_entry *entry, uint64_t deadline);
/* Says that the entry has a new address. */
void cyc_heap_relocate(cyc_heap *heap, cyc_entry *entry);
void cyc_heap_clear(cyc_heap *heap);

/* ---- Memory -----------------------------------------------------------------------------------*/

/* realloc that never fails. */
void *cyc_table_allocate(void *old, size_t bytes);

/* Says that memory is exhausted, and aborts. */
_Noreturn void cyc_table_exhausted(size_t bytes);

#endif
