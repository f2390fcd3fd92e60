// transport-raw echo|sink: the least that a server over io_uring can do, as the floor to measure
// at.
//
// One file, one ring, no abstraction: multishot accept, multishot receive into a provided-buffer
// ring, and the received buffer itself is what is sent back (one gathering send in flight per
// connection). No limits, no deadlines, no teardown protocol: what it lacks is what a transport is.
//
//   echo   sends back what arrives
//   sink   receives into one large buffer and discards; answers the end of input with the count
//
// Prints its port, serves until standard input ends, prints what it counted as one line of JSON.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 65536, BUFFERS = 1024, BUFFER_SIZE = 16 << 10, SINK_ROOM = 256 << 10 };
enum { QUEUE = 16 };  // buffers of one connection waiting to be sent
enum kind { ACCEPT, RECEIVE, SEND, STDIN };

struct connection {
  uint16_t queue[QUEUE];
  uint32_t length[QUEUE];
  uint32_t head, count, sent;
  uint32_t in_flight;  // of the queue, in the send that the kernel holds
  uint8_t receiving, starved, over;
  struct iovec *vectors;
  struct msghdr *message;
  uint64_t taken;
};

static struct io_uring ring;
static struct io_uring_buf_ring *lent;
static uint8_t *buffers, *room;
static struct connection *connections;  // by descriptor
static uint32_t free_buffers = BUFFERS;
static int starving, is_sink;
static uint64_t enters, receives, received_bytes, sends;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct io_uring_sqe *entry(enum kind kind, int fd) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
  if (!sqe) {
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
  }
  if (!sqe) fail("submission queue");
  sqe->user_data = (uint64_t)kind << 32 | (uint32_t)fd;
  return sqe;
}

static void receive(int fd) {
  struct connection *c = &connections[fd];
  struct io_uring_sqe *sqe = entry(RECEIVE, fd);
  uint64_t tag = sqe->user_data;
  if (is_sink) {
    io_uring_prep_recv(sqe, fd, room, SINK_ROOM, 0);
  } else {
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
  }
  sqe->user_data = tag;
  c->receiving = 1;
}

static void give_back(uint16_t id) {
  io_uring_buf_ring_add(lent, buffers + (size_t)id * BUFFER_SIZE, BUFFER_SIZE, id,
                        io_uring_buf_ring_mask(BUFFERS), 0);
  io_uring_buf_ring_advance(lent, 1);
  free_buffers++;
}

static void send_queue(int fd) {
  struct connection *c = &connections[fd];
  struct io_uring_sqe *sqe = entry(SEND, fd);
  uint64_t tag = sqe->user_data;
  c->in_flight = c->count;
  if (c->count == 1) {
    const uint8_t *from = buffers + (size_t)c->queue[c->head] * BUFFER_SIZE + c->sent;
    io_uring_prep_send(sqe, fd, from, c->length[c->head] - c->sent, MSG_NOSIGNAL);
  } else {
    if (!c->vectors) c->vectors = malloc(QUEUE * sizeof *c->vectors);
    if (!c->message) c->message = malloc(sizeof *c->message);
    for (uint32_t i = 0; i < c->count; i++) {
      uint32_t at = (c->head + i) % QUEUE, skip = i == 0 ? c->sent : 0;
      uint8_t *from = buffers + (size_t)c->queue[at] * BUFFER_SIZE;
      c->vectors[i] = (struct iovec){from + skip, c->length[at] - skip};
    }
    *c->message = (struct msghdr){.msg_iov = c->vectors, .msg_iovlen = c->count};
    io_uring_prep_sendmsg(sqe, fd, c->message, MSG_NOSIGNAL);
  }
  sqe->user_data = tag;
}

static void finish(int fd) {
  struct connection *c = &connections[fd];
  if (!c->over || c->receiving || c->in_flight) return;
  while (c->count > 0) {
    give_back(c->queue[c->head]);
    c->head = (c->head + 1) % QUEUE;
    c->count--;
  }
  free(c->vectors);
  free(c->message);
  close(fd);
  *c = (struct connection){0};
}

static void on_receive(int fd, const struct io_uring_cqe *cqe) {
  struct connection *c = &connections[fd];
  if (!(cqe->flags & IORING_CQE_F_MORE)) c->receiving = 0;
  if (cqe->res > 0) {
    receives++;
    received_bytes += (uint64_t)cqe->res;
    c->taken += (uint64_t)cqe->res;
  }
  if (cqe->res > 0 && !is_sink) {
    uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    free_buffers--;
    if (c->count == QUEUE) fail("a client has too much in flight");
    uint32_t at = (c->head + c->count++) % QUEUE;
    c->queue[at] = id;
    c->length[at] = (uint32_t)cqe->res;
  } else if (cqe->res == -ENOBUFS) {
    c->starved = 1;
    starving = 1;
    return;
  } else if (cqe->res <= 0) {
    if (is_sink && send(fd, &c->taken, sizeof c->taken, MSG_NOSIGNAL) < 0) perror("answer");
    c->over = 1;
  }
  if (!c->receiving && !c->over) receive(fd);
  finish(fd);
}

