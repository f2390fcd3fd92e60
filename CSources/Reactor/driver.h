#pragma once

// What the reactor asks of the kernel. uring.c answers with io_uring; a second implementation over
// epoll fits behind the same functions, since all state lives on this side of them.
//
// The functions that start an operation return false, and start nothing, when the kernel's queue is
// full; the caller keeps its request and comes again next turn. Completions come back during
// cyc_driver_wait through the cyc_*_on_* functions of internal.h, exactly one terminal one for
// each start. Starting counts the operation, in the connection and in the reactor; the driver
// counts it down just before its terminal completion is handed over.

#include "internal.h"

/// NULL with *error set when the kernel refuses.
cyc_driver *cyc_driver_create(const cyc_reactor_options *options, int *error);

/// On the owning thread, once, before anything else below. 0 or -errno.
int cyc_driver_enable(cyc_reactor *r);

/// Only when no operation is left.
void cyc_driver_destroy(cyc_reactor *r);

uint32_t cyc_driver_flags(const cyc_driver *driver);

/// Submits what was started and waits up to `timeout_ns` for a completion; handles all there are.
/// 0, or -errno when the driver itself failed.
int cyc_driver_wait(cyc_reactor *r, uint64_t timeout_ns);

bool cyc_driver_accept(cyc_reactor *r, cyc_listener *l);
bool cyc_driver_cancel_accept(cyc_reactor *r, cyc_listener *l);
bool cyc_driver_connect(cyc_reactor *r, cyc_connection *c);
bool cyc_driver_cancel_connect(cyc_reactor *r, cyc_connection *c);
bool cyc_driver_receive_stream(cyc_reactor *r, cyc_connection *c);
bool cyc_driver_receive_into(cyc_reactor *r, cyc_connection *c, uint8_t *bytes, size_t room);
bool cyc_driver_cancel_receive(cyc_reactor *r, cyc_connection *c);
bool cyc_driver_send(cyc_reactor *r, cyc_connection *c);
bool cyc_driver_write(cyc_reactor *r, cyc_file_operation *operation, uint32_t vectors);
bool cyc_driver_sync(cyc_reactor *r, cyc_file_operation *operation);

/// Receive blocks: the kernel fills lent ones for stream connections and hands them over with a
/// completion. `reclaim` gives one back; `lend` puts what was reclaimed at the kernel's disposal.
void cyc_driver_reclaim(cyc_reactor *r, cyc_block *block);
void cyc_driver_lend(cyc_reactor *r);
uint32_t cyc_driver_lent(const cyc_driver *driver);
