/* Internal: one key with its value, and the heap of deadlines. */
#ifndef CYC_ENTRY_H
#define CYC_ENTRY_H

#include "CCycladesTable.h"

/*
 *   0      8     16        20          24         28      32      34       35     36
 *   | u64  | u64 | u32     | u32       | u32      | u32   | u16   | u8     | u8   | key | value |
 *   | hash | sum | key len | value len | capacity | timer | epoch | pinned | kind |
 *
 * The value has room for `capacity` bytes. `epoch` and `pinned` are the snapshot's (snapshot.c).
 */
typedef struct cyc_entry {
  uint64_t hash;
  uint64_t sum; /* of the hashes of the value's chunks */
  uint32_t key_length;
  uint32_t value_length;
  uint32_t capacity; /* room for the value */
  uint32_t timer;    /* 1 + place in the heap; 0 when there is no deadline */
  uint16_t epoch;    /* of the snapshot that must not visit this entry (again); 0 for none */
  uint8_t pinned;    /* waits in the snapshot's queue, which does not own it */
  uint8_t kind;      /* what the value is: the caller's byte */
  uint8_t bytes[];
} cyc_entry;

enum { CYC_ENTRY_HEAD = offsetof(cyc_entry, bytes) };

static inline uint8_t *cyc_entry_value(cyc_entry *entry) {
  return entry->bytes + entry->key_length;
}

static inline const uint8_t *cyc_entry_value_const(const cyc_entry *entry) {
  return entry->bytes + entry->key_length;
}

/* How many trees the value consists of; 0 for a string. */
static inline unsigned cyc_entry_tree_count(const cyc_entry *entry) {
  return entry->kind & CYC_KIND_TREES ? entry->value_length / sizeof(cyc_tree) : 0;
}

/* The trees of an entry that has them. They are packed, so any address will do. */
static inline cyc_tree *cyc_entry_trees(cyc_entry *entry) {
  return (cyc_tree *)(void *)cyc_entry_value(entry);
}

static inline const cyc_tree *cyc_entry_trees_const(const cyc_entry *entry) {
  return (const cyc_tree *)(const void *)cyc_entry_value_const(entry);
}

/* Frees an entry; what its trees hold goes to the waste. */
void cyc_entry_free(cyc_entry *entry, cyc_tree_waste *waste);

/* Makes a key's value trees without items. */
void cyc_entry_plant(cyc_entry *entry, const uint8_t *orders, unsigned count);

/* Brings the sum of an entry up to date after its trees changed. */
void cyc_entry_sum_trees(cyc_entry *entry);

/* What the allocator really takes for an entry. */
size_t cyc_entry_bytes(const cyc_entry *entry);

/* What an entry with a value of this length counts for in the table's used bytes: a function of the
 * state alone, so that replicas agree on it whatever their values' spare room. */
uint64_t cyc_entry_cost(const cyc_entry *entry);

uint64_t cyc_entry_hash(const uint8_t *key, uint32_t length, uint64_t seed);

/* Makes an entry with an empty value and room for at least `capacity` bytes. */
cyc_entry *cyc_entry_create(
    uint64_t hash, const uint8_t *key, uint32_t length, uint32_t capacity);

/* A copy of an entry, without its timer and its marks, that has no spare room. It shares the nodes
 * of trees. */
cyc_entry *cyc_entry_clone(const cyc_entry *entry);

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
