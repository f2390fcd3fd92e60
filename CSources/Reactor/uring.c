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
// A busy turn is one enter: it submits the answers to the last one and brings what has come since.
// When nothing has, it takes a second one to sleep, since sends complete while they are submitted,
// and that ends the first one. Dropped: waiting for one completion more than there are sends. One
// that the socket takes in part has to be continued at once, so that sleep has to be short; a timer
// to bound it costs more than an enter, and without one the gain was 1 % at 50 connections.
//
// Time limits do not come with the enter: starting and stopping a kernel timer in each one cost 5 %
// of a single connection's processor time. One timer, the alarm, is kept in the ring. It is moved
// only to be earlier; one that goes off too early costs a turn with nothing in it.
//
// The kernel can keep the end of a connection to itself. A receive that is tried in vain, then goes
// to wait, and finds data and a reset as it starts to wait, takes the data and is not told of the
// reset: each multishot receive looks once per wake-up. (Seen on Linux 6.18, 3 to 6 times in 100,000
// connections that send a byte and reset; with IORING_RECVSEND_POLL_FIRST, which is therefore not
// used, every time.) So connections that received are looked at again AUDIT_NS later, all with one
// poll(2): where the peer has ended, the receive is cancelled, and its completion starts it anew. An
// idle reactor has none to look at, a busy one pays about 100 ns per connection in each AUDIT_NS.

#include "uring.h"

#include <poll.h>

enum {
  AUDIT_BATCH = 256,
  DRAIN_ROUNDS = 16,  // further enters for completions the kernel holds back, per wait
  KERNEL_BATCH = 20,  // deferred completions that it hands over in one enter, since Linux 6.13
};

enum kind {
  ACCEPT = 1,
  CANCEL_ACCEPT,
  CONNECT,
  RECEIVE,
  CANCEL,
  SEND,
  WAKE,
  ALARM,
  ALARM_MOVED,
  FILE_DONE,
};

static const uint64_t AUDIT_NS = 50 * 1000000;

// ------------------------------------------------------------------------------------- starting

static struct io_uring_sqe *next_entry(cyc_uring *d) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&d->ring);
  if (entry) return entry;
  io_uring_submit(&d->ring);
  return io_uring_get_sqe(&d->ring);
}

static bool start_accept(cyc_reactor *r, cyc_listener *l) {
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
  if (!entry) return false;
  io_uring_prep_multishot_accept(entry, l->fd, NULL, NULL, SOCK_CLOEXEC);
  entry->user_data = cyc_tag(ACCEPT, l->index, l->generation);
  l->accepting = true;
  r->statistics.operations++;
  return true;
}

static bool cancel_accept(cyc_reactor *r, cyc_listener *l) {
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
  if (!entry) return false;
  io_uring_prep_cancel64(entry, cyc_tag(ACCEPT, l->index, l->generation), 0);
  entry->user_data = cyc_tag(CANCEL_ACCEPT, l->index, l->generation);
  r->statistics.operations++;
  return true;
}

static bool start_connect(cyc_reactor *r, cyc_connection *c) {
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
  if (!entry) return false;
  io_uring_prep_connect(entry, c->fd, (struct sockaddr *)c->peer, cyc_address_size(c->peer));
  entry->user_data = cyc_tag(CONNECT, c->index, c->generation);
  c->connecting = true;
  cyc_count_start(r, c);
  return true;
}

static bool cancel(cyc_reactor *r, cyc_connection *c, enum kind kind) {
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
  if (!entry) return false;
  io_uring_prep_cancel64(entry, cyc_tag(kind, c->index, c->generation), 0);
  entry->user_data = cyc_tag(CANCEL, c->index, c->generation);
  cyc_count_start(r, c);
  return true;
}

static bool cancel_connect(cyc_reactor *r, cyc_connection *c) { return cancel(r, c, CONNECT); }
static bool cancel_receive(cyc_reactor *r, cyc_connection *c) { return cancel(r, c, RECEIVE); }

