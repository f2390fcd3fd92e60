#pragma once

// What the files of the reactor share, and how they divide the work:
//
//   reactor.c      life, turns, events                   timers.c    what is due when
//   listener.c     accepting                             files.c     writes and syncs
//   connection.c   slots, connecting, closing            address.c   names and numbers
//   stream.c       input of stream connections           sockets.c   how the kernel makes sockets
//   frames.c       input of framed connections           driver.h    what a kernel interface offers
//   send.c         output                                uring.c     ... as io_uring does it
//   deadlines.c    limits of time of a connection        epoll.c     ... as epoll does it, with
//                                                        workers.c   file operations on threads
//
// The rule that keeps this simple: nothing starts a kernel operation when it is asked for. A
// request changes the state of a connection and puts it on the dirty list; once per turn
// `cyc_*_serve` looks at every dirty connection and starts what its state calls for. When the
// kernel cannot take more, the connection stays on the list. So no request is ever lost, and
// everything asked for during a turn is seen together.

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "CCycladesReactor.h"

enum {
  CYC_IOVECS = 64,             // slices in one gathering send
  CYC_FRAME_MIN = 16,          // smallest frame
  CYC_FRAMES_ROOM = 4096,      // a receive into less room than this is not worth a system call
  CYC_WHEEL_LEVELS = 7,
  CYC_CONNECT_RESERVE = 1024,  // slots that accepting leaves to outgoing connections
};

// A connection's life. Everything before FREE may still have operations in the kernel; the slot is
// given on only when there are none, so a completion never meets a stranger.
//
//   CONNECTING --> OPEN --> FLUSHING --> CLOSING --> FREE
//        \___________\_____________________/^
typedef enum cyc_state {
  CYC_FREE = 0,
  CYC_CONNECTING,
  CYC_OPEN,
  CYC_FLUSHING,  // closed by the caller: output goes out, input is discarded until the peer's end
  CYC_CLOSING,   // waiting for the kernel to let go
} cyc_state;

// A gathering send that the kernel holds. Kept apart from the connection, since few have one.
typedef struct cyc_gather {
  struct cyc_gather *next;
  struct msghdr header;
  struct iovec vectors[CYC_IOVECS];
} cyc_gather;

typedef struct cyc_connection {
  uint32_t index;
  uint32_t generation;
  uint64_t user;
  int fd;
  uint8_t state;
  uint8_t reason;
  int32_t error;
  uint32_t operations;  // in the kernel
  uint8_t driver_state;  // the driver's own notes
  uint64_t timer;       // for the next deadline, 0 when there is none
  cyc_deadlines deadlines;
  uint64_t input_at, output_at;  // when bytes last moved, or output began to wait
  uint64_t header_at;            // since when a message is awaited or incomplete; 0: none is
  struct cyc_connection *next_free;
  struct cyc_connection *starved_next, *starved_previous;
  struct sockaddr_storage *peer;  // while connecting

  bool dirty : 1;
  bool starved : 1;
  bool receiving : 1;          // a receive is in the kernel
  bool receive_cancelled : 1;  // ... and its cancellation, too
  bool sending : 1;
  bool connecting : 1;
  bool paused : 1;
  bool offer_again : 1;  // resumed: show unconsumed input once more
  bool input_over : 1;   // the peer finished sending
  bool input_over_told : 1;
  bool input_over_settled : 1;
  bool finishing : 1;    // nothing may be queued any more; what is queued still goes out
  bool output_over : 1;  // we finished sending
  bool torn_down : 1;    // operations are being cancelled
  bool above_high : 1;
  bool accepted : 1;
  bool greedy : 1;  // took more than its share of blocks in a turn
  bool yields : 1;  // is being stopped for that
  bool audited : 1;  // is to be looked at once more, see uring.c

  uint32_t taken;       // receive blocks filled ...
  uint32_t taken_turn;  // ... in this turn
  // Input: input->bytes[input_start ..< input_end] is not consumed yet. A framed connection
  // receives right behind it; a stream connection gathers here what one block could not hold.
  cyc_block *input;
  uint32_t input_start, input_end;
  uint32_t needs;
  uint32_t frame_max;  // 0: stream

  // Output: a ring of slices, the first of which the kernel may hold in part. Small copies go into
  // the tail block, and grow the last slice while that ends where they start.
  cyc_slice *queue;
  uint32_t queue_head, queue_count, queue_capacity;
  cyc_block *tail;
  uint32_t tail_used;
  bool reserved;  // somebody writes behind the tail's used bytes
  uint64_t queued_bytes;
  uint64_t offered;  // bytes of the send in the kernel
  cyc_gather *gather;
} cyc_connection;