static void on_send(int fd, int result) {
  struct connection *c = &connections[fd];
  c->in_flight = 0;
  sends++;
  if (result < 0) {
    c->over = 1;
    shutdown(fd, SHUT_RDWR);
  }
  for (uint32_t sent = result > 0 ? (uint32_t)result : 0; sent > 0;) {
    uint32_t left = c->length[c->head] - c->sent;
    if (sent < left) {
      c->sent += sent;
      break;
    }
    sent -= left;
    c->sent = 0;
    give_back(c->queue[c->head]);
    c->head = (c->head + 1) % QUEUE;
    c->count--;
  }
  finish(fd);
}

static void on_accept(const struct io_uring_cqe *cqe, int listener) {
  if (cqe->res >= CONNECTIONS) fail("too many connections");
  if (cqe->res >= 0) receive(cqe->res);
  if (cqe->flags & IORING_CQE_F_MORE) return;
  struct io_uring_sqe *sqe = entry(ACCEPT, listener);
  uint64_t tag = sqe->user_data;
  io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
  sqe->user_data = tag;
}

// What is to be sent goes out after all completions are seen: answers of a batch leave together.
static int drain(int listener) {
  static int touched[16384];
  struct io_uring_cqe *cqe;
  unsigned head, count = 0, touched_count = 0;
  io_uring_for_each_cqe(&ring, head, cqe) {
    enum kind kind = (enum kind)(cqe->user_data >> 32);
    int fd = (int)(uint32_t)cqe->user_data;
    if (kind == STDIN) return 0;
    if (kind == ACCEPT) {
      on_accept(cqe, listener);
    } else if (kind == SEND) {
      on_send(fd, cqe->res);
    } else {
      on_receive(fd, cqe);
    }
    if (kind != ACCEPT && touched_count < 16384) touched[touched_count++] = fd;
    count++;
  }
  io_uring_cq_advance(&ring, count);
  for (unsigned i = 0; i < touched_count; i++) {
    struct connection *c = &connections[touched[i]];
    if (c->count > 0 && c->in_flight == 0 && !c->over) send_queue(touched[i]);
  }
  if (starving && free_buffers > BUFFERS / 2) {
    starving = 0;
    for (int fd = 0; fd < CONNECTIONS; fd++) {
      if (!connections[fd].starved) continue;
      connections[fd].starved = 0;
      receive(fd);
    }
  }
  return 1;
}

static int listen_somewhere(void) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof name;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&name, size) != 0 || listen(fd, 4096) != 0) fail("listen");
  getsockname(fd, (struct sockaddr *)&name, &size);
  printf("port %d\n", ntohs(name.sin_port));
  fflush(stdout);
  return fd;
}

static void set_up(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  struct io_uring_params params = {.cq_entries = 8192,
                                   .flags = IORING_SETUP_SINGLE_ISSUER |
                                            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                                            IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE};
  int result = io_uring_queue_init_params(1024, &ring, &params);
  if (result < 0) {
    fprintf(stderr, "io_uring: %s\n", strerror(-result));
    exit(1);
  }
  io_uring_register_ring_fd(&ring);
  connections = calloc(CONNECTIONS, sizeof *connections);
  room = malloc(SINK_ROOM);
  size_t size = BUFFERS * sizeof(struct io_uring_buf);
  lent = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  buffers = mmap(NULL, (size_t)BUFFERS * BUFFER_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (!connections || !room || lent == MAP_FAILED || buffers == MAP_FAILED) fail("memory");
  struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)lent,
                                          .ring_entries = BUFFERS};
  io_uring_buf_ring_init(lent);
  if (io_uring_register_buf_ring(&ring, &registration, 0) < 0) fail("buffer ring");
  for (uint16_t id = 0; id < BUFFERS; id++) {
    free_buffers--;
    give_back(id);
  }
}

int main(int argc, char **argv) {
  is_sink = argc == 2 && strcmp(argv[1], "sink") == 0;
  if (argc != 2 || (!is_sink && strcmp(argv[1], "echo") != 0)) {
    fprintf(stderr, "usage: transport-raw echo|sink\n");
    return 64;
  }
  set_up();
  int listener = listen_somewhere();
  char input;
  struct io_uring_cqe first = {.res = -1};
  on_accept(&first, listener);
  struct io_uring_sqe *sqe = entry(STDIN, 0);
  uint64_t tag = sqe->user_data;
  io_uring_prep_read(sqe, 0, &input, 1, 0);
  sqe->user_data = tag;
  do {
    enters++;
    io_uring_submit_and_wait(&ring, 1);
  } while (drain(listener));
  printf("{\"enters\":%llu,\"receives\":%llu,\"received_bytes\":%llu,\"sends\":%llu,"
         "\"copied\":0}\n",
         (unsigned long long)enters, (unsigned long long)receives,
         (unsigned long long)received_bytes, (unsigned long long)sends);
  return 0;
}
