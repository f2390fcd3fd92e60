// The driver over io_uring.
//
// One ring, one issuer, completions run when we enter (DEFER_TASKRUN), so nothing interrupts the
// reactor and a batch of completions costs one system call. Multishot accept and receive stay armed
// in the kernel; received bytes land in blocks lent through one provided-buffer ring:
//
//   lent ring   [ id | id | id | ... ]   a power of two of entries, entry = one block
//   blocks[id]  the block behind an entry: lent, or out with a completion, or NULL when the pool
//               could not replace one that the caller kept
//   reclaimed   ids that are to be lent again
//
//   user_data   cyc_tag                                  a file operation: its address | kind FILE
//
// Invariants
//   - a slot's index is not reused while one of its operations is in the kernel, so a completion
//     always meets the slot it was started for; the generation only proves it.
//   - all state changes follow the completion of the operation itself; what its cancellation
//     returned (0, ENOENT, EALREADY, by kernel) is ignored.
//
// A turn that answers takes two enters: sends complete while they are submitted, so the one that
// submits them returns at once, and the next one sleeps. Dropped: waiting for one completion more
// than there are sends, with a limit of 200 us for the case that one does not complete. It halved
// the enters, and doubled the processor time of a single connection (10 us a message to 20): arming
// a timer that short costs more than an enter. At 50 connections it made no difference.
//
// Seen on Linux 6.18: of 100,000 short connections now and then one whose end arrives while its
// receive goes back to waiting is never told of, though /proc/self/fdinfo shows the receive armed,
// and the socket is closed. So receives that were armed or told of something are looked at again,
// AUDIT_NS later, all with one poll(2): where there is something to receive, the receive is
// cancelled, and its completion starts it anew. An idle reactor has none to look at.
//
// Set-up asks for the best flags and steps down when the kernel knows fewer (EINVAL). The ring
// starts disabled and is enabled on its thread. Debian's liburing 2.3 declares
// io_uring_enable_rings but does not export it, hence the raw register call.

#include "driver.h"

#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>

enum {
  SUBMISSIONS = 1024,
  COMPLETIONS = 8192,
  LENT_GROUP = 0,
  AUDIT_BATCH = 256,
  DRAIN_ROUNDS = 16,  // further enters for completions the kernel holds back, per wait
};

enum kind { ACCEPT = 1, CANCEL_ACCEPT, CONNECT, RECEIVE, CANCEL, SEND, WAKE, FILE_DONE };

typedef struct uring_driver {
  cyc_driver base;
  struct io_uring ring;
  bool enabled, waker_armed;
  uint64_t wake_count;  // where the waker's counter is read to

  struct io_uring_buf_ring *lent_ring;
  uint32_t lent_entries;
  uint32_t block_count;
  uint32_t lent;
  cyc_block **blocks;
  uint32_t *reclaimed;
  uint32_t reclaimed_count;

  uint32_t *audited;  // connections whose receive is to be looked at, all at `audit_at`
  uint32_t audit_count, audit_capacity;
  uint64_t audit_at;
} uring_driver;

static const uint64_t AUDIT_NS = 50 * 1000000;

static uring_driver *driver_of(cyc_reactor *r) { return (uring_driver *)r->driver; }

// --------------------------------------------------------------------------------------- set-up

static int set_up(uring_driver *d, uint32_t *flags) {
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

static uint32_t lend(cyc_reactor *r);

static int set_up_lending(cyc_reactor *r) {
  uring_driver *d = driver_of(r);
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
                                          .bgid = LENT_GROUP};
  int result = io_uring_register_buf_ring(&d->ring, &registration, 0);
  if (result < 0) return result;
  for (uint32_t id = d->block_count; id-- > 0;) d->reclaimed[d->reclaimed_count++] = id;
  lend(r);
  return d->reclaimed_count == 0 ? 0 : -ENOBUFS;
}

// A ring that can be made may still be of no use: a seccomp profile may refuse to enter it, an old
// kernel may not know a multishot receive. So one byte is received the way all others will be.
static int receive_one(uring_driver *d, int from, int to) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&d->ring);
  io_uring_prep_recv_multishot(entry, from, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = LENT_GROUP;
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

static int check(uring_driver *d) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  int result = receive_one(d, pair[0], pair[1]);
  close(pair[0]);
  close(pair[1]);
  return result;
}

