// Lookups as other ring libraries do them, in the same process, over the same points.
#pragma once

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// A ketama continuum: an array of structs, one per virtual node, in ascending order.
typedef struct rival_point {
  uint64_t position;
  uint64_t owner;
} rival_point;

// The binary search of libketama and its descendants: three-way comparisons and an early exit.
// Returns the sum of owners, so that no lookup can be left out.
uint64_t rival_ketama(const rival_point *points, size_t count, const uint64_t *keys,
                      size_t key_count);

// std::lower_bound over bare positions.
uint64_t rival_lower_bound(const uint64_t *positions, size_t count, const uint64_t *keys,
                           size_t key_count);

#pragma clang assume_nonnull end
