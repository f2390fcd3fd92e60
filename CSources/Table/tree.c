/*
 * A counted B+ tree of packed items, with shared nodes.
 *
 *   item    see item.h
 *   leaf    | head | item item item ... free |              about LEAF_MAX bytes of items
 *   inner   | head | leads | counts | children |            up to FAN children
 *
 * A small collection is one leaf: 24 bytes of head and two bytes per item beyond its contents. A
 * large one stays compact as well, where a hash table and a skip list would spend 50 to 100 bytes
 * per item on pointers. What that costs is O(log n) instead of O(1) for a lookup by key: for a
 * million members two inner nodes, which lie in the cache, and a leaf of which half is read.
 *
 * Every change is made by rank: a lookup by key yields the rank first. So sequences and sorted
 * trees share one insertion and one removal. `leads` holds the first eight bytes of each child's
 * first key, as a big-endian number: a search in an inner node reads one array, and follows a child
 * only where they tie.
 *
 * Nodes are counted references. Whoever changes a node with more than one owner duplicates it
 * first; since its parents were treated so before, a node with one reference under a parent with
 * one reference is reached by this tree only.
 *
 * The digest of a sorted tree is the sum of its items' hashes. That of a sequence is the polynomial
 * sum of hash(i) * R^i, which both ends change in O(log n); a change in the middle makes it dirty,
 * since the operations that cause one (LINSERT, LREM) walk the sequence anyway.
 */
#include "include/CCycladesTree.h"
#include "entry.h"
#include "item.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LEAF_MAX = 1000, LEAF_MIN = LEAF_MAX / 4, LEAF_MERGED = LEAF_MAX * 3 / 4 };
enum { FAN = 32, FAN_MIN = FAN / 4, FAN_MERGED = FAN * 3 / 4 };

struct cyc_node {
  uint32_t references;
  uint16_t level; /* 0 for a leaf */
  uint16_t fill;  /* items of a leaf, children of an inner node */
  union {
    struct {
      uint32_t used, capacity; /* bytes */
    };
    cyc_node *next; /* in the waste */
  };
};

typedef struct leaf {
  cyc_node head;
  uint8_t items[];
} leaf;

typedef struct inner {
  cyc_node head;
  uint64_t leads[FAN];
  uint64_t counts[FAN];
  cyc_node *children[FAN];
} inner;

#define AS_LEAF(node) ((leaf *)(void *)(node))
#define AS_INNER(node) ((inner *)(void *)(node))

/* ---- Nodes ------------------------------------------------------------------------------------*/

static leaf *leaf_create(uint32_t capacity) {
  capacity = (capacity + 8 + sizeof(leaf) + 15) / 16 * 16 - 8 - sizeof(leaf);
  leaf *node = cyc_table_allocate(NULL, sizeof *node + capacity);
  node->head = (cyc_node){.references = 1, .used = 0, .capacity = capacity};
  return node;
}

static inner *inner_create(uint16_t level) {
  inner *node = cyc_table_allocate(NULL, sizeof *node);
  node->head = (cyc_node){.references = 1, .level = level};
  return node;
}

static void release(cyc_node *node, cyc_tree_waste *waste) {
  if (--node->references != 0) return;
  /* An inner node's union is unused, a leaf's contents are of no more interest. */
  node->next = waste->nodes;
  waste->nodes = node;
}

void cyc_tree_sweep(cyc_tree_waste *waste, uint64_t nodes) {
  while (waste->nodes != NULL && nodes-- > 0) {
    cyc_node *node = waste->nodes;
    waste->nodes = node->next;
    if (node->level != 0) {
      for (unsigned i = 0; i < node->fill; i++) release(AS_INNER(node)->children[i], waste);
    }
    free(node);
  }
}

