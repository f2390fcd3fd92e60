// Sorting refs by key: radix passes over 8-byte digits, comparisons for the rest.
//
// A ref carries the first 8 bytes of its key as a big-endian number, so most comparisons of real
// keys never touch the key. More than 128 refs are dealt out by the bytes of that number, least
// significant first, skipping bytes that are equal in all. Runs of equal numbers then fetch the
// next 8 bytes of their keys and start again; a run of keys that end inside the digit is ordered
// by length, since zero padding made "a" and "a\0" look alike. Small runs, and runs that are equal
// for 256 bytes and more (hostile or very long keys), go to a merge sort with memcmp. Every step
// is stable.
#include <assert.h>

#include "order.h"

#define SMALL 128
#define TINY 4
#define DEEPEST 256

typedef struct {
  const void *owner;
  cyc_shuffle_key_at key_at;
  uint32_t depth; // keys are known to be equal before it; `prefix` is the digit at it
} order;

static inline int comes_before(const order *o, const cyc_shuffle_ref *a, const cyc_shuffle_ref *b) {
  if (a->prefix != b->prefix) return a->prefix < b->prefix;
  cyc_shuffle_key x = o->key_at(o->owner, a->where), y = o->key_at(o->owner, b->where);
  uint32_t shorter = x.length < y.length ? x.length : y.length;
  uint32_t skip = o->depth < shorter ? o->depth : shorter;
  int difference = memcmp(x.bytes + skip, y.bytes + skip, shorter - skip);
  return difference != 0 ? difference < 0 : x.length < y.length;
}

static void insertion_sort(const order *o, cyc_shuffle_ref *refs, size_t count) {
  for (size_t i = 1; i < count; i++) {
    cyc_shuffle_ref moving = refs[i];
    size_t at = i;
    for (; at > 0 && comes_before(o, &moving, &refs[at - 1]); at--) refs[at] = refs[at - 1];
    refs[at] = moving;
  }
}

static void merge_halves(
  const order *o, const cyc_shuffle_ref *from, cyc_shuffle_ref *to, size_t middle, size_t count) {
  size_t left = 0, right = middle;
  for (size_t at = 0; at < count; at++) {
    int take_right = left == middle
      || (right < count && comes_before(o, &from[right], &from[left]));
    to[at] = from[take_right ? right++ : left++];
  }
}

static void merge_sort(
  const order *o, cyc_shuffle_ref *refs, cyc_shuffle_ref *scratch, size_t count) {
  const size_t chunk = 12;
  for (size_t at = 0; at < count; at += chunk) {
    insertion_sort(o, refs + at, count - at < chunk ? count - at : chunk);
  }
  cyc_shuffle_ref *from = refs, *to = scratch;
  for (size_t width = chunk; width < count; width *= 2) {
    for (size_t at = 0; at < count; at += width * 2) {
      size_t part = count - at < width * 2 ? count - at : width * 2;
      merge_halves(o, from + at, to + at, part < width ? part : width, part);
    }
    cyc_shuffle_ref *swap = from;
    from = to;
    to = swap;
  }
  if (from != refs) memcpy(refs, from, count * sizeof *refs);
}

static void radix_sort(cyc_shuffle_ref *refs, cyc_shuffle_ref *scratch, size_t count) {
  size_t places[8][256] = {0};
  for (size_t i = 0; i < count; i++) {
    for (int byte = 0; byte < 8; byte++) places[byte][refs[i].prefix >> (byte * 8) & 0xff]++;
  }
  cyc_shuffle_ref *from = refs, *to = scratch;
  for (int byte = 0; byte < 8; byte++) {
    size_t *place = places[byte], sum = 0;
    if (place[from[0].prefix >> (byte * 8) & 0xff] == count) continue;
    for (int value = 0; value < 256; value++) {
      size_t here = place[value];
      place[value] = sum;
      sum += here;
    }
    for (size_t i = 0; i < count; i++) to[place[from[i].prefix >> (byte * 8) & 0xff]++] = from[i];
    cyc_shuffle_ref *swap = from;
    from = to;
    to = swap;
  }
  if (from != refs) memcpy(refs, from, count * sizeof *refs);
}

// The refs have equal digits at o->depth. Puts keys that end inside the digit first, by length;
// gives the others their next digit and returns how many there are. They are the last ones.
static size_t next_digits(
  const order *o, cyc_shuffle_ref *refs, cyc_shuffle_ref *scratch, size_t count) {
  size_t places[9] = {0};
  uint32_t next = o->depth + 8;
  for (size_t i = 0; i < count; i++) {
    cyc_shuffle_key key = o->key_at(o->owner, refs[i].where);
    // 0 to 7: ends inside the digit; 8: goes on, or ends exactly with it.
    uint64_t class = key.length >= next ? 8 : key.length - o->depth;
    scratch[i] = (cyc_shuffle_ref){class, refs[i].where};
    places[class]++;
  }
  size_t longer = places[8], sum = 0;
  for (int class = 0; class < 9; class++) {
    size_t here = places[class];
    places[class] = sum;
    sum += here;
  }
  for (size_t i = 0; i < count; i++) {
    uint64_t class = scratch[i].prefix, digit = 0;
    if (class == 8) {
      cyc_shuffle_key key = o->key_at(o->owner, scratch[i].where);
      digit = key_prefix(key.bytes + next, key.length - next);
    }
    refs[places[class]++] = (cyc_shuffle_ref){digit, scratch[i].where};
  }
  return longer;
}

static void sort_at(
  const order *o, cyc_shuffle_ref *refs, cyc_shuffle_ref *scratch, size_t count) {
  if (count <= SMALL || o->depth >= DEEPEST) {
    merge_sort(o, refs, scratch, count);
    return;
  }
  radix_sort(refs, scratch, count);
  for (size_t from = 0, to; from < count; from = to) {
    uint64_t prefix = refs[from].prefix;
    for (to = from + 1; to < count && refs[to].prefix == prefix; to++) {}
    if (to - from == 1) continue;
    if (to - from <= TINY) {
      merge_sort(o, refs + from, scratch, to - from);
      continue;
    }
    // Also for a few: this fetches all keys at once, comparing waits for one after the other.
    size_t longer = next_digits(o, refs + from, scratch, to - from);
    order deeper = {o->owner, o->key_at, o->depth + 8};
    sort_at(&deeper, refs + to - longer, scratch, longer);
  }
}

void cyc_shuffle_sort(
  cyc_shuffle_ref *refs, cyc_shuffle_ref *scratch, size_t count, const void *owner,
  cyc_shuffle_key_at key_at) {
  order o = {owner, key_at, 0};
  if (count > 1) sort_at(&o, refs, scratch, count);
}
