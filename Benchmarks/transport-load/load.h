#pragma once

// What the files of the load generator share; main.c says what each mode does.

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct target {
  uint16_t port;
  pid_t pid;
};

struct echo_plan {
  size_t connections, size, depth;
  uint64_t warmup_ms, window_ms;
  uint64_t rate;  // messages per second; 0: as many as come back
};

struct cpu {
  uint64_t total_ns;  // of all threads, the ended ones too
  uint64_t user_ticks, system_ticks;
};

// main.c
_Noreturn void fail(const char *what);
uint64_t now_ns(void);
void cpu_read(pid_t pid, struct cpu *cpu);
void cpu_print(const struct cpu *from, const struct cpu *to);

// sockets.c
int connect_to(uint16_t port, int nonblocking);
void fill_pattern(uint8_t *bytes, size_t count);

// the modes
void run_echo(struct target target, struct echo_plan plan);
void run_stream(struct target target, uint32_t frame_size, uint64_t warmup_ms, uint64_t window_ms);
void run_churn(struct target target, size_t concurrency, uint64_t warmup_ms, uint64_t window_ms);
void run_idle(struct target target, size_t connections);
