/*
 * Snapshots: the table as it was at one call, read out in pieces while it changes.
 *
 * A cursor walks over the buckets in the order of positions. Behind it everything was read. In
 * front of it an entry is kept for the snapshot before it changes for the first time:
 *
 *      read                cursor            not read: unchanged, or kept in the queue
 *   |----------------------------|-------------------------------------------------------|
 *                                  epoch of an entry != epoch of the snapshot: as it was
 *                                  equal: added since, or its old form is in the queue
 *
 * The queue holds what is to be read next: old forms, which it owns, and the entries of the bucket
 * the cursor has just passed, which stay in the table and are `pinned`. Old forms cost nothing when
 * an entry is replaced or removed, since the old one is taken over as it is; a string that changes
 * in place is copied, and trees are shared, so that a change duplicates a few nodes. So a command's
 * extra work is bounded by the strings it touches.
 *
 * Removing all keys hands over the whole space: the walk goes on in it, undisturbed.
 *
 * Epochs count snapshots. Before their 16 bits run over, all entries are reset in one sweep: once
 * in 65535 snapshots. A bit that every snapshot turns over would not do, because a snapshot that is
 * given up leaves entries in either state.
 */
#include "table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct kept {
  cyc_entry *entry;
  uint64_t deadline;
  bool owned;
} kept;

struct cyc_snapshot {
  cyc_space taken;   /* when all keys were removed since */
  bool has_taken;
  bool walked;       /* the cursor is behind the last bucket */
  bool is_head_read; /* the queue's head was read to its end */
  uint64_t cursor;
  uint64_t offset; /* bytes, or items, of the head's value that were read */
  kept *queue;
  uint64_t head, count, capacity;
  uint64_t kept_bytes;
  cyc_table_state state;
};

/* ---- The queue --------------------------------------------------------------------------------*/

static void push(cyc_snapshot *snapshot, kept item) {
  if (snapshot->head + snapshot->count == snapshot->capacity) {
    if (snapshot->head > snapshot->count) {
      memcpy(
          snapshot->queue, snapshot->queue + snapshot->head, snapshot->count * sizeof(kept));
    } else {
      snapshot->capacity = snapshot->capacity == 0 ? 64 : snapshot->capacity * 2;
      kept *queue = cyc_table_allocate(NULL, snapshot->capacity * sizeof(kept));
      if (snapshot->count != 0) {
        memcpy(queue, snapshot->queue + snapshot->head, snapshot->count * sizeof(kept));
      }
      free(snapshot->queue);
      snapshot->queue = queue;
    }
    snapshot->head = 0;
  }
  snapshot->queue[snapshot->head + snapshot->count++] = item;
  if (item.owned) {
    snapshot->kept_bytes += cyc_entry_bytes(item.entry);
  } else {
    item.entry->pinned = 1;
  }
}

static void drop(cyc_snapshot *snapshot, kept item, cyc_tree_waste *waste) {
  if (item.owned) {
    snapshot->kept_bytes -= cyc_entry_bytes(item.entry);
    cyc_entry_free(item.entry, waste);
  } else {
    item.entry->pinned = 0;
  }
}

static void pop(cyc_snapshot *snapshot, cyc_tree_waste *waste) {
  drop(snapshot, snapshot->queue[snapshot->head++], waste);
  snapshot->count--;
  snapshot->offset = 0;
  snapshot->is_head_read = false;
}

/* ---- What the table reports -------------------------------------------------------------------*/

/* Turns a pinned entry in the queue into one that the queue owns. Pinned entries are those of one
 * bucket, pushed when the queue was empty, so the search ends after a few steps. */
static void own_pinned(cyc_snapshot *snapshot, cyc_entry *entry, cyc_entry *form) {
  kept *item = snapshot->queue + snapshot->head;
  while (item->entry != entry) item++;
  entry->pinned = 0;
  item->entry = form;
  item->owned = true;
  snapshot->kept_bytes += cyc_entry_bytes(form);
}

bool cyc_snapshot_preserve(cyc_table *table, cyc_entry *entry, cyc_change change) {
  cyc_snapshot *snapshot = table->snapshot;
  if (__builtin_expect(snapshot == NULL, 1)) return false;
  if (entry->pinned) {
    own_pinned(snapshot, entry, change == CYC_LEAVES ? entry : cyc_entry_clone(entry));
    return change == CYC_LEAVES;
  }
  if (snapshot->has_taken || snapshot->walked || entry->hash < snapshot->cursor
      || entry->epoch == table->epoch) {
    return false;
  }
  entry->epoch = table->epoch;
  const uint64_t deadline = cyc_heap_deadline(&table->space.heap, entry);
  cyc_entry *form = change == CYC_LEAVES ? entry : cyc_entry_clone(entry);
  push(snapshot, (kept){form, deadline, true});
  return change == CYC_LEAVES;
}

