/*
 * The table's operations, over the buckets of space.c.
 *
 * Sums are kept exact by taking an entry out of them before it changes and putting it back in
 * afterwards. Whatever would take time in proportion to the table is done in steps that ride on
 * other calls: growing and shrinking, freeing what FLUSHALL left, removing keys that end at the
 * same moment. A key that is due is gone for every caller from that moment on, even while it waits
 * to be removed; only the count and the digest still know it, in the same way on every replica.
 */
#include "table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
  DUE_STEP = 256,    /* keys removed by one call of advance */
  SETTLE_STEP = 64,  /* keys after which malloc sorts what was freed */
  RUIN_STEP = 4,     /* buckets of ruins freed by one insertion or removal */
  RUIN_ADVANCE = 128, /* and by one call of advance */
  WASTE_STEP = 8,     /* tree nodes freed by one change */
  WASTE_ADVANCE = 256, /* and by one call of advance */
  WARM_STEP = 64     /* keys that are looked up side by side */
};

cyc_table *cyc_table_create(uint64_t seed) {
  cyc_table *table = cyc_table_allocate(NULL, sizeof *table);
  *table = (cyc_table){.seed = seed};
  cyc_space_open(&table->space);
  return table;
}

void cyc_table_destroy(cyc_table *table) {
  if (table == NULL) return;
  cyc_table_snapshot_end(table);
  cyc_ruin_add(&table->ruins, &table->space);
  cyc_ruin_clear(&table->ruins, UINT64_MAX, &table->waste);
  cyc_tree_sweep(&table->waste, UINT64_MAX);
  free(table);
}

void cyc_table_clear(cyc_table *table) {
  assert(table->open.bucket == NULL);
  if (!cyc_snapshot_take_space(table)) cyc_ruin_add(&table->ruins, &table->space);
  cyc_space_open(&table->space);
  table->digest = 0;
  table->used = 0;
}

static void balance(cyc_table *table) {
  cyc_space_balance(&table->space);
  cyc_ruin_clear(&table->ruins, RUIN_STEP, &table->waste);
  cyc_tree_sweep(&table->waste, WASTE_STEP);
}

/* Takes an entry out of the sums before it changes, and puts it back in afterwards. */
static void discount(cyc_table *table, const cyc_entry *entry) {
  table->digest -= cyc_entry_digest(entry, cyc_heap_deadline(&table->space.heap, entry));
  table->used -= cyc_entry_cost(entry);
  table->space.entry_bytes -= cyc_entry_bytes(entry);
}

static void recount(cyc_table *table, const cyc_entry *entry) {
  table->digest += cyc_entry_digest(entry, cyc_heap_deadline(&table->space.heap, entry));
  table->used += cyc_entry_cost(entry);
  table->space.entry_bytes += cyc_entry_bytes(entry);
}

/* ---- Finding ----------------------------------------------------------------------------------*/

/* Whether log time has passed an entry that is still there. */
static bool is_due(const cyc_table *table, const cyc_entry *entry) {
  const cyc_heap *heap = &table->space.heap;
  return heap->count != 0 && heap->timers[0].deadline <= table->time
      && cyc_heap_deadline(heap, entry) <= table->time;
}

static void remove_at(cyc_table *table, cyc_place at) {
  cyc_entry *entry = cyc_entry_at(at);
  discount(table, entry);
  const bool is_taken = cyc_snapshot_preserve(table, entry, CYC_LEAVES);
  cyc_heap_set(&table->space.heap, entry, CYC_DEADLINE_NONE);
  cyc_space_vacate(&table->space, entry->hash, at);
  if (!is_taken) cyc_entry_free(entry, &table->waste);
  balance(table);
}

/* Finds a key that is to be changed; one that is due is removed first. */
static bool find(
    cyc_table *table, uint64_t hash, const uint8_t *key, uint32_t length, cyc_place *at) {
  if (!cyc_space_find(&table->space, hash, key, length, at)) return false;
  if (!is_due(table, cyc_entry_at(*at))) return true;
  remove_at(table, *at);
  return false;
}

