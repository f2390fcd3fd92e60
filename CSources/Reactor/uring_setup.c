// The ring of the driver over io_uring: made, checked, lent memory, and given up.
//
// Set-up asks for the best flags and steps down when the kernel knows fewer (EINVAL). The ring
// starts disabled and is enabled on its thread. Debian's liburing 2.3 declares
// io_uring_enable_rings but does not export it, hence the raw register call.

#include "uring.h"

#include <sys/mman.h>

enum {
  SUBMISSIONS = 1024,
  COMPLETIONS = 8192,
  LENT_MIN = 32,
  JUDGED_TURNS = 8192,  // how long the peak of blocks taken in a turn is remembered
};

// --------------------------------------------------------------------------------------- set-up

static int set_up(cyc_uring *d, uint32_t *flags) {
  static const uint32_t ladder[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
  };
  static const uint32_t common = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                                 IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
  int result = -EINVAL;
  for (size_t i = 0; i < sizeof ladder / sizeof ladder[0] && result == -EINVAL; i++) {
    struct io_uring_params params = {.flags = ladder[i] | common, .cq_entries = COMPLETIONS};
    result = io_uring_queue_init_params(SUBMISSIONS, &d->ring, &params);
    *flags = params.flags;
  }
  return result;
}

static int set_up_lending(cyc_reactor *r) {
  cyc_uring *d = cyc_uring_of(r);
  d->lent_entries = 1;
  while (d->lent_entries < d->block_count) d->lent_entries *= 2;
  size_t size = d->lent_entries * sizeof(struct io_uring_buf);
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -ENOMEM;
  d->lent_ring = memory;
  io_uring_buf_ring_init(d->lent_ring);
  d->blocks = calloc(d->block_count, sizeof *d->blocks);
  d->reclaimed = calloc(d->block_count, sizeof *d->reclaimed);
  if (!d->blocks || !d->reclaimed) return -ENOMEM;
  struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)memory,
                                          .ring_entries = d->lent_entries,
                                          .bgid = CYC_URING_LENT_GROUP};
  int result = io_uring_register_buf_ring(&d->ring, &registration, 0);
  if (result < 0) return result;
  for (uint32_t id = d->block_count; id-- > 0;) d->reclaimed[d->reclaimed_count++] = id;
  d->lend_target = d->block_count < LENT_MIN ? d->block_count : LENT_MIN;
  return cyc_uring_lend(r) == d->lend_target ? 0 : -ENOBUFS;
}

// A ring that can be made may still be of no use: a seccomp profile may refuse to enter it, an old
// kernel may not know a multishot receive. So one byte is received the way all others will be.
static int receive_one(cyc_uring *d, int from, int to) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&d->ring);
  io_uring_prep_recv_multishot(entry, from, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = CYC_URING_LENT_GROUP;
  if (write(to, "", 1) != 1) return -errno;
  shutdown(to, SHUT_WR);
  int received = 0;
  for (bool more = true; more;) {
    struct io_uring_cqe *done;
    struct __kernel_timespec limit = {.tv_sec = 1};
    int result = io_uring_submit_and_wait_timeout(&d->ring, &done, 1, &limit, NULL);
    if (result < 0 && result != -EINTR) return result;
    if (io_uring_peek_cqe(&d->ring, &done) != 0) continue;
    if (done->res < 0) return done->res;
    if (done->flags & IORING_CQE_F_BUFFER) {
      d->lent--;
      d->reclaimed[d->reclaimed_count++] = done->flags >> IORING_CQE_BUFFER_SHIFT;
    }
    received += done->res;
    more = done->flags & IORING_CQE_F_MORE;
    io_uring_cqe_seen(&d->ring, done);
  }
  return received == 1 ? 0 : -EINVAL;
}

static int check(cyc_uring *d) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  int result = receive_one(d, pair[0], pair[1]);
  close(pair[0]);
  close(pair[1]);
  return result;
}

