#pragma once

// What the files of the driver over io_uring share: uring.c has its design, uring_setup.c makes the
// ring and lends it memory.

#include "driver.h"

#include <liburing.h>

enum { CYC_URING_LENT_GROUP = 0 };

typedef struct cyc_uring {
  cyc_driver base;
  struct io_uring ring;
  bool enabled, waker_armed;
  uint64_t wake_count;  // where the waker's counter is read to
  uint64_t alarm_at;    // when the timer in the ring goes off; 0: there is none
  struct __kernel_timespec alarm_time;

  struct io_uring_buf_ring *lent_ring;
  uint32_t lent_entries;
  uint32_t block_count;
  uint32_t lent;
  uint32_t lend_target, lent_before;  // how many are to be lent; how many were, last time
  uint32_t lend_turns, taken_peak;    // since the target was last judged
  cyc_block **blocks;
  uint32_t *reclaimed;
  uint32_t reclaimed_count;

  uint32_t *audited;  // connections that are to be looked at, all at `audit_at`
  uint32_t audit_count, audit_capacity;
  uint64_t audit_at;
} cyc_uring;

static inline cyc_uring *cyc_uring_of(cyc_reactor *r) { return (cyc_uring *)r->driver; }

extern const cyc_driver_calls cyc_uring_calls;

int cyc_uring_enable(cyc_reactor *r);
void cyc_uring_destroy(cyc_reactor *r);
uint32_t cyc_uring_lend(cyc_reactor *r);
void cyc_uring_reclaim(cyc_reactor *r, cyc_block *block);