/* Makes the node at a slot one that only this tree has. */
static cyc_node *own(cyc_node **slot) {
  cyc_node *node = *slot;
  if (node->references == 1) return node;
  node->references--;
  if (node->level == 0) {
    leaf *copy = leaf_create(node->used);
    copy->head.fill = node->fill;
    copy->head.used = node->used;
    memcpy(copy->items, AS_LEAF(node)->items, node->used);
    return *slot = &copy->head;
  }
  inner *copy = cyc_table_allocate(NULL, sizeof *copy);
  memcpy(copy, node, sizeof *copy);
  copy->head.references = 1;
  for (unsigned i = 0; i < node->fill; i++) copy->children[i]->references++;
  return *slot = &copy->head;
}

static const cyc_node *first_leaf(const cyc_node *node) {
  while (node->level != 0) node = AS_INNER(node)->children[0];
  return node;
}

static uint64_t lead_of_node(const cyc_node *node) {
  if (node->level != 0) return AS_INNER(node)->leads[0];
  if (node->fill == 0) return 0;
  cyc_tree_item item;
  read_item(AS_LEAF(node)->items, &item);
  return big_endian(item.key, item.key_length);
}

static uint64_t count_of(const cyc_node *node) {
  if (node->level == 0) return node->fill;
  uint64_t count = 0;
  for (unsigned i = 0; i < node->fill; i++) count += AS_INNER(node)->counts[i];
  return count;
}

/* Brings what an inner node knows of a child up to date. */
static void note_child(inner *node, unsigned i) {
  node->leads[i] = lead_of_node(node->children[i]);
  node->counts[i] = count_of(node->children[i]);
}

/* Opens (by > 0) or closes (by < 0) a gap among an inner node's children. */
static void shift_children(inner *node, unsigned at, int by) {
  const unsigned from = by > 0 ? at : at + (unsigned)-by;
  const unsigned to = by > 0 ? at + (unsigned)by : at;
  const unsigned count = node->head.fill - from;
  memmove(node->leads + to, node->leads + from, count * sizeof *node->leads);
  memmove(node->counts + to, node->counts + from, count * sizeof *node->counts);
  memmove(node->children + to, node->children + from, count * sizeof *node->children);
  node->head.fill = (uint16_t)(node->head.fill + by);
}

/* ---- Reading ----------------------------------------------------------------------------------*/

/* The last child whose first key is not behind `key`, or the first child. */
static unsigned child_of_key(const inner *node, const cyc_tree_key *key, uint64_t lead) {
  unsigned low = 0, high = node->head.fill; /* the answer is in [low, high) */
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    bool is_behind = node->leads[middle] > lead;
    if (node->leads[middle] == lead) {
      cyc_tree_item item;
      read_item(AS_LEAF(first_leaf(node->children[middle]))->items, &item);
      is_behind = compare(&item, key) > 0;
    }
    if (is_behind) high = middle;
    else low = middle;
  }
  return low;
}

cyc_tree_found cyc_tree_find(const cyc_tree *tree, const cyc_tree_key *key) {
  cyc_tree_found found = {0, false};
  const cyc_node *node = tree->root;
  if (node == NULL) return found;
  const uint64_t lead = lead_of_key(key);
  while (node->level != 0) {
    const inner *parent = AS_INNER(node);
    const unsigned child = child_of_key(parent, key, lead);
    for (unsigned i = 0; i < child; i++) found.rank += parent->counts[i];
    node = parent->children[child];
  }
  const uint8_t *at = AS_LEAF(node)->items;
  for (unsigned i = 0; i < node->fill; i++) {
    cyc_tree_item item;
    at = read_item(at, &item);
    const int order = compare(&item, key);
    if (order >= 0) {
      found.is_there = order == 0;
      break;
    }
    found.rank++;
  }
  return found;
}

/* The leaf that holds a rank, which becomes the rank in it. */
static const cyc_node *leaf_at(const cyc_tree *tree, uint64_t *rank) {
  const cyc_node *node = tree->root;
  while (node->level != 0) {
    const inner *parent = AS_INNER(node);
    unsigned i = 0;
    while (*rank >= parent->counts[i]) *rank -= parent->counts[i++];
    node = parent->children[i];
  }
  return node;
}

