// Messages there and back. All messages are the same SIZE bytes of a pattern, so that what should
// come next is known from a position alone, and any number of whole messages is one write.

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 256 << 10, EVENTS = 512, DUE_RING = 4096 };

// Latencies in buckets an eighth of a power of two wide: 12 % at worst.
enum { STEPS = 8, BUCKETS = 64 * STEPS };

struct connection {
  int fd;
  size_t unsent;      // bytes that could not be written yet
  size_t send_at;     // position in the message that goes out next
  size_t receive_at;  // position in the message that comes in next
  int waits;          // EPOLLOUT is asked for
  // When each message in flight was due, oldest first; open loop and latency only.
  uint64_t *due;
  uint32_t due_head, due_count;
};

struct run {
  struct echo_plan plan;
  int epoll;
  struct connection *connections;
  uint8_t *pattern;  // whole messages, as many as fill ROOM, and one more to start anywhere
  size_t pattern_size;
  uint8_t *room;
  uint64_t messages, skipped;
  uint64_t buckets[BUCKETS];
};

static size_t bucket_of(uint64_t ns) {
  if (ns < STEPS) return (size_t)ns;
  unsigned power = 63 - (unsigned)__builtin_clzll(ns);
  return (power - 3) * STEPS + (size_t)(ns >> (power - 3));
}

static double bucket_us(size_t bucket) {
  if (bucket < STEPS) return (double)bucket / 1000;
  size_t power = bucket / STEPS - 1;
  return (double)((bucket % STEPS + STEPS) * ((uint64_t)1 << power)) / 1000;
}

static double percentile(const struct run *run, double share) {
  uint64_t total = 0, seen = 0;
  for (size_t i = 0; i < BUCKETS; i++) total += run->buckets[i];
  for (size_t i = 0; i < BUCKETS; i++) {
    seen += run->buckets[i];
    if (total > 0 && (double)seen >= share * (double)total) return bucket_us(i + 1);
  }
  return 0;
}

static void want_writable(struct run *run, struct connection *c, int waits) {
  if (c->waits == waits) return;
  c->waits = waits;
  struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(run->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void flush(struct run *run, struct connection *c) {
  while (c->unsent > 0) {
    size_t most = run->pattern_size - c->send_at;
    size_t count = c->unsent < most ? c->unsent : most;
    ssize_t sent = send(c->fd, run->pattern + c->send_at, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) fail("send");
    c->unsent -= (size_t)sent;
    c->send_at = (c->send_at + (size_t)sent) % run->plan.size;
  }
  want_writable(run, c, c->unsent > 0);
}

static void note_due(struct run *run, struct connection *c, uint64_t due, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (c->due_count == DUE_RING) {
      run->skipped++;  // a server this far behind has failed the test: reported, not hidden
      return;
    }
    c->due[(c->due_head + c->due_count++) % DUE_RING] = due;
    c->unsent += run->plan.size;
  }
}

static void note_answers(struct run *run, struct connection *c, size_t count, uint64_t now) {
  run->messages += count;
  for (; count > 0 && c->due_count > 0; count--) {
    uint64_t took = now - c->due[c->due_head];
    run->buckets[bucket_of(took)]++;
    c->due_head = (c->due_head + 1) % DUE_RING;
    c->due_count--;
  }
}

static void receive(struct run *run, struct connection *c) {
  size_t answered = 0;
  for (;;) {
    ssize_t got = recv(c->fd, run->room, ROOM, 0);
    if (got < 0 && errno == EAGAIN) break;
    if (got < 0) fail("receive");
    if (got == 0) {
      fprintf(stderr, "error: the server closed a connection\n");
      exit(1);
    }
    if (memcmp(run->room, run->pattern + c->receive_at, (size_t)got) != 0) {
      fprintf(stderr, "error: the server sent back other bytes\n");
      exit(1);
    }
    answered += (c->receive_at + (size_t)got) / run->plan.size;
    c->receive_at = (c->receive_at + (size_t)got) % run->plan.size;
    if (got < ROOM) break;
  }
  uint64_t now = now_ns();
  note_answers(run, c, answered, now);
  if (run->plan.rate == 0) note_due(run, c, now, (uint32_t)answered);
  flush(run, c);
}

static void set_up(struct run *run, struct target target) {
  size_t size = run->plan.size;
  run->pattern_size = (ROOM + size - 1) / size * size + size;
  run->pattern = malloc(run->pattern_size);
  run->room = malloc(ROOM);
  run->connections = calloc(run->plan.connections, sizeof *run->connections);
  run->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (!run->pattern || !run->room || !run->connections || run->epoll < 0) fail("set-up");
  fill_pattern(run->pattern, size);
  for (size_t at = size; at < run->pattern_size; at += size) {
    memcpy(run->pattern + at, run->pattern, size);
  }
  for (size_t i = 0; i < run->plan.connections; i++) {
    struct connection *c = &run->connections[i];
    c->fd = connect_to(target.port, 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->due = malloc(DUE_RING * sizeof *c->due);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (!c->due || epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) fail("epoll");
  }
}

// Serves events until `end`; with a rate, sends what falls due. Returns when the next one is due.
static uint64_t drive(struct run *run, uint64_t end, uint64_t *sequence, uint64_t start) {
  struct epoll_event events[EVENTS];
  uint64_t now = now_ns();
  while (now < end) {
    uint64_t wake = end;
    if (run->plan.rate > 0) {
      uint64_t due;
      while ((due = start + *sequence * 1000000000 / run->plan.rate) <= now) {
        struct connection *c = &run->connections[(*sequence)++ % run->plan.connections];
        note_due(run, c, due, 1);
        flush(run, c);
      }
      wake = due < end ? due : end;
    }
    uint64_t wait = wake > now ? wake - now : 0;
    struct timespec timeout = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
    int count = epoll_pwait2(run->epoll, events, EVENTS, &timeout, NULL);
    if (count < 0 && errno != EINTR) fail("epoll");
    for (int i = 0; i < count; i++) {
      struct connection *c = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) flush(run, c);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(run, c);
    }
    now = now_ns();
  }
  return now;
}

void run_echo(struct target target, struct echo_plan plan) {
  struct run run = {.plan = plan};
  set_up(&run, target);
  uint64_t start = now_ns(), sequence = 0;
  for (size_t i = 0; plan.rate == 0 && i < plan.connections; i++) {
    note_due(&run, &run.connections[i], start, (uint32_t)plan.depth);
    flush(&run, &run.connections[i]);
  }
  struct cpu from, to;
  drive(&run, start + plan.warmup_ms * 1000000, &sequence, start);
  run.messages = 0;
  memset(run.buckets, 0, sizeof run.buckets);
  cpu_read(target.pid, &from);
  uint64_t begin = now_ns();
  uint64_t end = drive(&run, begin + plan.window_ms * 1000000, &sequence, start);
  cpu_read(target.pid, &to);
  double seconds = (double)(end - begin) / 1e9;
  printf("{\"messages\":%llu,\"seconds\":%.6f,\"skipped\":%llu,", (unsigned long long)run.messages,
         seconds, (unsigned long long)run.skipped);
  cpu_print(&from, &to);
  printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n", percentile(&run, 0.5),
         percentile(&run, 0.99), percentile(&run, 0.999));
}
