#pragma once

// Reference-counted memory for everything that travels: input, frames, log entries, replies.
//
//   pool ---- chunks of 2 MiB, cut into small (16 KiB), medium (64 KiB) or large (256 KiB) blocks
//        \--- big blocks, mapped one by one at their exact size (up to 1 GiB)
//
//   slice = (block, offset, length): a view that holds one reference to its block
//
// One pool belongs to one thread. Counts are plain integers: taking, retaining and releasing a
// block costs no atomic operation, and nothing here may be touched from another thread.

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  CYC_BLOCK_SMALL = 16 << 10,
  CYC_BLOCK_MEDIUM = 64 << 10,
  CYC_BLOCK_LARGE = 256 << 10,
  CYC_BLOCK_MAX = 1 << 30,
};

typedef struct cyc_pool cyc_pool;

/// A piece of writable memory. Whoever holds the only reference may write; with more than one, only
/// the bytes no slice covers yet may be written.
typedef struct cyc_block {
  uint8_t *bytes;
  uint32_t capacity;
  uint32_t references;
  cyc_pool *pool;
  struct cyc_chunk *home;  ///< the chunk it was cut from; NULL for a big block
  struct cyc_block *next;  ///< free list
  uint32_t mark;           ///< for the holder's use
} cyc_block;

/// A view of a block that owns one reference to it.
typedef struct cyc_slice {
  cyc_block *block;
  uint32_t offset;
  uint32_t length;
} cyc_slice;

typedef struct cyc_pool_statistics {
  uint64_t budget_bytes;
  uint64_t mapped_bytes;  ///< memory held from the system, free blocks included
  uint64_t taken_bytes;   ///< capacity of the blocks that are taken
  uint64_t taken_blocks;
  uint64_t takes;
  uint64_t refusals;  ///< takes that met the budget
} cyc_pool_statistics;

/// Makes a pool that never maps more than `budget_bytes`. NULL when memory is short.
cyc_pool *cyc_pool_create(uint64_t budget_bytes);

/// Gives the pool up. Its memory goes when the last block is back, so slices may outlive this call.
void cyc_pool_close(cyc_pool *pool);

cyc_pool_statistics cyc_pool_report(const cyc_pool *pool);

/// Takes a block of at least `min_capacity` bytes with one reference; its contents are undefined.
/// NULL when the budget is used up or `min_capacity` exceeds CYC_BLOCK_MAX.
cyc_block *cyc_block_take(cyc_pool *pool, size_t min_capacity);

/// Puts a block without references back; `cyc_block_release` calls it.
void cyc_block_return(cyc_block *block);

static inline cyc_block *cyc_block_retain(cyc_block *block) {
  assert(block->references > 0 && block->references < UINT32_MAX);
  block->references++;
  return block;
}

static inline void cyc_block_release(cyc_block *block) {
  assert(block->references > 0);
  if (--block->references == 0) cyc_block_return(block);
}