static int enable(cyc_reactor *r) {
  uring_driver *d = driver_of(r);
  int result = io_uring_register(d->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
  if (result < 0) return result;
  d->enabled = true;
  io_uring_register_ring_fd(&d->ring);  // saves a descriptor look-up per enter; optional
  result = set_up_lending(r);
  return result < 0 ? result : check(d);
}

static void destroy(cyc_reactor *r) {
  uring_driver *d = driver_of(r);
  if (d->lent_ring && d->enabled) io_uring_unregister_buf_ring(&d->ring, LENT_GROUP);
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

static uint32_t lend(cyc_reactor *r) {
  uring_driver *d = driver_of(r);
  int added = 0;
  while (d->reclaimed_count > 0) {
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
  return d->lent;
}

static void reclaim(cyc_reactor *r, cyc_block *block) {
  uring_driver *d = driver_of(r);
  uint32_t id = block->mark;
  assert(d->blocks[id] == block && d->reclaimed_count < d->block_count);
  if (block->references > 1) {
    cyc_block_release(block);
    d->blocks[id] = NULL;
  }
  d->reclaimed[d->reclaimed_count++] = id;
}

// ------------------------------------------------------------------------------------- starting

static struct io_uring_sqe *next_entry(uring_driver *d) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&d->ring);
  if (entry) return entry;
  io_uring_submit(&d->ring);
  return io_uring_get_sqe(&d->ring);
}

static bool start_accept(cyc_reactor *r, cyc_listener *l) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  io_uring_prep_multishot_accept(entry, l->fd, NULL, NULL, SOCK_CLOEXEC);
  entry->user_data = cyc_tag(ACCEPT, l->index, l->generation);
  l->accepting = true;
  r->statistics.operations++;
  return true;
}

static bool cancel_accept(cyc_reactor *r, cyc_listener *l) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  io_uring_prep_cancel64(entry, cyc_tag(ACCEPT, l->index, l->generation), 0);
  entry->user_data = cyc_tag(CANCEL_ACCEPT, l->index, l->generation);
  r->statistics.operations++;
  return true;
}

static bool start_connect(cyc_reactor *r, cyc_connection *c) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  io_uring_prep_connect(entry, c->fd, (struct sockaddr *)c->peer, cyc_address_size(c->peer));
  entry->user_data = cyc_tag(CONNECT, c->index, c->generation);
  c->connecting = true;
  cyc_count_start(r, c);
  return true;
}

static bool cancel(cyc_reactor *r, cyc_connection *c, enum kind kind) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  io_uring_prep_cancel64(entry, cyc_tag(kind, c->index, c->generation), 0);
  entry->user_data = cyc_tag(CANCEL, c->index, c->generation);
  cyc_count_start(r, c);
  return true;
}

static bool cancel_connect(cyc_reactor *r, cyc_connection *c) { return cancel(r, c, CONNECT); }
static bool cancel_receive(cyc_reactor *r, cyc_connection *c) { return cancel(r, c, RECEIVE); }

// Has the connection's receive looked at once more. Without memory for that it is not.
static void note_receive(cyc_reactor *r, cyc_connection *c) {
  uring_driver *d = driver_of(r);
  if (c->audited) return;
  if (d->audit_count == d->audit_capacity) {
    uint32_t capacity = d->audit_capacity ? 2 * d->audit_capacity : 64;
    uint32_t *audited = realloc(d->audited, capacity * sizeof *audited);
    if (!audited) return;
    d->audited = audited;
    d->audit_capacity = capacity;
  }
  if (d->audit_count == 0) d->audit_at = r->now + AUDIT_NS;
  c->audited = true;
  d->audited[d->audit_count++] = c->index;
}

// Looks at up to AUDIT_BATCH of the receives noted, the last ones first; false when one that has to
// start anew cannot be cancelled now.
static bool audit_batch(cyc_reactor *r) {
  uring_driver *d = driver_of(r);
  struct pollfd waiting[AUDIT_BATCH];
  cyc_connection *connections[AUDIT_BATCH];
  uint32_t count = 0;
  while (d->audit_count > 0 && count < AUDIT_BATCH) {
    cyc_connection *c = &r->connections[d->audited[--d->audit_count]];
    if (c->state == CYC_FREE || !c->audited) continue;
    c->audited = false;
    if (!c->receiving || c->receive_cancelled) continue;
    waiting[count] = (struct pollfd){.fd = c->fd, .events = POLLIN | POLLRDHUP};
    connections[count++] = c;
  }
  if (count == 0 || poll(waiting, count, 0) <= 0) return true;
  bool is_done = true;
  for (uint32_t i = 0; i < count; i++) {
    if (waiting[i].revents == 0) continue;
    if (cancel_receive(r, connections[i])) {
      connections[i]->receive_cancelled = true;
    } else {
      note_receive(r, connections[i]);
      is_done = false;
    }
  }
  return is_done;
}

