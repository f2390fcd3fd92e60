// Connection slots, and how connections begin and end.
//
// Teardown never closes a descriptor that the kernel still works on: an armed multishot receive
// keeps the socket alive after close(), while the descriptor's number is given to the next accept.
// So CLOSING means: cancel by operation, shut the socket down, wait until `operations` is 0, only
// then close it, tell the caller, and pass the slot on under the next generation.
//
// A flushing close sends what is queued, then our end of stream, and goes on discarding input until
// the peer's end arrives: closing with unread input would make the kernel reset the connection, and
// the peer could lose the last reply.

#include "driver.h"

cyc_event *cyc_emit_for(cyc_reactor *r, cyc_event_kind kind, const cyc_connection *c) {
  cyc_event *event = cyc_emit(r, kind);
  event->id = cyc_connection_id(c);
  event->user = c->user;
  return event;
}

// ------------------------------------------------------------------------------------- slots

cyc_connection *cyc_connection_take(cyc_reactor *r, int fd, cyc_state state, uint32_t frame_max,
                                    uint64_t user) {
  cyc_connection *c = r->free_connections;
  uint32_t generation;
  if (c) {
    r->free_connections = c->next_free;
    generation = c->generation;
  } else {
    if (r->connections_touched == r->connection_slots) return NULL;
    c = &r->connections[r->connections_touched++];
    generation = 1;
  }
  assert(c->state == CYC_FREE);
  uint32_t index = (uint32_t)(c - r->connections);
  *c = (cyc_connection){.index = index,
                        .generation = generation,
                        .user = user,
                        .fd = fd,
                        .state = (uint8_t)state,
                        .frame_max = frame_max};
  r->statistics.connections++;
  return c;
}

// Gives back what a connection holds, once the kernel holds nothing of it.
void cyc_connection_release(cyc_reactor *r, cyc_connection *c) {
  assert(c->operations == 0);
  if (c->fd >= 0) r->sockets->close(r, c->fd);
  free(c->peer);
  cyc_send_discard(c);
  free(c->queue);
  if (c->input) cyc_block_release(c->input);
}

static void finish(cyc_reactor *r, cyc_connection *c) {
  assert(c->state == CYC_CLOSING && !c->dirty);
  if (c->starved) cyc_starved_remove(r, c);
  cyc_deadlines_clear(r, c);
  cyc_connection_release(r, c);

  cyc_event *event = cyc_emit_for(r, CYC_EVENT_CLOSED, c);
  event->reason = c->reason;
  event->result = c->error;

  if (c->accepted) r->accepted_alive--;
  r->statistics.connections--;
  r->statistics.closes++;
  uint32_t index = c->index;
  uint32_t generation = c->generation + 1 == 0 ? 1 : c->generation + 1;
  *c = (cyc_connection){.index = index, .generation = generation, .fd = -1};
  c->next_free = r->free_connections;
  r->free_connections = c;
}

// ------------------------------------------------------------------------------------ serving

static bool serve_closing(cyc_reactor *r, cyc_connection *c) {
  if (!c->torn_down) {
    if (c->connecting && !r->driver->calls->cancel_connect(r, c)) return false;
    if (c->receiving && !c->receive_cancelled) {
      if (!r->driver->calls->cancel_receive(r, c)) return false;
      c->receive_cancelled = true;
    }
    if (c->fd >= 0) r->sockets->shut_down(r, c->fd, SHUT_RDWR);
    c->torn_down = true;
  }
  if (c->operations == 0) finish(r, c);
  return true;
}

static bool serve_input(cyc_reactor *r, cyc_connection *c) {
  return c->frame_max ? cyc_frames_serve(r, c) : cyc_stream_serve(r, c);
}

static void finish_output(cyc_reactor *r, cyc_connection *c) {
  if (c->output_over) return;
  r->sockets->shut_down(r, c->fd, SHUT_WR);
  c->output_over = true;
}

static bool serve_flushing(cyc_reactor *r, cyc_connection *c) {
  if (!cyc_send_serve(r, c)) return false;
  if (c->queue_count == 0 && !c->sending) {
    finish_output(r, c);
    if (c->input_over) {
      c->state = CYC_CLOSING;
      return serve_closing(r, c);
    }
  }
  return serve_input(r, c);
}

// The end of input is told after everything before it was shown, and not while paused.
static bool serve_open(cyc_reactor *r, cyc_connection *c) {
  if (c->offer_again && !c->paused) {
    c->offer_again = false;
    if (c->input && c->input_end > c->input_start) {
      cyc_emit_for(r, c->frame_max ? CYC_EVENT_FRAMES : CYC_EVENT_READABLE, c);
    }
  }
  if (c->input_over && !c->input_over_told && !c->paused) {
    c->input_over_told = true;
    cyc_emit_for(r, CYC_EVENT_INPUT_ENDED, c);
  }
  if (!cyc_send_serve(r, c) || !serve_input(r, c)) return false;
  if (!c->finishing || c->queue_count > 0 || c->sending || c->state != CYC_OPEN) return true;
  finish_output(r, c);
  if (c->input_over_settled) cyc_connection_abort(r, c, CYC_CLOSE_END_OF_INPUT, 0);
  return true;
}

