#include "CRivals.h"

static uint64_t ketama(const rival_point *points, size_t count, uint64_t key) {
  size_t low = 0, high = count;
  for (;;) {
    size_t middle = (low + high) / 2;
    if (middle == count) return points[0].owner;
    uint64_t here = points[middle].position;
    uint64_t before = middle == 0 ? 0 : points[middle - 1].position;
    if (key <= here && (key > before || middle == 0)) return points[middle].owner;
    if (here < key) {
      low = middle + 1;
    } else {
      high = middle - 1;
    }
    if (low > high) return points[0].owner;
  }
}

uint64_t rival_ketama(const rival_point *points, size_t count, const uint64_t *keys,
                      size_t key_count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < key_count; i++) sum += ketama(points, count, keys[i]);
  return sum;
}

static size_t lower_bound(const uint64_t *positions, size_t count, uint64_t key) {
  size_t first = 0;
  while (count > 0) {
    size_t half = count / 2;
    if (positions[first + half] < key) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

uint64_t rival_lower_bound(const uint64_t *positions, size_t count, const uint64_t *keys,
                           size_t key_count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < key_count; i++) sum += lower_bound(positions, count, keys[i]);
  return sum;
}
