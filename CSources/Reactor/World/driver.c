// The driver of a reactor that lives in a world (driver.h says what a driver is).
//
// As over epoll, an operation that was started is tried when its socket may have something for it:
// the world says so by putting the connection on the ready list. Nothing ever waits here: a turn
// looks at what is due at this instant of the world, and whoever runs the world advances it when no
// reactor has anything left to do.
//
// On a host that crashed every operation ends as cancelled, so that its reactor can be taken down.

#include "world.h"

enum state { QUEUED = 1, CANCELLED_CONNECT = 2, CANCELLED_RECEIVE = 4 };

static world_driver *driver_of(cyc_reactor *r) { return (world_driver *)r->driver; }

// Nothing is waited for: the host crashed, or its reactor is being shut down.
static bool is_gone(const world_driver *d) {
  return d->world->hosts[d->host].is_gone || d->reactor->shut;
}

void world_driver_ready(world_driver *d, uint32_t connection) {
  cyc_connection *c = &d->reactor->connections[connection];
  if (c->driver_state & QUEUED || c->operations == 0) return;
  d->ready = world_grow(d->ready, d->ready_count, &d->ready_capacity, sizeof *d->ready);
  c->driver_state |= QUEUED;
  d->ready[d->ready_count++] = connection;
}

void world_driver_done(world_driver *d, cyc_file_operation *operation) {
  operation->next = NULL;
  *(d->done_last ? &d->done_last->next : &d->done_first) = operation;
  d->done_last = operation;
}

// --------------------------------------------------------------------------------------- blocks

static cyc_block *take_block(cyc_reactor *r) {
  world_driver *d = driver_of(r);
  if (d->blocks_out == d->blocks_max) return NULL;
  if (!d->spare) d->spare = cyc_block_take(r->pool, r->options.receive_block_size);
  return d->spare;
}

static void reclaim(cyc_reactor *r, cyc_block *block) {
  assert(driver_of(r)->blocks_out > 0);
  driver_of(r)->blocks_out--;
  cyc_block_release(block);
}

static uint32_t lend(cyc_reactor *r) {
  return take_block(r) ? driver_of(r)->blocks_max - driver_of(r)->blocks_out : 0;
}

// -------------------------------------------------------------------------------------- starting

static world_socket *socket_of(cyc_reactor *r, cyc_connection *c) {
  world_socket *s = world_socket_of(r->options.world, c->fd);
  s->is_attached = true;
  s->connection = c->index;
  return s;
}

static bool start_receive(cyc_reactor *r, cyc_connection *c) {
  socket_of(r, c);
  c->receiving = true;
  cyc_count_start(r, c);
  world_driver_ready(driver_of(r), c->index);
  return true;
}

static bool start_send(cyc_reactor *r, cyc_connection *c) {
  socket_of(r, c);
  c->sending = true;
  cyc_count_start(r, c);
  world_driver_ready(driver_of(r), c->index);
  return true;
}

static bool start_connect(cyc_reactor *r, cyc_connection *c) {
  cyc_address to;
  cyc_address_load(c->peer, &to);
  c->connecting = true;
  cyc_count_start(r, c);
  world_start_connect(r->options.world, socket_of(r, c), &to);
  world_driver_ready(driver_of(r), c->index);
  return true;
}

static bool cancel_connect(cyc_reactor *r, cyc_connection *c) {
  c->driver_state |= CANCELLED_CONNECT;
  world_driver_ready(driver_of(r), c->index);
  return true;
}

static bool cancel_receive(cyc_reactor *r, cyc_connection *c) {
  c->driver_state |= CANCELLED_RECEIVE;
  world_driver_ready(driver_of(r), c->index);
  return true;
}

static bool start_accept(cyc_reactor *r, cyc_listener *l) {
  l->accepting = true;
  driver_of(r)->has_backlog = true;
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
  r->statistics.operations++;
  world_start_file(r->options.world, r->options.host, operation);
  return true;
}

