// Input of stream connections.
//
//   kernel fills a lent block --> READABLE event --> begin: the block itself, nothing copied
//                                                    end: all consumed? give the block back
//   not all consumed: the rest is gathered in the connection's own input block, later blocks are
//   copied behind it, and begin shows that block from the first unconsumed byte on:
//
//     input   [ consumed | unconsumed ............ | room ]
//                        ^input_start    input_end^
//
// Invariants
//   - the shown bytes are contiguous, start at the first unconsumed byte and are shown only when
//     there are at least `needs` of them.
//   - a lent block goes back with its event: nothing holds it but a slice the caller shared. Then
//     the kernel gets another block for it.
//   - when `needs` is known, the input block is taken once at that size, so that a large value is
//     copied once, not log n times.
//   - while paused nothing is shown; what the kernel had already received is gathered.
//
// Starvation: a receive that finds no lent block ends with ENOBUFS, and arming it again before one
// is back would end at once, even on an idle socket. The connection waits in a queue; as many
// are armed again per turn as blocks have come back, the longest waiting first. Whoever took more
// than a quarter of the blocks in a turn in which others starved is stopped, and waits behind them:
// the kernel would go on filling blocks for it as long as its socket has data. The same when it
// took the last one and starved itself: armed before those it took them from, it would take all of
// them again, for ever.

#include "driver.h"

enum { SHARES = 4 };

void cyc_starved_remove(cyc_reactor *r, cyc_connection *c) {
  assert(c->starved);
  *(c->starved_previous ? &c->starved_previous->starved_next : &r->starved_first) = c->starved_next;
  *(c->starved_next ? &c->starved_next->starved_previous : &r->starved_last) = c->starved_previous;
  c->starved_next = c->starved_previous = NULL;
  c->starved = false;
}

static void queue_up(cyc_reactor *r, cyc_connection *c) {
  assert(!c->starved);
  c->starved = true;
  c->starved_previous = r->starved_last;
  *(r->starved_last ? &r->starved_last->starved_next : &r->starved_first) = c;
  r->starved_last = c;
}

static bool wants_input(const cyc_connection *c) {
  return (c->state == CYC_OPEN || c->state == CYC_FLUSHING) && !c->paused && !c->input_over;
}

bool cyc_starved_serve(cyc_reactor *r) {
  uint32_t lent = r->driver->calls->lend(r);
  while (r->starved_first && lent-- > 0) {
    cyc_connection *c = r->starved_first;
    if (wants_input(c) && !c->receiving && !r->driver->calls->receive_stream(r, c)) return false;
    cyc_starved_remove(r, c);
  }
  return true;
}

static bool stop_receiving(cyc_reactor *r, cyc_connection *c) {
  if (!c->receiving || c->receive_cancelled) return true;
  if (!r->driver->calls->cancel_receive(r, c)) return false;
  c->receive_cancelled = true;
  return true;
}

// Notes who takes more than its share of the blocks in one turn.
static void count_taken(cyc_reactor *r, cyc_connection *c) {
  uint32_t turn = (uint32_t)r->statistics.turns;
  if (c->taken_turn != turn) {
    c->taken_turn = turn;
    c->taken = 0;
  }
  if (++c->taken <= r->options.receive_blocks / SHARES) return;
  c->greedy = true;
  cyc_mark_dirty(r, c);
}

bool cyc_stream_serve(cyc_reactor *r, cyc_connection *c) {
  bool is_greedy = c->greedy && r->starved_lately && !c->starved && wants_input(c);
  c->greedy = false;
  if (is_greedy && !c->receiving) {
    queue_up(r, c);
    r->statistics.capped++;
    return true;
  }
  if (is_greedy && !c->receive_cancelled) {
    if (!stop_receiving(r, c)) return false;
    c->yields = true;
    r->statistics.capped++;
    return true;
  }
  if (wants_input(c)) return c->receiving || c->starved || r->driver->calls->receive_stream(r, c);
  return stop_receiving(r, c);
}

void cyc_stream_on_receive(cyc_reactor *r, cyc_connection *c, int result, cyc_block *block,
                           bool more) {
  if (!more) {
    c->receiving = c->receive_cancelled = false;
    cyc_mark_dirty(r, c);
    if (c->yields && wants_input(c)) queue_up(r, c);
    c->yields = false;
  }
  if (result > 0) {
    assert(block);
    r->statistics.receives++;
    r->statistics.received_bytes += (uint64_t)result;
    c->input_at = r->now;
    count_taken(r, c);
    if (c->state != CYC_OPEN) {
      r->driver->calls->reclaim(r, block);
      return;
    }
    cyc_event *event = cyc_emit_for(r, CYC_EVENT_READABLE, c);
    event->block = block;
    event->length = (uint32_t)result;
    return;
  }
  if (block) r->driver->calls->reclaim(r, block);
  if (result == 0) {
    c->input_over = true;
    cyc_mark_dirty(r, c);
  } else if (result == -ENOBUFS) {
    r->statistics.starved++;
    r->starved_lately = true;
    if (!more && !c->starved && !c->greedy && wants_input(c)) queue_up(r, c);
  } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    cyc_connection_abort(r, c, cyc_reason_of(-result), -result);
  }
}

// ------------------------------------------------------------------------------------ gathering

static uint32_t unconsumed(const cyc_connection *c) { return c->input_end - c->input_start; }

static void drop_input(cyc_connection *c) {
  if (c->input) cyc_block_release(c->input);
  c->input = NULL;
  c->input_start = c->input_end = 0;
}

