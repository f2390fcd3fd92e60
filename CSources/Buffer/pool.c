// The slab pool: blocks of four kinds, all given back in one way.
//
//   class    capacity   mapped as                     given back to
//   small      16 KiB   chunk of 2 MiB = 128 blocks   free list, last in first out: still cached
//   medium     64 KiB   chunk of 2 MiB =  32 blocks   free list
//   large     256 KiB   chunk of 2 MiB =   8 blocks   free list
//   big     exact size  one mapping, page-rounded     the system
//
//   chunk  [ block 0 | block 1 | ... | block n-1 ]     headers lie apart, so that blocks stay
//   heads  [ head 0  | head 1  | ... | head n-1  ]     page aligned and full-sized
//
// Invariants
//   - mapped_bytes <= budget_bytes, and it counts free blocks too: the budget is what the process
//     may grow to, not what happens to be in use.
//   - a block is either on its class's free list (references == 0) or counted in taken_blocks.
//   - chunk.taken is the number of its blocks that are not on the free list.
//   - when a take would pass the budget, idle chunks of every class are unmapped before it fails.
//
// Big blocks are not cached: mapping one costs about as much as filling it, and a cache would hold
// exactly the memory that the budget is there to bound.

#include "CCycladesBuffer.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { CHUNK_BYTES = 2 << 20, PAGE_BYTES = 4096 };
enum { SMALL, MEDIUM, LARGE, CLASSES };

typedef struct cyc_chunk {
  struct cyc_chunk *next;
  uint8_t *bytes;
  uint32_t size_class;
  uint32_t taken;
  cyc_block heads[];
} cyc_chunk;

struct cyc_pool {
  cyc_block *free[CLASSES];
  cyc_chunk *chunks;
  bool closed;
  cyc_pool_statistics statistics;
};

static const uint32_t class_capacity[CLASSES] = {CYC_BLOCK_SMALL, CYC_BLOCK_MEDIUM,
                                                CYC_BLOCK_LARGE};

static uint8_t *map_bytes(size_t size, int extra_flags) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | extra_flags;
  void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  return bytes == MAP_FAILED ? NULL : bytes;
}

static void unmap_bytes(cyc_pool *pool, void *bytes, size_t size) {
  munmap(bytes, size);
  assert(pool->statistics.mapped_bytes >= size);
  pool->statistics.mapped_bytes -= size;
}

static void pool_destroy(cyc_pool *pool) {
  while (pool->chunks) {
    cyc_chunk *chunk = pool->chunks;
    pool->chunks = chunk->next;
    assert(chunk->taken == 0);
    unmap_bytes(pool, chunk->bytes, CHUNK_BYTES);
    free(chunk);
  }
  assert(pool->statistics.mapped_bytes == 0);
  free(pool);
}

cyc_pool *cyc_pool_create(uint64_t budget_bytes) {
  cyc_pool *pool = calloc(1, sizeof *pool);
  if (pool) pool->statistics.budget_bytes = budget_bytes;
  return pool;
}

void cyc_pool_close(cyc_pool *pool) {
  assert(!pool->closed);
  pool->closed = true;
  if (pool->statistics.taken_blocks == 0) pool_destroy(pool);
}

cyc_pool_statistics cyc_pool_report(const cyc_pool *pool) { return pool->statistics; }

// Unmaps every chunk none of whose blocks is taken. Rare, so it simply sifts all free lists.
static void pool_trim(cyc_pool *pool) {
  for (int size_class = 0; size_class < CLASSES; size_class++) {
    cyc_block **link = &pool->free[size_class];
    while (*link) {
      if ((*link)->home->taken == 0) {
        *link = (*link)->next;
      } else {
        link = &(*link)->next;
      }
    }
  }
  cyc_chunk **link = &pool->chunks;
  while (*link) {
    cyc_chunk *chunk = *link;
    if (chunk->taken > 0) {
      link = &chunk->next;
      continue;
    }
    *link = chunk->next;
    unmap_bytes(pool, chunk->bytes, CHUNK_BYTES);
    free(chunk);
  }
}

