/* Internal: the table's own state. */
#ifndef CYC_TABLE_INTERNAL_H
#define CYC_TABLE_INTERNAL_H

#include "space.h"

typedef struct cyc_snapshot cyc_snapshot;

struct cyc_table {
  cyc_space space;
  uint64_t digest;
  uint64_t used; /* sum of the entries' costs */
  uint64_t seed;
  uint64_t time; /* keys with a deadline at or before it are gone, even if not yet removed */
  cyc_ruin *ruins;
  cyc_tree_waste waste;
  cyc_place open; /* the entry whose trees are being changed */
  bool is_open_new;
  cyc_snapshot *snapshot; /* NULL when none is being read */
  uint16_t epoch;         /* number of the last snapshot */
};

/* What is about to happen to an entry. */
typedef enum cyc_change {
  CYC_CHANGES, /* its value or its deadline, in place */
  CYC_LEAVES,  /* it leaves the table */
} cyc_change;

/* Called before an entry changes, so that a snapshot can keep what it has not read. True when the
 * snapshot took an entry that leaves: it must not be freed then. */
bool cyc_snapshot_preserve(cyc_table *table, cyc_entry *entry, cyc_change change);

/* Called for every entry that is added. */
void cyc_snapshot_note_new(cyc_table *table, cyc_entry *entry);

/* Called before the whole space goes; true when the snapshot took it. */
bool cyc_snapshot_take_space(cyc_table *table);

uint64_t cyc_snapshot_bytes(const cyc_table *table);

#endif