// How large a block to take for `total` bytes: a small one while they fit, then what is needed and
// a receive's worth of what may follow, or, when that is not known, twice as much.
static size_t room_for(const cyc_reactor *r, const cyc_connection *c, size_t total) {
  size_t target = c->needs > total ? c->needs : total;
  if (target <= CYC_BLOCK_SMALL) return CYC_BLOCK_SMALL;
  target = c->needs > total ? target + r->options.receive_block_size : 2 * total;
  return target <= CYC_BLOCK_MAX ? target : total;
}

static bool move_input(cyc_reactor *r, cyc_connection *c, size_t capacity) {
  uint32_t have = unconsumed(c);
  cyc_block *block = cyc_block_take(r->pool, capacity);
  if (!block) return false;
  if (have > 0) memcpy(block->bytes, c->input->bytes + c->input_start, have);
  drop_input(c);
  c->input = block;
  c->input_end = have;
  r->statistics.copied_in_bytes += have;
  return true;
}

// Makes room for `length` more bytes behind the unconsumed ones. The block is only shifted when
// nobody shares it.
static bool make_room(cyc_reactor *r, cyc_connection *c, uint32_t length) {
  uint32_t have = unconsumed(c);
  if (c->input && c->input->capacity - c->input_end >= length) return true;
  size_t total = (size_t)have + length;
  if (!c->input || c->input->references > 1 || total > c->input->capacity / 2) {
    return move_input(r, c, room_for(r, c, total));
  }
  memmove(c->input->bytes, c->input->bytes + c->input_start, have);
  c->input_start = 0;
  c->input_end = have;
  r->statistics.copied_in_bytes += have;
  return true;
}

// Input that was large once does not keep its large block for a few bytes of what follows.
static void settle_rest(cyc_reactor *r, cyc_connection *c) {
  uint32_t have = unconsumed(c);
  if (have == 0) {
    drop_input(c);
  } else if (c->input->capacity > CYC_BLOCK_LARGE && have <= CYC_BLOCK_SMALL &&
             c->needs <= CYC_BLOCK_SMALL) {
    move_input(r, c, CYC_BLOCK_SMALL);  // without memory for that it stays as it is
  }
}

static bool gather(cyc_reactor *r, cyc_connection *c, const uint8_t *bytes, uint32_t length) {
  if (!make_room(r, c, length)) {
    cyc_connection_abort(r, c, CYC_CLOSE_OUT_OF_BUFFERS, 0);
    return false;
  }
  memcpy(c->input->bytes + c->input_end, bytes, length);
  c->input_end += length;
  r->statistics.copied_in_bytes += length;
  return true;
}

// ------------------------------------------------------------------------------------- showing

static const uint8_t *show(cyc_reactor *r, cyc_slice slice, bool is_direct, uint32_t *length) {
  r->current = slice;
  r->current_is_direct = is_direct;
  *length = slice.length;
  return slice.block->bytes + slice.offset;
}

const uint8_t *cyc_stream_begin(cyc_reactor *r, const cyc_event *event, uint32_t *length) {
  assert(!r->current.block);
  cyc_connection *c = cyc_find_open(r, event->id);
  if (!c) {
    if (event->block) r->driver->calls->reclaim(r, event->block);
    return NULL;
  }
  if (event->block) {
    if (!c->input && !c->paused && event->length >= c->needs) {
      return show(r, (cyc_slice){event->block, event->offset, event->length}, true, length);
    }
    bool gathered = gather(r, c, event->block->bytes + event->offset, event->length);
    r->driver->calls->reclaim(r, event->block);
    if (!gathered) return NULL;
  }
  uint32_t have = unconsumed(c);
  if (c->paused || have == 0 || have < c->needs) return NULL;
  return show(r, (cyc_slice){c->input, c->input_start, have}, false, length);
}

// For the header deadline: whether a message has begun of which nobody knows yet how much it needs.
static void note_message(cyc_reactor *r, cyc_connection *c, bool has_consumed, bool has_rest) {
  if (has_rest && c->needs == 0) {
    if (has_consumed || c->header_at == 0) c->header_at = r->now;
  } else if (has_consumed || has_rest) {
    c->header_at = 0;
  }
}

void cyc_stream_end(cyc_reactor *r, const cyc_event *event, uint32_t consumed, uint32_t needs) {
  cyc_slice shown = r->current;
  r->current = (cyc_slice){0};
  assert(shown.block && consumed <= shown.length);
  cyc_connection *c = cyc_find_open(r, event->id);
  uint32_t rest = shown.length - consumed;
  if (c) {
    c->needs = needs > rest ? needs : 0;
    note_message(r, c, consumed > 0, rest > 0);
  }
  if (r->current_is_direct) {
    if (c && rest > 0) gather(r, c, shown.block->bytes + shown.offset + consumed, rest);
    r->driver->calls->reclaim(r, shown.block);
  } else if (c) {
    c->input_start += consumed;
    settle_rest(r, c);
  }
  if (c && !c->paused && (rest > r->options.input_limit || c->needs > r->options.input_limit)) {
    cyc_connection_abort(r, c, CYC_CLOSE_INPUT_OVERFLOW, 0);
  }
}

cyc_slice cyc_stream_share(cyc_reactor *r, uint32_t offset, uint32_t length) {
  assert(r->current.block && offset <= r->current.length && length <= r->current.length - offset);
  return (cyc_slice){cyc_block_retain(r->current.block), r->current.offset + offset, length};
}
