#pragma once

// One reactor: one thread, one ring (or epoll set), and everything that happens on it.
//
//   caller                         reactor                          kernel
//   ------                         -------                          ------
//   turn() ----------------------> send what was queued, re-arm --> one enter
//                                  reap completions, timers    <--- (parks here)
//   events[0..<n]  <-------------- one array per turn
//   for each event: stream_begin/end, frames_next, send, close, ...
//
// Every function but cyc_waker_wake belongs to the one thread that called cyc_reactor_enable.
// Connections, listeners and timers are named by 64-bit ids (slot | generation << 32): a stale id
// is recognised and ignored, so callers need no bookkeeping of what closed in the meantime.
// Functions that can fail return a negative errno. Nothing here calls back.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "CCycladesBuffer.h"
#include "CCycladesWorld.h"

typedef struct cyc_reactor cyc_reactor;

// ---------------------------------------------------------------------------------- addresses

typedef enum cyc_family { CYC_FAMILY_IPV4, CYC_FAMILY_IPV6, CYC_FAMILY_LOCAL } cyc_family;

enum { CYC_PATH_BYTES = 108 };

/// An IPv4 or IPv6 address with port, in network order where bytes, host order where numbers; or
/// the path of a Unix socket, terminated, empty for a socket without a name.
typedef struct cyc_address {
  cyc_family family;
  uint8_t bytes[16];  ///< IPv4 uses the first four
  uint32_t scope;     ///< IPv6 scope id
  uint16_t port;
  char path[CYC_PATH_BYTES];
} cyc_address;

/// Resolves a literal or a name (blocking, getaddrinfo); prefers IPv4. 0, or an EAI_ code.
int cyc_address_resolve(const char *host, uint16_t port, cyc_address *out);

/// Writes the textual form, `1.2.3.4:80`, `[::1]:80` or `unix:/path`, always terminated.
void cyc_address_format(const cyc_address *address, char *out, size_t capacity);

// ------------------------------------------------------------------------------------ reactor

/// How to reach the kernel.
typedef enum cyc_io {
  CYC_IO_AUTO,   ///< io_uring, or epoll where the kernel refuses it
  CYC_IO_URING,  ///< io_uring or nothing
  CYC_IO_EPOLL,
  CYC_IO_SIMULATED,  ///< chosen by a world in the options, and only so
} cyc_io;

typedef struct cyc_reactor_options {
  cyc_io io;
  uint32_t connections_max;     ///< accepted connections at a time; more are closed at once
  uint32_t receive_blocks;      ///< blocks that may be lent to the kernel for streams
  uint32_t receive_block_size;  ///< <= CYC_BLOCK_LARGE
  uint32_t input_limit;         ///< unconsumed input of one stream connection, bytes
  uint64_t send_high;           ///< a queue above this is reported drained ...
  uint64_t send_low;            ///< ... when it has fallen to this
  uint64_t send_cap;            ///< a queue above this closes the connection
  uint64_t flush_ns;            ///< how long a flushing close may take
  uint32_t socket_send_buffer;  ///< SO_SNDBUF of every connection; 0 leaves it to the system
  uint32_t socket_receive_buffer;
  uint32_t keepalive_s;        ///< TCP_KEEPIDLE; 0: idle connections are not probed
  uint32_t unacknowledged_ms;  ///< TCP_USER_TIMEOUT; 0 leaves it to the system
  cyc_world *world;  ///< NULL: the real one
  uint32_t host;     ///< of the world
} cyc_reactor_options;

typedef struct cyc_reactor_statistics {
  uint64_t turns, enters, events;
  uint64_t receives, received_bytes, frames;
  uint64_t sends, sent_bytes, short_sends;
  uint64_t copied_in_bytes;   ///< received bytes that had to be gathered
  uint64_t copied_out_bytes;  ///< sent bytes that were copied into tail blocks
  uint64_t accepted, refused_accepts, connects, closes;
  // Reasons to wait.
  uint64_t starved;        ///< receives that found no block
  uint64_t capped;         ///< receives stopped since others starved while they took most blocks
  uint64_t held_back;      ///< send queues that passed the high watermark
  uint64_t queue_full;     ///< turns in which the kernel's queue could not take everything
  uint64_t accept_rests;   ///< times accepting rested for want of descriptors or memory
  uint64_t missed_ends;    ///< ends of connections that the kernel told of only when asked
  // Reasons to close that are ours, or the peer's fault.
  uint64_t send_overflows, input_overflows, protocol_violations, out_of_buffers, resets;
  uint64_t connect_timeouts, idle_timeouts, header_timeouts, stall_timeouts, flush_timeouts;
  uint64_t file_writes, file_bytes, file_reads, file_syncs;
  uint64_t wakes;
  // Gauges: what is alive now. All zero after a stop.
  uint64_t connections, listeners, timers, operations;
} cyc_reactor_statistics;