// ------------------------------------------------------------------------------------ completing

static void try_connect(cyc_reactor *r, cyc_connection *c, const world_socket *s) {
  int result = s->answer;
  if (c->driver_state & CANCELLED_CONNECT || is_gone(driver_of(r))) {
    result = -ECANCELED;
  } else if (!s->is_answered) {
    return;
  }
  cyc_count_end(r, c);
  cyc_connection_on_connect(r, c, result);
}

static void try_send(cyc_reactor *r, cyc_connection *c, world_socket *s) {
  struct iovec vectors[CYC_IOVECS];
  uint32_t count = cyc_send_gather(c, vectors);
  int result = is_gone(driver_of(r)) ? -EPIPE : world_send(r->options.world, s, vectors, count);
  if (result == -EAGAIN) return;
  cyc_count_end(r, c);
  cyc_send_on_done(r, c, result);
}

static void end_receive(cyc_reactor *r, cyc_connection *c, int result) {
  cyc_count_end(r, c);
  c->driver_state &= (uint8_t)~CANCELLED_RECEIVE;
  if (c->frame_max) {
    cyc_frames_on_receive(r, c, result);
  } else {
    cyc_stream_on_receive(r, c, result, NULL, false);
  }
}

static void receive_frames(cyc_reactor *r, cyc_connection *c, world_socket *s) {
  uint8_t *room = c->input->bytes + c->input_end;
  size_t size = c->input->capacity - c->input_end;
  int result = world_receive(r->options.world, s, room, size);
  if (result != -EAGAIN) end_receive(r, c, result);
}

static void receive_stream(cyc_reactor *r, cyc_connection *c, world_socket *s) {
  world_driver *d = driver_of(r);
  cyc_block *block = take_block(r);
  size_t size = r->options.receive_block_size;
  int result = block ? world_receive(r->options.world, s, block->bytes, size) : -ENOBUFS;
  if (result == -EAGAIN) return;
  if (result <= 0) {
    end_receive(r, c, result);
    return;
  }
  d->spare = NULL;
  d->blocks_out++;
  cyc_stream_on_receive(r, c, result, block, true);
  world_driver_ready(d, c->index);
}

static void try_connection(cyc_reactor *r, cyc_connection *c) {
  world_socket *s = world_socket_of(r->options.world, c->fd);
  if (c->connecting) {
    try_connect(r, c, s);
    return;
  }
  if (c->sending) try_send(r, c, s);
  if (!c->receiving) return;
  if (c->driver_state & CANCELLED_RECEIVE || is_gone(driver_of(r))) {
    end_receive(r, c, -ECANCELED);
  } else if (c->frame_max) {
    receive_frames(r, c, s);
  } else {
    receive_stream(r, c, s);
  }
}

// One round over those that were ready when it began.
static void try_ready(cyc_reactor *r) {
  world_driver *d = driver_of(r);
  uint32_t count = d->ready_count;
  for (uint32_t i = 0; i < count; i++) {
    cyc_connection *c = &r->connections[d->ready[i]];
    assert(c->driver_state & QUEUED);
    c->driver_state &= (uint8_t)~QUEUED;
    try_connection(r, c);
  }
  d->ready_count -= count;
  memmove(d->ready, d->ready + count, d->ready_count * sizeof *d->ready);
}

static void accept_waiting(cyc_reactor *r) {
  world_driver *d = driver_of(r);
  if (!d->has_backlog) return;
  d->has_backlog = false;
  for (uint32_t i = 0; i < r->listener_capacity; i++) {
    for (;;) {
      cyc_listener *l = &r->listeners[i];
      if (!l->used || !l->accepting || l->closing) break;
      int fd = world_accept(world_socket_of(d->world, l->fd));
      if (fd < 0) break;
      cyc_listener_on_accept(r, l, fd, true);
    }
  }
}

