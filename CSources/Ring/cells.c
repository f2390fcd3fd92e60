// Keeps cells, and shares them among rings.
//
// Whoever swaps rings makes every reader fetch the cells of the new one into its caches: 2 MB at
// 1000 members of 256 points. But one member more or less changes the cells around its own points
// alone, 300 of 32,768. So a ring does not own its cells. They lie in a pool, in pages of a few,
// and a ring has a directory of pages:
//
//   pages u32[2^12]  ->  +------+------+------+------+---    ---+------+------+
//                        | page | page | page | page |   ...    |  spare ...  |
//                        +------+------+------+------+---    ---+------+------+
//
// The first ring takes pages 0, 1, 2 and so on. One that is made from it takes over every page
// that would come out the same, and spare pages for the others. The last ring that uses a page
// makes it spare again. Where there are too few spare ones, a new ring starts a pool of its own.
//
// The pool also keeps the block of one ring that was given back, for the next one. Fresh blocks of
// 2 MB have to be zeroed by the kernel and unmapped again: while another thread made one ring from
// the other, readers were slower by 6.2 % (one by one) and 2.8 % (in batches), and by 0.6 and 0.4 %
// when malloc was told to keep memory.
//
// There are 2^12 pages at most, so that the directory, 16 KB, stays in the nearest cache whatever
// the size of the ring. A newcomer of 256 points changes seven in a hundred of them in a large one.
//
// A reader's ns per lookup, one by one and in batches, at 256 k points. Alone; while a member comes
// and goes at 1 kHz; and while it does so when other programs use the cache that all cores share:
//
//   cells in one piece     2.6   1.0 to  3 %    4 to 10 %        1.5   1 to  4 %    9 to 26 %
//   pages, as here         3.3  -1.1 to  1 %    0 to  4 %        2.0   0 to  1 %    1 to  3 %
//
// So every lookup pays 0.7 and 0.5 ns, for two loads from the nearest cache, to be as fast while
// members change. A directory of page numbers, two bytes each, which have to be shifted and masked,
// took 4.2 and 2.5 ns.

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "CCycladesRing.h"
#include "ring.h"

enum { HUGE_PAGE = 2 << 20 };

typedef struct cyc_ring_pool {
  pthread_mutex_t lock;  // guards what follows
  uint32_t rings;        // that have pages here
  uint32_t spare_count;
  uint16_t *spare;       // pages that no ring uses
  uint32_t *users;       // of each page
  cyc_ring *block;       // of a ring that was given back, or NULL
} pool;

