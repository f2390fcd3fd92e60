// Output: a ring of slices per connection, sent in order, one gathering send at a time.
//
//   queue   [ slice | slice | slice | tail slice ]        tail  [ copied bytes | room ]
//             ^head: the kernel may hold these               `------------'
//                                                        the last slice grows with each copy
//
// Invariants
//   - queued_bytes is the sum of the lengths of the slices.
//   - at most one send is in the kernel, so bytes cannot overtake each other. What is queued during
//     a turn leaves together; a short send is continued with the rest.
//   - bytes that a slice covers are never written again, so the kernel may read them at any time.
//   - the tail block is given up when the queue is empty: an idle connection holds no memory, and
//     the pool hands the same, still cached block to the next one that writes.
//
// A send without wait goes out in the same io_uring_enter as everybody else's. Zero-copy send is
// left out: on loopback the kernel copies anyway, and it measured 24 to 50 % slower.

#include "driver.h"

enum { KEPT = 8 };  // slices that an idle connection's queue has room for, at most

// A long queue is lent out: the next connection that needs one takes it over.
static cyc_slice *take_queue(cyc_reactor *r, uint32_t *capacity) {
  if (*capacity <= KEPT || r->spare_capacity < *capacity) {
    return malloc(*capacity * sizeof(cyc_slice));
  }
  cyc_slice *queue = r->spare_queue;
  *capacity = r->spare_capacity;
  r->spare_queue = NULL;
  r->spare_capacity = 0;
  return queue;
}

static void give_up_queue(cyc_reactor *r, cyc_connection *c) {
  cyc_slice *unwanted = c->queue;
  if (r->spare_capacity < c->queue_capacity) {
    unwanted = r->spare_queue;
    r->spare_queue = c->queue;
    r->spare_capacity = c->queue_capacity;
  }
  free(unwanted);
  c->queue = NULL;
  c->queue_head = c->queue_capacity = 0;
}

void cyc_send_free_spare(cyc_reactor *r) {
  free(r->spare_queue);
  r->spare_queue = NULL;
  r->spare_capacity = 0;
}

static bool grow_queue(cyc_reactor *r, cyc_connection *c) {
  uint32_t capacity = c->queue_capacity ? 2 * c->queue_capacity : 4;
  cyc_slice *queue = take_queue(r, &capacity);
  if (!queue) return false;
  for (uint32_t i = 0; i < c->queue_count; i++) {
    queue[i] = c->queue[(c->queue_head + i) & (c->queue_capacity - 1)];
  }
  free(c->queue);
  c->queue = queue;
  c->queue_head = 0;
  c->queue_capacity = capacity;
  return true;
}

static cyc_slice *slice_at(const cyc_connection *c, uint32_t i) {
  assert(i < c->queue_count);
  return &c->queue[(c->queue_head + i) & (c->queue_capacity - 1)];
}

static void account(cyc_reactor *r, cyc_connection *c, size_t length) {
  if (c->queued_bytes == 0) c->output_at = r->now;
  c->queued_bytes += length;
  if (c->queued_bytes > r->options.send_high && !c->above_high) {
    c->above_high = true;
    r->statistics.held_back++;
  }
  if (c->queued_bytes > r->options.send_cap) {
    cyc_connection_abort(r, c, CYC_CLOSE_SEND_OVERFLOW, 0);
  }
  cyc_mark_dirty(r, c);
}

// Takes over the slice's reference.
static void push(cyc_reactor *r, cyc_connection *c, cyc_slice slice) {
  assert(!c->reserved);
  if (c->queue_count > 0) {
    cyc_slice *last = slice_at(c, c->queue_count - 1);
    if (last->block == slice.block && last->offset + last->length == slice.offset) {
      last->length += slice.length;
      cyc_block_release(slice.block);
      account(r, c, slice.length);
      return;
    }
  }
  if (c->queue_count == c->queue_capacity && !grow_queue(r, c)) {
    cyc_block_release(slice.block);
    cyc_connection_abort(r, c, CYC_CLOSE_OUT_OF_BUFFERS, ENOMEM);
    return;
  }
  c->queue_count++;
  *slice_at(c, c->queue_count - 1) = slice;
  account(r, c, slice.length);
}

void cyc_send_slice(cyc_reactor *r, uint64_t id, cyc_slice slice) {
  cyc_connection *c = cyc_find_writable(r, id);
  if (!c || slice.length == 0) {
    cyc_block_release(slice.block);
    return;
  }
  push(r, c, slice);
}

static bool ensure_tail(cyc_reactor *r, cyc_connection *c, size_t room) {
  if (c->tail && c->tail->capacity - c->tail_used >= room) return true;
  cyc_block *block = cyc_block_take(r->pool, room);
  if (!block) {
    cyc_connection_abort(r, c, CYC_CLOSE_OUT_OF_BUFFERS, 0);
    return false;
  }
  if (c->tail) cyc_block_release(c->tail);
  c->tail = block;
  c->tail_used = 0;
  return true;
}