cyc_tree_item cyc_tree_at(const cyc_tree *tree, uint64_t rank) {
  assert(rank < tree->count);
  const cyc_node *node = leaf_at(tree, &rank);
  cyc_tree_item item;
  read_item(skip_items(AS_LEAF(node)->items, rank), &item);
  return item;
}

cyc_tree_iterator cyc_tree_iterate(const cyc_tree *tree, uint64_t rank) {
  return (cyc_tree_iterator){.tree = tree, .rank = rank};
}

bool cyc_tree_next(cyc_tree_iterator *iterator, cyc_tree_item *item) {
  if (iterator->rank >= iterator->tree->count) return false;
  if (iterator->left == 0) {
    uint64_t rank = iterator->rank;
    const cyc_node *node = leaf_at(iterator->tree, &rank);
    iterator->at = skip_items(AS_LEAF(node)->items, rank);
    iterator->left = (uint32_t)(node->fill - rank);
  }
  iterator->at = read_item(iterator->at, item);
  iterator->left--;
  iterator->rank++;
  return true;
}

/* ---- Leaves -----------------------------------------------------------------------------------*/

/* Replaces `removed` bytes at an offset of an owned leaf by a gap of `added`. */
static leaf *splice(cyc_node **slot, uint32_t offset, uint32_t removed, uint32_t added) {
  leaf *node = AS_LEAF(*slot);
  const uint64_t used = (uint64_t)node->head.used - removed + added;
  assert(used <= UINT32_MAX - 64);
  if (used > node->head.capacity || used + LEAF_MAX < node->head.capacity) {
    /* A leaf that fills up gets its full size in a few steps. */
    const uint32_t spare = used < LEAF_MAX ? (uint32_t)used / 4 : 0;
    leaf *larger = leaf_create((uint32_t)used + spare);
    larger->head.fill = node->head.fill;
    memcpy(larger->items, node->items, offset);
    memcpy(
        larger->items + offset + added, node->items + offset + removed,
        node->head.used - offset - removed);
    free(node);
    node = larger;
    *slot = &larger->head;
  } else if (removed != added) {
    memmove(
        node->items + offset + added, node->items + offset + removed,
        node->head.used - offset - removed);
  }
  node->head.used = (uint32_t)used;
  return node;
}

typedef struct new_item {
  const cyc_tree_key *key;
  const uint8_t *value;
  uint32_t value_length;
} new_item;

static uint32_t new_item_size(const new_item *item) {
  const uint32_t key = item->key->head_length + item->key->tail_length;
  return length_size(key) + length_size(item->value_length) + key + item->value_length;
}

static void write_new_item(uint8_t *at, const new_item *item) {
  at = store_length(at, item->key->head_length + item->key->tail_length);
  at = store_length(at, item->value_length);
  memcpy(at, item->key->head, item->key->head_length);
  at += item->key->head_length;
  if (item->key->tail_length != 0) memcpy(at, item->key->tail, item->key->tail_length);
  at += item->key->tail_length;
  if (item->value_length != 0) memcpy(at, item->value, item->value_length);
}

static void leaf_insert(cyc_node **slot, uint64_t rank, const new_item *item) {
  const uint32_t size = new_item_size(item);
  const uint8_t *items = AS_LEAF(*slot)->items;
  const uint32_t offset = (uint32_t)(skip_items(items, rank) - items);
  leaf *node = splice(slot, offset, 0, size);
  write_new_item(node->items + offset, item);
  node->head.fill++;
}

/* Moves the items from a rank on to a new leaf. */
static cyc_node *leaf_split(cyc_node *node, uint64_t rank) {
  leaf *left = AS_LEAF(node);
  const uint32_t offset = (uint32_t)(skip_items(left->items, rank) - left->items);
  leaf *right = leaf_create(node->used - offset);
  right->head.used = node->used - offset;
  right->head.fill = (uint16_t)(node->fill - rank);
  memcpy(right->items, left->items + offset, right->head.used);
  node->used = offset;
  node->fill = (uint16_t)rank;
  return &right->head;
}

