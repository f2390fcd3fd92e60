#pragma once

// A world in memory for reactors to live in: one clock, a network, and disks that can fail.
//
// It is the third thing that drives a reactor, beside io_uring and epoll, for simulations: whole
// nodes run in it unchanged, many on one thread, as fast as they can. One seed makes all its choices,
// so the same program in the same world does the same, to the byte; `cyc_world_digest` proves it.
//
//   advance ----> the next event of the world is due: bytes arrive, a disk is done, ...
//   turn(s) ----> the reactors that this concerns, and those whose timers are due, take turns
//                 until nobody has anything to do at this instant
//
// A host has one reactor at a time, and the address 10.0.(host / 256).(host % 256). Streams between
// hosts are as TCP's: in order and whole, or reset. Files are real ones; what was written to them
// and not synced, or was on its way, may be lost in a crash, sector by sector.
//
// Not modelled: names of files (they are durable at once) and Unix sockets.

#include <stdbool.h>
#include <stdint.h>

typedef struct cyc_world cyc_world;

typedef struct cyc_world_options {
  uint64_t seed;
  uint32_t hosts;             ///< hosts are numbered from 0
  uint64_t latency_ns;        ///< of the network, one way: at least this ...
  uint64_t latency_spread_ns; ///< ... and up to this much more; once in a hundred ten times that
  uint64_t disk_ns;           ///< likewise for one operation of a disk
  uint64_t disk_spread_ns;
  uint32_t short_ppm;         ///< sends that are taken in part, in millionths
  bool disks_lie;             ///< what is called durable is not: a simulation must find that
} cyc_world_options;

typedef enum cyc_disk_state {
  CYC_DISK_WELL,
  CYC_DISK_FULL,     ///< writes end with ENOSPC
  CYC_DISK_FAILING,  ///< writes and syncs end with EIO
  CYC_DISK_STALLED,  ///< nothing ends until it is well again
} cyc_disk_state;

typedef struct cyc_world_statistics {
  uint64_t events, segments, bytes, resets, refusals, retransmissions;
  uint64_t disk_operations, torn_writes, lost_sectors;
} cyc_world_statistics;

/// NULL when memory is short.
cyc_world *cyc_world_create(const cyc_world_options *options);

/// After all its reactors.
void cyc_world_destroy(cyc_world *world);

/// Nanoseconds since an arbitrary start.
uint64_t cyc_world_now(const cyc_world *world);

/// Moves the clock to the next event, at the latest to `until`, and carries it out. False when there
/// was none: then it is `until` now.
bool cyc_world_advance(cyc_world *world, uint64_t until);

/// A random number of the world's one sequence.
uint64_t cyc_world_random(cyc_world *world);

/// A hash over all that happened, in order, with all bytes that were sent.
uint64_t cyc_world_digest(const cyc_world *world);

cyc_world_statistics cyc_world_report(const cyc_world *world);

/// Whether what `from` sends reaches `to`. What is sent meanwhile arrives later.
void cyc_world_block(cyc_world *world, uint32_t from, uint32_t to, bool is_blocked);

/// Resets every connection between two hosts.
void cyc_world_reset(cyc_world *world, uint32_t a, uint32_t b);

void cyc_world_set_disk(cyc_world *world, uint32_t host, cyc_disk_state state);

/// How wrong a host's clocks are: that of the wall by an offset, both by a rate in millionths.
void cyc_world_set_clock(cyc_world *world, uint32_t host, int64_t offset_ns, int32_t drift_ppm);

/// The host's processes are gone. Its reactor can only be taken down now: whatever it starts ends as
/// cancelled. With `is_silent` the machine is gone as well, so that peers hear nothing.
void cyc_world_crash(cyc_world *world, uint32_t host, bool is_silent);

/// After a crash, when its reactor is destroyed: the host may have a new one.
void cyc_world_revive(cyc_world *world, uint32_t host);
