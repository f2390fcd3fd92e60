// transport-load: drives an echo server over loopback from one thread, and says what it saw.
//
//   transport-load echo   PORT PID CONNECTIONS SIZE DEPTH WARMUP SECONDS [RATE]
//   transport-load stream PORT PID FRAME-SIZE WARMUP SECONDS
//   transport-load churn  PORT PID CONCURRENCY WARMUP SECONDS
//   transport-load idle   PORT PID CONNECTIONS
//
//   echo     every connection keeps DEPTH messages of SIZE bytes in flight; with RATE, messages are
//            due at fixed times whether or not earlier ones are answered (open loop), and latency
//            counts from the time a message was due, so a stalled server cannot hide
//   stream   one connection, checksummed frames one way, as fast as they are taken
//   churn    connect, one message there and back, close, over and over
//   idle     connections that do nothing; the server's memory before and with them
//
// Every echoed byte is compared with what was sent. The server's processor time comes from its
// process clock (PID), read at both ends of the measured window: exact, and the same for all
// servers. The answer is one line of JSON on standard output.

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void fail(const char *what) {
  perror(what);
  exit(1);
}

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// utime and stime of a process, in clock ticks. Only their ratio is used: the kernel samples them.
static void read_ticks(pid_t pid, uint64_t *user, uint64_t *system) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *file = fopen(path, "r");
  if (!file || !fgets(line, sizeof line, file)) fail(path);
  fclose(file);
  char *fields = strrchr(line, ')');
  unsigned long long u = 0, s = 0;
  if (!fields || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &u,
                        &s) != 2) {
    fail("stat");
  }
  *user = u;
  *system = s;
}

void cpu_read(pid_t pid, struct cpu *cpu) {
  clockid_t clock;
  struct timespec time;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) fail("cpu clock");
  cpu->total_ns = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
  read_ticks(pid, &cpu->user_ticks, &cpu->system_ticks);
}

void cpu_print(const struct cpu *from, const struct cpu *to) {
  double user = (double)(to->user_ticks - from->user_ticks);
  double system = (double)(to->system_ticks - from->system_ticks);
  double total = (double)(to->total_ns - from->total_ns);
  double share = user + system > 0 ? user / (user + system) : 0;
  printf("\"cpu_ns\":%.0f,\"user_ns\":%.0f", total, total * share);
}

static long number(const char *text) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*end != 0 || value < 0) {
    fprintf(stderr, "error: '%s' is not a number\n", text);
    exit(64);
  }
  return value;
}

int main(int argc, char **argv) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  long values[8] = {0};
  int given = argc - 2;
  for (int i = 0; i < given && i < 8; i++) values[i] = number(argv[i + 2]);
  struct target target = {.port = (uint16_t)values[0], .pid = (pid_t)values[1]};
  if (argc > 1 && strcmp(argv[1], "echo") == 0 && (given == 7 || given == 8)) {
    struct echo_plan plan = {.connections = (size_t)values[2], .size = (size_t)values[3],
                             .depth = (size_t)values[4],       .warmup_ms = (uint64_t)values[5],
                             .window_ms = (uint64_t)values[6], .rate = (uint64_t)values[7]};
    run_echo(target, plan);
  } else if (argc > 1 && strcmp(argv[1], "stream") == 0 && given == 5) {
    run_stream(target, (uint32_t)values[2], (uint64_t)values[3], (uint64_t)values[4]);
  } else if (argc > 1 && strcmp(argv[1], "churn") == 0 && given == 5) {
    run_churn(target, (size_t)values[2], (uint64_t)values[3], (uint64_t)values[4]);
  } else if (argc > 1 && strcmp(argv[1], "idle") == 0 && given == 3) {
    run_idle(target, (size_t)values[2]);
  } else {
    fprintf(stderr, "usage: transport-load echo|stream|churn|idle PORT PID ...\n");
    return 64;
  }
  return 0;
}
