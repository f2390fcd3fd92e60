// Sockets of the world, and the streams between them.
//
//   send --> peer's wire [ chunk | chunk | END ] --(latency; held while the link is blocked)--> input
//            one delivery at a time is scheduled per wire, so nothing overtakes
//
// Connecting takes two journeys: the wish to the listener's host, the answer back. Where the other
// side of a stream is gone, whatever is sent to it is answered with a reset, as TCP does; while its
// machine is gone, with silence.

#include "world.h"

static const uint64_t RETRY_NS = 200000000;       // of what a blocked link did not let through
static const uint64_t CONNECT_RETRY_NS = 1000000000;

// --------------------------------------------------------------------------------------- slots

world_socket *world_socket_of(cyc_world *w, int fd) {
  assert(fd >= CYC_WORLD_FD && (uint32_t)(fd - CYC_WORLD_FD) < w->socket_count);
  return &w->sockets[fd - CYC_WORLD_FD];
}

static uint32_t slot_of(const cyc_world *w, const world_socket *s) {
  return (uint32_t)(s - w->sockets);
}

static world_socket *find(cyc_world *w, uint32_t slot, uint32_t generation) {
  world_socket *s = &w->sockets[slot];
  return s->state != SOCKET_FREE && s->generation == generation ? s : NULL;
}

static world_socket *peer_of(cyc_world *w, const world_socket *s) {
  if (s->state != SOCKET_JOINED) return NULL;
  world_socket *peer = find(w, s->peer, s->peer_generation);
  return peer && peer->state == SOCKET_JOINED ? peer : NULL;
}

// May move the sockets: take no pointer across it.
static uint32_t make(cyc_world *w, uint32_t host, socket_state state) {
  uint32_t slot = w->free_socket;
  uint32_t generation = 0;
  if (slot != UINT32_MAX) {
    w->free_socket = w->sockets[slot].next_free;
    generation = w->sockets[slot].generation;
  } else {
    w->sockets = world_grow(w->sockets, w->socket_count, &w->socket_capacity, sizeof *w->sockets);
    slot = w->socket_count++;
  }
  w->sockets[slot] = (world_socket){.generation = generation + 1, .state = state, .host = host};
  return slot;
}

static void drop(chunk_queue *queue) {
  while (queue->first) {
    chunk *first = queue->first;
    queue->first = first->next;
    free(first);
  }
  *queue = (chunk_queue){0};
}

static void append(chunk_queue *queue, chunk *c) {
  c->next = NULL;
  *(queue->last ? &queue->last->next : &queue->first) = c;
  queue->last = c;
  queue->bytes += c->length - c->taken;
}

static chunk *take(chunk_queue *queue) {
  chunk *first = queue->first;
  queue->first = first->next;
  if (!queue->first) queue->last = NULL;
  queue->bytes -= first->length - first->taken;
  return first;
}

static void release(cyc_world *w, world_socket *s) {
  drop(&s->wire);
  drop(&s->input);
  free(s->backlog);
  uint32_t generation = s->generation;
  *s = (world_socket){.generation = generation, .next_free = w->free_socket};
  w->free_socket = slot_of(w, s);
}

void world_free_sockets(cyc_world *w) {
  for (uint32_t i = 0; i < w->socket_count; i++) {
    drop(&w->sockets[i].wire);
    drop(&w->sockets[i].input);
    free(w->sockets[i].backlog);
  }
  free(w->sockets);
}

// ----------------------------------------------------------------------------------- addresses

static void address_of(uint32_t host, uint16_t port, cyc_address *out) {
  *out = (cyc_address){.family = CYC_FAMILY_IPV4, .port = port};
  out->bytes[0] = 10;
  out->bytes[2] = (uint8_t)(host >> 8);
  out->bytes[3] = (uint8_t)host;
}

// UINT32_MAX when no host has the address.
static uint32_t host_at(const cyc_world *w, const cyc_address *address) {
  if (address->family != CYC_FAMILY_IPV4 || address->bytes[0] != 10) return UINT32_MAX;
  uint32_t host = (uint32_t)address->bytes[2] << 8 | address->bytes[3];
  return host < w->options.hosts ? host : UINT32_MAX;
}

