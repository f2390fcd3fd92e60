// The driver over epoll, for where io_uring is refused.
//
// It turns readiness into completions. An operation that was started is tried at once when its
// descriptor is known to be ready, otherwise when epoll says so:
//
//   start(op) -- descriptor ready? -- yes --> ready list --\
//                     `- no: the next event puts it there --> system call --> completion
//
// Descriptors are registered once, edge-triggered, for both directions, so that a connection costs
// one epoll_ctl in its life. The price is that readiness has to be remembered, as driver_state:
//
//   READABLE   an event said so, and no receive since came back short or empty. A hang-up keeps it:
//              the end of the stream makes no further event.
//   WRITABLE   no send since the last event was cut short
//   QUEUED     on the ready list; then an operation is under way, so the slot stays
//
// Nothing waits in the kernel here, so cancelling is a note that the next wait looks at, and
// closing a descriptor ends its events. Events of a slot's former connection are known by their
// generation.
//
// Listeners are level-triggered: accepting stops after a batch, and they say again what is left.
// Receive blocks come from the pool one at a time; as many may be out as a ring would have lent.

#include "driver.h"
#include "workers.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

enum {
  EVENTS = 512,           // readiness events taken with one system call
  ACCEPTS_PER_TURN = 64,  // of one listener
  RECEIVES_PER_TURN = 4,  // of one connection, so that a fast sender delays nobody for long
};

enum kind { LISTENER = 1, CONNECTION, WAKE, FILES };

enum state {
  REGISTERED = 1,
  READABLE = 2,
  WRITABLE = 4,
  HUNG_UP = 8,
  QUEUED = 16,
  CANCELLED_CONNECT = 32,
  CANCELLED_RECEIVE = 64,
};

typedef struct epoll_driver {
  cyc_driver base;
  int set, bell;
  bool waits_in_milliseconds;  // the kernel has no epoll_pwait2
  uint32_t *ready;
  uint32_t ready_count, ready_capacity;
  uint32_t cancelled_accepts;
  cyc_workers *workers;

  cyc_block *spare;
  uint32_t blocks_max, blocks_out;
} epoll_driver;

static epoll_driver *driver_of(cyc_reactor *r) { return (epoll_driver *)r->driver; }

// --------------------------------------------------------------------------------------- set-up