/* The rank at which to split a leaf into halves of about the same size. */
static uint64_t leaf_middle(const cyc_node *node) {
  const uint8_t *begin = AS_LEAF(node)->items, *at = begin;
  uint64_t rank = 0;
  cyc_tree_item item;
  while (rank + 1 < node->fill && (uint32_t)(at - begin) < node->used / 2) {
    at = read_item(at, &item);
    rank++;
  }
  return rank == 0 ? 1 : rank;
}

/* Adds to an owned leaf; returns what has to become its right neighbour, or NULL. */
static cyc_node *leaf_add(cyc_node **slot, uint64_t rank, const new_item *item) {
  cyc_node *node = *slot;
  const uint32_t size = new_item_size(item);
  if (node->fill == 0 || (node->used + size <= LEAF_MAX && node->fill < UINT16_MAX)) {
    leaf_insert(slot, rank, item);
    return NULL;
  }
  if (rank == 0 || rank == node->fill) {
    /* At an end nothing is moved: ends are where sequences grow, and where large items stay put. */
    cyc_node *fresh = &leaf_create(size)->head;
    leaf_insert(&fresh, 0, item);
    if (rank != 0) return fresh;
    *slot = fresh;
    return node;
  }
  const uint64_t middle = leaf_middle(node);
  cyc_node *right = leaf_split(node, middle);
  if (rank <= middle) leaf_insert(slot, rank, item);
  else leaf_insert(&right, rank - middle, item);
  return right;
}

/* ---- Insertion --------------------------------------------------------------------------------*/

static inner *inner_split(inner *node, unsigned at) {
  inner *right = inner_create(node->head.level);
  const unsigned count = node->head.fill - at;
  memcpy(right->leads, node->leads + at, count * sizeof *node->leads);
  memcpy(right->counts, node->counts + at, count * sizeof *node->counts);
  memcpy(right->children, node->children + at, count * sizeof *node->children);
  right->head.fill = (uint16_t)count;
  node->head.fill = (uint16_t)at;
  return right;
}

/* Puts a child into a node that may be full; returns what becomes its right neighbour, or NULL. */
static cyc_node *inner_add(inner *node, unsigned at, cyc_node *child) {
  inner *right = NULL, *target = node;
  if (node->head.fill == FAN) {
    right = inner_split(node, at == FAN ? FAN - 1 : at == 1 ? 1 : FAN / 2);
    if (at > node->head.fill) {
      at -= node->head.fill;
      target = right;
    }
  }
  shift_children(target, at, 1);
  target->children[at] = child;
  note_child(target, at);
  return right == NULL ? NULL : &right->head;
}

static cyc_node *add(cyc_node **slot, uint64_t rank, const new_item *item) {
  if (own(slot)->level == 0) return leaf_add(slot, rank, item);
  inner *node = AS_INNER(*slot);
  unsigned i = 0;
  /* Between two children the left one takes it, so that appending goes to the last. */
  while (i + 1 < node->head.fill && rank > node->counts[i]) rank -= node->counts[i++];
  cyc_node *right = add(&node->children[i], rank, item);
  note_child(node, i);
  return right == NULL ? NULL : inner_add(node, i + 1, right);
}

/* ---- Removal ----------------------------------------------------------------------------------*/

static bool is_small(const cyc_node *node) {
  return node->level == 0 ? node->used < LEAF_MIN : node->fill < FAN_MIN;
}