static bool pool_has_room(cyc_pool *pool, size_t size) {
  const cyc_pool_statistics *s = &pool->statistics;
  if (s->budget_bytes >= s->mapped_bytes && s->budget_bytes - s->mapped_bytes >= size) return true;
  pool_trim(pool);
  return s->budget_bytes >= s->mapped_bytes && s->budget_bytes - s->mapped_bytes >= size;
}

// The first chunk is faulted in at once: every reactor uses it, and the faults would otherwise fall
// into the first requests.
static bool pool_grow(cyc_pool *pool, uint32_t size_class) {
  if (!pool_has_room(pool, CHUNK_BYTES)) return false;
  uint32_t count = CHUNK_BYTES / class_capacity[size_class];
  cyc_chunk *chunk = calloc(1, sizeof *chunk + count * sizeof(cyc_block));
  if (!chunk) return false;
  chunk->bytes = map_bytes(CHUNK_BYTES, pool->chunks ? 0 : MAP_POPULATE);
  if (!chunk->bytes) {
    free(chunk);
    return false;
  }
  chunk->size_class = size_class;
  chunk->next = pool->chunks;
  pool->chunks = chunk;
  pool->statistics.mapped_bytes += CHUNK_BYTES;
  for (uint32_t i = count; i-- > 0;) {
    cyc_block *block = &chunk->heads[i];
    block->bytes = chunk->bytes + (size_t)i * class_capacity[size_class];
    block->capacity = class_capacity[size_class];
    block->pool = pool;
    block->home = chunk;
    block->next = pool->free[size_class];
    pool->free[size_class] = block;
  }
  return true;
}

static size_t page_rounded(size_t size) {
  return (size + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

static cyc_block *take_big(cyc_pool *pool, size_t capacity) {
  size_t size = page_rounded(capacity);
  if (!pool_has_room(pool, size)) return NULL;
  cyc_block *block = calloc(1, sizeof *block);
  if (!block) return NULL;
  block->bytes = map_bytes(size, 0);
  if (!block->bytes) {
    free(block);
    return NULL;
  }
  block->capacity = (uint32_t)capacity;
  block->pool = pool;
  pool->statistics.mapped_bytes += size;
  return block;
}

static cyc_block *take_cut(cyc_pool *pool, uint32_t size_class) {
  if (!pool->free[size_class] && !pool_grow(pool, size_class)) return NULL;
  cyc_block *block = pool->free[size_class];
  pool->free[size_class] = block->next;
  block->next = NULL;
  block->home->taken++;
  return block;
}

cyc_block *cyc_block_take(cyc_pool *pool, size_t min_capacity) {
  assert(!pool->closed);
  cyc_block *block = NULL;
  if (min_capacity <= CYC_BLOCK_SMALL) {
    block = take_cut(pool, SMALL);
  } else if (min_capacity <= CYC_BLOCK_MEDIUM) {
    block = take_cut(pool, MEDIUM);
  } else if (min_capacity <= CYC_BLOCK_LARGE) {
    block = take_cut(pool, LARGE);
  } else if (min_capacity <= CYC_BLOCK_MAX) {
    block = take_big(pool, min_capacity);
  }
  if (!block) {
    pool->statistics.refusals++;
    return NULL;
  }
  assert(block->references == 0);
  block->references = 1;
  block->mark = 0;
  pool->statistics.takes++;
  pool->statistics.taken_blocks++;
  pool->statistics.taken_bytes += block->capacity;
  return block;
}

void cyc_block_return(cyc_block *block) {
  cyc_pool *pool = block->pool;
  assert(block->references == 0 && pool->statistics.taken_blocks > 0);
  pool->statistics.taken_blocks--;
  pool->statistics.taken_bytes -= block->capacity;
  if (block->home) {
    uint32_t size_class = block->home->size_class;
    block->home->taken--;
    block->next = pool->free[size_class];
    pool->free[size_class] = block;
  } else {
    unmap_bytes(pool, block->bytes, page_rounded(block->capacity));
    free(block);
  }
  if (pool->closed && pool->statistics.taken_blocks == 0) pool_destroy(pool);
}