static cyc_table_item item_of(const cyc_table *table, const cyc_entry *entry) {
  return (cyc_table_item){
      .key = entry->bytes,
      .value = cyc_entry_value_const(entry),
      .key_length = entry->key_length,
      .value_length = entry->value_length,
      .deadline = cyc_heap_deadline(&table->space.heap, entry),
      .position = entry->hash,
      .kind = entry->kind,
  };
}

cyc_table_item cyc_table_get(const cyc_table *table, const uint8_t *key, uint32_t length) {
  cyc_place at;
  const uint64_t hash = cyc_entry_hash(key, length, table->seed);
  if (!cyc_space_find(&table->space, hash, key, length, &at)
      || is_due(table, cyc_entry_at(at))) {
    return (cyc_table_item){0};
  }
  return item_of(table, cyc_entry_at(at));
}

void cyc_table_warm(const cyc_table *table, const cyc_table_key *keys, uint32_t count) {
  uint64_t hashes[WARM_STEP];
  for (uint32_t first = 0; first < count; first += WARM_STEP) {
    const uint32_t step = count - first < WARM_STEP ? count - first : WARM_STEP;
    for (uint32_t i = 0; i < step; i++) {
      hashes[i] = cyc_entry_hash(keys[first + i].bytes, keys[first + i].length, table->seed);
      cyc_space_warm_bucket(&table->space, hashes[i]);
    }
    for (uint32_t i = 0; i < step; i++) cyc_space_warm_entry(&table->space, hashes[i]);
  }
}

uint64_t cyc_table_version(const cyc_table *table, const uint8_t *key, uint32_t length) {
  cyc_place at;
  const uint64_t hash = cyc_entry_hash(key, length, table->seed);
  if (!cyc_space_find(&table->space, hash, key, length, &at)
      || is_due(table, cyc_entry_at(at))) {
    return 0;
  }
  const cyc_entry *entry = cyc_entry_at(at);
  return cyc_entry_digest(entry, cyc_heap_deadline(&table->space.heap, entry)) | 1;
}

/* ---- Changing ---------------------------------------------------------------------------------*/

static cyc_entry *add(
    cyc_table *table, uint64_t hash, const uint8_t *key, uint32_t length, uint32_t capacity) {
  cyc_entry *entry = cyc_entry_create(hash, key, length, capacity);
  cyc_snapshot_note_new(table, entry);
  cyc_space_insert(&table->space, entry);
  return entry;
}

/* Gives the entry at a place room for `capacity` bytes; it may get another address. */
static cyc_entry *reserve(cyc_table *table, cyc_place at, uint32_t capacity) {
  cyc_entry *entry = cyc_entry_reserve(cyc_entry_at(at), capacity);
  at.bucket->lanes[at.lane] = entry;
  cyc_heap_relocate(&table->space.heap, entry);
  return entry;
}

/* Makes the entry at a place, which leaves the sums, one with room for a new value. */
static cyc_entry *renew(
    cyc_table *table, cyc_place at, const uint8_t *key, uint32_t length, uint32_t needed) {
  cyc_entry *entry = cyc_entry_at(at);
  discount(table, entry);
  if (cyc_snapshot_preserve(table, entry, CYC_LEAVES)) {
    cyc_entry *fresh = cyc_entry_create(entry->hash, key, length, needed);
    cyc_snapshot_note_new(table, fresh);
    fresh->timer = entry->timer;
    entry->timer = 0;
    cyc_heap_relocate(&table->space.heap, fresh);
    at.bucket->lanes[at.lane] = fresh;
    return fresh;
  }
  for (unsigned i = 0; i < cyc_entry_tree_count(entry); i++) {
    cyc_tree_drop(&cyc_entry_trees(entry)[i], &table->waste);
  }
  entry->kind = 0;
  /* Memory is kept unless the new value would leave more than half of it unused. */
  if (needed > entry->capacity || entry->capacity / 2 > needed + 64) {
    entry->value_length = 0;
    entry = reserve(table, at, needed);
  }
  return entry;
}