/* Joins two neighbouring children when they fit into one. */
static void merge(inner *node, unsigned left, cyc_tree_waste *waste) {
  if (left + 1 >= node->head.fill) return;
  const cyc_node *a = node->children[left], *b = node->children[left + 1];
  const bool fits = a->level == 0 ? (uint64_t)a->used + b->used <= LEAF_MERGED
                                  : a->fill + b->fill <= FAN_MERGED;
  if (!fits) return;
  cyc_node **slot = &node->children[left];
  if (own(slot)->level == 0) {
    const uint32_t used = (*slot)->used;
    leaf *joined = splice(slot, used, 0, b->used);
    memcpy(joined->items + used, AS_LEAF(b)->items, b->used);
    joined->head.fill = (uint16_t)(joined->head.fill + b->fill);
  } else {
    inner *joined = AS_INNER(*slot);
    for (unsigned i = 0; i < b->fill; i++) {
      cyc_node *child = AS_INNER(b)->children[i];
      child->references++;
      joined->children[joined->head.fill] = child;
      joined->leads[joined->head.fill] = AS_INNER(b)->leads[i];
      joined->counts[joined->head.fill++] = AS_INNER(b)->counts[i];
    }
  }
  release(node->children[left + 1], waste);
  shift_children(node, left + 1, -1);
  note_child(node, left);
}

static void take(cyc_node **slot, uint64_t rank, cyc_tree_waste *waste) {
  if (own(slot)->level == 0) {
    const uint8_t *items = AS_LEAF(*slot)->items, *at = skip_items(items, rank);
    const uint32_t size = (uint32_t)(skip_items(at, 1) - at);
    splice(slot, (uint32_t)(at - items), size, 0)->head.fill--;
    return;
  }
  inner *node = AS_INNER(*slot);
  unsigned i = 0;
  while (rank >= node->counts[i]) rank -= node->counts[i++];
  take(&node->children[i], rank, waste);
  note_child(node, i);
  if (node->counts[i] == 0) {
    release(node->children[i], waste);
    shift_children(node, i, -1);
  } else if (is_small(node->children[i])) {
    merge(node, i, waste);
    if (i > 0) merge(node, i - 1, waste);
  }
}

/* ---- Digest -----------------------------------------------------------------------------------*/

/* An odd base has an inverse modulo 2^64, which lets the first item go. */
static const uint64_t BASE = 0x9e3779b97f4a7c15u, INVERSE = 0xf1de83e19937733du;

static uint64_t power(uint64_t exponent) {
  uint64_t result = 1;
  for (uint64_t square = BASE; exponent != 0; exponent >>= 1, square *= square) {
    if (exponent & 1) result *= square;
  }
  return result;
}

/* Takes an item in that is at `rank` of `count` items, or out of a tree that has them. */
static void digest_add(cyc_tree *tree, const cyc_tree_item *item, uint64_t rank) {
  if (tree->order == CYC_TREE_INDEX || tree->is_dirty) return;
  const uint64_t hash = item_hash(item);
  if (tree->order == CYC_TREE_SORTED) tree->digest += hash;
  else if (rank == tree->count - 1) tree->digest += hash * power(rank);
  else if (rank == 0) tree->digest = tree->digest * BASE + hash;
  else tree->is_dirty = 1;
}

static void digest_remove(cyc_tree *tree, const cyc_tree_item *item, uint64_t rank) {
  if (tree->order == CYC_TREE_INDEX || tree->is_dirty) return;
  const uint64_t hash = item_hash(item);
  if (tree->order == CYC_TREE_SORTED) tree->digest -= hash;
  else if (rank == tree->count - 1) tree->digest -= hash * power(rank);
  else if (rank == 0) tree->digest = (tree->digest - hash) * INVERSE;
  else tree->is_dirty = 1;
}

uint64_t cyc_tree_digest(cyc_tree *tree) {
  if (tree->is_dirty) {
    tree->is_dirty = 0;
    tree->digest = 0;
    uint64_t factor = 1;
    cyc_tree_iterator iterator = cyc_tree_iterate(tree, 0);
    cyc_tree_item item;
    while (cyc_tree_next(&iterator, &item)) {
      tree->digest += item_hash(&item) * factor;
      factor *= BASE;
    }
  }
  return tree->digest;
}

/* ---- Trees ------------------------------------------------------------------------------------*/

