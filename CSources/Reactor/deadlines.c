// Limits of time of a connection: one timer each, which is not moved when bytes are.
//
// Receiving and sending only note the time. When the timer fires, what is due is worked out from
// the notes, and the timer is set to the earliest moment at which anything can be due next. So a
// busy connection pays two stores a message, and one timer per shortest limit.
//
//   CONNECTING   the connect timeout
//   OPEN         idle     since the last byte in either direction
//                header   since a message is awaited (accepted connections) or incomplete, as long
//                         as nobody knows how much it needs: the defence against dribbled requests
//                stall    since the kernel took a byte of a queue that is not empty
//   FLUSHING     flush_ns of the reactor

#include "internal.h"

static const uint64_t NS_PER_MS = 1000000;

static void set(cyc_reactor *r, cyc_connection *c, uint64_t at) {
  // Without memory for a timer the connection goes on without limits.
  c->timer = cyc_timers_add(r, at, CYC_TIMER_CONNECTION, cyc_connection_id(c));
}

void cyc_deadlines_clear(cyc_reactor *r, cyc_connection *c) {
  if (c->timer) cyc_timer_cancel(r, c->timer);
  c->timer = 0;
}

// Replaces all other limits.
void cyc_deadlines_limit(cyc_reactor *r, cyc_connection *c, uint64_t duration_ns) {
  cyc_deadlines_clear(r, c);
  set(r, c, r->now + duration_ns);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

// When `limit_ms` is up that began at `since`; what has not begun cannot be due before it lasted.
static uint64_t due(const cyc_reactor *r, uint32_t limit_ms, uint64_t since, bool has_begun) {
  if (limit_ms == 0) return UINT64_MAX;
  return (has_begun ? since : r->now) + limit_ms * NS_PER_MS;
}

static void check_open(cyc_reactor *r, cyc_connection *c) {
  uint64_t moved_at = c->input_at > c->output_at ? c->input_at : c->output_at;
  uint64_t idle = due(r, c->deadlines.idle_ms, moved_at, true);
  uint64_t header = due(r, c->deadlines.header_ms, c->header_at, c->header_at > 0 && !c->paused);
  uint64_t stall = due(r, c->deadlines.stall_ms, c->output_at, c->queue_count > 0);
  uint64_t at = earlier(idle, earlier(header, stall));
  if (at > r->now) {
    if (at < UINT64_MAX) set(r, c, at);
    return;
  }
  *(at == idle     ? &r->statistics.idle_timeouts
    : at == header ? &r->statistics.header_timeouts
                   : &r->statistics.stall_timeouts) += 1;
  cyc_connection_abort(r, c, CYC_CLOSE_TIMED_OUT, ETIMEDOUT);
}

// The connection is open from now on.
void cyc_deadlines_start(cyc_reactor *r, cyc_connection *c) {
  cyc_deadlines_clear(r, c);
  c->input_at = c->output_at = r->now;
  c->header_at = c->accepted ? r->now : 0;
  check_open(r, c);
}

// A flush that only waits for the peer's end has done its work: it keeps its reason.
void cyc_deadlines_expire(cyc_reactor *r, uint64_t id) {
  cyc_connection *c = cyc_find(r, id);
  if (!c) return;
  c->timer = 0;
  if (c->state == CYC_CONNECTING) {
    r->statistics.connect_timeouts++;
    cyc_connection_abort(r, c, CYC_CLOSE_TIMED_OUT, ETIMEDOUT);
  } else if (c->state == CYC_OPEN) {
    check_open(r, c);
  } else if (c->state == CYC_FLUSHING) {
    if (c->queue_count > 0) {
      r->statistics.flush_timeouts++;
      c->reason = CYC_CLOSE_TIMED_OUT;
      c->error = ETIMEDOUT;
    }
    cyc_connection_abort(r, c, CYC_CLOSE_TIMED_OUT, ETIMEDOUT);
  }
}