static world_socket *listener_at(cyc_world *w, uint32_t host, uint16_t port) {
  for (uint32_t i = 0; i < w->socket_count; i++) {
    world_socket *s = &w->sockets[i];
    if (s->state == SOCKET_LISTENING && s->host == host && s->local.port == port) return s;
  }
  return NULL;
}

// ------------------------------------------------------------------------------------- streams

static bool is_blocked(const cyc_world *w, uint32_t from, uint32_t to) {
  return w->blocked[from * w->options.hosts + to] || w->hosts[to].is_silent ||
         w->hosts[from].is_silent;
}

static uint64_t latency(cyc_world *w) {
  return world_delay(w, w->options.latency_ns, w->options.latency_spread_ns);
}

static void arm(cyc_world *w, world_socket *s, uint64_t at) {
  s->is_armed = true;
  world_schedule(w, (world_event){.at = at,
                                  .kind = WORLD_DELIVER,
                                  .socket = slot_of(w, s),
                                  .generation = s->generation});
}

static void put_on_wire(cyc_world *w, world_socket *to, chunk *c) {
  uint64_t due = w->now + latency(w);
  c->due = to->last_due = due > to->last_due ? due : to->last_due;
  append(&to->wire, c);
  if (!to->is_armed) arm(w, to, c->due);
}

static void put_mark(cyc_world *w, world_socket *to, chunk_kind kind) {
  chunk *c = calloc(1, sizeof *c);
  if (!c) abort();
  c->kind = kind;
  put_on_wire(w, to, c);
}

static void wake(cyc_world *w, const world_socket *s) {
  world_driver *d = w->hosts[s->host].driver;
  if (d && s->is_attached) world_driver_ready(d, s->connection);
}

static void arrive(cyc_world *w, world_socket *s, chunk *c) {
  switch (c->kind) {
    case CHUNK_BYTES:
      append(&s->input, c);
      return;
    case CHUNK_END:
      s->has_ended = true;
      break;
    case CHUNK_RESET:
      s->is_reset = true;
      w->statistics.resets++;
      drop(&s->input);
      break;
  }
  free(c);
}

void world_on_deliver(cyc_world *w, const world_event *event) {
  world_socket *s = find(w, event->socket, event->generation);
  if (!s) return;
  s->is_armed = false;
  uint32_t from = host_at(w, &s->remote);
  if (is_blocked(w, from, s->host)) {
    w->statistics.retransmissions++;
    arm(w, s, w->now + RETRY_NS + world_below(w, RETRY_NS));
    return;
  }
  while (s->wire.first && s->wire.first->due <= w->now) arrive(w, s, take(&s->wire));
  if (s->wire.first) arm(w, s, s->wire.first->due);
  wake(w, s);
}

int world_receive(cyc_world *w, world_socket *s, uint8_t *bytes, size_t room) {
  size_t done = 0;
  while (done < room && s->input.first) {
    chunk *c = s->input.first;
    size_t part = c->length - c->taken;
    if (part > room - done) part = room - done;
    memcpy(bytes + done, c->bytes + c->taken, part);
    done += part;
    if (c->taken + part == c->length) {
      free(take(&s->input));
    } else {
      c->taken += (uint32_t)part;
      s->input.bytes -= part;
    }
  }
  if (done > 0) {
    world_socket *peer = peer_of(w, s);
    if (peer) wake(w, peer);
    return (int)done;
  }
  if (s->is_reset) return -ECONNRESET;
  return s->has_ended ? 0 : -EAGAIN;
}

static chunk *copy_vectors(const struct iovec *vectors, uint32_t count, size_t length) {
  chunk *c = malloc(sizeof *c + length);
  if (!c) abort();
  *c = (chunk){.kind = CHUNK_BYTES, .length = (uint32_t)length};
  size_t done = 0;
  for (uint32_t i = 0; i < count && done < length; i++) {
    size_t part = vectors[i].iov_len < length - done ? vectors[i].iov_len : length - done;
    memcpy(c->bytes + done, vectors[i].iov_base, part);
    done += part;
  }
  return c;
}