void cyc_tree_insert(
    cyc_tree *tree, uint64_t rank, const cyc_tree_key *key, const uint8_t *value,
    uint32_t value_length) {
  assert(rank <= tree->count);
  const new_item item = {key, value, value_length};
  cyc_node *root = tree->root != NULL ? tree->root : &leaf_create(new_item_size(&item))->head;
  cyc_node *right = add(&root, rank, &item);
  if (right != NULL) {
    inner *top = inner_create((uint16_t)(root->level + 1));
    top->head.fill = 2;
    top->children[0] = root;
    top->children[1] = right;
    note_child(top, 0);
    note_child(top, 1);
    root = &top->head;
  }
  tree->root = root;
  tree->count++;
  tree->bytes += new_item_size(&item);
  const cyc_tree_item added = cyc_tree_at(tree, rank);
  digest_add(tree, &added, rank);
}

void cyc_tree_remove(cyc_tree *tree, uint64_t rank, cyc_tree_waste *waste) {
  const cyc_tree_item item = cyc_tree_at(tree, rank);
  digest_remove(tree, &item, rank);
  tree->bytes -= length_size(item.key_length) + length_size(item.value_length)
      + (uint64_t)item.key_length + item.value_length;
  cyc_node *root = tree->root;
  take(&root, rank, waste);
  tree->count--;
  while (root != NULL && (tree->count == 0 || (root->level != 0 && root->fill == 1))) {
    cyc_node *below = tree->count == 0 ? NULL : AS_INNER(root)->children[0];
    if (below != NULL) below->references++;
    release(root, waste);
    root = below;
  }
  tree->root = root;
}

/* Goes down to the leaf of a rank, making the way there this tree's own. */
static void replace_in(cyc_node **slot, uint64_t rank, const uint8_t *value, uint32_t length) {
  if (own(slot)->level != 0) {
    inner *node = AS_INNER(*slot);
    unsigned i = 0;
    while (rank >= node->counts[i]) rank -= node->counts[i++];
    replace_in(&node->children[i], rank, value, length);
    return;
  }
  const uint8_t *items = AS_LEAF(*slot)->items, *at = skip_items(items, rank);
  const uint32_t offset = (uint32_t)(at - items);
  cyc_tree_item item;
  const uint32_t old = (uint32_t)(read_item(at, &item) - at);
  const uint32_t key_length = item.key_length;
  const uint32_t head = length_size(key_length), gap = length_size(length);
  const uint32_t old_gap = length_size(item.value_length);
  const uint32_t size = head + gap + key_length + length;
  /* The key moves when the length before it takes another number of bytes. */
  if (size > old) splice(slot, offset + old, 0, size - old);
  uint8_t *place = AS_LEAF(*slot)->items + offset + head;
  memmove(place + gap, place + old_gap, key_length);
  store_length(place, length);
  if (length != 0) memcpy(place + gap + key_length, value, length);
  if (size < old) splice(slot, offset + size, old - size, 0);
}

void cyc_tree_replace(
    cyc_tree *tree, uint64_t rank, const uint8_t *value, uint32_t value_length) {
  cyc_tree_item item = cyc_tree_at(tree, rank);
  const uint64_t factor = tree->order == CYC_TREE_SEQUENCE ? power(rank) : 1;
  const bool counts = tree->order != CYC_TREE_INDEX && !tree->is_dirty;
  if (counts) tree->digest -= item_hash(&item) * factor;
  tree->bytes -= length_size(item.value_length) + (uint64_t)item.value_length;
  tree->bytes += length_size(value_length) + (uint64_t)value_length;
  cyc_node *root = tree->root;
  replace_in(&root, rank, value, value_length);
  tree->root = root;
  item = cyc_tree_at(tree, rank);
  if (counts) tree->digest += item_hash(&item) * factor;
}

cyc_tree cyc_tree_share(const cyc_tree *tree) {
  if (tree->root != NULL) tree->root->references++;
  return *tree;
}

void cyc_tree_drop(cyc_tree *tree, cyc_tree_waste *waste) {
  if (tree->root != NULL) release(tree->root, waste);
  *tree = (cyc_tree){.order = tree->order};
}