void *cyc_ring_allocate(size_t size) {
  bool is_big = size >= HUGE_PAGE;
  void *memory = NULL;
  if (posix_memalign(&memory, is_big ? HUGE_PAGE : 64, size) != 0) return NULL;
  // A wish: where the kernel does not grant it, all works as before.
  if (is_big) (void)madvise(memory, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
  return memory;
}

/// A pool in which one ring has the first pages. The cells stand at the front of its memory.
static pool *make_pool(uint32_t pages, uint32_t page_bits, cell **cells) {
  uint32_t capacity = pages + pages / 4;
  size_t users_offset = ((size_t)capacity << page_bits) * sizeof(cell);
  size_t spare_offset = users_offset + capacity * sizeof(uint32_t);
  char *memory = cyc_ring_allocate(spare_offset + capacity * sizeof(uint16_t));
  pool *made = malloc(sizeof *made);
  if (memory == NULL || made == NULL) {
    free(memory);
    free(made);
    return NULL;
  }
  *cells = (cell *)memory;
  *made = (pool){
    .rings = 1,
    .spare_count = capacity - pages,
    .spare = (uint16_t *)(memory + spare_offset),
    .users = (uint32_t *)(memory + users_offset),
  };
  pthread_mutex_init(&made->lock, NULL);
  for (uint32_t page = 0; page < capacity; page++) made->users[page] = page < pages;
  for (uint32_t i = 0; i < made->spare_count; i++) made->spare[i] = (uint16_t)(capacity - 1 - i);
  return made;
}

static uint32_t page_bits_of(const cyc_ring *ring) { return ring->page_shift - ring->shift; }

/// The page of the pool that a page of the ring is.
static uint32_t get_page(const cyc_ring *ring, uint32_t page) {
  uint32_t bits = page_bits_of(ring);
  return (pages_of(ring)[page] + (page << bits)) >> bits;
}

static void set_page(cyc_ring *ring, uint32_t page, uint32_t in_pool) {
  pages_of(ring)[page] = (in_pool - page) << page_bits_of(ring);
}

/// Writes the cell of a bucket.
static inline void fill_cell(const cyc_ring *ring, uint32_t bucket, cell *cell) {
  const uint32_t *starts = starts_of(ring) + bucket;
  const uint64_t *points = points_of(ring) + starts[0];
  const uint16_t *slots = slots_of(ring);
  uint32_t count = starts[1] - starts[0];
  for (uint32_t i = 0; i < CELL_POINTS; i++) {
    uint64_t point = points[i < count ? i : count];
    cell->remainders[i] = i < count ? remainder_of(ring, point) : CELL_PAST;
    cell->slots[i] = slots[(uint16_t)point];
  }
}

static void fill_page(const cyc_ring *ring, uint32_t page) {
  uint32_t bits = page_bits_of(ring);
  cell *cells = (cell *)(uintptr_t)ring->cells + ((size_t)get_page(ring, page) << bits);
  for (uint32_t c = 0; c < 1u << bits; c++) fill_cell(ring, (page << bits) + c, &cells[c]);
}

/// Whether a page has the same cells in two rings with as many cells.
static bool is_same_page(const cyc_ring *ring, const cyc_ring *old, uint32_t page) {
  uint32_t bits = page_bits_of(ring);
  const cell *cells = old->cells + ((size_t)get_page(old, page) << bits);
  for (uint32_t c = 0; c < 1u << bits; c++) {
    cell built;
    fill_cell(ring, (page << bits) + c, &built);
    if (memcmp(&built, &cells[c], sizeof built) != 0) return false;
  }
  return true;
}

/// Takes over what pages of `old` it can, and spare ones for the others, whose number it says.
/// False when there are too few.
static bool share_pages(cyc_ring *ring, const cyc_ring *old) {
  uint64_t changed[((1 << PAGES_BITS) + 63) / 64] = {0};
  uint32_t count = 0;
  for (uint32_t page = 0; page < ring->pages; page++) {
    if (!is_same_page(ring, old, page)) count += mark_seen(changed, (uint16_t)page);
  }
  pool *pool = old->pool;
  pthread_mutex_lock(&pool->lock);
  bool enough = count <= pool->spare_count;
  for (uint32_t page = 0; enough && page < ring->pages; page++) {
    bool is_changed = changed[page / 64] >> page % 64 & 1;
    uint32_t taken = is_changed ? pool->spare[--pool->spare_count] : get_page(old, page);
    pool->users[taken]++;
    set_page(ring, page, taken);
  }
  pool->rings += enough;
  pthread_mutex_unlock(&pool->lock);
  return enough;
}

bool cyc_ring_fill_cells(cyc_ring *ring, const cyc_ring *old) {
  bool is_shared = old != NULL && old->shift == ring->shift && share_pages(ring, old);
  if (is_shared) {
    ring->pool = old->pool;
    ring->cells = old->cells;
  } else {
    cell *cells = NULL;
    ring->pool = make_pool(ring->pages, page_bits_of(ring), &cells);
    if (ring->pool == NULL) return false;
    ring->cells = cells;
    for (uint32_t page = 0; page < ring->pages; page++) set_page(ring, page, page);
  }
  for (uint32_t page = 0; page < ring->pages; page++) {
    if (is_shared && get_page(ring, page) == get_page(old, page)) continue;
    fill_page(ring, page);
  }
  return true;
}

cyc_ring *cyc_ring_take_block(const cyc_ring *old, size_t size) {
  pthread_mutex_lock(&old->pool->lock);
  cyc_ring *block = old->pool->block;
  old->pool->block = NULL;
  pthread_mutex_unlock(&old->pool->lock);
  if (block == NULL || block->capacity >= size) return block;
  free(block);
  return NULL;
}

void cyc_ring_release(cyc_ring *ring) {
  pool *pool = ring->pool;
  const cell *cells = ring->cells;
  pthread_mutex_lock(&pool->lock);
  for (uint32_t i = 0; i < ring->pages; i++) {
    uint32_t page = get_page(ring, i);
    assert(pool->users[page] > 0);
    if (--pool->users[page] == 0) pool->spare[pool->spare_count++] = (uint16_t)page;
  }
  cyc_ring *unused = pool->block;
  pool->block = ring;
  bool is_last = --pool->rings == 0;
  pthread_mutex_unlock(&pool->lock);
  free(unused);
  if (!is_last) return;
  free(ring);
  pthread_mutex_destroy(&pool->lock);
  free((void *)(uintptr_t)cells);
  free(pool);
}

size_t cyc_ring_size(const cyc_ring *ring) {
  return ring->size + ((size_t)ring->pages << page_bits_of(ring)) * sizeof(cell);
}

uint32_t cyc_ring_own_cells(const cyc_ring *ring, const cyc_ring *other) {
  uint32_t own = 0;
  for (uint32_t page = 0; page < ring->pages; page++) {
    own += ring->pool != other->pool || get_page(ring, page) != get_page(other, page);
  }
  return own << page_bits_of(ring);
}
