// Input of framed connections: few and fat, so each receives into a block of its own, and a frame
// is a slice of it, whole and contiguous.
//
//   input   [ taken frames | frame | frame | part of a frame | room ]
//                          ^input_start            input_end^
//
// Invariants
//   - frames between input_start and input_end are not taken yet; one receive at a time writes
//     behind input_end, where no slice looks.
//   - before a receive is armed, the frame that has begun fits behind input_start in one piece:
//     when it does not, its beginning moves to a fresh block that is large enough. That copy, at
//     most one part of a frame per block, is the only one.
//   - a block is written from the start again only when no slice of it is left.

#include "driver.h"

static uint32_t available(const cyc_connection *c) { return c->input_end - c->input_start; }

// The size at the head of the input, in little-endian order; 0 when it is not there yet.
static uint32_t next_size(const cyc_connection *c) {
  if (available(c) < 4) return 0;
  const uint8_t *p = c->input->bytes + c->input_start;
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool move_to_fresh_block(cyc_reactor *r, cyc_connection *c, uint32_t size) {
  uint32_t have = available(c);
  uint32_t capacity = size > CYC_BLOCK_LARGE ? size : CYC_BLOCK_LARGE;
  cyc_block *block = cyc_block_take(r->pool, capacity);
  if (!block) return false;
  if (c->input) {
    memcpy(block->bytes, c->input->bytes + c->input_start, have);
    cyc_block_release(c->input);
    r->statistics.copied_in_bytes += have;
  }
  c->input = block;
  c->input_start = 0;
  c->input_end = have;
  return true;
}

static bool make_room(cyc_reactor *r, cyc_connection *c) {
  if (c->input && available(c) == 0 && c->input->references == 1) c->input_start = c->input_end = 0;
  uint32_t size = next_size(c);
  // A size out of range is refused when the frame is taken.
  if (size < CYC_FRAME_MIN || size > c->frame_max) size = CYC_FRAME_MIN;
  if (c->input && c->input->capacity - c->input_start >= size) {
    uint32_t room = c->input->capacity - c->input_end;
    bool has_begun = available(c) > 0;
    if (room >= CYC_FRAMES_ROOM || (has_begun && room > 0 && size > available(c))) return true;
  }
  return move_to_fresh_block(r, c, size);
}

bool cyc_frames_serve(cyc_reactor *r, cyc_connection *c) {
  if (c->receiving || c->input_over || c->paused) return true;
  if (c->state == CYC_FLUSHING) c->input_start = c->input_end;
  if (!make_room(r, c)) {
    cyc_connection_abort(r, c, CYC_CLOSE_OUT_OF_BUFFERS, 0);
    return true;
  }
  return r->driver->calls->receive_frames(r, c);
}

void cyc_frames_on_receive(cyc_reactor *r, cyc_connection *c, int result) {
  c->receiving = c->receive_cancelled = false;
  cyc_mark_dirty(r, c);
  if (result > 0) {
    r->statistics.receives++;
    r->statistics.received_bytes += (uint64_t)result;
    c->input_at = r->now;
    c->input_end += (uint32_t)result;
    assert(c->input_end <= c->input->capacity);
    if (c->state == CYC_OPEN && !c->paused) cyc_emit_for(r, CYC_EVENT_FRAMES, c);
  } else if (result == 0) {
    c->input_over = true;
  } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    cyc_connection_abort(r, c, cyc_reason_of(-result), -result);
  }
}

bool cyc_frames_next(cyc_reactor *r, uint64_t id, cyc_slice *frame) {
  cyc_connection *c = cyc_find_open(r, id);
  if (!c || c->paused || available(c) < 4) return false;
  uint32_t size = next_size(c);
  if (size < CYC_FRAME_MIN || size > c->frame_max) {
    cyc_connection_abort(r, c, CYC_CLOSE_PROTOCOL_VIOLATION, 0);
    return false;
  }
  if (size > available(c)) return false;
  *frame = (cyc_slice){cyc_block_retain(c->input), c->input_start, size};
  c->input_start += size;
  c->header_at = 0;
  r->statistics.frames++;
  return true;
}