/// Makes a reactor, not enabled yet. NULL with *error = errno of the failed step.
cyc_reactor *cyc_reactor_create(const cyc_reactor_options *options, cyc_pool *pool, int *error);

/// Enables it on the calling thread, which owns the reactor from here on. 0 or -errno.
int cyc_reactor_enable(cyc_reactor *reactor);

/// Closes whatever is still open without events, waits for the kernel to let go of every buffer and
/// gives the ring up. The reactor can still be asked for its figures. On the owner's thread.
void cyc_reactor_shut_down(cyc_reactor *reactor);

/// Frees the reactor, shut down before if need be.
void cyc_reactor_destroy(cyc_reactor *reactor);

cyc_reactor_statistics cyc_reactor_report(const cyc_reactor *reactor);

typedef struct cyc_backend {
  cyc_io io;       ///< URING, EPOLL or SIMULATED
  uint32_t flags;  ///< the ring's set-up flags that the kernel accepted (IORING_SETUP_*)
  int refusal;     ///< errno of the refused io_uring when AUTO became EPOLL, else 0
} cyc_backend;

/// What drives the reactor; final once it is enabled.
cyc_backend cyc_reactor_backend(const cyc_reactor *reactor);

/// Monotonic nanoseconds, read once per turn.
uint64_t cyc_reactor_now(const cyc_reactor *reactor);

/// Monotonic nanoseconds, read now.
uint64_t cyc_reactor_clock(const cyc_reactor *reactor);

/// Nanoseconds since 1970, by the host's clock. Read now, not once per turn.
uint64_t cyc_reactor_wall_clock(const cyc_reactor *reactor);

/// A random number: the system's, or of the world's one sequence.
uint64_t cyc_reactor_random(cyc_reactor *reactor);

/// In a world: whether a turn would find something to do at this instant.
bool cyc_reactor_is_due(const cyc_reactor *reactor);

/// In a world: its time when the earliest timer is due, UINT64_MAX when there is none.
uint64_t cyc_reactor_next(const cyc_reactor *reactor);

/// The descriptor that wakes a parked reactor; it lives until cyc_reactor_destroy.
int cyc_reactor_waker(const cyc_reactor *reactor);

/// Wakes the reactor of a waker: a WAKE event follows. The only function for any thread.
void cyc_waker_wake(int waker);

typedef enum cyc_event_kind {
  CYC_EVENT_ACCEPTED = 1,  ///< connection is open; user = listener's
  CYC_EVENT_CONNECTED,     ///< connection is open
  CYC_EVENT_READABLE,      ///< stream input: stream_begin .. stream_end
  CYC_EVENT_FRAMES,        ///< framed input: frames_next until it returns 0
  CYC_EVENT_INPUT_ENDED,   ///< the peer finished sending
  CYC_EVENT_DRAINED,       ///< the send queue fell to the low watermark
  CYC_EVENT_CLOSED,        ///< last event of a connection; reason and result say why
  CYC_EVENT_LISTENER_CLOSED,  ///< last event of a listener
  CYC_EVENT_FILE,          ///< a file operation ended; user = the operation's
  CYC_EVENT_TIMER,         ///< id = the timer
  CYC_EVENT_WAKE,          ///< cyc_waker_wake was called
} cyc_event_kind;

typedef enum cyc_close_reason {
  CYC_CLOSE_LOCAL = 1,
  CYC_CLOSE_END_OF_INPUT,
  CYC_CLOSE_RESET,
  CYC_CLOSE_REFUSED,
  CYC_CLOSE_TIMED_OUT,
  CYC_CLOSE_PROTOCOL_VIOLATION,
  CYC_CLOSE_SEND_OVERFLOW,
  CYC_CLOSE_INPUT_OVERFLOW,
  CYC_CLOSE_OUT_OF_BUFFERS,
  CYC_CLOSE_FAILED,
} cyc_close_reason;

