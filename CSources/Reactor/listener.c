// Listeners: one multishot accept each, re-armed when the kernel ends it.
//
// Out of descriptors (EMFILE, ENFILE) or memory, accepting rests for a moment instead of spinning:
// the waiting connections stay in the backlog and are taken when others have closed.

#include "driver.h"

#include <fcntl.h>

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

// A Unix socket leaves its name behind when its process is killed. It is free when nobody answers.
static void remove_stale_name(const cyc_address *address) {
  if (address->family != CYC_FAMILY_LOCAL) return;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  struct sockaddr_storage storage;
  socklen_t size = cyc_address_store(address, &storage);
  bool is_stale = connect(fd, (struct sockaddr *)&storage, size) != 0 && errno == ECONNREFUSED;
  close(fd);
  if (is_stale) unlink(address->path);
}

static void remove_name(int fd) {
  struct sockaddr_storage storage = {0};
  socklen_t size = sizeof storage;
  cyc_address address;
  if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) return;
  cyc_address_load(&storage, &address);
  if (address.family == CYC_FAMILY_LOCAL && address.path[0]) unlink(address.path);
}

// Listeners share a port when all have SO_REUSEPORT, of whatever server they are. So the first one
// gets it only after it was bound without: that is refused when anybody listens there.
static int bind_socket(int fd, const cyc_listen_options *o) {
  struct sockaddr_storage storage;
  socklen_t size = cyc_address_store(&o->address, &storage);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (o->sharing == CYC_SHARING_JOINED) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&storage, size) != 0) return -errno;
  if (o->sharing == CYC_SHARING_FIRST) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  return listen(fd, o->backlog) == 0 ? 0 : -errno;
}

static int open_socket(const cyc_reactor *r, const cyc_listen_options *o, cyc_address *bound) {
  remove_stale_name(&o->address);
  int fd = socket(cyc_address_family(&o->address), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  cyc_set_socket_options(r, fd);
  int result = bind_socket(fd, o);
  struct sockaddr_storage storage;
  socklen_t size = sizeof storage;
  if (result == 0 && getsockname(fd, (struct sockaddr *)&storage, &size) != 0) result = -errno;
  if (result < 0) {
    close(fd);
    return result;
  }
  cyc_address_load(&storage, bound);
  return fd;
}

int cyc_listener_open(cyc_reactor *r, const cyc_listen_options *o, uint64_t *id,
                      cyc_address *bound) {
  if (r->shut) return -ESHUTDOWN;
  int fd = open_socket(r, o, bound);
  if (fd < 0) return fd;
  cyc_listener *l = take(r);
  if (!l) {
    close(fd);
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
  shutdown(l->fd, SHUT_RDWR);
  r->listeners_dirty = true;
}

static void close_socket(cyc_listener *l) {
  remove_name(l->fd);
  close(l->fd);
}

// When the reactor is shut down before it was ever enabled.
void cyc_listeners_discard(cyc_reactor *r) {
  for (uint32_t i = 0; i < r->listener_capacity; i++) {
    if (r->listeners[i].used) close_socket(&r->listeners[i]);
  }
}

static void finish(cyc_reactor *r, cyc_listener *l) {
  close_socket(l);
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
    close(fd);
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