int world_send(cyc_world *w, world_socket *s, const struct iovec *vectors, uint32_t count) {
  if (s->is_reset) return -ECONNRESET;
  if (s->state != SOCKET_JOINED || s->output_ended) return -EPIPE;
  size_t offered = 0;
  for (uint32_t i = 0; i < count; i++) offered += vectors[i].iov_len;
  world_socket *peer = peer_of(w, s);
  if (!peer) {
    // Nobody is there any more: that comes back.
    put_mark(w, s, CHUNK_RESET);
    return (int)offered;
  }
  size_t waiting = peer->wire.bytes + peer->input.bytes;
  if (waiting >= CYC_WORLD_WINDOW) return -EAGAIN;
  size_t length = CYC_WORLD_WINDOW - waiting;
  if (length > offered) length = offered;
  if (world_below(w, 1000000) < w->options.short_ppm) length = 1 + world_below(w, length);
  chunk *c = copy_vectors(vectors, count, length);
  w->statistics.segments++;
  w->statistics.bytes += length;
  world_note_bytes(w, c->bytes, length);
  put_on_wire(w, peer, c);
  return (int)length;
}

// ---------------------------------------------------------------------------------- connecting

static void answer(cyc_world *w, const world_socket *s, int32_t result) {
  world_schedule(w, (world_event){.at = w->now + latency(w),
                                  .kind = WORLD_CONNECTED,
                                  .socket = slot_of(w, s),
                                  .generation = s->generation,
                                  .result = result});
}

void world_start_connect(cyc_world *w, world_socket *s, const cyc_address *to) {
  s->remote = *to;
  world_schedule(w, (world_event){.at = w->now + latency(w),
                                  .kind = WORLD_CONNECT,
                                  .socket = slot_of(w, s),
                                  .generation = s->generation});
}

void world_on_connect(cyc_world *w, const world_event *event) {
  world_socket *s = find(w, event->socket, event->generation);
  if (!s || s->state != SOCKET_MADE) return;
  uint32_t host = host_at(w, &s->remote);
  if (host == UINT32_MAX) {
    answer(w, s, -EHOSTUNREACH);
    return;
  }
  if (is_blocked(w, s->host, host)) {
    world_event again = *event;
    again.at = w->now + CONNECT_RETRY_NS;
    world_schedule(w, again);
    return;
  }
  if (!listener_at(w, host, s->remote.port)) {
    w->statistics.refusals++;
    answer(w, s, -ECONNREFUSED);
    return;
  }
  uint32_t slot = make(w, host, SOCKET_JOINED);
  s = &w->sockets[event->socket];
  world_socket *listener = listener_at(w, host, s->remote.port);
  world_socket *accepted = &w->sockets[slot];
  accepted->local = s->remote;
  accepted->remote = s->local;
  accepted->peer = event->socket;
  accepted->peer_generation = s->generation;
  s->state = SOCKET_JOINED;
  s->peer = slot;
  s->peer_generation = accepted->generation;
  listener->backlog = world_grow(listener->backlog, listener->backlog_count,
                                 &listener->backlog_capacity, sizeof *listener->backlog);
  listener->backlog[listener->backlog_count++] = slot;
  w->hosts[host].driver->has_backlog = true;
  answer(w, s, 0);
}

void world_on_connected(cyc_world *w, const world_event *event) {
  world_socket *s = find(w, event->socket, event->generation);
  if (!s) return;
  s->is_answered = true;
  s->answer = event->result;
  wake(w, s);
}

int world_accept(world_socket *s) {
  if (s->backlog_count == 0) return -EAGAIN;
  uint32_t slot = s->backlog[0];
  s->backlog_count--;
  memmove(s->backlog, s->backlog + 1, s->backlog_count * sizeof *s->backlog);
  return CYC_WORLD_FD + (int)slot;
}

// -------------------------------------------------------------------------- as the kernel does it

static cyc_world *world_of(const cyc_reactor *r) { return r->options.world; }

static int open_socket(cyc_reactor *r, const cyc_address *address) {
  if (address->family != CYC_FAMILY_IPV4) return -EAFNOSUPPORT;
  cyc_world *w = world_of(r);
  uint32_t slot = make(w, r->options.host, SOCKET_MADE);
  address_of(r->options.host, w->next_port++, &w->sockets[slot].local);
  return CYC_WORLD_FD + (int)slot;
}