// Looks at all receives noted: once in AUDIT_NS, under load too, and not in every turn.
static void audit(cyc_reactor *r) {
  uring_driver *d = driver_of(r);
  while (d->audit_count > 0) {
    if (audit_batch(r)) continue;
    d->audit_at = r->now + AUDIT_NS;
    return;
  }
}

static bool start_receive_stream(cyc_reactor *r, cyc_connection *c) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  io_uring_prep_recv_multishot(entry, c->fd, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = LENT_GROUP;
  entry->user_data = cyc_tag(RECEIVE, c->index, c->generation);
  c->receiving = true;
  note_receive(r, c);
  cyc_count_start(r, c);
  return true;
}

static bool start_receive_frames(cyc_reactor *r, cyc_connection *c) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  cyc_block *input = c->input;
  io_uring_prep_recv(entry, c->fd, input->bytes + c->input_end, input->capacity - c->input_end, 0);
  entry->user_data = cyc_tag(RECEIVE, c->index, c->generation);
  c->receiving = true;
  note_receive(r, c);
  cyc_count_start(r, c);
  return true;
}

static cyc_gather *take_gather(cyc_reactor *r) {
  cyc_gather *gather = r->free_gathers;
  if (!gather) return malloc(sizeof *gather);
  r->free_gathers = gather->next;
  return gather;
}

// A single slice needs no message header that would have to live as long as the operation. Without
// memory for one, the first slice goes alone.
static bool start_send(cyc_reactor *r, cyc_connection *c) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  c->gather = c->queue_count > 1 ? take_gather(r) : NULL;
  if (c->gather) {
    uint32_t count = cyc_send_gather(c, c->gather->vectors);
    c->gather->header = (struct msghdr){.msg_iov = c->gather->vectors, .msg_iovlen = count};
    io_uring_prep_sendmsg(entry, c->fd, &c->gather->header, MSG_NOSIGNAL);
  } else {
    const cyc_slice *first = &c->queue[c->queue_head];
    c->offered = first->length;
    io_uring_prep_send(entry, c->fd, first->block->bytes + first->offset, first->length,
                       MSG_NOSIGNAL);
  }
  entry->user_data = cyc_tag(SEND, c->index, c->generation);
  c->sending = true;
  cyc_count_start(r, c);
  return true;
}

static void tag_file(struct io_uring_sqe *entry, cyc_file_operation *operation) {
  uint64_t address = (uint64_t)(uintptr_t)operation;
  assert(address >> 56 == 0);
  entry->user_data = (uint64_t)FILE_DONE << 56 | address;
}

static bool start_transfer(cyc_reactor *r, cyc_file_operation *operation) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  uint64_t offset = (uint64_t)operation->offset + operation->done;
  if (operation->kind == CYC_FILE_READ) {
    io_uring_prep_readv(entry, operation->fd, operation->vectors, 1, offset);
  } else {
    io_uring_prep_writev2(entry, operation->fd, operation->vectors, operation->vector_count, offset,
                          operation->durable ? RWF_DSYNC : 0);
  }
  tag_file(entry, operation);
  r->statistics.operations++;
  return true;
}

static bool start_sync(cyc_reactor *r, cyc_file_operation *operation) {
  struct io_uring_sqe *entry = next_entry(driver_of(r));
  if (!entry) return false;
  io_uring_prep_fsync(entry, operation->fd, IORING_FSYNC_DATASYNC);
  tag_file(entry, operation);
  r->statistics.operations++;
  return true;
}

// ------------------------------------------------------------------------------------ completing

static void arm_waker(cyc_reactor *r) {
  uring_driver *d = driver_of(r);
  struct io_uring_sqe *entry = next_entry(d);
  if (!entry) return;
  io_uring_prep_read(entry, r->waker, &d->wake_count, sizeof d->wake_count, 0);
  entry->user_data = cyc_tag(WAKE, 0, 0);
  d->waker_armed = true;
  r->statistics.operations++;
}

static cyc_block *filled_block(uring_driver *d, uint32_t flags) {
  if (!(flags & IORING_CQE_F_BUFFER)) return NULL;
  uint32_t id = flags >> IORING_CQE_BUFFER_SHIFT;
  assert(id < d->block_count && d->blocks[id] && d->lent > 0);
  d->lent--;
  return d->blocks[id];
}

