#pragma once

// What tests need of the system and Swift cannot say. No library depends on this.

#include <stdbool.h>
#include <stdint.h>

enum {
  CYC_REFUSE_SETUP = 1,
  CYC_REFUSE_ENTER = 2,
  CYC_REFUSE_REGISTER = 4,
};

/// Makes the kernel refuse system calls of io_uring (CYC_REFUSE_...) with `error` from here on, for
/// all threads of this process, as a container's seccomp profile does. There is no way back. 0 or
/// -errno.
int cyc_testing_refuse_uring(unsigned calls, int error);

/// Allocations that the calling thread has made; negative when a sanitizer owns malloc.
int64_t cyc_testing_allocations(void);

/// Connects to a port of this machine and closes, `count` times, one after the other; returns how
/// often it connected.
uint32_t cyc_testing_come_and_go(uint16_t port, uint32_t count);

/// Starts a process that connects `count` times and stays; *held says how many it has. Returns its
/// id, or -1.
int cyc_testing_hold(uint16_t port, uint32_t count, uint32_t *held);

/// Ends that process, and with it its connections.
void cyc_testing_let_go(int child);

/// Raises this process's soft limit of descriptors, as far as the hard one allows.
bool cyc_testing_raise_descriptor_limit(uint64_t limit);
