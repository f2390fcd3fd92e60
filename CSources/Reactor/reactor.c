// The reactor: its life, and its turn.
//
//   turn:  serve    dirty connections, listeners, file operations start what they are due
//          wait     one enter submits all of it and, if the caller may park, sleeps until
//                   something completes or the earliest deadline
//          emit     completions and expired timers become events, in the order they came
//
// Completions that mean nothing to the caller (a send that went out, a cancelled receive) make no
// event; the turn then serves and waits again, and only returns with something to tell.

#include "driver.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t cyc_reactor_clock(const cyc_reactor *r) {
  const cyc_reactor_options *o = &r->options;
  return o->world ? cyc_world_clock(o->world, o->host) : read_clock(CLOCK_MONOTONIC);
}

void cyc_read_clock(cyc_reactor *r) { r->now = cyc_reactor_clock(r); }

// --------------------------------------------------------------------------------------- life

static bool map_connections(cyc_reactor *r) {
  r->connection_slots = r->options.connections_max + CYC_CONNECT_RESERVE;
  size_t size = (size_t)r->connection_slots * sizeof(cyc_connection);
  // Mapped, not allocated: untouched slots cost nothing, and slots never move.
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  r->connections = memory;
  return true;
}

// Whether another kernel interface may be let in where this one was refused. Out of descriptors or
// of buffers, the other one would fare no better.
static bool may_step_down(const cyc_reactor *r, int error) {
  if (r->options.io != CYC_IO_AUTO || r->options.world) return false;
  return error != EMFILE && error != ENFILE && error != ENOBUFS;
}

static void use_epoll(cyc_reactor *r, int refusal, int *error) {
  r->driver = cyc_epoll_create(&r->options, error);
  r->backend = (cyc_backend){.io = CYC_IO_EPOLL, .refusal = refusal};
}

static void make_driver(cyc_reactor *r, int *error) {
  if (r->options.world) {
    r->driver = cyc_simulated_create(r, error);
    r->backend.io = CYC_IO_SIMULATED;
    return;
  }
  if (r->options.io == CYC_IO_EPOLL) {
    use_epoll(r, 0, error);
    return;
  }
  r->driver = cyc_uring_create(&r->options, &r->backend.flags, error);
  r->backend.io = CYC_IO_URING;
  if (!r->driver && may_step_down(r, *error)) use_epoll(r, *error, error);
}

cyc_reactor *cyc_reactor_create(const cyc_reactor_options *options, cyc_pool *pool, int *error) {
  cyc_reactor *r = calloc(1, sizeof *r);
  if (!r) {
    *error = ENOMEM;
    return NULL;
  }
  r->options = *options;
  r->pool = pool;
  r->sockets = &cyc_kernel_sockets;
  cyc_read_clock(r);
  *error = 0;
  r->waker = eventfd(0, EFD_CLOEXEC);
  if (r->waker < 0) {
    *error = errno;
  } else if (!map_connections(r)) {
    *error = ENOMEM;
  } else {
    make_driver(r, error);
  }
  if (r->driver) return r;
  cyc_reactor_destroy(r);
  return NULL;
}

int cyc_reactor_enable(cyc_reactor *r) {
  assert(!r->enabled && !r->shut);
  int result = r->driver->calls->enable(r);
  // A ring that can be made may still turn out to be unusable; nothing was started on it yet.
  if (result < 0 && r->backend.io == CYC_IO_URING && may_step_down(r, -result)) {
    r->driver->calls->destroy(r);
    int error = 0;
    use_epoll(r, -result, &error);
    result = r->driver ? r->driver->calls->enable(r) : -error;
  }
  r->enabled = result == 0;
  return result;
}

static void release_block(cyc_reactor *r, const cyc_event *event) {
  if (!event->block) return;
  if (event->kind == CYC_EVENT_FILE) {
    cyc_block_release(event->block);
  } else {
    r->driver->calls->reclaim(r, event->block);
  }
}

// Takes everything back from the kernel, without events: the caller is gone. Bounded by the disk
// only: a write in progress has to end before its memory may go.
static void settle(cyc_reactor *r) {
  cyc_files_discard(r);
  cyc_reactor_close_all(r, false);
  cyc_waker_wake(r->waker);
  while (r->statistics.operations > 0 || r->statistics.connections > 0) {
    r->event_count = 0;
    const cyc_event *events;
    int count = cyc_reactor_turn(r, false, &events);
    if (count < 0) break;
    for (int i = 0; i < count; i++) {
      release_block(r, &events[i]);
    }
    if (count == 0) r->driver->calls->wait(r, 1000000);
  }
}

void cyc_reactor_shut_down(cyc_reactor *r) {
  if (r->shut) return;
  r->shut = true;
  if (r->enabled) settle(r);
  for (uint32_t i = 0; i < r->connections_touched; i++) {
    cyc_connection *c = &r->connections[i];
    if (c->state != CYC_FREE && c->operations == 0) cyc_connection_release(r, c);
  }
  cyc_listeners_discard(r);
  cyc_files_discard(r);
  if (r->driver) r->driver->calls->destroy(r);
  r->driver = NULL;
  cyc_timers_free(&r->timers);
  r->statistics.timers = 0;
  while (r->free_gathers) {
    cyc_gather *gather = r->free_gathers;
    r->free_gathers = gather->next;
    free(gather);
  }
}

void cyc_reactor_destroy(cyc_reactor *r) {
  cyc_reactor_shut_down(r);
  if (r->waker >= 0) close(r->waker);
  if (r->connections) munmap(r->connections, r->connection_slots * sizeof(cyc_connection));
  cyc_send_free_spare(r);
  free(r->listeners);
  free(r->events);
  free(r->dirty);
  free(r);
}