static bool start_receive_stream(cyc_reactor *r, cyc_connection *c) {
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
  if (!entry) return false;
  io_uring_prep_recv_multishot(entry, c->fd, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = CYC_URING_LENT_GROUP;
  entry->user_data = cyc_tag(RECEIVE, c->index, c->generation);
  c->receiving = true;
  cyc_count_start(r, c);
  return true;
}

static bool start_receive_frames(cyc_reactor *r, cyc_connection *c) {
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
  if (!entry) return false;
  cyc_block *input = c->input;
  io_uring_prep_recv(entry, c->fd, input->bytes + c->input_end, input->capacity - c->input_end, 0);
  entry->user_data = cyc_tag(RECEIVE, c->index, c->generation);
  c->receiving = true;
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
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
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
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
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
  struct io_uring_sqe *entry = next_entry(cyc_uring_of(r));
  if (!entry) return false;
  io_uring_prep_fsync(entry, operation->fd, IORING_FSYNC_DATASYNC);
  tag_file(entry, operation);
  r->statistics.operations++;
  return true;
}

// ------------------------------------------------------------------------------------- auditing

// Has the connection looked at once more. Without memory for that it is not.
static void note_receive(cyc_reactor *r, cyc_connection *c) {
  cyc_uring *d = cyc_uring_of(r);
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

// Looks at up to AUDIT_BATCH of the connections noted, the last ones first; false when a receive
// that has to start anew cannot be cancelled now. Input that only waits to be received is no reason.
static bool audit_batch(cyc_reactor *r) {
  cyc_uring *d = cyc_uring_of(r);
  struct pollfd waiting[AUDIT_BATCH];
  cyc_connection *connections[AUDIT_BATCH];
  uint32_t count = 0;
  while (d->audit_count > 0 && count < AUDIT_BATCH) {
    cyc_connection *c = &r->connections[d->audited[--d->audit_count]];
    if (c->state == CYC_FREE || !c->audited) continue;
    c->audited = false;
    if (!c->receiving || c->receive_cancelled) continue;
    waiting[count] = (struct pollfd){.fd = c->fd, .events = POLLRDHUP};
    connections[count++] = c;
  }
  if (count == 0 || poll(waiting, count, 0) <= 0) return true;
  bool is_done = true;
  for (uint32_t i = 0; i < count; i++) {
    if (waiting[i].revents == 0) continue;
    if (cancel_receive(r, connections[i])) {
      connections[i]->receive_cancelled = true;
      r->statistics.missed_ends++;
    } else {
      note_receive(r, connections[i]);
      is_done = false;
    }
  }
  return is_done;
}

// Looks at all connections noted, so that under load, too, it is done once in AUDIT_NS and not in
// every turn.
static void audit(cyc_reactor *r) {
  cyc_uring *d = cyc_uring_of(r);
  while (d->audit_count > 0) {
    if (audit_batch(r)) continue;
    d->audit_at = r->now + AUDIT_NS;
    return;
  }
}

// ------------------------------------------------------------------------------------ completing

static void arm_waker(cyc_reactor *r) {
  cyc_uring *d = cyc_uring_of(r);
  struct io_uring_sqe *entry = next_entry(d);
  if (!entry) return;
  io_uring_prep_read(entry, r->waker, &d->wake_count, sizeof d->wake_count, 0);
  entry->user_data = cyc_tag(WAKE, 0, 0);
  d->waker_armed = true;
  r->statistics.operations++;
}

static cyc_block *filled_block(cyc_uring *d, uint32_t flags) {
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
      if (more && done->res > 0) note_receive(r, c);
      if (c->frame_max) {
        cyc_frames_on_receive(r, c, done->res);
      } else {
        cyc_stream_on_receive(r, c, done->res, filled_block(cyc_uring_of(r), done->flags), more);
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
  if (kind == ALARM || kind == ALARM_MOVED) {
    if (kind == ALARM) cyc_uring_of(r)->alarm_at = 0;
    return;
  }
  if (kind != ACCEPT && kind != CANCEL_ACCEPT && kind != WAKE && kind != FILE_DONE) {
    complete_connection(r, kind, done);
    return;
  }
  if (!more) r->statistics.operations--;
  if (kind == FILE_DONE) {
    uint64_t address = done->user_data & (UINT64_MAX >> 8);
    cyc_file_on_done(r, (cyc_file_operation *)(uintptr_t)address, done->res);
  } else if (kind == WAKE) {
    cyc_uring_of(r)->waker_armed = false;
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
  struct io_uring *ring = &cyc_uring_of(r)->ring;
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

// -------------------------------------------------------------------------------------- waiting

// Whether the kernel has completions that did not fit into the last enter's batch. Those that have
// come since wait for the next turn.
static bool holds_back(const struct io_uring *ring, unsigned handed_over) {
  if (handed_over < KERNEL_BATCH) return false;
  unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
  return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

// Has the ring's own timer end a sleep by `at`; false when the submission queue is full. The timer
// holds nothing of ours and is not counted as an operation: it ends with the ring.
static bool set_alarm(cyc_uring *d, uint64_t at) {
  if (d->alarm_at > 0 && d->alarm_at <= at) return true;
  struct io_uring_sqe *entry = next_entry(d);
  if (!entry) return false;
  d->alarm_time = (struct __kernel_timespec){.tv_sec = (long long)(at / 1000000000),
                                             .tv_nsec = (long long)(at % 1000000000)};
  uint64_t alarm = cyc_tag(ALARM, 0, 0);
  if (d->alarm_at == 0) {
    io_uring_prep_timeout(entry, &d->alarm_time, 0, IORING_TIMEOUT_ABS);
    entry->user_data = alarm;
  } else {
    // When it goes off just now it cannot be moved, but then it ends the sleep.
    io_uring_prep_timeout_update(entry, &d->alarm_time, alarm, IORING_TIMEOUT_ABS);
    entry->user_data = cyc_tag(ALARM_MOVED, 0, 0);
  }
  d->alarm_at = at;
  return true;
}

static int enter(cyc_reactor *r, uint64_t timeout_ns) {
  cyc_uring *d = cyc_uring_of(r);
  r->statistics.enters++;
  bool may_sleep = timeout_ns == CYC_WAIT_MAX_NS ||
                   (timeout_ns > 0 && set_alarm(d, r->now + timeout_ns));
  if (!may_sleep) return io_uring_submit_and_get_events(&d->ring);
  return io_uring_submit_and_wait(&d->ring, 1);
}

static int wait_for(cyc_reactor *r, uint64_t timeout_ns) {
  cyc_uring *d = cyc_uring_of(r);
  if (!d->waker_armed && !r->shut) arm_waker(r);
  if (d->audit_count > 0 && timeout_ns > 0) {
    uint64_t left = d->audit_at > r->now ? d->audit_at - r->now : 1;
    if (left < timeout_ns) timeout_ns = left;
  }
  int result = enter(r, timeout_ns);
  cyc_read_clock(r);
  uint64_t sends = r->statistics.sends;
  unsigned count = reap(r);
  count -= (unsigned)(r->statistics.sends - sends);
  for (int round = 0; round < DRAIN_ROUNDS && holds_back(&d->ring, count); round++) {
    io_uring_get_events(&d->ring);
    r->statistics.enters++;
    count = reap(r);
  }
  if (d->audit_count > 0 && r->now >= d->audit_at) audit(r);
  // Busy, out of memory for a moment, interrupted: what could not be submitted stays in the queue
  // and goes with the next enter.
  bool passes = result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY ||
                result == -ENOMEM;
  return passes ? 0 : result;
}

const cyc_driver_calls cyc_uring_calls = {
    .enable = cyc_uring_enable,
    .destroy = cyc_uring_destroy,
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
    .reclaim = cyc_uring_reclaim,
    .lend = cyc_uring_lend,
};