typedef struct cyc_event {
  uint64_t id;    ///< connection or timer
  uint64_t user;  ///< what the caller gave with the listener, connection, timer or operation
  cyc_block *block;
  uint32_t offset;
  uint32_t length;
  int64_t result;  ///< FILE: bytes or -errno; CLOSED: errno behind the reason
  uint16_t kind;
  uint16_t reason;
} cyc_event;

/// One turn: starts everything that was asked for, waits for something to happen unless `park` is
/// false, and hands back what did. Returns the number of events at *events (valid until the next
/// turn), or -errno when the ring itself failed.
int cyc_reactor_turn(cyc_reactor *reactor, bool park, const cyc_event **events);

// -------------------------------------------------------------------- listeners and connections

/// Limits of an open connection, in milliseconds; 0 means none. Passing one closes it as timed out.
typedef struct cyc_deadlines {
  uint32_t idle_ms;    ///< without a byte in either direction
  uint32_t header_ms;  ///< from accepting, or a message's first byte, until it is consumed or it is
                       ///< known how much it needs; a paused connection is not measured
  uint32_t stall_ms;   ///< with bytes queued, and none taken by the kernel
} cyc_deadlines;

/// Who else may listen on the address.
typedef enum cyc_sharing {
  CYC_SHARING_NONE,
  CYC_SHARING_FIRST,   ///< nobody yet: refused when it is in use. Others may join afterwards
  CYC_SHARING_JOINED,  ///< whoever shares it, too: the kernel spreads connections over them
} cyc_sharing;

typedef struct cyc_listen_options {
  cyc_address address;
  cyc_deadlines deadlines;
  int backlog;
  cyc_sharing sharing;
  uint32_t frame_max;  ///< 0: stream connections; else framed, up to this size
  uint64_t user;
} cyc_listen_options;

/// Listens. *id names the listener, *bound is its address (the port that 0 became). 0 or -errno.
int cyc_listener_open(cyc_reactor *reactor, const cyc_listen_options *options, uint64_t *id,
                      cyc_address *bound);

/// Stops accepting; accepted connections stay. LISTENER_CLOSED follows.
void cyc_listener_close(cyc_reactor *reactor, uint64_t id);

typedef struct cyc_connect_options {
  cyc_address address;
  cyc_deadlines deadlines;
  uint64_t timeout_ns;
  uint32_t frame_max;
  uint64_t user;
} cyc_connect_options;

/// Starts to connect. CONNECTED or CLOSED follows. 0 when no connection slot is left.
uint64_t cyc_connection_connect(cyc_reactor *reactor, const cyc_connect_options *options);

/// Whether the id names a connection that takes input and output.
bool cyc_connection_is_open(const cyc_reactor *reactor, uint64_t id);

/// The peer's address; false when the connection is gone.
bool cyc_connection_peer(const cyc_reactor *reactor, uint64_t id, cyc_address *out);

/// Closes: at once, or after the send queue has gone out and the peer has seen the end (at most
/// `flush_ns`). CLOSED follows in a later turn. The first reason given stays.
void cyc_connection_close(cyc_reactor *reactor, uint64_t id, bool flush, cyc_close_reason reason);

/// Ends our direction once the send queue is out, and goes on receiving. What is queued after this
/// is dropped. When the peer's end has been settled, too, the connection closes as END_OF_INPUT.
void cyc_connection_finish_output(cyc_reactor *reactor, uint64_t id);

/// Closes everything and stops accepting; the events still come through turns.
void cyc_reactor_close_all(cyc_reactor *reactor, bool flush);

/// Settles an INPUT_ENDED event: false when the connection was closed or paused since; after a
/// resume the event comes again, behind the input that is still to be shown.
bool cyc_connection_settle_end(cyc_reactor *reactor, uint64_t id);

/// Stops READABLE and FRAMES until resumed. What arrives meanwhile is kept.
void cyc_connection_pause(cyc_reactor *reactor, uint64_t id);

/// Undoes a pause. Unconsumed input is offered again in the next turn.
void cyc_connection_resume(cyc_reactor *reactor, uint64_t id);

// -------------------------------------------------------------------------------------- input

/// Opens the input of a READABLE event: contiguous bytes from the first unconsumed one. NULL when
/// there is nothing to offer (closed, paused, or fewer bytes than were asked for); otherwise
/// stream_end must follow before any other event is looked at.
const uint8_t *cyc_stream_begin(cyc_reactor *reactor, const cyc_event *event, uint32_t *length);