typedef struct cyc_listener {
  uint32_t index;
  uint32_t generation;
  uint64_t user;
  int fd;
  uint32_t frame_max;
  cyc_deadlines deadlines;
  bool used, closing, accepting, cancelled, resting;
} cyc_listener;

typedef enum cyc_file_kind { CYC_FILE_WRITE, CYC_FILE_READ, CYC_FILE_SYNC } cyc_file_kind;

typedef struct cyc_file_operation {
  struct cyc_file_operation *next;
  uint64_t user;
  int fd;
  cyc_file_kind kind;
  bool durable;
  int64_t offset;
  uint64_t total, done;
  uint32_t count, first;  // slices, and the first not fully written
  uint32_t skip;          // bytes of that one already written
  int result;             // of the system call, where a thread makes it
  uint32_t vector_count;
  struct iovec *vectors;
  cyc_slice slices[];
} cyc_file_operation;

typedef enum cyc_timer_kind {
  CYC_TIMER_USER,
  CYC_TIMER_CONNECTION,
  CYC_TIMER_LISTENERS,
} cyc_timer_kind;

typedef struct cyc_timer_slot {
  uint64_t deadline, sequence, user;
  uint32_t generation;
  uint32_t place;  // in the heap, or one of the states in timers.c
  uint32_t next_free;
  uint32_t home, next, previous;  // in the wheel
  cyc_timer_kind kind;
} cyc_timer_slot;

typedef struct cyc_timers {
  cyc_timer_slot *slots;
  uint32_t *heap;
  uint32_t slot_count, slot_capacity, heap_count, first_free;
  uint64_t sequence;
  uint64_t tick;  // the clock, as the wheel has seen it
  uint64_t in_use[CYC_WHEEL_LEVELS];
  uint32_t wheel[CYC_WHEEL_LEVELS * 64];  // the first timer of each slot in use
} cyc_timers;

typedef struct cyc_driver cyc_driver;
typedef struct cyc_socket_calls cyc_socket_calls;

struct cyc_reactor {
  cyc_reactor_options options;
  cyc_pool *pool;
  cyc_driver *driver;
  const cyc_socket_calls *sockets;
  cyc_backend backend;
  uint64_t now;
  cyc_reactor_statistics statistics;
  bool enabled, shut;
  int waker;

  cyc_event *events;
  uint32_t event_count, event_capacity;

  cyc_connection *connections;
  uint32_t connection_slots, connections_touched, accepted_alive;
  cyc_connection *free_connections;

  uint32_t *dirty;
  uint32_t dirty_count, dirty_capacity;
  cyc_connection *starved_first, *starved_last;
  bool starved_lately;  // since connections were last served

  cyc_listener *listeners;
  uint32_t listener_capacity;
  bool listeners_dirty;

  cyc_file_operation *files_first, *files_last;  // not yet in the kernel
  cyc_timers timers;

  // Stream input between begin and end.
  cyc_slice current;
  bool current_is_direct;

  cyc_gather *free_gathers;
  cyc_slice *spare_queue;  // of the last connection that needed a long one
  uint32_t spare_capacity;
};

// reactor.c
void cyc_read_clock(cyc_reactor *r);
cyc_event *cyc_emit(cyc_reactor *r, cyc_event_kind kind);
void cyc_mark_dirty(cyc_reactor *r, cyc_connection *c);
cyc_close_reason cyc_reason_of(int error);