static void complete_connection(cyc_reactor *r, enum kind kind, const struct io_uring_cqe *done) {
  cyc_connection *c = &r->connections[(uint32_t)done->user_data];
  bool more = done->flags & IORING_CQE_F_MORE;
  assert(c->state != CYC_FREE && c->operations > 0);
  assert(cyc_tag_is_of(done->user_data, c->generation));
  if (!more) cyc_count_end(r, c);
  switch (kind) {
    case CONNECT:
      cyc_connection_on_connect(r, c, done->res);
      break;
    case RECEIVE:
      if (more) note_receive(r, c);
      if (c->frame_max) {
        cyc_frames_on_receive(r, c, done->res);
      } else {
        cyc_stream_on_receive(r, c, done->res, filled_block(driver_of(r), done->flags), more);
      }
      break;
    case SEND:
      cyc_send_on_done(r, c, done->res);
      break;
    default:
      cyc_connection_on_cancel(r, c);
  }
}

static void complete(cyc_reactor *r, const struct io_uring_cqe *done) {
  enum kind kind = (enum kind)(done->user_data >> 56);
  bool more = done->flags & IORING_CQE_F_MORE;
  if (kind != ACCEPT && kind != CANCEL_ACCEPT && kind != WAKE && kind != FILE_DONE) {
    complete_connection(r, kind, done);
    return;
  }
  if (!more) r->statistics.operations--;
  if (kind == FILE_DONE) {
    uint64_t address = done->user_data & (UINT64_MAX >> 8);
    cyc_file_on_done(r, (cyc_file_operation *)(uintptr_t)address, done->res);
  } else if (kind == WAKE) {
    driver_of(r)->waker_armed = false;
    r->statistics.wakes++;
    cyc_emit(r, CYC_EVENT_WAKE);
  } else {
    cyc_listener *l = &r->listeners[(uint32_t)done->user_data];
    if (kind == ACCEPT) {
      cyc_listener_on_accept(r, l, done->res, more);
    } else {
      cyc_listener_on_cancel(r, l);
    }
  }
}

static unsigned reap(cyc_reactor *r) {
  struct io_uring *ring = &driver_of(r)->ring;
  struct io_uring_cqe *entry;
  unsigned head, count = 0;
  io_uring_for_each_cqe(ring, head, entry) {
    struct io_uring_cqe done = *entry;
    complete(r, &done);
    count++;
  }
  io_uring_cq_advance(ring, count);
  return count;
}

// Since Linux 6.13 one enter hands over about 20 deferred completions and keeps the rest; a turn
// should see them all, so that their answers leave together.
static bool holds_back(const struct io_uring *ring) {
  unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
  return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static int wait_for(cyc_reactor *r, uint64_t timeout_ns) {
  uring_driver *d = driver_of(r);
  if (!d->waker_armed && !r->shut) arm_waker(r);
  if (d->audit_count > 0 && timeout_ns > 0) {
    uint64_t left = d->audit_at > r->now ? d->audit_at - r->now : 1;
    if (left < timeout_ns) timeout_ns = left;
  }
  int result;
  if (timeout_ns == 0) {
    result = io_uring_submit_and_get_events(&d->ring);
  } else {
    struct io_uring_cqe *entry;
    struct __kernel_timespec timeout = {.tv_sec = (long long)(timeout_ns / 1000000000),
                                        .tv_nsec = (long long)(timeout_ns % 1000000000)};
    result = io_uring_submit_and_wait_timeout(&d->ring, &entry, 1, &timeout, NULL);
  }
  r->statistics.enters++;
  cyc_read_clock(r);
  reap(r);
  for (int round = 0; round < DRAIN_ROUNDS && holds_back(&d->ring); round++) {
    io_uring_get_events(&d->ring);
    r->statistics.enters++;
    if (reap(r) == 0) break;
  }
  if (d->audit_count > 0 && r->now >= d->audit_at) audit(r);
  // Busy, out of memory for a moment, interrupted, timed out: what could not be submitted stays in
  // the queue and goes with the next enter.
  bool passes = result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
                result == -EBUSY || result == -ENOMEM;
  return passes ? 0 : result;
}

static const cyc_driver_calls calls = {
    .enable = enable,
    .destroy = destroy,
    .wait = wait_for,
    .accept = start_accept,
    .cancel_accept = cancel_accept,
    .connect = start_connect,
    .cancel_connect = cancel_connect,
    .receive_stream = start_receive_stream,
    .receive_frames = start_receive_frames,
    .cancel_receive = cancel_receive,
    .send = start_send,
    .transfer = start_transfer,
    .sync = start_sync,
    .reclaim = reclaim,
    .lend = lend,
};

cyc_driver *cyc_uring_create(const cyc_reactor_options *options, uint32_t *flags, int *error) {
  uring_driver *d = calloc(1, sizeof *d);
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
  d->base.calls = &calls;
  io_uring_ring_dontfork(&d->ring);
  d->block_count = options->receive_blocks;
  return &d->base;
}
