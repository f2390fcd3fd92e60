/*
 * A hash table from byte strings to byte strings with optional deadlines: the state of one shard.
 *
 *   table.c     the operations below
 *   space.c     buckets; growth and shrinking in steps
 *   entry.c     one key with its value in one allocation; digests
 *   deadline.c  the heap that knows what is due
 *   snapshot.c  the table as it was, read while it changes
 *   tree.c      ordered collections, which values may consist of (CCycladesTree.h)
 *
 * Not thread-safe. Nothing here reads a clock or a random source: two tables made with the same
 * seed and given the same calls hold the same state and report the same digest. Memory exhaustion
 * aborts: a decided command cannot be refused, and a replica that skipped it would diverge.
 */
#ifndef CCYCLADES_TABLE_H
#define CCYCLADES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CCycladesTree.h"

typedef struct cyc_table cyc_table;

enum { CYC_TABLE_KEY_MAX = INT32_MAX };

/* In a kind: the value consists of trees. The other bits are the caller's. */
enum { CYC_KIND_TREES = 0x80 };

/* Deadlines are milliseconds of log time. */
#define CYC_DEADLINE_NONE UINT64_MAX

/* A key as the table sees it. Pointers are valid until the table next changes. */
typedef struct cyc_table_item {
  const uint8_t *key;
  const uint8_t *value;
  uint32_t key_length;
  uint32_t value_length;
  uint64_t deadline;
  uint64_t position; /* the key's hash, by which iteration is ordered */
  uint8_t kind;      /* what the value is, as the caller said */
} cyc_table_item;

/*
 * Asks glibc's allocator to join free blocks at once. As it comes it joins them when a large block
 * is next asked for or freed: after a million keys were removed, that one call took 230 ms. Holds
 * for the whole process, so it is for a program whose work is a store, at its start.
 */
void cyc_table_tune_allocator(void);

/* `seed` decides where keys lie; replicas of one shard use the same one. */
cyc_table *cyc_table_create(uint64_t seed);
void cyc_table_destroy(cyc_table *table);

/* Finds a key; the item's `key` is NULL when there is none. O(1). */
cyc_table_item cyc_table_get(const cyc_table *table, const uint8_t *key, uint32_t length);

/* Where a key is, for cyc_table_warm. */
typedef struct cyc_table_key {
  const uint8_t *bytes;
  uint32_t length;
} cyc_table_key;

/* Brings into the cache what finding these keys will touch, all of them at once: a lookup waits for
 * memory two or three times, and those of a batch can wait together. Changes nothing. */
void cyc_table_warm(const cyc_table *table, const cyc_table_key *keys, uint32_t count);

/* A digest of a key's value and deadline, never 0; 0 when there is no such key. O(1). */
uint64_t cyc_table_version(const cyc_table *table, const uint8_t *key, uint32_t length);

/* Sets value and deadline of a key. O(1) and the value's length. `value` may lie in the table, but
 * not in the entry of the same key. `kind` is a byte of the caller's, kept with the value. */
void cyc_table_put(
    cyc_table *table, const uint8_t *key, uint32_t length, uint8_t kind, const uint8_t *value,
    uint32_t value_length, uint64_t deadline);

/* Writes `count` > 0 bytes at `offset` of a key's value, which is made or made longer as needed; a
 * gap is filled with zeros. Returns the value's new length. Keeps the deadline. O(count and gap),
 * amortised. */
uint32_t cyc_table_write(
    cyc_table *table, const uint8_t *key, uint32_t length, uint32_t offset, const uint8_t *bytes,
    uint32_t count);

/* Sets the deadline of a key; false when there is no such key. O(log of keys with deadlines). */
bool cyc_table_set_deadline(
    cyc_table *table, const uint8_t *key, uint32_t length, uint64_t deadline);

/* Removes a key; false when there is none. */
bool cyc_table_remove(cyc_table *table, const uint8_t *key, uint32_t length);

