// File operations: vectored writes and reads that are carried through to the end, and syncs.
//
// An operation owns its slices' references and its iovecs until it ends. The kernel may transfer
// less than asked (a signal, a full quota); the rest is submitted again, so the caller learns one
// result: all bytes, or the error that stopped them. What makes no progress, as a read at the end
// of the file, ends with what it did. A read has one slice, a block of its own, which goes to the
// caller with the event.

#include "driver.h"

enum { VECTORS_MAX = 1024 };  // IOV_MAX

static void append(cyc_reactor *r, cyc_file_operation *operation) {
  operation->next = NULL;
  if (r->files_last) {
    r->files_last->next = operation;
  } else {
    r->files_first = operation;
  }
  r->files_last = operation;
}

static void release_slices(const cyc_slice *slices, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) cyc_block_release(slices[i].block);
}

int cyc_file_write(cyc_reactor *r, int fd, const cyc_slice *slices, uint32_t count,
                   int64_t offset, bool durable, uint64_t user) {
  uint32_t vectors = count < VECTORS_MAX ? count : VECTORS_MAX;
  size_t size = sizeof(cyc_file_operation) + count * sizeof(cyc_slice);
  cyc_file_operation *operation =
      r->shut ? NULL : malloc(size + vectors * sizeof(struct iovec));
  if (!operation) {
    release_slices(slices, count);
    return r->shut ? -ESHUTDOWN : -ENOMEM;
  }
  *operation = (cyc_file_operation){
      .user = user, .fd = fd, .durable = durable, .offset = offset, .count = count};
  operation->vectors = (struct iovec *)((uint8_t *)operation + size);
  for (uint32_t i = 0; i < count; i++) {
    operation->slices[i] = slices[i];
    operation->total += slices[i].length;
  }
  append(r, operation);
  return 0;
}

int cyc_file_read(cyc_reactor *r, int fd, uint32_t length, int64_t offset, uint64_t user) {
  cyc_block *block = r->shut ? NULL : cyc_block_take(r->pool, length);
  if (!block) return r->shut ? -ESHUTDOWN : -ENOBUFS;
  cyc_slice slice = {block, 0, length};
  int result = cyc_file_write(r, fd, &slice, 1, offset, false, user);
  if (result == 0) r->files_last->kind = CYC_FILE_READ;
  return result;
}

int cyc_file_sync(cyc_reactor *r, int fd, uint64_t user) {
  cyc_file_operation *operation = r->shut ? NULL : calloc(1, sizeof *operation);
  if (!operation) return r->shut ? -ESHUTDOWN : -ENOMEM;
  operation->user = user;
  operation->fd = fd;
  operation->kind = CYC_FILE_SYNC;
  append(r, operation);
  return 0;
}

static void describe_rest(cyc_file_operation *operation) {
  uint32_t count = 0;
  uint32_t skip = operation->skip;
  for (uint32_t i = operation->first; i < operation->count && count < VECTORS_MAX; i++) {
    const cyc_slice *slice = &operation->slices[i];
    uint8_t *bytes = slice->block->bytes + slice->offset + skip;
    operation->vectors[count++] = (struct iovec){bytes, slice->length - skip};
    skip = 0;
  }
  operation->vector_count = count;
}

static bool start(cyc_reactor *r, cyc_file_operation *operation) {
  if (operation->kind == CYC_FILE_SYNC) {
    if (!r->driver->calls->sync(r, operation)) return false;
    r->statistics.file_syncs++;
    return true;
  }
  describe_rest(operation);
  bool is_read = operation->kind == CYC_FILE_READ;
  if (!r->driver->calls->transfer(r, operation)) return false;
  *(is_read ? &r->statistics.file_reads : &r->statistics.file_writes) += 1;
  return true;
}

bool cyc_files_serve(cyc_reactor *r) {
  while (r->files_first) {
    cyc_file_operation *operation = r->files_first;
    cyc_file_operation *next = operation->next;  // once started it may end at any time
    if (!start(r, operation)) return false;
    r->files_first = next;
    if (!next) r->files_last = NULL;
  }
  return true;
}

static void advance(cyc_file_operation *operation, uint64_t written) {
  operation->done += written;
  while (written > 0) {
    uint32_t rest = operation->slices[operation->first].length - operation->skip;
    if (written < rest) {
      operation->skip += (uint32_t)written;
      return;
    }
    written -= rest;
    operation->first++;
    operation->skip = 0;
  }
}

static void end(cyc_reactor *r, cyc_file_operation *operation, int64_t result) {
  cyc_event *event = cyc_emit(r, CYC_EVENT_FILE);
  event->user = operation->user;
  event->result = result;
  if (operation->kind == CYC_FILE_READ && result >= 0) {
    event->block = cyc_block_retain(operation->slices[0].block);
    event->length = (uint32_t)result;
  }
  release_slices(operation->slices, operation->count);
  free(operation);
}

void cyc_file_on_done(cyc_reactor *r, cyc_file_operation *operation, int result) {
  if (result == -EINTR || result == -EAGAIN) {
    append(r, operation);
  } else if (result < 0 || operation->kind == CYC_FILE_SYNC) {
    end(r, operation, result);
  } else {
    if (operation->kind == CYC_FILE_WRITE) r->statistics.file_bytes += (uint64_t)result;
    advance(operation, (uint64_t)result);
    if (operation->done < operation->total && result > 0) {
      append(r, operation);
    } else {
      end(r, operation, (int64_t)operation->done);
    }
  }
}

// Operations that never reached the kernel, when the reactor is shut down.
void cyc_files_discard(cyc_reactor *r) {
  while (r->files_first) {
    cyc_file_operation *operation = r->files_first;
    r->files_first = operation->next;
    release_slices(operation->slices, operation->count);
    free(operation);
  }
  r->files_last = NULL;
}