// -------------------------------------------------------------------------------------- events

// The array grows to the largest turn and stays; an emitted event is valid until the next emit.
cyc_event *cyc_emit(cyc_reactor *r, cyc_event_kind kind) {
  if (r->event_count == r->event_capacity) {
    uint32_t capacity = r->event_capacity ? 2 * r->event_capacity : 1024;
    cyc_event *events = realloc(r->events, capacity * sizeof *events);
    assert(events);
    r->events = events;
    r->event_capacity = capacity;
  }
  r->statistics.events++;
  cyc_event *event = &r->events[r->event_count++];
  *event = (cyc_event){.kind = (uint16_t)kind};
  return event;
}

void cyc_mark_dirty(cyc_reactor *r, cyc_connection *c) {
  if (c->dirty) return;
  if (r->dirty_count == r->dirty_capacity) {
    uint32_t capacity = r->dirty_capacity ? 2 * r->dirty_capacity : 1024;
    uint32_t *dirty = realloc(r->dirty, capacity * sizeof *dirty);
    assert(dirty);
    r->dirty = dirty;
    r->dirty_capacity = capacity;
  }
  c->dirty = true;
  r->dirty[r->dirty_count++] = c->index;
}

cyc_close_reason cyc_reason_of(int error) {
  switch (error) {
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
      return CYC_CLOSE_RESET;
    case ECONNREFUSED:
      return CYC_CLOSE_REFUSED;
    case ETIMEDOUT:
      return CYC_CLOSE_TIMED_OUT;
    default:
      return CYC_CLOSE_FAILED;
  }
}

// ---------------------------------------------------------------------------------------- turns

// Serves everything that is due; false when that was not possible yet. What meets a full submission
// queue stays on its list, in order.
// Serving one connection may put it (an abort) on the list again: `dirty` is cleared before.
static bool serve(cyc_reactor *r) {
  if (!cyc_starved_serve(r) || !cyc_listeners_serve(r) || !cyc_files_serve(r)) return false;
  uint32_t done = 0;
  for (; done < r->dirty_count; done++) {
    cyc_connection *c = &r->connections[r->dirty[done]];
    assert(c->dirty);
    c->dirty = false;
    if (!cyc_connection_serve(r, c)) {
      c->dirty = true;
      break;
    }
  }
  r->dirty_count -= done;
  if (r->dirty_count == 0) {
    r->starved_lately = false;
    return true;
  }
  r->statistics.queue_full++;
  memmove(r->dirty, r->dirty + done, r->dirty_count * sizeof *r->dirty);
  return false;
}

int cyc_reactor_turn(cyc_reactor *r, bool park, const cyc_event **events) {
  assert(r->enabled && !r->current.block);
  r->event_count = 0;
  r->statistics.turns++;
  for (;;) {
    bool is_served = serve(r);
    // Blocks went to those who waited longest, and these may have nothing to receive: as long as
    // there are blocks, whoever waits behind them is armed in the next round, before we sleep.
    bool is_armed = !r->starved_first || r->driver->calls->lend(r) == 0;
    bool may_wait = park && is_served && is_armed && r->event_count == 0;
    uint64_t wait = may_wait ? cyc_timers_wait(r) : 0;
    int result = r->driver->calls->wait(r, wait < CYC_WAIT_MAX_NS ? wait : CYC_WAIT_MAX_NS);
    if (result < 0) return result;
    cyc_timers_expire(r);
    if (r->event_count > 0 || !park) break;
  }
  *events = r->events;
  return (int)r->event_count;
}

void cyc_reactor_close_all(cyc_reactor *r, bool flush) {
  for (uint32_t i = 0; i < r->listener_capacity; i++) {
    cyc_listener *l = &r->listeners[i];
    if (l->used) cyc_listener_close(r, cyc_id_make(l->index, l->generation));
  }
  for (uint32_t i = 0; i < r->connections_touched; i++) {
    cyc_connection *c = &r->connections[i];
    if (c->state != CYC_FREE) cyc_connection_close(r, cyc_connection_id(c), flush, CYC_CLOSE_LOCAL);
  }
}

// ----------------------------------------------------------------------------------- questions

cyc_reactor_statistics cyc_reactor_report(const cyc_reactor *r) { return r->statistics; }
uint64_t cyc_reactor_now(const cyc_reactor *r) { return r->now; }

uint64_t cyc_reactor_wall_clock(const cyc_reactor *r) {
  const cyc_reactor_options *o = &r->options;
  return o->world ? cyc_world_wall_clock(o->world, o->host) : read_clock(CLOCK_REALTIME);
}

uint64_t cyc_reactor_random(cyc_reactor *r) {
  if (r->options.world) return cyc_world_random(r->options.world);
  uint64_t number;
  ssize_t size = getrandom(&number, sizeof number, 0);
  assert(size == sizeof number);  // as getrandom(2) promises for so few bytes
  return number;
}

cyc_backend cyc_reactor_backend(const cyc_reactor *r) { return r->backend; }

int cyc_reactor_waker(const cyc_reactor *r) { return r->waker; }

void cyc_waker_wake(int waker) {
  uint64_t one = 1;
  // Fails only when the counter is full, and then the reactor is being woken already.
  ssize_t written = write(waker, &one, sizeof one);
  (void)written;
}

void cyc_thread_name(const char *name) { prctl(PR_SET_NAME, name); }

void cyc_thread_gather(void) {
  const struct sched_param none = {0};
  sched_setscheduler(0, SCHED_BATCH, &none);
}