static bool add(epoll_driver *d, int fd, uint32_t events, uint64_t tag) {
  struct epoll_event event = {.events = events, .data.u64 = tag};
  return epoll_ctl(d->set, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int enable(cyc_reactor *r) {
  epoll_driver *d = driver_of(r);
  // Edge-triggered eventfds need not be read: every write is an event.
  bool is_added = add(d, r->waker, EPOLLIN | EPOLLET, cyc_tag(WAKE, 0, 0)) &&
                  add(d, d->bell, EPOLLIN | EPOLLET, cyc_tag(FILES, 0, 0));
  return is_added ? 0 : -errno;
}

static void destroy(cyc_reactor *r) {
  epoll_driver *d = driver_of(r);
  if (d->workers) cyc_workers_destroy(d->workers);
  if (d->bell >= 0) close(d->bell);
  if (d->set >= 0) close(d->set);
  if (d->spare) cyc_block_release(d->spare);
  free(d->ready);
  free(d);
}

// --------------------------------------------------------------------------------------- lending

static cyc_block *take_block(cyc_reactor *r) {
  epoll_driver *d = driver_of(r);
  if (d->blocks_out == d->blocks_max) return NULL;
  if (!d->spare) d->spare = cyc_block_take(r->pool, r->options.receive_block_size);
  return d->spare;
}

static void reclaim(cyc_reactor *r, cyc_block *block) {
  assert(driver_of(r)->blocks_out > 0);
  driver_of(r)->blocks_out--;
  cyc_block_release(block);
}

// The spare block proves that there is memory for one; what is said beyond that is a guess, and a
// connection armed in vain is starved again. None is armed without that proof.
static uint32_t lend(cyc_reactor *r) {
  if (!take_block(r)) return 0;
  return driver_of(r)->blocks_max - driver_of(r)->blocks_out;
}

// ------------------------------------------------------------------------------------- starting

static void enqueue(cyc_reactor *r, cyc_connection *c) {
  epoll_driver *d = driver_of(r);
  assert(c->operations > 0);
  if (c->driver_state & QUEUED) return;
  if (d->ready_count == d->ready_capacity) {
    uint32_t capacity = d->ready_capacity ? 2 * d->ready_capacity : 1024;
    uint32_t *ready = realloc(d->ready, capacity * sizeof *ready);
    assert(ready);
    d->ready = ready;
    d->ready_capacity = capacity;
  }
  c->driver_state |= QUEUED;
  d->ready[d->ready_count++] = c->index;
}

// Without a registration no operation would ever end: then the connection does.
static bool is_registered(cyc_reactor *r, cyc_connection *c) {
  if (c->driver_state & REGISTERED) return true;
  uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  if (!add(driver_of(r), c->fd, events, cyc_tag(CONNECTION, c->index, c->generation))) {
    cyc_connection_abort(r, c, CYC_CLOSE_FAILED, errno);
    return false;
  }
  c->driver_state |= REGISTERED | WRITABLE;
  return true;
}

static bool start_receive(cyc_reactor *r, cyc_connection *c) {
  if (!is_registered(r, c)) return true;
  c->receiving = true;
  cyc_count_start(r, c);
  if (c->driver_state & READABLE) enqueue(r, c);
  return true;
}

static bool start_send(cyc_reactor *r, cyc_connection *c) {
  if (!is_registered(r, c)) return true;
  c->sending = true;
  cyc_count_start(r, c);
  if (c->driver_state & WRITABLE) enqueue(r, c);
  return true;
}

static bool start_connect(cyc_reactor *r, cyc_connection *c) {
  c->connecting = true;
  cyc_count_start(r, c);
  enqueue(r, c);
  return true;
}

static bool cancel_connect(cyc_reactor *r, cyc_connection *c) {
  c->driver_state |= CANCELLED_CONNECT;
  enqueue(r, c);
  return true;
}

static bool cancel_receive(cyc_reactor *r, cyc_connection *c) {
  c->driver_state |= CANCELLED_RECEIVE;
  enqueue(r, c);
  return true;
}

static bool start_accept(cyc_reactor *r, cyc_listener *l) {
  fcntl(l->fd, F_SETFL, O_NONBLOCK);
  if (!add(driver_of(r), l->fd, EPOLLIN, cyc_tag(LISTENER, l->index, l->generation))) {
    cyc_listener_on_accept(r, l, -ENOMEM, false);
    return true;
  }
  l->accepting = true;
  r->statistics.operations++;
  return true;
}

static bool cancel_accept(cyc_reactor *r, cyc_listener *l) {
  (void)l;
  driver_of(r)->cancelled_accepts++;
  r->statistics.operations++;
  return true;
}

static bool start_file_operation(cyc_reactor *r, cyc_file_operation *operation) {
  epoll_driver *d = driver_of(r);
  if (!d->workers) d->workers = cyc_workers_create(d->bell);
  if (!d->workers || !cyc_workers_submit(d->workers, operation)) return false;
  r->statistics.operations++;
  return true;
}

// ------------------------------------------------------------------------------------ connecting

static void try_connect(cyc_reactor *r, cyc_connection *c) {
  int result = -ECANCELED;
  if (c->driver_state & REGISTERED) {
    socklen_t size = sizeof result;
    if (!(c->driver_state & CANCELLED_CONNECT)) {
      getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &result, &size);
      result = -result;
    }
  } else if (!(c->driver_state & CANCELLED_CONNECT)) {
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    socklen_t size = cyc_address_size(c->peer);
    result = connect(c->fd, (struct sockaddr *)c->peer, size) == 0 ? 0 : -errno;
    if (result == -EINPROGRESS) {
      if (is_registered(r, c)) {
        c->driver_state &= (uint8_t)~WRITABLE;
        return;
      }
      result = -ECANCELED;
    }
  }
  cyc_count_end(r, c);
  cyc_connection_on_connect(r, c, result);
}

// ------------------------------------------------------------------------------------- receiving

static void end_receive(cyc_reactor *r, cyc_connection *c, int result) {
  cyc_count_end(r, c);
  c->driver_state &= (uint8_t)~CANCELLED_RECEIVE;
  if (c->frame_max) {
    cyc_frames_on_receive(r, c, result);
  } else {
    cyc_stream_on_receive(r, c, result, NULL, false);
  }
}

// The bytes received, 0 at the end of the stream, or -errno; -EAGAIN leaves the operation as it is.
static int receive(cyc_reactor *r, cyc_connection *c, uint8_t *bytes, size_t room) {
  ssize_t result;
  do {
    result = recv(c->fd, bytes, room, MSG_DONTWAIT);
    r->statistics.enters++;
  } while (result < 0 && errno == EINTR);
  if (result < 0) result = -errno;
  bool is_empty = result == -EAGAIN || (result > 0 && (size_t)result < room);
  if (is_empty && !(c->driver_state & HUNG_UP)) c->driver_state &= (uint8_t)~READABLE;
  return (int)result;
}

static void try_receive_frames(cyc_reactor *r, cyc_connection *c) {
  uint8_t *room = c->input->bytes + c->input_end;
  int result = receive(r, c, room, c->input->capacity - c->input_end);
  if (result != -EAGAIN) end_receive(r, c, result);
}

static void try_receive_stream(cyc_reactor *r, cyc_connection *c) {
  epoll_driver *d = driver_of(r);
  for (int i = 0; i < RECEIVES_PER_TURN && c->driver_state & READABLE; i++) {
    cyc_block *block = take_block(r);
    int result = block ? receive(r, c, block->bytes, r->options.receive_block_size) : -ENOBUFS;
    if (result == -EAGAIN) return;
    if (result <= 0) {
      end_receive(r, c, result);
      return;
    }
    d->spare = NULL;
    d->blocks_out++;
    cyc_stream_on_receive(r, c, result, block, true);
  }
  if (c->driver_state & READABLE) enqueue(r, c);
}

// --------------------------------------------------------------------------------------- sending

static void try_send(cyc_reactor *r, cyc_connection *c) {
  struct iovec vectors[CYC_IOVECS];
  struct msghdr message = {.msg_iov = vectors, .msg_iovlen = cyc_send_gather(c, vectors)};
  ssize_t result = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  r->statistics.enters++;
  if (result < 0) result = -errno;
  if (result == -EAGAIN) {
    c->driver_state &= (uint8_t)~WRITABLE;
    return;
  }
  cyc_count_end(r, c);
  cyc_send_on_done(r, c, (int)result);
}

// ------------------------------------------------------------------------------------ completing

static void try_connection(cyc_reactor *r, cyc_connection *c) {
  if (c->connecting) {
    try_connect(r, c);
    return;
  }
  if (c->sending && c->driver_state & WRITABLE) try_send(r, c);
  if (!c->receiving) return;
  if (c->driver_state & CANCELLED_RECEIVE) {
    end_receive(r, c, -ECANCELED);
  } else if (c->driver_state & READABLE) {
    if (c->frame_max) {
      try_receive_frames(r, c);
    } else {
      try_receive_stream(r, c);
    }
  }
}

// One round over those that were ready when it began.
static void try_ready(cyc_reactor *r) {
  epoll_driver *d = driver_of(r);
  uint32_t count = d->ready_count;
  if (count == 0) return;
  for (uint32_t i = 0; i < count; i++) {
    cyc_connection *c = &r->connections[d->ready[i]];
    assert(c->driver_state & QUEUED);
    c->driver_state &= (uint8_t)~QUEUED;
    try_connection(r, c);
  }
  d->ready_count -= count;
  memmove(d->ready, d->ready + count, d->ready_count * sizeof *d->ready);
}

static void on_connection_event(cyc_reactor *r, const struct epoll_event *event) {
  cyc_connection *c = &r->connections[(uint32_t)event->data.u64];
  if (c->state == CYC_FREE || !cyc_tag_is_of(event->data.u64, c->generation)) return;
  const uint32_t over = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  if (event->events & over) c->driver_state |= HUNG_UP;
  if (event->events & (EPOLLIN | over)) c->driver_state |= READABLE;
  if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) c->driver_state |= WRITABLE;
  if (!(c->driver_state & QUEUED)) try_connection(r, c);
}