/*
 * Values that consist of trees. `open` gives access to those of a key, to change them; `close` ends
 * it, and removes the key when its first tree is empty. In between no other function of the table
 * may be called but `mark` and `waste`.
 *
 * Without the key, `count` empty trees of the given orders are made; with a count of 0, NULL is
 * returned and nothing is open. A key that is there must have trees.
 */
cyc_tree *cyc_table_open(
    cyc_table *table, const uint8_t *key, uint32_t length, uint8_t kind, const uint8_t *orders,
    uint32_t count);
/* Adds bits to the kind of the open key. */
void cyc_table_mark(cyc_table *table, uint8_t bits);
/* Where the functions of trees leave nodes. */
cyc_tree_waste *cyc_table_waste(cyc_table *table);
void cyc_table_close(cyc_table *table);

/* Gives `target`, another key, the value and deadline of a key; false when there is none. O(1) for
 * trees, which are shared. */
bool cyc_table_copy(
    cyc_table *table, const uint8_t *key, uint32_t length, const uint8_t *target,
    uint32_t target_length);

/* Removes every key. */
void cyc_table_clear(cyc_table *table);

/* The next time at which to call advance: the earliest deadline, or the millisecond after the
 * table's time while keys that are due wait to be removed; CYC_DEADLINE_NONE when there is nothing
 * to do. O(1). */
uint64_t cyc_table_next_deadline(const cyc_table *table);

/* Moves the table's time, which never goes back. Keys with a deadline at or before it are gone for
 * every function below and above but the sums; a bounded number of them, earliest first, is
 * removed by each call. Returns how many were. */
uint64_t cyc_table_advance(cyc_table *table, uint64_t time);

/* The sums over all keys. Each is a function of the keys, values and deadlines alone, and not of
 * how they came to be; keys that are due and not yet removed are among them. */
typedef struct cyc_table_state {
  uint64_t count;
  uint64_t digest;
  uint64_t used_bytes; /* of keys, their share of buckets and heap; without spare room */
  uint64_t time;
} cyc_table_state;

/* O(1). */
cyc_table_state cyc_table_current(const cyc_table *table);

/* Bytes of memory that the table really has, spare room, buckets, allocator's heads, and what a
 * snapshot keeps included. Depends on history. */
uint64_t cyc_table_allocated_bytes(const cyc_table *table);

/*
 * Snapshots. After `begin`, `next` returns the table as it was then, piece by piece in no
 * particular order, while the table is being changed; `end` gives back what the snapshot holds, at
 * any time. One snapshot at a time.
 */

/* A part of one key's value: of a string at most the bytes asked for, of trees a run of packed
 * items of the first tree of about that size. A value comes in order, its pieces one right after
 * the other. An empty value comes as one empty piece. */
typedef struct cyc_table_piece {
  cyc_table_item item;
  const uint8_t *bytes;
  uint32_t byte_count;
  uint32_t count;  /* bytes, or items */
  uint64_t offset; /* bytes, or items, that came before */
  uint64_t total;  /* bytes, or items, of the whole value */
} cyc_table_piece;

/* Returns the sums of the table at this moment. O(1), but O(n) once in 65535 calls. */
cyc_table_state cyc_table_snapshot_begin(cyc_table *table);
/* False at the end. The piece is valid until the table next changes or is next asked. */
bool cyc_table_snapshot_next(cyc_table *table, uint32_t bytes, cyc_table_piece *piece);
void cyc_table_snapshot_end(cyc_table *table);

typedef void (*cyc_table_visitor)(void *context, const cyc_table_item *item);

/*
 * Visits keys in the order of their positions, at least `count` of them if there are as many at or
 * behind `cursor`. Returns the cursor to go on from, 0 at the end; start with 0. Keys of equal
 * position are visited together. A key that stays in the table from the first call to the last is
 * visited exactly once, whatever happens to others and to the table's size in between. Within one
 * bucket the order is not sorted. The visitor must not change the table.
 */
uint64_t cyc_table_scan(
    const cyc_table *table, uint64_t cursor, uint64_t count, cyc_table_visitor visit,
    void *context);

#endif
