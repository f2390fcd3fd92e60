// Reserved, pre-populated, recycled memory.
//
//   bytes                      ready                                            reserved
//   |== populated, kept =======|-- addresses only, no memory behind them --------|
//
// A first touch of a fresh page costs 1.5 to 1.9 us on the machines this was measured on, more
// than combining a hundred words; so pages are populated in large steps by one system call
// (MADV_POPULATE_WRITE, Linux 5.14; by touching them before that), and stay when the owner is
// reset. Reserving addresses up front means that growing never moves anything: tables need no
// copy, and pointers into a region stay good.
//
// Huge pages are asked for from the first byte: they are populated faster and save a table most of
// its TLB misses, for 2 MiB at least per region. Small pages for the first 4 MiB, so that a small
// job stays small, cost a word count 10 %: the hottest entries lie there.
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "CCycladesShuffle.h"

#define PAGE ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)
#define LARGEST_STEP ((size_t)16 << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static size_t round_up(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}

int cyc_shuffle_region_open(cyc_shuffle_region *region, size_t reserve) {
  reserve = round_up(reserve == 0 ? 1 : reserve, HUGE_PAGE);
  void *bytes = mmap(NULL, reserve + HUGE_PAGE, PROT_READ | PROT_WRITE,
    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (bytes == MAP_FAILED) return -errno;
  uintptr_t start = round_up((uintptr_t)bytes, HUGE_PAGE);
  size_t before = start - (uintptr_t)bytes;
  if (before > 0) munmap(bytes, before);
  if (before < HUGE_PAGE) munmap((void *)(start + reserve), HUGE_PAGE - before);
  *region = (cyc_shuffle_region){.bytes = (uint8_t *)start, .reserved = reserve, .ready = 0};
  // Advice only: a kernel without huge pages refuses it and nothing is lost.
  madvise(region->bytes, reserve, MADV_HUGEPAGE);
  return 0;
}

void cyc_shuffle_region_close(cyc_shuffle_region *region) {
  if (region->bytes != NULL) munmap(region->bytes, region->reserved);
  *region = (cyc_shuffle_region){0};
}

int cyc_shuffle_region_grow(cyc_shuffle_region *region, size_t bytes) {
  assert(region->bytes != NULL);
  if (bytes > region->reserved) return -ENOMEM;
  size_t step = region->ready / 2;
  if (step > LARGEST_STEP) step = LARGEST_STEP;
  size_t target = region->ready + step;
  if (target < bytes) target = bytes;
  target = round_up(target, HUGE_PAGE);
  if (target > region->reserved) target = region->reserved;
  uint8_t *fresh = region->bytes + region->ready;
  if (madvise(fresh, target - region->ready, MADV_POPULATE_WRITE) != 0) {
    if (errno == ENOMEM) return -ENOMEM;
    volatile uint8_t *touched = fresh;
    for (size_t at = 0; at < target - region->ready; at += PAGE) touched[at] = 0;
  }
  region->ready = target;
  assert(region->ready >= bytes);
  return 0;
}