/// Ends it: `consumed` bytes are done with; nothing is offered again before `needs` unconsumed
/// bytes are there (0: any more). A `needs` above the input limit closes the connection.
void cyc_stream_end(cyc_reactor *reactor, const cyc_event *event, uint32_t consumed,
                    uint32_t needs);

/// Between begin and end: a slice of the offered bytes that outlives them, without a copy.
cyc_slice cyc_stream_share(cyc_reactor *reactor, uint32_t offset, uint32_t length);

/// The next whole frame of a framed connection, with one reference for the caller. False when there
/// is none (incomplete, paused, closed, or a bad size, which closes the connection).
bool cyc_frames_next(cyc_reactor *reactor, uint64_t id, cyc_slice *frame);

// ------------------------------------------------------------------------------- sealed frames

enum { CYC_SEALED_HEADER = 16, CYC_SEALED_VERSION = 1 };

typedef enum cyc_sealed_fault {
  CYC_SEALED_WHOLE = 0,
  CYC_SEALED_SIZE,             ///< shorter than a header, or not of the size it gives
  CYC_SEALED_VERSION_UNKNOWN,  ///< not CYC_SEALED_VERSION
  CYC_SEALED_DAMAGED,          ///< the checksum is another
} cyc_sealed_fault;

/// Writes the 16 bytes of header that go in front of a payload.
void cyc_sealed_write(uint8_t *to, uint16_t kind, const uint8_t *payload, size_t length);

/// Verifies a whole frame; *kind is set when it is whole. The payload starts at CYC_SEALED_HEADER.
cyc_sealed_fault cyc_sealed_check(const uint8_t *frame, size_t size, uint16_t *kind);

// ------------------------------------------------------------------------------------- output

/// Queues a slice and takes over its reference, also when the connection is gone.
void cyc_send_slice(cyc_reactor *reactor, uint64_t id, cyc_slice slice);

/// Queues a copy, made in the connection's tail block.
void cyc_send_copy(cyc_reactor *reactor, uint64_t id, const void *bytes, size_t length);

/// Room for `length` contiguous bytes at the end of the queue; NULL when the connection is gone or
/// memory is short (which closes it). cyc_send_commit queues the first `used` of them, and nothing
/// else may be queued on the connection in between.
uint8_t *cyc_send_reserve(cyc_reactor *reactor, uint64_t id, size_t length);
void cyc_send_commit(cyc_reactor *reactor, uint64_t id, size_t used);

/// Bytes queued and not yet taken by the kernel.
uint64_t cyc_send_queued(const cyc_reactor *reactor, uint64_t id);

// -------------------------------------------------------------------------------------- files

/// Writes slices in order at `offset` as one vectored write, durable (RWF_DSYNC) when asked for,
/// continued when the kernel writes less. Takes over the slices' references. FILE follows.
int cyc_file_write(cyc_reactor *reactor, int fd, const cyc_slice *slices, uint32_t count,
                   int64_t offset, bool durable, uint64_t user);

/// Reads up to `length` bytes, fewer only at the end of the file. FILE follows; unless it failed,
/// with a block that holds them from its start and one reference to it for the caller.
int cyc_file_read(cyc_reactor *reactor, int fd, uint32_t length, int64_t offset, uint64_t user);

/// fdatasync. FILE follows.
int cyc_file_sync(cyc_reactor *reactor, int fd, uint64_t user);

// ------------------------------------------------------------------------------------- timers

/// Schedules a TIMER event at a monotonic time. Timers that are due together come in the order of
/// their deadlines, then of their scheduling. 0 when memory is short.
uint64_t cyc_timer_add(cyc_reactor *reactor, uint64_t deadline_ns, uint64_t user);

/// Takes a timer back, also one whose event is collected but not yet settled; false when it was
/// settled, was cancelled or never was.
bool cyc_timer_cancel(cyc_reactor *reactor, uint64_t id);

/// Settles a TIMER event; false when the timer was cancelled since the event was collected.
bool cyc_timer_settle(cyc_reactor *reactor, uint64_t id);

/// Names the calling thread, for debuggers and perf; cut to 15 bytes.
void cyc_thread_name(const char *name);

/// Tells the scheduler that the calling thread would rather find more to do than begin a little
/// sooner (SCHED_BATCH): when it wakes up it waits its turn, and does not interrupt whoever runs.
/// Where a processor is idle, nothing changes.
void cyc_thread_gather(void);
