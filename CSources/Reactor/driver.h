#pragma once

// What the reactor asks of the kernel, and the two that answer: uring.c and epoll.c. In a simulation
// there is no kernel, and World/driver.c answers.
//
//   connection.c  stream.c  frames.c  send.c  files.c  listener.c  timers.c    what, and when
//   ---------------------------------------------------------------------------------------
//   cyc_driver_calls                                                            this table
//   ---------------------------------------------------------------------------------------
//   uring.c: submit, complete                epoll.c: readiness, then the call itself
//                                            workers.c: file operations on threads
//
// All state lives above the table, so an implementation knows operations, not connections' lives.
//
// The calls that start an operation return false, and start nothing, when the kernel's queue is
// full; the caller keeps its request and comes again next turn. Completions come back during `wait`
// through the cyc_*_on_* functions of internal.h, exactly one terminal one for each start. Starting
// counts the operation, in the connection and in the reactor; the driver counts it down just before
// its terminal completion is handed over. A cancellation may be an operation itself or not.

#include "internal.h"

/// The longest wait, which fits every clock, stands for one without a limit.
static const uint64_t CYC_WAIT_MAX_NS = 3600ull * 1000000000;

typedef struct cyc_driver_calls {
  /// On the owning thread, once, before anything else below. 0 or -errno.
  int (*enable)(cyc_reactor *r);
  /// Only when no operation is left.
  void (*destroy)(cyc_reactor *r);
  /// Starts what has to be started, waits up to `timeout_ns` for a completion, reads the clock and
  /// handles all there are. 0, or -errno when the driver itself failed.
  int (*wait)(cyc_reactor *r, uint64_t timeout_ns);

  bool (*accept)(cyc_reactor *r, cyc_listener *l);
  bool (*cancel_accept)(cyc_reactor *r, cyc_listener *l);
  bool (*connect)(cyc_reactor *r, cyc_connection *c);
  bool (*cancel_connect)(cyc_reactor *r, cyc_connection *c);
  /// Into lent blocks, until it is cancelled or fails.
  bool (*receive_stream)(cyc_reactor *r, cyc_connection *c);
  /// Once, into the room behind the connection's input_end.
  bool (*receive_frames)(cyc_reactor *r, cyc_connection *c);
  bool (*cancel_receive)(cyc_reactor *r, cyc_connection *c);
  bool (*send)(cyc_reactor *r, cyc_connection *c);
  /// The operation's vectors, to or from its file.
  bool (*transfer)(cyc_reactor *r, cyc_file_operation *operation);
  bool (*sync)(cyc_reactor *r, cyc_file_operation *operation);

  /// Receive blocks: lent ones are filled for stream connections and handed over with a
  /// completion. `reclaim` takes one back; `lend` puts what was reclaimed at the kernel's disposal
  /// and says how many are.
  void (*reclaim)(cyc_reactor *r, cyc_block *block);
  uint32_t (*lend)(cyc_reactor *r);
} cyc_driver_calls;

/// How sockets are made, named and ended. The kernel's way is sockets.c.
typedef struct cyc_socket_calls {
  /// A socket to connect with: its descriptor or -errno.
  int (*open)(cyc_reactor *r, const cyc_address *address);
  /// One that listens at *bound: its descriptor or -errno.
  int (*listen)(cyc_reactor *r, const cyc_listen_options *options, cyc_address *bound);
  void (*close_listening)(cyc_reactor *r, int fd);
  bool (*is_connected_to_itself)(const cyc_reactor *r, int fd);
  bool (*peer)(const cyc_reactor *r, int fd, cyc_address *out);
  /// As shutdown(2).
  void (*shut_down)(cyc_reactor *r, int fd, int how);
  void (*close)(cyc_reactor *r, int fd);
} cyc_socket_calls;

extern const cyc_socket_calls cyc_kernel_sockets;

/// The part that every driver begins with.
struct cyc_driver {
  const cyc_driver_calls *calls;
};

/// NULL with *error set when the kernel refuses. *flags: the set-up flags that it accepted.
cyc_driver *cyc_uring_create(const cyc_reactor_options *options, uint32_t *flags, int *error);
cyc_driver *cyc_epoll_create(const cyc_reactor_options *options, int *error);

/// The third that answers, for simulations: World/driver.c. It brings its own sockets, and clocks.
cyc_driver *cyc_simulated_create(cyc_reactor *r, int *error);
uint64_t cyc_world_clock(const cyc_world *world, uint32_t host);
uint64_t cyc_world_wall_clock(const cyc_world *world, uint32_t host);

/// What a completion or a readiness event carries: kind:8 | generation:24 | index:32.
static inline uint64_t cyc_tag(uint32_t kind, uint32_t index, uint32_t generation) {
  return (uint64_t)kind << 56 | (uint64_t)(generation & 0xffffff) << 32 | index;
}

static inline bool cyc_tag_is_of(uint64_t tag, uint32_t generation) {
  return (tag >> 32 & 0xffffff) == (generation & 0xffffff);
}

static inline void cyc_count_start(cyc_reactor *r, cyc_connection *c) {
  c->operations++;
  r->statistics.operations++;
}

static inline void cyc_count_end(cyc_reactor *r, cyc_connection *c) {
  assert(c->operations > 0 && r->statistics.operations > 0);
  c->operations--;
  r->statistics.operations--;
}
