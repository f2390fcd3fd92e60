/*
 * What the table costs: bytes of memory per key beside what it reports, the slowest insertion while
 * it grows to KEYS keys with and without a snapshot being read, and the slowest step when all keys
 * end at one moment. Build and run: Tests/Fuzz/costs.sh [KEYS].
 */
#include "CCycladesTable.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double memory(void) {
  const struct mallinfo2 info = mallinfo2();
  return (double)(info.uordblks + info.hblkhd);
}

static void key_of(uint8_t *key, uint32_t number) {
  char text[17];
  snprintf(text, sizeof text, "key:%012u", number);
  memcpy(key, text, 16);
}

static void measure(uint32_t keys, uint64_t deadline, bool with_snapshot) {
  uint8_t key[16], value[64];
  memset(value, 'v', sizeof value);
  const double before = memory();
  cyc_table *table = cyc_table_create(1);
  double slowest = 0, total = 0, piecewise = 0;
  for (uint32_t i = 0; i < keys; i++) {
    key_of(key, i);
    if (with_snapshot && i == keys / 2) cyc_table_snapshot_begin(table);
    const double start = now();
    cyc_table_put(table, key, 16, 0, value, 64, deadline);
    const double taken = now() - start;
    total += taken;
    if (taken > slowest) slowest = taken;
    cyc_table_piece piece;
    if (with_snapshot && i > keys / 2) {
      const double begun = now();
      cyc_table_snapshot_next(table, 4096, &piece);
      if (now() - begun > piecewise) piecewise = now() - begun;
    }
  }
  if (with_snapshot) cyc_table_snapshot_end(table);
  const cyc_table_state state = cyc_table_current(table);
  printf(
      "%u keys%s%s: insertion %.2f us on average, %.0f us at worst; bytes a key: %.1f counted, "
      "%.1f allocated\n", keys, deadline == CYC_DEADLINE_NONE ? "" : " with a deadline",
      with_snapshot ? ", half of them during a snapshot" : "", total / keys, slowest,
      (double)state.used_bytes / keys, (double)cyc_table_allocated_bytes(table) / keys);
  if (!with_snapshot) {
    printf("  mallinfo2 says %.1f, without arrays of buckets\n", (memory() - before) / keys);
  } else {
    printf("  reading a piece of the snapshot: %.0f us at worst\n", piecewise);
  }
  if (deadline != CYC_DEADLINE_NONE) {
    double step = 0;
    uint32_t steps = 0;
    while (cyc_table_current(table).count > 0) {
      const double start = now();
      cyc_table_advance(table, deadline);
      if (now() - start > step) step = now() - start;
      steps++;
    }
    printf("  all of them ending at once: %u steps, the slowest %.0f us\n", steps, step);
  } else {
    const double start = now();
    cyc_table_clear(table);
    printf("  FLUSHALL: %.0f us\n", now() - start);
  }
  cyc_table_destroy(table);
}

static void measure_tree(const char *name, uint32_t items, uint32_t size, bool is_sequence) {
  cyc_tree tree = {.order = is_sequence ? CYC_TREE_SEQUENCE : CYC_TREE_SORTED};
  uint8_t bytes[64] = {0};
  const double before = memory(), start = now();
  for (uint32_t i = 0; i < items; i++) {
    memcpy(bytes, &i, sizeof i);
    const cyc_tree_key key = is_sequence
        ? (cyc_tree_key){.tail = bytes, .tail_length = size}
        : cyc_tree_member_key(bytes, size);
    const uint64_t rank = is_sequence ? tree.count : cyc_tree_find(&tree, &key).rank;
    cyc_tree_insert(&tree, rank, &key, NULL, 0);
  }
  const double taken = now() - start;
  const double bytes_an_item = (memory() - before) / items;
  const double begun = now();
  uint64_t found = 0;
  for (uint32_t i = 0; i < items && !is_sequence; i++) {
    const uint32_t number = (uint32_t)((uint64_t)i * 2654435761u % items);
    memcpy(bytes, &number, sizeof number);
    const cyc_tree_key key = cyc_tree_member_key(bytes, size);
    found += cyc_tree_find(&tree, &key).is_there;
  }
  printf(
      "%s of %u items of %u bytes: %.1f bytes an item, insertion %.0f ns", name, items, size,
      bytes_an_item, taken / items * 1e3);
  if (found == items) printf(", lookup %.0f ns", (now() - begun) / items * 1e3);
  printf("\n");
  cyc_tree_waste waste = {NULL};
  cyc_tree_drop(&tree, &waste);
  cyc_tree_sweep(&waste, UINT64_MAX);
}

int main(int count, char **arguments) {
  cyc_table_tune_allocator();
  const uint32_t keys = count > 1 ? (uint32_t)atoi(arguments[1]) : 1000000;
  measure(keys, CYC_DEADLINE_NONE, false);
  measure(keys, CYC_DEADLINE_NONE, true);
  measure(keys, 1000, false);
  measure_tree("set", keys, 16, false);
  measure_tree("set", 100, 16, false);
  measure_tree("list", keys, 16, true);
  return 0;
}