void cyc_table_put(
    cyc_table *table, const uint8_t *key, uint32_t length, uint8_t kind, const uint8_t *value,
    uint32_t value_length, uint64_t deadline) {
  assert(length <= CYC_TABLE_KEY_MAX);
  const uint64_t hash = cyc_entry_hash(key, length, table->seed);
  cyc_place at;
  const bool is_new = !cyc_space_find(&table->space, hash, key, length, &at);
  cyc_entry *entry = is_new ? add(table, hash, key, length, value_length)
                            : renew(table, at, key, length, value_length);
  entry->kind = kind;
  cyc_entry_assign(entry, value, value_length);
  if (kind & CYC_KIND_TREES) cyc_entry_sum_trees(entry);
  cyc_heap_set(&table->space.heap, entry, deadline);
  recount(table, entry);
  if (is_new) balance(table);
}

uint32_t cyc_table_write(
    cyc_table *table, const uint8_t *key, uint32_t length, uint32_t offset, const uint8_t *bytes,
    uint32_t count) {
  assert(length <= CYC_TABLE_KEY_MAX && count <= UINT32_MAX - offset);
  const uint64_t hash = cyc_entry_hash(key, length, table->seed);
  const uint32_t end = offset + count;
  cyc_place at;
  cyc_entry *entry;
  const bool is_new = !find(table, hash, key, length, &at);
  if (is_new) {
    entry = add(table, hash, key, length, end);
  } else {
    entry = cyc_entry_at(at);
    discount(table, entry);
    cyc_snapshot_preserve(table, entry, CYC_CHANGES);
    if (end > entry->capacity) entry = reserve(table, at, cyc_entry_grown(end));
  }
  cyc_entry_write(entry, offset, bytes, count);
  recount(table, entry);
  const uint32_t result = entry->value_length;
  if (is_new) balance(table);
  return result;
}

bool cyc_table_set_deadline(
    cyc_table *table, const uint8_t *key, uint32_t length, uint64_t deadline) {
  cyc_place at;
  if (!find(table, cyc_entry_hash(key, length, table->seed), key, length, &at)) return false;
  cyc_entry *entry = cyc_entry_at(at);
  discount(table, entry);
  cyc_snapshot_preserve(table, entry, CYC_CHANGES);
  cyc_heap_set(&table->space.heap, entry, deadline);
  recount(table, entry);
  return true;
}

bool cyc_table_remove(cyc_table *table, const uint8_t *key, uint32_t length) {
  cyc_place at;
  if (!find(table, cyc_entry_hash(key, length, table->seed), key, length, &at)) return false;
  remove_at(table, at);
  return true;
}

/* ---- Trees ------------------------------------------------------------------------------------*/

cyc_tree *cyc_table_open(
    cyc_table *table, const uint8_t *key, uint32_t length, uint8_t kind, const uint8_t *orders,
    uint32_t count) {
  assert(table->open.bucket == NULL && length <= CYC_TABLE_KEY_MAX);
  const uint64_t hash = cyc_entry_hash(key, length, table->seed);
  const bool is_there = find(table, hash, key, length, &table->open);
  if (is_there) {
    cyc_entry *entry = cyc_entry_at(table->open);
    assert(cyc_entry_tree_count(entry) != 0);
    discount(table, entry);
    cyc_snapshot_preserve(table, entry, CYC_CHANGES);
    table->is_open_new = false;
    return cyc_entry_trees(entry);
  }
  table->open = (cyc_place){0};
  if (count == 0) return NULL;
  assert(kind & CYC_KIND_TREES);
  cyc_entry *entry = add(table, hash, key, length, (uint32_t)(count * sizeof(cyc_tree)));
  entry->kind = kind;
  cyc_entry_plant(entry, orders, count);
  const bool found = cyc_space_find(&table->space, hash, key, length, &table->open);
  assert(found);
  (void)found;
  table->is_open_new = true;
  return cyc_entry_trees(entry);
}

void cyc_table_mark(cyc_table *table, uint8_t bits) {
  cyc_entry_at(table->open)->kind |= bits;
}

cyc_tree_waste *cyc_table_waste(cyc_table *table) {
  return &table->waste;
}

void cyc_table_close(cyc_table *table) {
  const cyc_place at = table->open;
  assert(at.bucket != NULL);
  cyc_entry *entry = cyc_entry_at(at);
  cyc_entry_sum_trees(entry);
  recount(table, entry);
  table->open = (cyc_place){0};
  if (cyc_entry_trees(entry)->count == 0) {
    remove_at(table, at);
  } else if (table->is_open_new) {
    balance(table);
  } else {
    cyc_tree_sweep(&table->waste, WASTE_STEP);
  }
}