void cyc_snapshot_note_new(cyc_table *table, cyc_entry *entry) {
  if (table->snapshot != NULL) entry->epoch = table->epoch;
}

bool cyc_snapshot_take_space(cyc_table *table) {
  cyc_snapshot *snapshot = table->snapshot;
  if (snapshot == NULL || snapshot->has_taken) return false;
  snapshot->taken = table->space;
  snapshot->has_taken = true;
  return true;
}

uint64_t cyc_snapshot_bytes(const cyc_table *table) {
  const cyc_snapshot *snapshot = table->snapshot;
  if (snapshot == NULL) return 0;
  uint64_t bytes =
      sizeof *snapshot + snapshot->capacity * sizeof(kept) + snapshot->kept_bytes;
  if (snapshot->has_taken) {
    bytes += snapshot->taken.entry_bytes + cyc_space_overhead(&snapshot->taken);
  }
  return bytes;
}

/* ---- Reading ----------------------------------------------------------------------------------*/

static void forget_epochs(cyc_table *table) {
  uint64_t position = 0;
  do {
    uint64_t next;
    for (cyc_bucket *b = cyc_space_bucket(&table->space, position, &next); b != NULL;
         b = b->chained ? b->lanes[CYC_LINK] : NULL) {
      for (unsigned lane = 0; lane < cyc_lanes_of(b); lane++) {
        if (b->tags[lane] != 0) ((cyc_entry *)b->lanes[lane])->epoch = 0;
      }
    }
    position = next;
  } while (position != 0);
}

cyc_table_state cyc_table_snapshot_begin(cyc_table *table) {
  assert(table->snapshot == NULL);
  if (table->epoch == UINT16_MAX) {
    forget_epochs(table);
    table->epoch = 0;
  }
  table->epoch++;
  cyc_snapshot *snapshot = cyc_table_allocate(NULL, sizeof *snapshot);
  *snapshot = (cyc_snapshot){.state = cyc_table_current(table)};
  table->snapshot = snapshot;
  return snapshot->state;
}

/* Puts the unread entries of the bucket at the cursor into the queue, and moves the cursor on. */
static void walk(cyc_table *table, cyc_snapshot *snapshot) {
  const cyc_space *space = snapshot->has_taken ? &snapshot->taken : &table->space;
  uint64_t next;
  for (cyc_bucket *b = cyc_space_bucket(space, snapshot->cursor, &next); b != NULL;
       b = b->chained ? b->lanes[CYC_LINK] : NULL) {
    for (unsigned lane = 0; lane < cyc_lanes_of(b); lane++) {
      if (b->tags[lane] == 0) continue;
      cyc_entry *entry = b->lanes[lane];
      /* One in front of the cursor was read when buckets were narrower. */
      if (entry->hash < snapshot->cursor || entry->epoch == table->epoch) continue;
      push(snapshot, (kept){entry, cyc_heap_deadline(&space->heap, entry), false});
    }
  }
  snapshot->cursor = next;
  snapshot->walked = next == 0;
}

bool cyc_table_snapshot_next(cyc_table *table, uint32_t bytes, cyc_table_piece *piece) {
  assert(bytes != 0);
  cyc_snapshot *snapshot = table->snapshot;
  if (snapshot->is_head_read) pop(snapshot, &table->waste);
  while (snapshot->count == 0) {
    if (snapshot->walked) return false;
    walk(table, snapshot);
  }
  const kept *head = &snapshot->queue[snapshot->head];
  const cyc_entry *entry = head->entry;
  *piece = (cyc_table_piece){
      .item = {
          .key = entry->bytes,
          .value = cyc_entry_value_const(entry),
          .key_length = entry->key_length,
          .value_length = entry->value_length,
          .deadline = head->deadline,
          .position = entry->hash,
          .kind = entry->kind,
      },
      .offset = snapshot->offset,
  };
  if (entry->kind & CYC_KIND_TREES) {
    const cyc_tree *tree = cyc_entry_trees_const(entry);
    piece->total = tree->count;
    piece->bytes = cyc_tree_run(tree, snapshot->offset, bytes, &piece->count, &piece->byte_count);
  } else {
    const uint64_t rest = entry->value_length - snapshot->offset;
    piece->total = entry->value_length;
    piece->bytes = cyc_entry_value_const(entry) + snapshot->offset;
    piece->count = rest < bytes ? (uint32_t)rest : bytes;
    piece->byte_count = piece->count;
  }
  snapshot->offset += piece->count;
  snapshot->is_head_read = snapshot->offset == piece->total;
  return true;
}

void cyc_table_snapshot_end(cyc_table *table) {
  cyc_snapshot *snapshot = table->snapshot;
  if (snapshot == NULL) return;
  while (snapshot->count != 0) pop(snapshot, &table->waste);
  free(snapshot->queue);
  if (snapshot->has_taken) cyc_ruin_add(&table->ruins, &snapshot->taken);
  free(snapshot);
  table->snapshot = NULL;
}
