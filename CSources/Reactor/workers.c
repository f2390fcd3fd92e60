// File operations on threads: epoll says nothing about files, and a sync on the reactor's thread
// would stall every connection for as long as the disk takes.
//
//   reactor    submit --> [ queue ] --> worker: pwritev2(RWF_DSYNC) or fdatasync
//              collect <-- [ done ] <-- ... rings the bell once for all that is not collected yet
//
// The calls are the ones that io_uring makes for us, with the same flags, so what a completion
// promises is the same. Threads start when work waits and none is idle: a reactor that writes no
// files has none, a log alone has one, and a large snapshot does not hold up the log's sync.
// Operations may overtake each other, as they may in a ring.
//
// This is the one place with a lock. It is taken twice an operation, beside a system call that
// takes a thousand times as long.

#include "workers.h"

#include <pthread.h>
#include <signal.h>

enum { THREADS_MAX = 4 };

typedef struct queue {
  cyc_file_operation *first, *last;
} queue;

struct cyc_workers {
  pthread_mutex_t lock;
  pthread_cond_t work;
  queue waiting, done;
  int bell;
  uint32_t thread_count, idle_count, waiting_count;
  bool ending;
  pthread_t threads[THREADS_MAX];
};

static void append(queue *q, cyc_file_operation *operation) {
  operation->next = NULL;
  if (q->last) {
    q->last->next = operation;
  } else {
    q->first = operation;
  }
  q->last = operation;
}

static cyc_file_operation *take(queue *q) {
  cyc_file_operation *operation = q->first;
  q->first = operation->next;
  if (!q->first) q->last = NULL;
  return operation;
}

static int carry_out(const cyc_file_operation *operation) {
  const struct iovec *vectors = operation->vectors;
  int count = (int)operation->vector_count;
  off_t offset = operation->offset + (off_t)operation->done;
  ssize_t result = 0;
  switch (operation->kind) {
    case CYC_FILE_WRITE:
      result = pwritev2(operation->fd, vectors, count, offset, operation->durable ? RWF_DSYNC : 0);
      break;
    case CYC_FILE_READ:
      result = preadv(operation->fd, vectors, count, offset);
      break;
    case CYC_FILE_SYNC:
      result = fdatasync(operation->fd);
      break;
  }
  return result < 0 ? -errno : (int)result;
}

static void *run(void *argument) {
  cyc_workers *w = argument;
  cyc_thread_name("cyc-files");
  pthread_mutex_lock(&w->lock);
  for (;;) {
    while (!w->waiting.first && !w->ending) {
      w->idle_count++;
      pthread_cond_wait(&w->work, &w->lock);
      w->idle_count--;
    }
    if (!w->waiting.first) break;
    cyc_file_operation *operation = take(&w->waiting);
    w->waiting_count--;
    pthread_mutex_unlock(&w->lock);
    int result = carry_out(operation);
    pthread_mutex_lock(&w->lock);
    operation->result = result;
    bool is_first = !w->done.first;
    append(&w->done, operation);
    if (is_first) cyc_waker_wake(w->bell);
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

cyc_workers *cyc_workers_create(int bell) {
  cyc_workers *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->work, NULL);
  w->bell = bell;
  return w;
}

void cyc_workers_destroy(cyc_workers *w) {
  pthread_mutex_lock(&w->lock);
  assert(!w->waiting.first && !w->done.first);
  w->ending = true;
  pthread_cond_broadcast(&w->work);
  pthread_mutex_unlock(&w->lock);
  for (uint32_t i = 0; i < w->thread_count; i++) pthread_join(w->threads[i], NULL);
  pthread_mutex_destroy(&w->lock);
  pthread_cond_destroy(&w->work);
  free(w);
}

// Signals are for the process's own threads: one that ended up here would find nobody to handle it.
static void start_thread(cyc_workers *w) {
  sigset_t all, usual;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &usual);
  if (pthread_create(&w->threads[w->thread_count], NULL, run, w) == 0) w->thread_count++;
  pthread_sigmask(SIG_SETMASK, &usual, NULL);
}

bool cyc_workers_submit(cyc_workers *w, cyc_file_operation *operation) {
  pthread_mutex_lock(&w->lock);
  if (w->waiting_count >= w->idle_count && w->thread_count < THREADS_MAX) start_thread(w);
  bool is_taken = w->thread_count > 0;
  if (is_taken) {
    append(&w->waiting, operation);
    w->waiting_count++;
    pthread_cond_signal(&w->work);
  }
  pthread_mutex_unlock(&w->lock);
  return is_taken;
}

cyc_file_operation *cyc_workers_collect(cyc_workers *w) {
  pthread_mutex_lock(&w->lock);
  cyc_file_operation *first = w->done.first;
  w->done = (queue){0};
  pthread_mutex_unlock(&w->lock);
  return first;
}
