// Listeners: one multishot accept each, re-armed when the kernel ends it.
//
// Out of descriptors (EMFILE, ENFILE) or memory, accepting rests for a moment instead of spinning:
// the waiting connections stay in the backlog and are taken when others have closed.

#include "driver.h"

enum { REST_NS = 50 * 1000 * 1000 };

static cyc_listener *find(const cyc_reactor *r, uint64_t id) {
  uint32_t index = (uint32_t)id;
  if (index >= r->listener_capacity) return NULL;
  cyc_listener *l = &r->listeners[index];
  return l->used && l->generation == id >> 32 ? l : NULL;
}

static cyc_listener *take(cyc_reactor *r) {
  for (uint32_t i = 0; i < r->listener_capacity; i++) {
    if (!r->listeners[i].used) return &r->listeners[i];
  }
  uint32_t capacity = r->listener_capacity ? 2 * r->listener_capacity : 4;
  cyc_listener *listeners = realloc(r->listeners, capacity * sizeof *listeners);
  if (!listeners) return NULL;
  for (uint32_t i = r->listener_capacity; i < capacity; i++) {
    listeners[i] = (cyc_listener){.index = i, .generation = 1, .fd = -1};
  }
  cyc_listener *first = &listeners[r->listener_capacity];
  r->listeners = listeners;
  r->listener_capacity = capacity;
  return first;
}

int cyc_listener_open(cyc_reactor *r, const cyc_listen_options *o, uint64_t *id,
                      cyc_address *bound) {
  if (r->shut) return -ESHUTDOWN;
  int fd = r->sockets->listen(r, o, bound);
  if (fd < 0) return fd;
  cyc_listener *l = take(r);
  if (!l) {
    r->sockets->close_listening(r, fd);
    return -ENOMEM;
  }
  *l = (cyc_listener){.index = l->index,
                      .generation = l->generation,
                      .user = o->user,
                      .fd = fd,
                      .frame_max = o->frame_max,
                      .deadlines = o->deadlines,
                      .used = true};
  r->statistics.listeners++;
  r->listeners_dirty = true;
  *id = cyc_id_make(l->index, l->generation);
  return 0;
}

// The shutdown frees the port at once; the descriptor goes when the accept has ended.
void cyc_listener_close(cyc_reactor *r, uint64_t id) {
  cyc_listener *l = find(r, id);
  if (!l || l->closing) return;
  l->closing = true;
  r->sockets->shut_down(r, l->fd, SHUT_RDWR);
  r->listeners_dirty = true;
}

// When the reactor is shut down before it was ever enabled.
void cyc_listeners_discard(cyc_reactor *r) {
  for (uint32_t i = 0; i < r->listener_capacity; i++) {
    if (r->listeners[i].used) r->sockets->close_listening(r, r->listeners[i].fd);
  }
}

static void finish(cyc_reactor *r, cyc_listener *l) {
  r->sockets->close_listening(r, l->fd);
  cyc_event *event = cyc_emit(r, CYC_EVENT_LISTENER_CLOSED);
  event->id = cyc_id_make(l->index, l->generation);
  event->user = l->user;
  *l = (cyc_listener){.index = l->index, .generation = l->generation + 1, .fd = -1};
  if (l->generation == 0) l->generation = 1;
  r->statistics.listeners--;
}

static bool serve(cyc_reactor *r, cyc_listener *l) {
  if (!l->closing) return l->accepting || l->resting || r->driver->calls->accept(r, l);
  if (l->accepting && !l->cancelled) {
    if (!r->driver->calls->cancel_accept(r, l)) return false;
    l->cancelled = true;
  }
  if (!l->accepting && !l->cancelled) finish(r, l);
  return true;
}

bool cyc_listeners_serve(cyc_reactor *r) {
  if (!r->listeners_dirty) return true;
  for (uint32_t i = 0; i < r->listener_capacity; i++) {
    if (r->listeners[i].used && !serve(r, &r->listeners[i])) return false;
  }
  r->listeners_dirty = false;
  return true;
}

void cyc_listener_on_cancel(cyc_reactor *r, cyc_listener *l) {
  l->cancelled = false;
  r->listeners_dirty = true;
}

static void admit(cyc_reactor *r, cyc_listener *l, int fd) {
  cyc_connection *c = NULL;
  if (!l->closing && r->accepted_alive < r->options.connections_max) {
    c = cyc_connection_take(r, fd, CYC_OPEN, l->frame_max, l->user);
  }
  if (!c) {
    r->sockets->close(r, fd);
    r->statistics.refused_accepts++;
    return;
  }
  c->accepted = true;
  c->deadlines = l->deadlines;
  cyc_deadlines_start(r, c);
  r->accepted_alive++;
  r->statistics.accepted++;
  cyc_emit_for(r, CYC_EVENT_ACCEPTED, c);
  cyc_mark_dirty(r, c);
}

void cyc_listener_on_accept(cyc_reactor *r, cyc_listener *l, int result, bool more) {
  if (!more) {
    l->accepting = false;
    r->listeners_dirty = true;
  }
  if (result >= 0) {
    admit(r, l, result);
  } else if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM) {
    r->statistics.accept_rests++;
    l->resting = cyc_timers_add(r, r->now + REST_NS, CYC_TIMER_LISTENERS, 0) != 0;
  }
}
