// Disks of the world: operations on real files that take time, fail, and are forgotten in a crash.
//
//   write   done when its time has come; from then on reads see it
//           durable: it survives from then on           else: it is on the list `unsynced` until a
//                                                             sync that began later has ended
//   crash   of a write on its way, and of every unsynced one, each sector is there or is not
//
// What stood there before an unsynced write is kept beside it, so that a crash can put it back. The
// files are patched before anybody reads them again: what recovery finds is what a power cut left.

#include "world.h"

#include <sys/uio.h>

static bool is_write(const cyc_file_operation *operation) {
  return operation->kind == CYC_FILE_WRITE;
}

static void schedule(cyc_world *w, uint32_t host, cyc_file_operation *operation) {
  uint64_t after = world_delay(w, w->options.disk_ns, w->options.disk_spread_ns);
  world_schedule(w, (world_event){.at = w->now + after,
                                  .kind = WORLD_FILE,
                                  .host = host,
                                  .operation = operation});
}

// What a sync covers is what was done when it began: that number travels in its offset.
void world_start_file(cyc_world *w, uint32_t host, cyc_file_operation *operation) {
  if (operation->kind == CYC_FILE_SYNC) operation->offset = (int64_t)w->numbers;
  w->statistics.disk_operations++;
  schedule(w, host, operation);
}

// ------------------------------------------------------------------------------------ unsynced

static uint64_t length_of(const cyc_file_operation *operation) {
  uint64_t length = 0;
  for (uint32_t i = 0; i < operation->vector_count; i++) length += operation->vectors[i].iov_len;
  return length;
}

static void remember(cyc_world *w, uint32_t host, const cyc_file_operation *operation) {
  unsynced *u = calloc(1, sizeof *u);
  if (!u) abort();
  *u = (unsynced){.next = w->unsynced,
                  .host = host,
                  .fd = operation->fd,
                  .copy = dup(operation->fd),
                  .number = w->numbers++,
                  .offset = operation->offset + (int64_t)operation->done,
                  .length = length_of(operation)};
  u->before = calloc(1, u->length);
  if (!u->before || u->copy < 0) abort();
  if (pread(u->copy, u->before, u->length, u->offset) <= 0) {
    free(u->before);
    u->before = NULL;
  }
  w->unsynced = u;
}

static void forget(unsynced *u) {
  close(u->copy);
  free(u->before);
  free(u);
}

static void settle(cyc_world *w, uint32_t host, const cyc_file_operation *sync) {
  unsynced **link = &w->unsynced;
  while (*link) {
    unsynced *u = *link;
    if (u->host == host && u->fd == sync->fd && (int64_t)u->number < sync->offset) {
      *link = u->next;
      forget(u);
    } else {
      link = &u->next;
    }
  }
}

void world_free_disks(cyc_world *w) {
  while (w->unsynced) {
    unsynced *u = w->unsynced;
    w->unsynced = u->next;
    forget(u);
  }
}

// ------------------------------------------------------------------------------------- carrying out

static int transfer(const cyc_file_operation *operation) {
  off_t at = operation->offset + (off_t)operation->done;
  int count = (int)operation->vector_count;
  ssize_t result = is_write(operation) ? pwritev(operation->fd, operation->vectors, count, at)
                                       : preadv(operation->fd, operation->vectors, count, at);
  return result < 0 ? -errno : (int)result;
}

static int carry_out(cyc_world *w, uint32_t host, cyc_file_operation *operation) {
  cyc_disk_state disk = w->hosts[host].disk;
  bool is_read = operation->kind == CYC_FILE_READ;
  if (disk == CYC_DISK_FAILING && !is_read) return -EIO;
  if (disk == CYC_DISK_FULL && is_write(operation)) return -ENOSPC;
  if (operation->kind == CYC_FILE_SYNC) {
    settle(w, host, operation);
    return 0;
  }
  bool survives = operation->durable && !w->options.disks_lie;
  if (is_write(operation) && !survives) remember(w, host, operation);
  return transfer(operation);
}

void world_on_file(cyc_world *w, const world_event *event) {
  world_host *h = &w->hosts[event->host];
  cyc_file_operation *operation = event->operation;
  if (!operation) return;  // cancelled meanwhile
  if (h->is_gone) {
    operation->result = -ECANCELED;
  } else if (h->disk == CYC_DISK_STALLED) {
    operation->next = h->stalled;
    h->stalled = operation;
    return;
  } else {
    operation->result = carry_out(w, event->host, operation);
  }
  world_note(w, 200, (uint64_t)operation->result, operation->kind);
  world_driver_done(h->driver, operation);
}

void world_wake_disk(cyc_world *w, uint32_t host) {
  cyc_file_operation *operation = w->hosts[host].stalled;
  w->hosts[host].stalled = NULL;
  while (operation) {
    cyc_file_operation *next = operation->next;
    schedule(w, host, operation);
    operation = next;
  }
}

// -------------------------------------------------------------------------------------- crashing

static void write_sector(int fd, const uint8_t *bytes, size_t length, off_t at) {
  ssize_t written = pwrite(fd, bytes, length, at);
  if (written != (ssize_t)length) abort();  // the file system under the simulation is full
}

// Writes that were on their way: a disk may have begun anywhere, or not at all.
static void tear(cyc_world *w, const cyc_file_operation *operation) {
  uint64_t length = length_of(operation);
  uint8_t *bytes = malloc(length);
  if (!bytes) abort();
  uint64_t done = 0;
  for (uint32_t i = 0; i < operation->vector_count; i++) {
    memcpy(bytes + done, operation->vectors[i].iov_base, operation->vectors[i].iov_len);
    done += operation->vectors[i].iov_len;
  }
  uint64_t odds = world_below(w, 3);  // nothing, some, everything
  w->statistics.torn_writes++;
  for (uint64_t at = 0; at < length; at += CYC_WORLD_SECTOR) {
    uint64_t part = length - at < CYC_WORLD_SECTOR ? length - at : CYC_WORLD_SECTOR;
    bool is_there = odds == 2 || (odds == 1 && world_below(w, 2) == 0);
    if (!is_there) continue;
    write_sector(operation->fd, bytes + at, part,
                 operation->offset + (off_t)(operation->done + at));
  }
  free(bytes);
}

static void lose(cyc_world *w, const unsynced *u) {
  static const uint8_t zeros[CYC_WORLD_SECTOR];
  for (uint64_t at = 0; at < u->length; at += CYC_WORLD_SECTOR) {
    uint64_t part = u->length - at < CYC_WORLD_SECTOR ? u->length - at : CYC_WORLD_SECTOR;
    if (world_below(w, 2) == 0) continue;
    w->statistics.lost_sectors++;
    write_sector(u->copy, u->before ? u->before + at : zeros, part, u->offset + (off_t)at);
  }
}

void world_crash_disk(cyc_world *w, uint32_t host) {
  world_wake_disk(w, host);
  for (uint32_t i = 0; i < w->heap_count; i++) {
    const world_event *event = &w->heap[i];
    if (event->kind != WORLD_FILE || event->host != host || !event->operation) continue;
    if (is_write(event->operation)) tear(w, event->operation);
  }
  unsynced **link = &w->unsynced;
  while (*link) {
    unsynced *u = *link;
    if (u->host != host) {
      link = &u->next;
      continue;
    }
    *link = u->next;
    lose(w, u);
    forget(u);
  }
}