uint64_t cyc_tree_cost(const cyc_tree *tree) {
  if (tree->count == 0) return 0;
  /* Items, a third of free room in leaves, and the nodes' heads and places in their parents. */
  const uint64_t leaves = tree->bytes / (LEAF_MAX * 2 / 3) + 1;
  return tree->bytes + (leaves > 1 ? tree->bytes / 3 : 0)
      + leaves * (sizeof(leaf) + 8 + (leaves > 1 ? sizeof(inner) / (FAN * 2 / 3) : 0));
}

/* ---- Runs -------------------------------------------------------------------------------------*/

const uint8_t *cyc_tree_run(
    const cyc_tree *tree, uint64_t rank, uint32_t bytes, uint32_t *items, uint32_t *byte_count) {
  assert(rank < tree->count);
  const cyc_node *node = leaf_at(tree, &rank);
  const uint8_t *begin = skip_items(AS_LEAF(node)->items, rank), *end = begin;
  *items = 0;
  while (rank + *items < node->fill) {
    cyc_tree_item item;
    const uint8_t *next = read_item(end, &item);
    if (*items != 0 && (uint64_t)(next - begin) > bytes) break;
    end = next;
    ++*items;
  }
  *byte_count = (uint32_t)(end - begin);
  return begin;
}

/* Reads a length of at most 30 bits that nobody has checked. */
static bool check_length(const uint8_t **at, const uint8_t *end, uint32_t *value) {
  *value = 0;
  for (unsigned shift = 0; shift < 35 && *at < end; shift += 7) {
    const uint32_t byte = *(*at)++;
    if (shift == 28 && byte > 3) return false;
    *value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return byte != 0 || shift == 0;
  }
  return false;
}

static bool is_next_member(const cyc_tree *tree, const cyc_tree_key *key) {
  if (tree->order != CYC_TREE_SORTED) return true;
  if (key->tail_length < 4) return false;
  const cyc_tree_key expected = cyc_tree_member_key(key->tail + 4, key->tail_length - 4);
  if (memcmp(expected.head, key->tail, 4) != 0) return false;
  if (tree->count == 0) return true;
  const cyc_tree_item last = cyc_tree_at(tree, tree->count - 1);
  return compare(&last, key) < 0;
}

bool cyc_tree_append_run(
    cyc_tree *tree, const uint8_t *run, uint32_t byte_count, uint32_t *items) {
  const uint8_t *at = run, *end = run + byte_count;
  *items = 0;
  while (at < end) {
    uint32_t key_length, value_length;
    if (!check_length(&at, end, &key_length) || !check_length(&at, end, &value_length)
        || (uint64_t)key_length + value_length > (uint64_t)(end - at)) {
      return false;
    }
    const cyc_tree_key key = {.tail = at, .tail_length = key_length};
    if (!is_next_member(tree, &key)) return false;
    cyc_tree_insert(tree, tree->count, &key, at + key_length, value_length);
    at += key_length + value_length;
    ++*items;
  }
  return true;
}

/* ---- Invariants -------------------------------------------------------------------------------*/

static bool node_is_sound(const cyc_node *node) {
  if (node->references == 0 || node->fill == 0) return false;
  if (node->level == 0) {
    const uint8_t *items = AS_LEAF(node)->items;
    return node->used <= node->capacity
        && (uint32_t)(skip_items(items, node->fill) - items) == node->used;
  }
  const inner *parent = AS_INNER(node);
  for (unsigned i = 0; i < node->fill; i++) {
    const cyc_node *child = parent->children[i];
    if (child->level + 1 != node->level || !node_is_sound(child)
        || parent->counts[i] != count_of(child) || parent->leads[i] != lead_of_node(child)) {
      return false;
    }
  }
  return node->fill <= FAN;
}

bool cyc_tree_is_sound(const cyc_tree *tree) {
  if (tree->root == NULL) return tree->count == 0 && tree->bytes == 0;
  return node_is_sound(tree->root) && count_of(tree->root) == tree->count;
}