bool cyc_table_copy(
    cyc_table *table, const uint8_t *key, uint32_t length, const uint8_t *target,
    uint32_t target_length) {
  const cyc_table_item item = cyc_table_get(table, key, length);
  if (item.key == NULL) return false;
  /* Shared before the target goes, which may share the same nodes. */
  if (item.kind & CYC_KIND_TREES) {
    for (uint32_t i = 0; i < item.value_length / sizeof(cyc_tree); i++) {
      cyc_tree_share((const cyc_tree *)(const void *)item.value + i);
    }
  }
  cyc_table_put(
      table, target, target_length, item.kind, item.value, item.value_length, item.deadline);
  return true;
}

/* ---- Time -------------------------------------------------------------------------------------*/

uint64_t cyc_table_next_deadline(const cyc_table *table) {
  const cyc_heap *heap = &table->space.heap;
  if (heap->count == 0) return CYC_DEADLINE_NONE;
  const uint64_t first = heap->timers[0].deadline;
  return first > table->time ? first : table->time + 1;
}

/* Has malloc sort what was freed since it last had to look for memory. glibc puts that off: after a
 * million keys had been freed, one innocent allocation sorted ten thousand pieces, which took it
 * 32 ms. The size is above those that threads keep for themselves: they would come at once. */
static void settle_allocator(void) {
  void *volatile piece = malloc(1536);
  free(piece);
}

uint64_t cyc_table_advance(cyc_table *table, uint64_t time) {
  if (time > table->time) table->time = time;
  const cyc_heap *heap = &table->space.heap;
  uint64_t removed = 0;
  while (removed < DUE_STEP && heap->count != 0 && heap->timers[0].deadline <= table->time) {
    const cyc_entry *due = heap->timers[0].entry;
    cyc_place at;
    const bool found = cyc_space_find(
        &table->space, due->hash, due->bytes, due->key_length, &at);
    assert(found);
    (void)found;
    remove_at(table, at);
    removed++;
    if (removed % SETTLE_STEP == 0) settle_allocator();
  }
  cyc_ruin_clear(&table->ruins, RUIN_ADVANCE, &table->waste);
  cyc_tree_sweep(&table->waste, WASTE_ADVANCE);
  return removed;
}

/* ---- Sums -------------------------------------------------------------------------------------*/

cyc_table_state cyc_table_current(const cyc_table *table) {
  return (cyc_table_state){
      .count = table->space.count,
      .digest = table->digest,
      .used_bytes = table->used,
      .time = table->time,
  };
}

uint64_t cyc_table_allocated_bytes(const cyc_table *table) {
  uint64_t bytes = sizeof *table + table->space.entry_bytes + cyc_space_overhead(&table->space)
      + cyc_snapshot_bytes(table);
  for (const cyc_ruin *ruin = table->ruins; ruin != NULL; ruin = ruin->rest) {
    bytes += ruin->space.entry_bytes + cyc_space_overhead(&ruin->space);
  }
  return bytes;
}

/* ---- Iteration --------------------------------------------------------------------------------*/

uint64_t cyc_table_scan(
    const cyc_table *table, uint64_t cursor, uint64_t count, cyc_table_visitor visit,
    void *context) {
  uint64_t visited = 0;
  for (;;) {
    uint64_t next;
    for (const cyc_bucket *b = cyc_space_bucket(&table->space, cursor, &next); b != NULL;
         b = b->chained ? b->lanes[CYC_LINK] : NULL) {
      for (unsigned lane = 0; lane < cyc_lanes_of(b); lane++) {
        if (b->tags[lane] == 0) continue;
        const cyc_entry *entry = b->lanes[lane];
        if (entry->hash < cursor) continue; /* visited when buckets were narrower */
        visited++;
        if (is_due(table, entry)) continue;
        const cyc_table_item item = item_of(table, entry);
        visit(context, &item);
      }
    }
    cursor = next;
    if (cursor == 0 || visited >= count) return cursor;
  }
}
