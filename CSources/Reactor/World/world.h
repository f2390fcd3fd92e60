#pragma once

// What the files of the world share:
//
//   world.c     clock, random numbers, events, hosts          driver.c    the reactor's side
//   network.c   sockets, and streams between them             disk.c      operations on files
//
// Everything that takes time is an event in one heap, ordered by time and then by number, so that
// events of one instant come in the order in which they were scheduled.
//
// A stream is two queues at its receiving socket: `wire`, what was sent and has not arrived, and
// `input`, what has arrived and was not received. Sockets are slots with generations; a slot is
// named by (slot, generation) wherever it may be gone by then.

#include "../driver.h"
#include "CCycladesWorld.h"

enum {
  CYC_WORLD_FD = 1 << 30,          // descriptors of sockets begin here: no file's is as high
  CYC_WORLD_WINDOW = 256 << 10,    // bytes of a stream that were sent and not received, at most
  CYC_WORLD_SECTOR = 4096,
};

typedef enum world_event_kind {
  WORLD_DELIVER,    // the first bytes of a socket's wire are due
  WORLD_CONNECT,    // a wish to connect reaches its host
  WORLD_CONNECTED,  // ... and the answer comes back
  WORLD_FILE,       // a disk is done
} world_event_kind;

typedef struct world_event {
  uint64_t at, number;
  world_event_kind kind;
  uint32_t socket, generation;
  int32_t result;
  uint32_t host;
  cyc_file_operation *operation;
} world_event;

typedef enum chunk_kind { CHUNK_BYTES, CHUNK_END, CHUNK_RESET } chunk_kind;

typedef struct chunk {
  struct chunk *next;
  uint64_t due;
  chunk_kind kind;
  uint32_t length, taken;
  uint8_t bytes[];
} chunk;

typedef struct chunk_queue {
  chunk *first, *last;
  uint64_t bytes;
} chunk_queue;

typedef enum socket_state {
  SOCKET_FREE,
  SOCKET_MADE,
  SOCKET_LISTENING,
  SOCKET_JOINED,
  SOCKET_CUT,  // of a host that crashed
} socket_state;

typedef struct world_socket {
  uint32_t generation;
  socket_state state;
  uint32_t host;
  uint32_t peer, peer_generation;
  cyc_address local, remote;
  chunk_queue wire, input;
  uint64_t last_due;       // nothing overtakes
  bool is_armed;           // a delivery is scheduled
  bool has_ended;          // the peer's end has arrived
  bool is_reset;
  bool output_ended;
  bool is_answered;        // the wish to connect was
  int32_t answer;
  bool is_attached;        // to the connection below
  uint32_t connection;
  uint32_t *backlog;       // connected, not accepted yet
  uint32_t backlog_count, backlog_capacity;
  uint32_t next_free;
} world_socket;

// A write that was done and not synced: what stood there before, zeros when `before` is NULL.
typedef struct unsynced {
  struct unsynced *next;
  uint32_t host;
  int fd, copy;  // `copy` stays open when the writer closes its own
  uint64_t number;
  int64_t offset;
  uint64_t length;
  uint8_t *before;
} unsynced;

typedef struct world_driver world_driver;

typedef struct world_host {
  world_driver *driver;
  bool is_gone;    // crashed
  bool is_silent;  // ... with its machine
  cyc_disk_state disk;
  int64_t wall_offset;
  int32_t drift_ppm;
  cyc_file_operation *stalled;
} world_host;

struct cyc_world {
  cyc_world_options options;
  uint64_t now, random, digest, numbers;
  world_event *heap;
  uint32_t heap_count, heap_capacity;
  world_host *hosts;
  bool *blocked;  // [from * hosts + to]
  world_socket *sockets;
  uint32_t socket_count, socket_capacity, free_socket;
  uint16_t next_port;
  unsynced *unsynced;
  cyc_world_statistics statistics;
};

struct world_driver {
  cyc_driver base;
  cyc_reactor *reactor;
  cyc_world *world;
  uint32_t host;
  uint32_t *ready;
  uint32_t ready_count, ready_capacity;
  uint32_t cancelled_accepts;
  bool has_backlog;
  cyc_file_operation *done_first, *done_last;
  cyc_block *spare;
  uint32_t blocks_max, blocks_out;
};

// world.c
void *world_grow(void *array, uint32_t count, uint32_t *capacity, size_t size);
uint64_t world_below(cyc_world *w, uint64_t bound);
uint64_t world_delay(cyc_world *w, uint64_t least, uint64_t spread);
void world_schedule(cyc_world *w, world_event event);
void world_note(cyc_world *w, uint64_t what, uint64_t a, uint64_t b);
void world_note_bytes(cyc_world *w, const void *bytes, size_t length);

// network.c
extern const cyc_socket_calls world_sockets;
world_socket *world_socket_of(cyc_world *w, int fd);
void world_on_deliver(cyc_world *w, const world_event *event);
void world_on_connect(cyc_world *w, const world_event *event);
void world_on_connected(cyc_world *w, const world_event *event);
void world_start_connect(cyc_world *w, world_socket *s, const cyc_address *to);
/// Bytes taken, 0 at the end of the stream, -EAGAIN when there is nothing yet, or another -errno.
int world_receive(cyc_world *w, world_socket *s, uint8_t *bytes, size_t room);
int world_send(cyc_world *w, world_socket *s, const struct iovec *vectors, uint32_t count);
/// The descriptor of a connection that waits to be accepted, or -EAGAIN.
int world_accept(world_socket *s);
void world_cut_sockets(cyc_world *w, uint32_t host, bool is_silent);
void world_free_sockets(cyc_world *w);

// disk.c
void world_start_file(cyc_world *w, uint32_t host, cyc_file_operation *operation);
void world_on_file(cyc_world *w, const world_event *event);
void world_wake_disk(cyc_world *w, uint32_t host);
void world_crash_disk(cyc_world *w, uint32_t host);
void world_free_disks(cyc_world *w);

// driver.c
void world_driver_ready(world_driver *d, uint32_t connection);
void world_driver_done(world_driver *d, cyc_file_operation *operation);
