#pragma once

// Threads that make the system calls of file operations, for a driver whose kernel interface cannot
// wait for a disk.

#include "internal.h"

typedef struct cyc_workers cyc_workers;

/// `bell`: an eventfd that is rung when operations are done. No thread is started yet.
cyc_workers *cyc_workers_create(int bell);

/// Ends the threads. Only when every operation has been collected.
void cyc_workers_destroy(cyc_workers *workers);

/// Hands an operation over until it is collected. False when there is no thread to take it.
bool cyc_workers_submit(cyc_workers *workers, cyc_file_operation *operation);

/// All operations that are done, linked by `next`, the one done first in front.
cyc_file_operation *cyc_workers_collect(cyc_workers *workers);