static void end_accept(cyc_reactor *r, cyc_listener *l, int result) {
  epoll_ctl(driver_of(r)->set, EPOLL_CTL_DEL, l->fd, NULL);
  r->statistics.operations--;
  cyc_listener_on_accept(r, l, result, false);
}

// A connection that failed while it waited to be accepted is no error of the listener.
static bool is_passing(int error) {
  return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM ||
         error == ENETDOWN || error == ENETUNREACH || error == EHOSTDOWN || error == EHOSTUNREACH;
}

static void on_listener_event(cyc_reactor *r, uint64_t tag) {
  uint32_t index = (uint32_t)tag;
  for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
    cyc_listener *l = &r->listeners[index];
    if (!l->used || !l->accepting || !cyc_tag_is_of(tag, l->generation)) return;
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    r->statistics.enters++;
    if (fd >= 0) {
      cyc_listener_on_accept(r, l, fd, true);
    } else if (errno == EAGAIN) {
      return;
    } else if (!is_passing(errno)) {
      end_accept(r, l, -errno);
      return;
    }
  }
}

static void cancel_accepts(cyc_reactor *r) {
  epoll_driver *d = driver_of(r);
  for (uint32_t i = 0; d->cancelled_accepts > 0 && i < r->listener_capacity; i++) {
    cyc_listener *l = &r->listeners[i];
    if (!l->used || !l->cancelled) continue;
    if (l->accepting) end_accept(r, l, -ECANCELED);
    d->cancelled_accepts--;
    r->statistics.operations--;
    cyc_listener_on_cancel(r, l);
  }
}