// Starts what the state calls for. False when the kernel's queue is full: come again.
bool cyc_connection_serve(cyc_reactor *r, cyc_connection *c) {
  switch ((cyc_state)c->state) {
    case CYC_CONNECTING:
      return c->connecting || r->driver->calls->connect(r, c);
    case CYC_OPEN:
      return serve_open(r, c);
    case CYC_FLUSHING:
      return serve_flushing(r, c);
    case CYC_CLOSING:
      return serve_closing(r, c);
    case CYC_FREE:
      break;
  }
  return true;
}

// ----------------------------------------------------------------------------------- connecting

uint64_t cyc_connection_connect(cyc_reactor *r, const cyc_connect_options *o) {
  int fd = r->shut ? -ESHUTDOWN : r->sockets->open(r, &o->address);
  cyc_connection *c = cyc_connection_take(r, fd, CYC_CONNECTING, o->frame_max, o->user);
  if (!c) {
    if (fd >= 0) r->sockets->close(r, fd);
    return 0;
  }
  r->statistics.connects++;
  c->peer = malloc(sizeof *c->peer);
  if (c->peer) cyc_address_store(&o->address, c->peer);
  if (fd < 0 || !c->peer) {
    cyc_connection_abort(r, c, CYC_CLOSE_FAILED, fd < 0 ? -fd : ENOMEM);
  } else {
    c->deadlines = o->deadlines;
    cyc_deadlines_limit(r, c, o->timeout_ns);
    cyc_mark_dirty(r, c);
  }
  return cyc_connection_id(c);
}

void cyc_connection_on_connect(cyc_reactor *r, cyc_connection *c, int result) {
  c->connecting = false;
  free(c->peer);
  c->peer = NULL;
  cyc_mark_dirty(r, c);
  if (c->state != CYC_CONNECTING) return;
  if (result == 0 && r->sockets->is_connected_to_itself(r, c->fd)) result = -ECONNREFUSED;
  if (result < 0) {
    cyc_connection_abort(r, c, cyc_reason_of(-result), -result);
    return;
  }
  c->state = CYC_OPEN;
  cyc_deadlines_start(r, c);
  cyc_emit_for(r, CYC_EVENT_CONNECTED, c);
}

void cyc_connection_on_cancel(cyc_reactor *r, cyc_connection *c) {
  // What was cancelled reports for itself; this only counts the operation down.
  cyc_mark_dirty(r, c);
}

// -------------------------------------------------------------------------------------- ending

static void count_reason(cyc_reactor_statistics *s, cyc_close_reason reason) {
  s->send_overflows += reason == CYC_CLOSE_SEND_OVERFLOW;
  s->input_overflows += reason == CYC_CLOSE_INPUT_OVERFLOW;
  s->protocol_violations += reason == CYC_CLOSE_PROTOCOL_VIOLATION;
  s->out_of_buffers += reason == CYC_CLOSE_OUT_OF_BUFFERS;
  s->resets += reason == CYC_CLOSE_RESET;
}

void cyc_connection_abort(cyc_reactor *r, cyc_connection *c, cyc_close_reason reason, int error) {
  if (c->state == CYC_CLOSING || c->state == CYC_FREE) return;
  if (c->state != CYC_FLUSHING) {
    c->reason = (uint8_t)reason;
    c->error = error;
  }
  count_reason(&r->statistics, reason);
  c->state = CYC_CLOSING;
  cyc_mark_dirty(r, c);
}

void cyc_connection_close(cyc_reactor *r, uint64_t id, bool flush, cyc_close_reason reason) {
  cyc_connection *c = cyc_find(r, id);
  if (!c || c->state == CYC_CLOSING) return;
  if (!flush || c->state != CYC_OPEN) {
    if (flush && c->state == CYC_FLUSHING) return;
    cyc_connection_abort(r, c, reason, 0);
    return;
  }
  c->state = CYC_FLUSHING;
  c->reason = (uint8_t)reason;
  c->paused = false;
  cyc_deadlines_limit(r, c, r->options.flush_ns);
  cyc_mark_dirty(r, c);
}

// ------------------------------------------------------------------------------------ questions

bool cyc_connection_is_open(const cyc_reactor *r, uint64_t id) {
  return cyc_find_open(r, id) != NULL;
}

bool cyc_connection_peer(const cyc_reactor *r, uint64_t id, cyc_address *out) {
  const cyc_connection *c = cyc_find(r, id);
  return c && c->fd >= 0 && r->sockets->peer(r, c->fd, out);
}

bool cyc_connection_settle_end(cyc_reactor *r, uint64_t id) {
  cyc_connection *c = cyc_find_open(r, id);
  if (!c) return false;
  // Resumed in the same turn, it is first shown once more what it left.
  bool is_settled = !c->paused && !c->offer_again;
  c->input_over_told = c->input_over_settled = is_settled;
  if (c->finishing || !is_settled) cyc_mark_dirty(r, c);
  return is_settled;
}

void cyc_connection_finish_output(cyc_reactor *r, uint64_t id) {
  cyc_connection *c = cyc_find_open(r, id);
  if (!c || c->finishing) return;
  c->finishing = true;
  cyc_mark_dirty(r, c);
}

void cyc_connection_pause(cyc_reactor *r, uint64_t id) {
  cyc_connection *c = cyc_find_open(r, id);
  if (!c || c->paused) return;
  c->paused = true;
  cyc_mark_dirty(r, c);
}

void cyc_connection_resume(cyc_reactor *r, uint64_t id) {
  cyc_connection *c = cyc_find_open(r, id);
  if (!c || !c->paused) return;
  c->paused = false;
  c->offer_again = true;
  cyc_mark_dirty(r, c);
}
