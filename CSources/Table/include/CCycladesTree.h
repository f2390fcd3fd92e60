/*
 * Ordered collections of items: what a hash, a list, a set or a sorted set consists of.
 *
 * An item is a key and a value, both byte strings. A tree is either sorted by key (memcmp order),
 * or a sequence in the order its caller chose; in both, items are counted, so they are reached by rank
 * in O(log n). Copying a tree is O(1): copies share nodes until one of them changes, and then only
 * the nodes on the way to the change are duplicated. Snapshots and COPY rest on that.
 *
 * A tree holds no reference to its table: it is a value of 40 bytes that lies in the table's entry.
 */
#ifndef CCYCLADES_TREE_H
#define CCYCLADES_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cyc_node cyc_node;

typedef enum cyc_tree_order {
  CYC_TREE_SORTED = 0,   /* by key; digest independent of history */
  CYC_TREE_SEQUENCE = 1, /* by rank; the digest reflects the order */
  CYC_TREE_INDEX = 2,    /* sorted, derived from another tree: without digest */
} cyc_tree_order;

/* An empty tree is all zeros but for `order`. Packed, since it lies behind a key of any length. */
typedef struct __attribute__((packed)) cyc_tree {
  cyc_node *root;
  uint64_t count;
  uint64_t bytes; /* of the items: a function of the contents alone */
  uint64_t digest;
  uint8_t order;
  uint8_t is_dirty; /* the digest of a sequence is to be computed anew */
  uint8_t reserved[6];
} cyc_tree;

/* A key to look for: `head`, the first bytes, then `tail`. Kept apart so that a caller can put a
 * hash or a score before its bytes without copying them. */
typedef struct cyc_tree_key {
  uint8_t head[8];
  uint32_t head_length;
  uint32_t tail_length;
  const uint8_t *tail;
} cyc_tree_key;

/* An item as the tree has it. Valid until the tree changes. */
typedef struct cyc_tree_item {
  const uint8_t *key;
  const uint8_t *value;
  uint32_t key_length;
  uint32_t value_length;
} cyc_tree_item;

typedef struct cyc_tree_found {
  uint64_t rank; /* of the item, or where it would be */
  bool is_there;
} cyc_tree_found;

/* Nodes that are no longer needed and wait to be freed, a bounded number at a time. */
typedef struct cyc_tree_waste {
  cyc_node *nodes;
} cyc_tree_waste;

/* Looks a key up in a sorted tree. O(log n). */
cyc_tree_found cyc_tree_find(const cyc_tree *tree, const cyc_tree_key *key);

/* The item at a rank below the count. O(log n). */
cyc_tree_item cyc_tree_at(const cyc_tree *tree, uint64_t rank);

/* Adds an item so that it has that rank; in a sorted tree it must be the right one. The bytes must
 * not lie in this tree. O(log n). */
void cyc_tree_insert(
    cyc_tree *tree, uint64_t rank, const cyc_tree_key *key, const uint8_t *value,
    uint32_t value_length);

/* Replaces the value of the item at a rank. The bytes must not lie in this tree. */
void cyc_tree_replace(
    cyc_tree *tree, uint64_t rank, const uint8_t *value, uint32_t value_length);

/* Removes the item at a rank. */
void cyc_tree_remove(cyc_tree *tree, uint64_t rank, cyc_tree_waste *waste);

/* Another tree with the same items. O(1). */
cyc_tree cyc_tree_share(const cyc_tree *tree);

/* Empties a tree. O(1): what it held goes to the waste. */
void cyc_tree_drop(cyc_tree *tree, cyc_tree_waste *waste);

/* Frees at most `nodes` nodes. */
void cyc_tree_sweep(cyc_tree_waste *waste, uint64_t nodes);

/* The digest of the items, and for a sequence of their order. O(1), but O(n) after a sequence was
 * changed elsewhere than at its ends. */
uint64_t cyc_tree_digest(cyc_tree *tree);

/* What the tree counts for in used bytes: a function of its items alone. */
uint64_t cyc_tree_cost(const cyc_tree *tree);

/* Reads items in order, from a rank on. */
typedef struct cyc_tree_iterator {
  const cyc_tree *tree;
  const uint8_t *at;
  uint64_t rank;
  uint32_t left; /* items left in the leaf */
} cyc_tree_iterator;

cyc_tree_iterator cyc_tree_iterate(const cyc_tree *tree, uint64_t rank);
/* False at the end. */
bool cyc_tree_next(cyc_tree_iterator *iterator, cyc_tree_item *item);

/* The key under which a member is sorted in a hash or set: 4 bytes of its hash, then itself. Its
 * order is the same everywhere, so a scan can go on from a position after anything. */
cyc_tree_key cyc_tree_member_key(const uint8_t *bytes, uint32_t length);

/* The key under which a member is sorted by its score. */
cyc_tree_key cyc_tree_score_key(double score, const uint8_t *bytes, uint32_t length);

/* The score in the first 8 bytes of such a key. */
double cyc_tree_score_of(const uint8_t *key);

/* The longest run of packed items from a rank on that lies together and has at most `bytes` bytes,
 * but at least one item. */
const uint8_t *cyc_tree_run(
    const cyc_tree *tree, uint64_t rank, uint32_t bytes, uint32_t *items, uint32_t *byte_count);

/* Appends the packed items of a run, checking every byte. In a sorted tree keys must be member keys
 * in ascending order. False at the first item that is not right; what was appended stays. */
bool cyc_tree_append_run(
    cyc_tree *tree, const uint8_t *run, uint32_t byte_count, uint32_t *items);

/* Checks the invariants; for tests and fuzzers. */
bool cyc_tree_is_sound(const cyc_tree *tree);

#endif
