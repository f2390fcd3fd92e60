/*
 * Fuzzes the table and its trees: the input is a program of operations, run on a table and on
 * nothing else; what must hold after every step is checked by the code's own asserts, by the
 * sanitizers, and at the end here: a snapshot begun in the middle, read in pieces while operations
 * went on, rebuilds a table with the digest that the first one had when it began.
 */
#include "CCycladesTable.h"

#include <stdlib.h>
#include <string.h>

typedef struct program {
  const uint8_t *at;
  size_t left;
} program;

static uint32_t draw(program *input, uint32_t limit) {
  uint32_t value = 0;
  for (unsigned i = 0; i < 2 && input->left > 0; i++, input->left--) {
    value = value << 8 | *input->at++;
  }
  return value % limit;
}

enum { HASH = CYC_KIND_TREES | 1, LIST = CYC_KIND_TREES | 2, ZSET = CYC_KIND_TREES | 4 };
static const uint8_t ORDERS[][2] = {
    {CYC_TREE_SORTED, 0}, {CYC_TREE_SEQUENCE, 0}, {CYC_TREE_SORTED, CYC_TREE_INDEX}};

static uint8_t bytes_of[70000];

/* A table that is rebuilt from pieces. */
static void take(cyc_table *copy, const cyc_table_piece *piece) {
  const cyc_table_item *item = &piece->item;
  if (!(item->kind & CYC_KIND_TREES)) {
    if (piece->offset == 0) {
      cyc_table_put(
          copy, item->key, item->key_length, item->kind, piece->bytes, piece->byte_count,
          item->deadline);
    } else {
      cyc_table_write(
          copy, item->key, item->key_length, (uint32_t)piece->offset, piece->bytes,
          piece->byte_count);
    }
    return;
  }
  const unsigned trees = item->value_length / sizeof(cyc_tree);
  cyc_tree *tree = cyc_table_open(
      copy, item->key, item->key_length, item->kind,
      ORDERS[item->kind == LIST ? 1 : trees == 2 ? 2 : 0], trees);
  uint32_t items;
  if (!cyc_tree_append_run(tree, piece->bytes, piece->byte_count, &items)) abort();
  if (items != piece->count || !cyc_tree_is_sound(tree)) abort();
  cyc_table_close(copy);
  cyc_table_set_deadline(copy, item->key, item->key_length, item->deadline);
}

static void change_hash(cyc_table *table, program *input, const uint8_t *key, uint32_t length) {
  cyc_tree *tree = cyc_table_open(table, key, length, HASH, ORDERS[0], 1);
  for (uint32_t i = draw(input, 60) + 1; i > 0; i--) {
    uint8_t field[4];
    const uint32_t number = draw(input, 3000);
    memcpy(field, &number, sizeof field);
    const cyc_tree_key member = cyc_tree_member_key(field, sizeof field);
    const cyc_tree_found found = cyc_tree_find(tree, &member);
    const uint32_t size = number % 97 == 0 ? 3000 : number % 50;
    if (!found.is_there) cyc_tree_insert(tree, found.rank, &member, bytes_of, size);
    else if (number % 3 == 0) cyc_tree_replace(tree, found.rank, bytes_of, (size + number) % 300);
    else cyc_tree_remove(tree, found.rank, cyc_table_waste(table));
  }
  if (!cyc_tree_is_sound(tree)) abort();
  cyc_table_close(table);
}

static void change_list(cyc_table *table, program *input, const uint8_t *key, uint32_t length) {
  cyc_tree *tree = cyc_table_open(table, key, length, LIST, ORDERS[1], 1);
  for (uint32_t i = draw(input, 60) + 1; i > 0; i--) {
    const uint32_t where = draw(input, 4), size = draw(input, 90);
    const uint64_t rank = where == 0 ? 0 : where == 1 ? tree->count
        : tree->count == 0           ? 0 : draw(input, (uint32_t)tree->count);
    const cyc_tree_key item = {.tail = bytes_of + size, .tail_length = size};
    if (tree->count == 0 || size % 3 != 0) cyc_tree_insert(tree, rank, &item, NULL, 0);
    else cyc_tree_remove(tree, rank == tree->count ? rank - 1 : rank, cyc_table_waste(table));
  }
  const uint64_t kept = cyc_tree_digest(tree);
  tree->is_dirty = 1; /* what was kept up to date is what is computed anew */
  if (kept != cyc_tree_digest(tree) || !cyc_tree_is_sound(tree)) abort();
  cyc_table_close(table);
}

static void step(cyc_table *table, program *input, uint64_t *time) {
  uint8_t key[16] = {0};
  const uint32_t choice = draw(input, 100), number = draw(input, 400);
  const uint32_t length = 4 + number % 9;
  memcpy(key, &number, sizeof number);
  const cyc_table_key keys[] = {{key, length}, {bytes_of, number}};
  cyc_table_warm(table, keys, 2);
  const cyc_table_item item = cyc_table_get(table, key, length);
  const uint64_t deadline = choice % 3 == 0 ? *time + draw(input, 50) + 1 : CYC_DEADLINE_NONE;
  if (choice < 20) {
    cyc_table_put(table, key, length, 0, bytes_of, draw(input, 300), deadline);
  } else if (choice < 30) {
    if (item.key == NULL || item.kind == 0) {
      cyc_table_write(table, key, length, draw(input, 5000), bytes_of, draw(input, 99) + 1);
    }
  } else if (choice < 55) {
    if (item.key == NULL || item.kind == HASH) change_hash(table, input, key, length);
  } else if (choice < 70) {
    if (item.key == NULL || item.kind == LIST) change_list(table, input, key, length);
  } else if (choice < 78) {
    cyc_table_remove(table, key, length);
  } else if (choice < 85) {
    cyc_table_set_deadline(table, key, length, deadline);
  } else if (choice < 93) {
    uint8_t target[8] = {9};
    target[1] = (uint8_t)draw(input, 40);
    cyc_table_copy(table, key, length, target, sizeof target);
  } else if (choice < 99) {
    *time += draw(input, 9);
    cyc_table_advance(table, *time);
  } else if (number < 40) {
    cyc_table_clear(table);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (bytes_of[1] == 0) for (size_t i = 0; i < sizeof bytes_of; i++) bytes_of[i] = (uint8_t)(i * 7);
  program input = {data, size};
  uint64_t time = 1;
  cyc_table *table = cyc_table_create(5), *copy = cyc_table_create(5);
  const size_t begin = size / 3;
  while (input.left > begin * 2) step(table, &input, &time);
  const cyc_table_state before = cyc_table_snapshot_begin(table);
  cyc_table_advance(copy, before.time);
  bool is_whole = false;
  while (input.left > 0) {
    step(table, &input, &time);
    cyc_table_piece piece;
    for (uint32_t i = draw(&input, 5); i > 0 && !is_whole; i--) {
      if (cyc_table_snapshot_next(table, 700, &piece)) take(copy, &piece);
      else is_whole = true;
    }
  }
  cyc_table_piece piece;
  while (!is_whole && cyc_table_snapshot_next(table, 700, &piece)) take(copy, &piece);
  cyc_table_snapshot_end(table);
  const cyc_table_state after = cyc_table_current(copy);
  if (after.digest != before.digest || after.count != before.count) abort();
  if (after.used_bytes != before.used_bytes) abort();
  cyc_table_destroy(table);
  cyc_table_destroy(copy);
  return 0;
}