static void collect_files(cyc_reactor *r) {
  cyc_file_operation *operation = cyc_workers_collect(driver_of(r)->workers);
  while (operation) {
    cyc_file_operation *next = operation->next;
    r->statistics.operations--;
    cyc_file_on_done(r, operation, operation->result);
    operation = next;
  }
}

static void on_event(cyc_reactor *r, const struct epoll_event *event) {
  switch ((enum kind)(event->data.u64 >> 56)) {
    case LISTENER:
      on_listener_event(r, event->data.u64);
      break;
    case CONNECTION:
      on_connection_event(r, event);
      break;
    case WAKE:
      r->statistics.wakes++;
      cyc_emit(r, CYC_EVENT_WAKE);
      break;
    case FILES:
      collect_files(r);
      break;
  }
}

// --------------------------------------------------------------------------------------- waiting

static int wait_in_set(epoll_driver *d, struct epoll_event *events, uint64_t timeout_ns) {
  if (!d->waits_in_milliseconds) {
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                               .tv_nsec = (long)(timeout_ns % 1000000000)};
    int count = epoll_pwait2(d->set, events, EVENTS, &timeout, NULL);
    // Older kernels do not know the call; old seccomp profiles refuse it.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    d->waits_in_milliseconds = true;
  }
  return epoll_wait(d->set, events, EVENTS, (int)((timeout_ns + 999999) / 1000000));
}

// Trying what is ready may have completed enough for a turn to go on with.
static bool is_due(cyc_reactor *r) {
  return r->event_count > 0 || r->dirty_count > 0 || r->listeners_dirty || r->files_first ||
         driver_of(r)->ready_count > 0 || (r->starved_first && lend(r) > 0);
}

static int wait_for(cyc_reactor *r, uint64_t timeout_ns) {
  epoll_driver *d = driver_of(r);
  struct epoll_event events[EVENTS];
  cancel_accepts(r);
  try_ready(r);
  int count = wait_in_set(d, events, is_due(r) ? 0 : timeout_ns);
  r->statistics.enters++;
  if (count < 0 && errno != EINTR) return -errno;
  cyc_read_clock(r);
  for (int i = 0; i < count; i++) on_event(r, &events[i]);
  return 0;
}

static const cyc_driver_calls calls = {
    .enable = enable,
    .destroy = destroy,
    .wait = wait_for,
    .accept = start_accept,
    .cancel_accept = cancel_accept,
    .connect = start_connect,
    .cancel_connect = cancel_connect,
    .receive_stream = start_receive,
    .receive_frames = start_receive,
    .cancel_receive = cancel_receive,
    .send = start_send,
    .transfer = start_file_operation,
    .sync = start_file_operation,
    .reclaim = reclaim,
    .lend = lend,
};

cyc_driver *cyc_epoll_create(const cyc_reactor_options *options, int *error) {
  epoll_driver *d = calloc(1, sizeof *d);
  if (!d) {
    *error = ENOMEM;
    return NULL;
  }
  d->base.calls = &calls;
  d->blocks_max = options->receive_blocks;
  d->set = epoll_create1(EPOLL_CLOEXEC);
  d->bell = d->set < 0 ? -1 : eventfd(0, EFD_CLOEXEC);
  if (d->bell >= 0) return &d->base;
  *error = errno;
  if (d->set >= 0) close(d->set);
  free(d);
  return NULL;
}
