// Timers: a wheel for what is far, a heap for what is near.
//
//   far    LEVELS wheels of 64 slots, 67 ms (2^26 ns) a slot on the lowest level, 64 times as much
//          on each one above. A timer is on the level of the highest digit (base 64) in which its
//          deadline's tick differs from the clock's, in the slot of that digit.
//   near   a binary heap ordered by (deadline, sequence): due within the clock's tick, so exact to
//          the nanosecond and in the order of scheduling
//
// When the clock reaches a slot, its timers move to a lower level or into the heap. Most timers are
// deadlines that are taken back or moved while they are far, and that costs O(1); so tens of
// thousands of connections may each have one. The next slot or the top of the heap, whichever comes
// first, is the wait timeout of a turn.
//
//   slot.place   0 ..< heap_count   near: heap[place] is this slot
//                PLACE_FAR          in the list of its wheel's slot, `home`
//                PLACE_FIRED        its event is in the caller's hands, not settled
//                PLACE_FREE         on the free list; its generation is already the next one
//
// Invariant: the slots in use on a level all lie behind the clock's own digit of that level. So
// nothing wraps, and the lowest level in use holds what comes next.

#include "internal.h"

enum {
  PLACE_FREE = UINT32_MAX,
  PLACE_FIRED = UINT32_MAX - 1,
  PLACE_FAR = UINT32_MAX - 2,
  NONE = UINT32_MAX,
  TICK_BITS = 26,
  DIGIT_BITS = 6,
  DIGITS = 1 << DIGIT_BITS,
};
static_assert(TICK_BITS + DIGIT_BITS * CYC_WHEEL_LEVELS >= 64, "any deadline has a slot");

// ----------------------------------------------------------------------------------------- near

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

static void add_near(cyc_timers *t, uint32_t slot) {
  t->heap[t->heap_count] = slot;
  sift_up(t, t->heap_count++);
}

// ------------------------------------------------------------------------------------------ far

static void unlink_far(cyc_timers *t, uint32_t slot) {
  cyc_timer_slot *s = &t->slots[slot];
  if (s->next != NONE) t->slots[s->next].previous = s->previous;
  if (s->previous != NONE) {
    t->slots[s->previous].next = s->next;
    return;
  }
  t->wheel[s->home] = s->next;
  if (s->next == NONE) t->in_use[s->home / DIGITS] &= ~(1ull << s->home % DIGITS);
}

static void place(cyc_timers *t, uint32_t slot) {
  cyc_timer_slot *s = &t->slots[slot];
  uint64_t tick = s->deadline >> TICK_BITS;
  if (tick <= t->tick) {
    add_near(t, slot);
    return;
  }
  uint32_t level = (63 - (uint32_t)__builtin_clzll(tick ^ t->tick)) / DIGIT_BITS;
  uint32_t digit = tick >> level * DIGIT_BITS & (DIGITS - 1);
  s->home = level * DIGITS + digit;
  bool is_used = t->in_use[level] >> digit & 1;
  s->previous = NONE;
  s->next = is_used ? t->wheel[s->home] : NONE;
  if (is_used) t->slots[s->next].previous = slot;
  t->wheel[s->home] = slot;
  t->in_use[level] |= 1ull << digit;
  s->place = PLACE_FAR;
}

// The slot that the clock reaches next, and the tick at which it does; NONE when all are empty.
static uint32_t next_home(const cyc_timers *t, uint64_t *tick) {
  for (uint32_t level = 0; level < CYC_WHEEL_LEVELS; level++) {
    if (t->in_use[level] == 0) continue;
    uint32_t digit = (uint32_t)__builtin_ctzll(t->in_use[level]);
    uint32_t shift = level * DIGIT_BITS;
    *tick = (t->tick >> (shift + DIGIT_BITS) << DIGIT_BITS | digit) << shift;
    return level * DIGITS + digit;
  }
  return NONE;
}

// Moves the clock: what has come near goes into the heap.
static void advance(cyc_timers *t, uint64_t now) {
  uint64_t tick;
  for (;;) {
    uint32_t home = next_home(t, &tick);
    if (home == NONE || tick > now >> TICK_BITS) break;
    t->tick = tick;
    uint32_t slot = t->wheel[home];
    t->in_use[home / DIGITS] &= ~(1ull << home % DIGITS);
    while (slot != NONE) {
      uint32_t next = t->slots[slot].next;
      place(t, slot);
      slot = next;
    }
  }
  if (t->tick < now >> TICK_BITS) t->tick = now >> TICK_BITS;
}

// ---------------------------------------------------------------------------------------- slots

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
  place(t, slot);
  return cyc_id_make(slot, s->generation);
}

uint64_t cyc_timer_add(cyc_reactor *r, uint64_t deadline_ns, uint64_t user) {
  return cyc_timers_add(r, deadline_ns, CYC_TIMER_USER, user);
}

bool cyc_timer_cancel(cyc_reactor *r, uint64_t id) {
  cyc_timer_slot *s = find(&r->timers, id);
  if (!s) return false;
  if (s->place == PLACE_FAR) {
    unlink_far(&r->timers, (uint32_t)id);
  } else if (s->place != PLACE_FIRED) {
    remove_at(&r->timers, s->place);
  }
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

// Nanoseconds until something is due or has come near; UINT64_MAX without timers.
uint64_t cyc_timers_wait(const cyc_reactor *r) {
  const cyc_timers *t = &r->timers;
  uint64_t at = UINT64_MAX;
  if (t->heap_count > 0) {
    at = t->slots[t->heap[0]].deadline;
  } else if (next_home(t, &at) != NONE) {
    at <<= TICK_BITS;
  } else {
    return UINT64_MAX;
  }
  return at > r->now ? at - r->now : 0;
}

void cyc_timers_expire(cyc_reactor *r) {
  cyc_timers *t = &r->timers;
  advance(t, r->now);
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
      cyc_deadlines_expire(r, user);
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