static int listen_at(cyc_reactor *r, const cyc_listen_options *o, cyc_address *bound) {
  if (o->address.family != CYC_FAMILY_IPV4) return -EAFNOSUPPORT;
  cyc_world *w = world_of(r);
  uint16_t port = o->address.port ? o->address.port : w->next_port++;
  if (listener_at(w, r->options.host, port)) return -EADDRINUSE;
  uint32_t slot = make(w, r->options.host, SOCKET_LISTENING);
  address_of(r->options.host, port, &w->sockets[slot].local);
  *bound = w->sockets[slot].local;
  return CYC_WORLD_FD + (int)slot;
}

static bool is_connected_to_itself(const cyc_reactor *r, int fd) {
  (void)r;
  (void)fd;
  return false;
}

static bool peer_address(const cyc_reactor *r, int fd, cyc_address *out) {
  const world_socket *s = world_socket_of(world_of(r), fd);
  if (s->state != SOCKET_JOINED) return false;
  *out = s->remote;
  return true;
}

static void end_output(cyc_world *w, world_socket *s) {
  if (s->output_ended) return;
  s->output_ended = true;
  world_socket *peer = peer_of(w, s);
  if (peer) put_mark(w, peer, CHUNK_END);
}

static void close_socket(cyc_reactor *r, int fd) {
  cyc_world *w = world_of(r);
  world_socket *s = world_socket_of(w, fd);
  world_socket *peer = peer_of(w, s);
  if (peer && s->input.bytes + s->wire.bytes > 0) {
    put_mark(w, peer, CHUNK_RESET);
  } else {
    end_output(w, s);
  }
  release(w, s);
}

static void refuse_waiting(cyc_reactor *r, world_socket *s) {
  cyc_world *w = world_of(r);
  for (int fd = world_accept(s); fd >= 0; fd = world_accept(s)) {
    world_socket *peer = peer_of(w, world_socket_of(w, fd));
    if (peer) put_mark(w, peer, CHUNK_RESET);
    release(w, world_socket_of(w, fd));
  }
}

static void close_listening(cyc_reactor *r, int fd) {
  world_socket *s = world_socket_of(world_of(r), fd);
  refuse_waiting(r, s);
  release(world_of(r), s);
}

static void shut_down(cyc_reactor *r, int fd, int how) {
  cyc_world *w = world_of(r);
  world_socket *s = world_socket_of(w, fd);
  if (s->state == SOCKET_LISTENING) {
    s->state = SOCKET_MADE;
    refuse_waiting(r, s);
    return;
  }
  end_output(w, s);
  if (how != SHUT_RDWR) return;
  s->has_ended = true;
  wake(w, s);
}

const cyc_socket_calls world_sockets = {
    .open = open_socket,
    .listen = listen_at,
    .close_listening = close_listening,
    .is_connected_to_itself = is_connected_to_itself,
    .peer = peer_address,
    .shut_down = shut_down,
    .close = close_socket,
};

// ----------------------------------------------------------------------------------- accidents

void cyc_world_reset(cyc_world *w, uint32_t a, uint32_t b) {
  for (uint32_t i = 0; i < w->socket_count; i++) {
    world_socket *s = &w->sockets[i];
    world_socket *peer = s->host == a ? peer_of(w, s) : NULL;
    if (!peer || peer->host != b) continue;
    put_mark(w, s, CHUNK_RESET);
    put_mark(w, peer, CHUNK_RESET);
  }
}

// The slots stay until their reactor is taken down.
void world_cut_sockets(cyc_world *w, uint32_t host, bool is_silent) {
  for (uint32_t i = 0; i < w->socket_count; i++) {
    world_socket *s = &w->sockets[i];
    if (s->host != host || s->state == SOCKET_FREE) continue;
    world_socket *peer = peer_of(w, s);
    if (peer && is_silent) drop(&peer->wire);  // nobody sends it again
    if (peer && !is_silent) put_mark(w, peer, CHUNK_RESET);
    s->state = SOCKET_CUT;
    drop(&s->wire);
    drop(&s->input);
    wake(w, s);
  }
}
