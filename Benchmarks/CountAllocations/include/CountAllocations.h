// Counts every heap allocation of the process it is linked into.
#pragma once

#include <stdint.h>

// Calls of malloc, calloc, realloc and aligned_alloc so far, from all threads.
uint64_t allocations_counted(void);
