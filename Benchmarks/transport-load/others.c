// The modes other than echo: a stream of frames, coming and going, doing nothing.

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

// --------------------------------------------------------------------------------------- stream

enum { BATCH = 4 << 20 };

// A frame as Cyclades has it: size, version 1, kind, XXH3-64 of the payload seeded with these.
static void make_frame(uint8_t *frame, uint32_t size) {
  uint16_t version = 1, kind = 7;
  memcpy(frame, &size, 4);
  memcpy(frame + 4, &version, 2);
  memcpy(frame + 6, &kind, 2);
  uint64_t seed;
  memcpy(&seed, frame, 8);
  uint64_t checksum = XXH3_64bits_withSeed(frame + 16, size - 16, seed);
  memcpy(frame + 8, &checksum, 8);
}

static uint64_t pour(int fd, const uint8_t *batch, size_t size, uint64_t end) {
  uint64_t sent_bytes = 0;
  while (now_ns() < end) {
    for (size_t at = 0; at < size;) {
      ssize_t sent = send(fd, batch + at, size - at, MSG_NOSIGNAL);
      if (sent < 0) fail("send");
      at += (size_t)sent;
      sent_bytes += (uint64_t)sent;
    }
  }
  return sent_bytes;
}

void run_stream(struct target target, uint32_t frame_size, uint64_t warmup_ms, uint64_t window_ms) {
  size_t count = BATCH / frame_size > 0 ? BATCH / frame_size : 1;
  uint8_t *batch = malloc(count * frame_size);
  if (!batch || frame_size < 16) fail("set-up");
  fill_pattern(batch, count * frame_size);
  for (size_t i = 0; i < count; i++) make_frame(batch + i * frame_size, frame_size);

  int fd = connect_to(target.port, 0);
  struct cpu from, to;
  pour(fd, batch, count * frame_size, now_ns() + warmup_ms * 1000000);
  cpu_read(target.pid, &from);
  uint64_t begin = now_ns();
  uint64_t bytes = pour(fd, batch, count * frame_size, begin + window_ms * 1000000);
  double seconds = (double)(now_ns() - begin) / 1e9;
  cpu_read(target.pid, &to);
  // Finish, and wait for the server to have taken everything: it answers with the number of bytes.
  shutdown(fd, SHUT_WR);
  uint64_t taken = 0;
  if (recv(fd, &taken, sizeof taken, MSG_WAITALL) != sizeof taken || taken < bytes) {
    fprintf(stderr, "error: the server took %llu bytes only\n", (unsigned long long)taken);
    exit(1);
  }
  printf("{\"messages\":%llu,\"seconds\":%.6f,\"bytes\":%llu,",
         (unsigned long long)(bytes / frame_size), seconds, (unsigned long long)bytes);
  cpu_print(&from, &to);
  printf("}\n");
}

// ---------------------------------------------------------------------------------------- churn

enum { MESSAGE = 64 };

struct visit {
  int fd;
  size_t received;
  int greeted;
};

static void start_visit(struct visit *v, int epoll, uint16_t port) {
  *v = (struct visit){.fd = connect_to(port, 1)};
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = v};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, v->fd, &event) != 0) fail("epoll");
}

// True when the visit is over: the message came back.
static int serve_visit(struct visit *v, const uint8_t *message) {
  uint8_t room[MESSAGE];
  if (!v->greeted) {
    ssize_t sent = send(v->fd, message, MESSAGE, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return 0;
    if (sent != MESSAGE) fail("send");
    v->greeted = 1;
  }
  ssize_t got = recv(v->fd, room, sizeof room, 0);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got <= 0) fail("receive");
  v->received += (size_t)got;
  return v->received == MESSAGE;
}

static uint64_t visit_until(int epoll, const uint8_t *message, uint16_t port, uint64_t end) {
  struct epoll_event events[64];
  uint64_t visits = 0;
  while (now_ns() < end) {
    int count = epoll_wait(epoll, events, 64, 10);
    for (int i = 0; i < count; i++) {
      struct visit *v = events[i].data.ptr;
      if (!serve_visit(v, message)) continue;
      close(v->fd);
      visits++;
      start_visit(v, epoll, port);
    }
  }
  return visits;
}

void run_churn(struct target target, size_t concurrency, uint64_t warmup_ms, uint64_t window_ms) {
  struct visit *visits = calloc(concurrency, sizeof *visits);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (!visits || epoll < 0) fail("set-up");
  uint8_t message[MESSAGE];
  fill_pattern(message, MESSAGE);
  for (size_t i = 0; i < concurrency; i++) start_visit(&visits[i], epoll, target.port);
  struct cpu from, to;
  visit_until(epoll, message, target.port, now_ns() + warmup_ms * 1000000);
  cpu_read(target.pid, &from);
  uint64_t begin = now_ns();
  uint64_t count = visit_until(epoll, message, target.port, begin + window_ms * 1000000);
  double seconds = (double)(now_ns() - begin) / 1e9;
  cpu_read(target.pid, &to);
  printf("{\"messages\":%llu,\"seconds\":%.6f,", (unsigned long long)count, seconds);
  cpu_print(&from, &to);
  printf("}\n");
}

// ----------------------------------------------------------------------------------------- idle

// Memory of a process that nobody shares with it, in bytes.
static uint64_t private_bytes(pid_t pid) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  uint64_t total = 0;
  unsigned long long kib;
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "Private_Dirty: %llu kB", &kib) == 1) total += kib * 1024;
  }
  fclose(file);
  return total;
}

void run_idle(struct target target, size_t connections) {
  // One connection first: what the server makes once is not counted for each.
  int first = connect_to(target.port, 0);
  struct timespec moment = {.tv_nsec = 300 * 1000 * 1000};
  nanosleep(&moment, NULL);
  uint64_t before = private_bytes(target.pid);
  int *all = malloc(connections * sizeof *all);
  if (!all) fail("set-up");
  for (size_t i = 0; i < connections; i++) all[i] = connect_to(target.port, 0);
  // A message through the last one proves that the server has accepted those before it.
  uint8_t message[MESSAGE], room[MESSAGE];
  fill_pattern(message, MESSAGE);
  if (send(all[connections - 1], message, MESSAGE, MSG_NOSIGNAL) != MESSAGE ||
      recv(all[connections - 1], room, MESSAGE, MSG_WAITALL) != MESSAGE) {
    fail("the last connection is not served");
  }
  nanosleep(&moment, NULL);
  uint64_t with = private_bytes(target.pid);
  printf("{\"messages\":%zu,\"seconds\":0,\"bytes\":%lld}\n", connections,
         (long long)with - (long long)before);
  for (size_t i = 0; i < connections; i++) close(all[i]);
  close(first);
}