// connection.c
static inline uint64_t cyc_id_make(uint32_t index, uint32_t generation) {
  return (uint64_t)generation << 32 | index;
}
static inline uint64_t cyc_connection_id(const cyc_connection *c) {
  return cyc_id_make(c->index, c->generation);
}
static inline cyc_connection *cyc_find(const cyc_reactor *r, uint64_t id) {
  uint32_t index = (uint32_t)id;
  if (index >= r->connections_touched) return NULL;
  cyc_connection *c = &r->connections[index];
  return c->state != CYC_FREE && c->generation == id >> 32 ? c : NULL;
}
static inline cyc_connection *cyc_find_open(const cyc_reactor *r, uint64_t id) {
  cyc_connection *c = cyc_find(r, id);
  return c && c->state == CYC_OPEN ? c : NULL;
}
cyc_event *cyc_emit_for(cyc_reactor *r, cyc_event_kind kind, const cyc_connection *c);
cyc_connection *cyc_connection_take(cyc_reactor *r, int fd, cyc_state state, uint32_t frame_max,
                                    uint64_t user);
void cyc_connection_abort(cyc_reactor *r, cyc_connection *c, cyc_close_reason reason, int error);
void cyc_connection_release(cyc_reactor *r, cyc_connection *c);
bool cyc_connection_serve(cyc_reactor *r, cyc_connection *c);
void cyc_connection_on_connect(cyc_reactor *r, cyc_connection *c, int result);
void cyc_connection_on_cancel(cyc_reactor *r, cyc_connection *c);

// listener.c
bool cyc_listeners_serve(cyc_reactor *r);
void cyc_listener_on_accept(cyc_reactor *r, cyc_listener *l, int result, bool more);
void cyc_listener_on_cancel(cyc_reactor *r, cyc_listener *l);
void cyc_listeners_discard(cyc_reactor *r);

// Open, and not finishing: takes output.
static inline cyc_connection *cyc_find_writable(const cyc_reactor *r, uint64_t id) {
  cyc_connection *c = cyc_find_open(r, id);
  return c && !c->finishing ? c : NULL;
}

// deadlines.c
void cyc_deadlines_start(cyc_reactor *r, cyc_connection *c);
void cyc_deadlines_limit(cyc_reactor *r, cyc_connection *c, uint64_t duration_ns);
void cyc_deadlines_clear(cyc_reactor *r, cyc_connection *c);
void cyc_deadlines_expire(cyc_reactor *r, uint64_t id);

// stream.c
bool cyc_stream_serve(cyc_reactor *r, cyc_connection *c);
void cyc_stream_on_receive(cyc_reactor *r, cyc_connection *c, int result, cyc_block *block,
                           bool more);
bool cyc_starved_serve(cyc_reactor *r);
void cyc_starved_remove(cyc_reactor *r, cyc_connection *c);

// frames.c
bool cyc_frames_serve(cyc_reactor *r, cyc_connection *c);
void cyc_frames_on_receive(cyc_reactor *r, cyc_connection *c, int result);

// send.c
bool cyc_send_serve(cyc_reactor *r, cyc_connection *c);
void cyc_send_on_done(cyc_reactor *r, cyc_connection *c, int result);
uint32_t cyc_send_gather(cyc_connection *c, struct iovec vectors[CYC_IOVECS]);
void cyc_send_discard(cyc_connection *c);
void cyc_send_free_spare(cyc_reactor *r);

// files.c
bool cyc_files_serve(cyc_reactor *r);
void cyc_file_on_done(cyc_reactor *r, cyc_file_operation *operation, int result);
void cyc_files_discard(cyc_reactor *r);

// timers.c
uint64_t cyc_timers_add(cyc_reactor *r, uint64_t deadline, cyc_timer_kind kind, uint64_t user);
void cyc_timers_expire(cyc_reactor *r);
uint64_t cyc_timers_wait(const cyc_reactor *r);
void cyc_timers_free(cyc_timers *timers);

// address.c
int cyc_address_family(const cyc_address *address);
socklen_t cyc_address_store(const cyc_address *address, struct sockaddr_storage *out);
socklen_t cyc_address_size(const struct sockaddr_storage *address);
void cyc_address_load(const struct sockaddr_storage *in, cyc_address *out);
