// Timers: a binary heap of slots ordered by (deadline, sequence), each slot knowing its place, so
// that cancelling is as cheap as adding. The earliest deadline becomes the wait timeout of a turn.
//
//   slot.place   0 ..< heap_count   pending, heap[place] is this slot
//                PLACE_FIRED        its event is in the caller's hands, not settled
//                PLACE_FREE         on the free list; its generation is already the next one
//
// A timing wheel would make adding O(1), but reactors here hold hundreds of timers, not millions:
// per-connection deadlines exist only while connecting and flushing.

#include "internal.h"

enum { PLACE_FREE = UINT32_MAX, PLACE_FIRED = UINT32_MAX - 1, NONE = UINT32_MAX };

static bool earlier(const cyc_timer_slot *a, const cyc_timer_slot *b) {
  return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static void put(cyc_timers *t, uint32_t place, uint32_t slot) {
  t->heap[place] = slot;
  t->slots[slot].place = place;
}

static void sift_up(cyc_timers *t, uint32_t place) {
  uint32_t slot = t->heap[place];
  while (place > 0) {
    uint32_t parent = (place - 1) / 2;
    if (!earlier(&t->slots[slot], &t->slots[t->heap[parent]])) break;
    put(t, place, t->heap[parent]);
    place = parent;
  }
  put(t, place, slot);
}

static void sift_down(cyc_timers *t, uint32_t place) {
  uint32_t slot = t->heap[place];
  for (;;) {
    uint32_t child = 2 * place + 1;
    if (child >= t->heap_count) break;
    if (child + 1 < t->heap_count &&
        earlier(&t->slots[t->heap[child + 1]], &t->slots[t->heap[child]])) {
      child++;
    }
    if (!earlier(&t->slots[t->heap[child]], &t->slots[slot])) break;
    put(t, place, t->heap[child]);
    place = child;
  }
  put(t, place, slot);
}

static void remove_at(cyc_timers *t, uint32_t place) {
  uint32_t last = t->heap[--t->heap_count];
  if (place == t->heap_count) return;
  put(t, place, last);
  sift_up(t, place);
  sift_down(t, t->slots[last].place);
}

static bool grow(cyc_timers *t) {
  uint32_t capacity = t->slot_capacity ? 2 * t->slot_capacity : 64;
  cyc_timer_slot *slots = realloc(t->slots, capacity * sizeof *slots);
  if (!slots) return false;
  t->slots = slots;
  uint32_t *heap = realloc(t->heap, capacity * sizeof *heap);
  if (!heap) return false;
  t->heap = heap;
  t->slot_capacity = capacity;
  return true;
}

static uint32_t take_slot(cyc_timers *t) {
  if (t->slot_count > 0 && t->first_free != NONE) {
    uint32_t slot = t->first_free;
    t->first_free = t->slots[slot].next_free;
    return slot;
  }
  if (t->slot_count == t->slot_capacity && !grow(t)) return NONE;
  if (t->slot_count == 0) t->first_free = NONE;
  t->slots[t->slot_count] = (cyc_timer_slot){.generation = 1};
  return t->slot_count++;
}

static void free_slot(cyc_reactor *r, uint32_t slot) {
  cyc_timers *t = &r->timers;
  cyc_timer_slot *s = &t->slots[slot];
  if (s->kind == CYC_TIMER_USER) r->statistics.timers--;
  if (++s->generation == 0) s->generation = 1;
  s->place = PLACE_FREE;
  s->next_free = t->first_free;
  t->first_free = slot;
}

static cyc_timer_slot *find(cyc_timers *t, uint64_t id) {
  uint32_t slot = (uint32_t)id;
  if (slot >= t->slot_count) return NULL;
  cyc_timer_slot *s = &t->slots[slot];
  return s->place != PLACE_FREE && s->generation == id >> 32 ? s : NULL;
}

uint64_t cyc_timers_add(cyc_reactor *r, uint64_t deadline, cyc_timer_kind kind, uint64_t user) {
  cyc_timers *t = &r->timers;
  uint32_t slot = take_slot(t);
  if (slot == NONE) return 0;
  cyc_timer_slot *s = &t->slots[slot];
  s->deadline = deadline;
  s->sequence = t->sequence++;
  s->user = user;
  s->kind = kind;
  if (kind == CYC_TIMER_USER) r->statistics.timers++;
  t->heap[t->heap_count] = slot;
  sift_up(t, t->heap_count++);
  return cyc_id_make(slot, s->generation);
}

uint64_t cyc_timer_add(cyc_reactor *r, uint64_t deadline_ns, uint64_t user) {
  return cyc_timers_add(r, deadline_ns, CYC_TIMER_USER, user);
}

bool cyc_timer_cancel(cyc_reactor *r, uint64_t id) {
  cyc_timer_slot *s = find(&r->timers, id);
  if (!s) return false;
  if (s->place != PLACE_FIRED) remove_at(&r->timers, s->place);
  free_slot(r, (uint32_t)id);
  return true;
}

bool cyc_timer_settle(cyc_reactor *r, uint64_t id) {
  cyc_timer_slot *s = find(&r->timers, id);
  if (!s) return false;
  assert(s->place == PLACE_FIRED);
  free_slot(r, (uint32_t)id);
  return true;
}

// Nanoseconds until the earliest deadline; UINT64_MAX without one.
uint64_t cyc_timers_wait(const cyc_reactor *r) {
  const cyc_timers *t = &r->timers;
  if (t->heap_count == 0) return UINT64_MAX;
  uint64_t deadline = t->slots[t->heap[0]].deadline;
  return deadline > r->now ? deadline - r->now : 0;
}

void cyc_timers_expire(cyc_reactor *r) {
  cyc_timers *t = &r->timers;
  while (t->heap_count > 0 && t->slots[t->heap[0]].deadline <= r->now) {
    uint32_t slot = t->heap[0];
    cyc_timer_slot *s = &t->slots[slot];
    remove_at(t, 0);
    if (s->kind == CYC_TIMER_USER) {
      s->place = PLACE_FIRED;
      cyc_event *event = cyc_emit(r, CYC_EVENT_TIMER);
      event->id = cyc_id_make(slot, s->generation);
      event->user = s->user;
      continue;
    }
    cyc_timer_kind kind = s->kind;
    uint64_t user = s->user;
    free_slot(r, slot);
    if (kind == CYC_TIMER_CONNECTION) {
      cyc_connection_deadline(r, user);
    } else {
      r->listeners_dirty = true;
      for (uint32_t i = 0; i < r->listener_capacity; i++) r->listeners[i].resting = false;
    }
  }
}

void cyc_timers_free(cyc_timers *t) {
  free(t->slots);
  free(t->heap);
  *t = (cyc_timers){0};
}
