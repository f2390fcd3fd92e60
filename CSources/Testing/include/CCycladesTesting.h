#pragma once

// What tests need of the system and Swift cannot say. No library depends on this.

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