int cyc_uring_enable(cyc_reactor *r) {
  cyc_uring *d = cyc_uring_of(r);
  int result = io_uring_register(d->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
  if (result < 0) return result;
  d->enabled = true;
  io_uring_register_ring_fd(&d->ring);  // saves a descriptor look-up per enter; optional
  result = set_up_lending(r);
  return result < 0 ? result : check(d);
}

void cyc_uring_destroy(cyc_reactor *r) {
  cyc_uring *d = cyc_uring_of(r);
  if (d->lent_ring && d->enabled) io_uring_unregister_buf_ring(&d->ring, CYC_URING_LENT_GROUP);
  io_uring_queue_exit(&d->ring);
  if (d->lent_ring) munmap(d->lent_ring, d->lent_entries * sizeof(struct io_uring_buf));
  for (uint32_t id = 0; d->blocks && id < d->block_count; id++) {
    if (d->blocks[id]) cyc_block_release(d->blocks[id]);
  }
  free(d->blocks);
  free(d->reclaimed);
  free(d->audited);
  free(d);
}

// --------------------------------------------------------------------------------------- lending

// The kernel fills lent blocks in turn, so the more of them are lent, the colder is the memory that
// a receive copies into: twice of what the busiest turn took lately is enough. (Messages of 64 KiB
// on 16 connections: 13.0 us with 64 blocks lent, 15.3 us with 1024.)
static void judge_target(cyc_uring *d) {
  uint32_t taken = d->lent_before - d->lent;
  if (taken > d->taken_peak) d->taken_peak = taken;
  bool is_over = ++d->lend_turns == JUDGED_TURNS;
  if (!is_over && 2 * taken <= d->lend_target) return;
  uint32_t target = 2 * d->taken_peak > LENT_MIN ? 2 * d->taken_peak : LENT_MIN;
  d->lend_target = target < d->block_count ? target : d->block_count;
  d->lend_turns = d->taken_peak = 0;
}

uint32_t cyc_uring_lend(cyc_reactor *r) {
  cyc_uring *d = cyc_uring_of(r);
  int added = 0;
  judge_target(d);
  while (d->reclaimed_count > 0 && d->lent + (uint32_t)added < d->lend_target) {
    uint32_t id = d->reclaimed[d->reclaimed_count - 1];
    if (!d->blocks[id]) {
      cyc_block *block = cyc_block_take(r->pool, r->options.receive_block_size);
      if (!block) break;  // over budget for now: fewer are lent, and this is tried every turn
      block->mark = id;
      d->blocks[id] = block;
    }
    d->reclaimed_count--;
    io_uring_buf_ring_add(d->lent_ring, d->blocks[id]->bytes, r->options.receive_block_size,
                          (unsigned short)id, io_uring_buf_ring_mask(d->lent_entries), added++);
  }
  if (added > 0) io_uring_buf_ring_advance(d->lent_ring, added);
  d->lent += (uint32_t)added;
  d->lent_before = d->lent;
  return d->lent;
}

void cyc_uring_reclaim(cyc_reactor *r, cyc_block *block) {
  cyc_uring *d = cyc_uring_of(r);
  uint32_t id = block->mark;
  assert(d->blocks[id] == block && d->reclaimed_count < d->block_count);
  if (block->references > 1) {
    cyc_block_release(block);
    d->blocks[id] = NULL;
  }
  d->reclaimed[d->reclaimed_count++] = id;
}

// ------------------------------------------------------------------------------------- creating

cyc_driver *cyc_uring_create(const cyc_reactor_options *options, uint32_t *flags, int *error) {
  cyc_uring *d = calloc(1, sizeof *d);
  if (!d) {
    *error = ENOMEM;
    return NULL;
  }
  int result = set_up(d, flags);
  if (result < 0) {
    free(d);
    *error = -result;
    return NULL;
  }
  d->base.calls = &cyc_uring_calls;
  io_uring_ring_dontfork(&d->ring);
  d->block_count = options->receive_blocks;
  return &d->base;
}
