// The world's clock, its choices, its events and its hosts.

#include <stdio.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "world.h"

static const uint64_t BEGIN_NS = 1000000000ull;
static const uint64_t WALL_BEGIN_NS = 1700000000ull * 1000000000;

// Out of memory a simulation is over: nothing real is lost.
void *world_grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
  if (count < *capacity) return array;
  *capacity = *capacity ? 2 * *capacity : 64;
  void *grown = realloc(array, *capacity * size);
  if (!grown) abort();
  return grown;
}

// ------------------------------------------------------------------------------------- choices

// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
uint64_t cyc_world_random(cyc_world *w) {
  uint64_t z = w->random += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

uint64_t world_below(cyc_world *w, uint64_t bound) {
  return bound == 0 ? 0 : cyc_world_random(w) % bound;
}

// Mostly near the least, rarely much later.
uint64_t world_delay(cyc_world *w, uint64_t least, uint64_t spread) {
  uint64_t more = world_below(w, spread + 1);
  if (world_below(w, 100) == 0) more += world_below(w, 10 * spread + 1);
  return least + more;
}

void world_note(cyc_world *w, uint64_t what, uint64_t a, uint64_t b) {
  uint64_t words[5] = {w->digest, w->now, what, a, b};
  w->digest = XXH3_64bits(words, sizeof words);
}

void world_note_bytes(cyc_world *w, const void *bytes, size_t length) {
  w->digest = XXH3_64bits_withSeed(bytes, length, w->digest);
}

// -------------------------------------------------------------------------------------- events

static bool is_before(const world_event *a, const world_event *b) {
  return a->at != b->at ? a->at < b->at : a->number < b->number;
}

void world_schedule(cyc_world *w, world_event event) {
  event.number = w->numbers++;
  w->heap = world_grow(w->heap, w->heap_count, &w->heap_capacity, sizeof *w->heap);
  uint32_t place = w->heap_count++;
  while (place > 0 && is_before(&event, &w->heap[(place - 1) / 2])) {
    w->heap[place] = w->heap[(place - 1) / 2];
    place = (place - 1) / 2;
  }
  w->heap[place] = event;
}

static world_event take_first(cyc_world *w) {
  world_event first = w->heap[0];
  world_event last = w->heap[--w->heap_count];
  uint32_t place = 0;
  for (;;) {
    uint32_t child = 2 * place + 1;
    if (child >= w->heap_count) break;
    if (child + 1 < w->heap_count && is_before(&w->heap[child + 1], &w->heap[child])) child++;
    if (!is_before(&w->heap[child], &last)) break;
    w->heap[place] = w->heap[child];
    place = child;
  }
  w->heap[place] = last;
  return first;
}

bool cyc_world_advance(cyc_world *w, uint64_t until) {
  if (w->heap_count == 0 || w->heap[0].at > until) {
    if (until > w->now) w->now = until;
    return false;
  }
  world_event event = take_first(w);
  assert(event.at >= w->now);
  w->now = event.at;
  w->statistics.events++;
  world_note(w, event.kind, event.socket, event.host);
  switch (event.kind) {
    case WORLD_DELIVER:
      world_on_deliver(w, &event);
      break;
    case WORLD_CONNECT:
      world_on_connect(w, &event);
      break;
    case WORLD_CONNECTED:
      world_on_connected(w, &event);
      break;
    case WORLD_FILE:
      world_on_file(w, &event);
      break;
  }
  return true;
}

// --------------------------------------------------------------------------------------- hosts

static world_host *host_of(cyc_world *w, uint32_t host) {
  assert(host < w->options.hosts);
  return &w->hosts[host];
}

void cyc_world_block(cyc_world *w, uint32_t from, uint32_t to, bool is_blocked) {
  assert(from < w->options.hosts && to < w->options.hosts);
  w->blocked[from * w->options.hosts + to] = is_blocked;
}

void cyc_world_set_disk(cyc_world *w, uint32_t host, cyc_disk_state state) {
  host_of(w, host)->disk = state;
  if (state != CYC_DISK_STALLED) world_wake_disk(w, host);
}

void cyc_world_set_clock(cyc_world *w, uint32_t host, int64_t offset_ns, int32_t drift_ppm) {
  host_of(w, host)->wall_offset = offset_ns;
  host_of(w, host)->drift_ppm = drift_ppm;
}

void cyc_world_crash(cyc_world *w, uint32_t host, bool is_silent) {
  world_host *h = host_of(w, host);
  if (h->is_gone) return;
  world_note(w, 100, host, is_silent);
  h->is_gone = true;
  h->is_silent = is_silent;
  world_crash_disk(w, host);
  world_cut_sockets(w, host, is_silent);
}

void cyc_world_revive(cyc_world *w, uint32_t host) {
  world_host *h = host_of(w, host);
  assert(!h->driver);
  h->is_gone = h->is_silent = false;
  h->disk = CYC_DISK_WELL;
}

// A clock that runs fast or slow never stands still or goes back, as long as its rate is not changed
// while its reactor lives by more than has passed.
uint64_t cyc_world_clock(const cyc_world *w, uint32_t host) {
  int64_t drift = (int64_t)(w->now / 1000) * w->hosts[host].drift_ppm / 1000;
  return w->now + (uint64_t)drift;
}

uint64_t cyc_world_wall_clock(const cyc_world *w, uint32_t host) {
  return WALL_BEGIN_NS + cyc_world_clock(w, host) + (uint64_t)w->hosts[host].wall_offset;
}

// ---------------------------------------------------------------------------------------- life

cyc_world *cyc_world_create(const cyc_world_options *options) {
  cyc_world *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->options = *options;
  w->random = options->seed;
  w->now = BEGIN_NS;
  w->next_port = 20000;
  w->free_socket = UINT32_MAX;
  w->hosts = calloc(options->hosts, sizeof *w->hosts);
  w->blocked = calloc((size_t)options->hosts * options->hosts, sizeof *w->blocked);
  if (w->hosts && w->blocked) return w;
  cyc_world_destroy(w);
  return NULL;
}

void cyc_world_destroy(cyc_world *w) {
  world_free_sockets(w);
  world_free_disks(w);
  free(w->heap);
  free(w->hosts);
  free(w->blocked);
  free(w);
}

uint64_t cyc_world_now(const cyc_world *w) { return w->now; }
uint64_t cyc_world_digest(const cyc_world *w) { return w->digest; }
cyc_world_statistics cyc_world_report(const cyc_world *w) { return w->statistics; }