static void commit(cyc_reactor *r, cyc_connection *c, uint32_t length) {
  assert(length <= c->tail->capacity - c->tail_used);
  cyc_slice slice = {cyc_block_retain(c->tail), c->tail_used, length};
  c->tail_used += length;
  r->statistics.copied_out_bytes += length;
  push(r, c, slice);
}

// Fills the tail block first, then takes one that holds the rest.
void cyc_send_copy(cyc_reactor *r, uint64_t id, const void *bytes, size_t length) {
  const uint8_t *from = bytes;
  cyc_connection *c = cyc_find_writable(r, id);
  while (c && c->state == CYC_OPEN && length > 0) {
    size_t room = c->tail ? c->tail->capacity - c->tail_used : 0;
    if (room == 0) {
      room = length < CYC_BLOCK_MAX ? length : CYC_BLOCK_MAX;
      if (!ensure_tail(r, c, room)) return;
      room = c->tail->capacity;
    }
    size_t part = length < room ? length : room;
    memcpy(c->tail->bytes + c->tail_used, from, part);
    commit(r, c, (uint32_t)part);
    from += part;
    length -= part;
  }
}

uint8_t *cyc_send_reserve(cyc_reactor *r, uint64_t id, size_t length) {
  cyc_connection *c = cyc_find_writable(r, id);
  if (!c || !ensure_tail(r, c, length)) return NULL;
  assert(!c->reserved);
  c->reserved = true;
  return c->tail->bytes + c->tail_used;
}

void cyc_send_commit(cyc_reactor *r, uint64_t id, size_t used) {
  cyc_connection *c = cyc_find(r, id);
  if (!c) return;
  c->reserved = false;
  if (c->state == CYC_OPEN && used > 0) commit(r, c, (uint32_t)used);
}

uint64_t cyc_send_queued(const cyc_reactor *r, uint64_t id) {
  const cyc_connection *c = cyc_find(r, id);
  return c ? c->queued_bytes : 0;
}

// ------------------------------------------------------------------------------------- sending

bool cyc_send_serve(cyc_reactor *r, cyc_connection *c) {
  if (c->sending || c->queue_count == 0) return true;
  return r->driver->calls->send(r, c);
}

// Describes the head of the queue to the kernel.
uint32_t cyc_send_gather(cyc_connection *c, struct iovec vectors[CYC_IOVECS]) {
  uint32_t count = c->queue_count < CYC_IOVECS ? c->queue_count : CYC_IOVECS;
  c->offered = 0;
  for (uint32_t i = 0; i < count; i++) {
    const cyc_slice *slice = slice_at(c, i);
    vectors[i] = (struct iovec){slice->block->bytes + slice->offset, slice->length};
    c->offered += slice->length;
  }
  return count;
}

static void advance(cyc_connection *c, size_t sent) {
  assert(sent <= c->queued_bytes);
  c->queued_bytes -= sent;
  while (sent > 0) {
    cyc_slice *head = slice_at(c, 0);
    if (sent < head->length) {
      head->offset += (uint32_t)sent;
      head->length -= (uint32_t)sent;
      return;
    }
    sent -= head->length;
    cyc_block_release(head->block);
    c->queue_head = (c->queue_head + 1) & (c->queue_capacity - 1);
    c->queue_count--;
  }
}

static void drop_tail(cyc_connection *c) {
  if (c->tail) cyc_block_release(c->tail);
  c->tail = NULL;
  c->tail_used = 0;
}

void cyc_send_on_done(cyc_reactor *r, cyc_connection *c, int result) {
  assert(c->sending);
  c->sending = false;
  if (c->gather) {
    c->gather->next = r->free_gathers;
    r->free_gathers = c->gather;
    c->gather = NULL;
  }
  if (result < 0) {
    if (result != -EINTR && result != -EAGAIN && result != -ECANCELED) {
      cyc_connection_abort(r, c, cyc_reason_of(-result), -result);
    }
    cyc_mark_dirty(r, c);
    return;
  }
  r->statistics.sends++;
  r->statistics.sent_bytes += (uint64_t)result;
  if ((uint64_t)result < c->offered) r->statistics.short_sends++;
  c->output_at = r->now;
  advance(c, (size_t)result);
  if (c->queue_count > 0) {
    cyc_mark_dirty(r, c);
  } else {
    drop_tail(c);
    if (c->queue_capacity > KEPT) give_up_queue(r, c);
    if (c->finishing) cyc_mark_dirty(r, c);
  }
  if (c->above_high && c->queued_bytes <= r->options.send_low) {
    c->above_high = false;
    if (c->state == CYC_OPEN) cyc_emit_for(r, CYC_EVENT_DRAINED, c);
  }
  if (c->state != CYC_OPEN) cyc_mark_dirty(r, c);
}

void cyc_send_discard(cyc_connection *c) {
  assert(!c->sending && !c->gather);
  advance(c, c->queued_bytes);
  assert(c->queue_count == 0);
  drop_tail(c);
}