static void cancel_accepts(cyc_reactor *r) {
  world_driver *d = driver_of(r);
  for (uint32_t i = 0; d->cancelled_accepts > 0 && i < r->listener_capacity; i++) {
    cyc_listener *l = &r->listeners[i];
    if (!l->used || !l->cancelled) continue;
    if (l->accepting) {
      r->statistics.operations--;
      cyc_listener_on_accept(r, l, -ECANCELED, false);
    }
    d->cancelled_accepts--;
    r->statistics.operations--;
    cyc_listener_on_cancel(r, l);
  }
}

static void finish_files(cyc_reactor *r) {
  world_driver *d = driver_of(r);
  cyc_file_operation *operation = d->done_first;
  d->done_first = d->done_last = NULL;
  while (operation) {
    cyc_file_operation *next = operation->next;
    r->statistics.operations--;
    cyc_file_on_done(r, operation, operation->result);
    operation = next;
  }
}

// Operations on files are done at once, and what their events say later is nothing.
static void cancel_everything(cyc_reactor *r) {
  world_driver *d = driver_of(r);
  cyc_world *w = d->world;
  for (uint32_t i = 0; i < r->connections_touched; i++) world_driver_ready(d, i);
  world_wake_disk(w, d->host);
  for (uint32_t i = 0; i < w->heap_count; i++) {
    world_event *event = &w->heap[i];
    if (event->kind != WORLD_FILE || event->host != d->host || !event->operation) continue;
    event->operation->result = -ECANCELED;
    world_driver_done(d, event->operation);
    event->operation = NULL;
  }
}

static int wait_for(cyc_reactor *r, uint64_t timeout_ns) {
  (void)timeout_ns;
  world_driver *d = driver_of(r);
  r->statistics.enters++;
  if (is_gone(d)) cancel_everything(r);
  cyc_read_clock(r);
  cancel_accepts(r);
  accept_waiting(r);
  try_ready(r);
  finish_files(r);
  return 0;
}

// ------------------------------------------------------------------------------------------ life

static int enable(cyc_reactor *r) {
  (void)r;
  return 0;
}

static void destroy(cyc_reactor *r) {
  world_driver *d = driver_of(r);
  d->world->hosts[d->host].driver = NULL;
  if (d->spare) cyc_block_release(d->spare);
  free(d->ready);
  free(d);
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

cyc_driver *cyc_simulated_create(cyc_reactor *r, int *error) {
  cyc_world *w = r->options.world;
  assert(r->options.host < w->options.hosts && !w->hosts[r->options.host].driver);
  world_driver *d = calloc(1, sizeof *d);
  if (!d) {
    *error = ENOMEM;
    return NULL;
  }
  *d = (world_driver){.base = {.calls = &calls},
                      .reactor = r,
                      .world = w,
                      .host = r->options.host,
                      .blocks_max = r->options.receive_blocks};
  r->sockets = &world_sockets;
  w->hosts[d->host].driver = d;
  return &d->base;
}

bool cyc_reactor_is_due(const cyc_reactor *r) {
  const world_driver *d = (const world_driver *)r->driver;
  return r->dirty_count > 0 || r->listeners_dirty || r->files_first || d->ready_count > 0 ||
         d->has_backlog || d->done_first || d->cancelled_accepts > 0 ||
         (is_gone(d) && r->statistics.operations > 0) ||
         cyc_reactor_next(r) <= d->world->now;
}

// A clock that is fast reaches a deadline earlier.
uint64_t cyc_reactor_next(const cyc_reactor *r) {
  const world_driver *d = (const world_driver *)r->driver;
  uint64_t wait = cyc_timers_wait(r);
  if (wait == UINT64_MAX) return UINT64_MAX;
  uint64_t due = r->now + wait, clock = cyc_world_clock(d->world, d->host);
  if (due <= clock) return d->world->now;
  uint64_t rate = (uint64_t)(1000000 + d->world->hosts[d->host].drift_ppm);
  return d->world->now + (due - clock) / 1000 * 1000000 / rate * 1000 + 2000;
}
