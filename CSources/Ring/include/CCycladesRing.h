// The consistent-hash ring: bytes only, no decisions.
//
// A ring is one block of memory, and cells that it may share with rings that were made from it:
//
//   0        128                                                                         size
//   +--------+-------------+-----------+-----------------+---------------------+------------------+
//   | header | numbers u16 | pages u32 | points u64[n+1] | starts u32[2^b + 1] | slots, zones u16 |
//   +--------+-------------+-----|-----+-----------------+---------------------+------------------+
//                                +-----> pages of cells, 64 B each, in a pool that counts users
//
//   point = position (high 48 bits) | owner (low 16 bits), ascending
//
// A key of 64-bit position `k` belongs to the first point whose 48-bit position is not below the
// 48-bit position of `k`; past the last point it belongs to the first one. The point past the end
// has the highest position and the owner of the first point, so a search neither wraps nor tests
// for the end. Equal positions sort by owner, so the smaller owner has the arc whatever the order
// in which members came.
//
// The points are the truth; cells and starts are an index over them. The top b bits of a position
// name its bucket. starts[] says where a bucket's points begin, and its cell holds what nearly
// every lookup needs of them in one cache line.
//
// Owners are places in the list of members, which a newcomer shifts. Cells know members by slots,
// which members keep for as long as they stay: so one that comes or goes changes the cells around
// its own points alone, and all others are the very same memory for both rings.
//
// Thread safety: a built ring is never written again; any number of threads may read it. Building
// and freeing take the lock of the pool; lookups do not.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CYC_RING_MEMBERS_MAX 65535u      // owner 0xFFFF never occurs
#define CYC_RING_POINTS_MAX (1u << 24)   // 65,535 members of 256 points each
#define CYC_RING_ID_MAX 1024u            // bytes of a member's id
#define CYC_RING_GONE 0xFFFFu            // in `renumber`: this member keeps no point

#pragma clang assume_nonnull begin

typedef struct cyc_ring {
  const struct cyc_ring_cell *cells;  // the pool's
  uint32_t shift;                     // bucket of a position = position >> shift
  uint32_t page_shift;                // page of a position = position >> page_shift
  uint64_t pages_offset;              // bytes from the start of the block, as all offsets
  uint64_t points_offset;
  uint64_t starts_offset;
  uint64_t slots_offset;
  uint64_t zones_offset;
  uint32_t points;                    // n, at least 1
  uint32_t members;                   // owners are below this
  // What lookups do not read.
  struct cyc_ring_pool *pool;
  uint64_t size;                      // bytes of the block that are used
  uint64_t capacity;                  // bytes of the block
  uint64_t placement;                 // XXH3-64 of the n points, each a little-endian u64
  uint32_t pages;
  uint32_t slots;                     // slots are below this
  uint32_t placed;                    // members with at least one point
  uint32_t placed_zones;              // distinct zones among these
  uint64_t reserved[2];
} cyc_ring;

// A member as the builder sees it. The owner number is its place in the array.
typedef struct cyc_ring_source {
  uint32_t id_offset;  // into the bytes of all ids
  uint32_t id_length;  // 1 ... CYC_RING_ID_MAX
  uint32_t points;     // may be 0: a drained member
  uint16_t zone;       // members of one zone share this number; below the number of members
  uint16_t changed;    // for cyc_ring_merge: hash its points anew
} cyc_ring_source;

// Position of a key: XXH3-64 with seed 0.
uint64_t cyc_ring_hash(const void *_Nullable key, size_t length);

// XXH3-128 with seed 0, low half first.
void cyc_ring_digest(const void *bytes, size_t length, uint64_t digest[_Nonnull 2]);

// MD5 (RFC 1321) as four little-endian words: ketama's positions. Not for anything secret.
void cyc_ring_md5(const void *_Nullable bytes, size_t length, uint32_t digest[_Nonnull 4]);

// Builds a ring of 1 ... CYC_RING_POINTS_MAX points. Returns NULL only when memory is short.
// Time O(points).
cyc_ring *_Nullable cyc_ring_build(const cyc_ring_source *sources, uint32_t members,
                                   const uint8_t *ids);

// A ring of other points than the hashed ones: as many as the sources say, packed, in any order.
cyc_ring *_Nullable cyc_ring_build_from_points(const cyc_ring_source *sources, uint32_t members,
                                               const uint64_t *points);

// The same ring as cyc_ring_build makes, from one that shares most members: takes the points of
// `old` over under new owner numbers, `renumber[old owner]`, and hashes those of changed sources
// only; shares the cells that come out the same. `renumber` ascends over the members that stay.
// Returns NULL only when memory is short.
cyc_ring *_Nullable cyc_ring_merge(const cyc_ring *old, const uint16_t *renumber,
                                   const cyc_ring_source *sources, uint32_t members,
                                   const uint8_t *ids);

void cyc_ring_free(const cyc_ring *ring);

// Bytes of the block and of the cells that it uses, shared or not.
size_t cyc_ring_size(const cyc_ring *ring);

// How many cells of a ring are not, in memory, those of another.
uint32_t cyc_ring_own_cells(const cyc_ring *ring, const cyc_ring *other);

// The n points, ascending.
const uint64_t *cyc_ring_points(const cyc_ring *ring);

// Owner of a position through the index. Expected O(1), one cache line; O(log points) for whatever
// points.
uint16_t cyc_ring_owner(const cyc_ring *ring, uint64_t position);

// Owner of a position by branch-free binary search: the reference. O(log points).
uint16_t cyc_ring_owner_by_search(const cyc_ring *ring, uint64_t position);

// Owners of many positions; memory latency is overlapped by prefetching.
void cyc_ring_owners(const cyc_ring *ring, const uint64_t *_Nullable positions, size_t count,
                     uint16_t *_Nullable owners);

// Owners of many keys that stand one behind the other: key i ends at byte ends[i], exclusive,
// and starts where the one before it ended. The caller has checked that `ends` ascends.
void cyc_ring_owners_of_keys(const cyc_ring *ring, const uint8_t *_Nullable bytes,
                             const uint32_t *_Nullable ends, size_t count,
                             uint16_t *_Nullable owners);

// What the members of a walk must differ in.
typedef enum cyc_ring_distinct { CYC_RING_MEMBERS, CYC_RING_ZONES } cyc_ring_distinct;

// Walks the ring from a position and writes the first `limit` owners of distinct members or
// zones, in ring order; returns how many there were. Allocates nothing.
size_t cyc_ring_walk(const cyc_ring *ring, uint64_t position, cyc_ring_distinct distinct,
                     size_t limit, uint16_t *_Nullable owners);

// The first owner on a walk from a position whose load is below `bound` times its share; the owner
// of the position when there is none. `loads` and `shares` have one number per member. Allocates
// nothing and ends after one turn around the ring.
uint16_t cyc_ring_owner_with_room(const cyc_ring *ring, uint64_t position, const uint32_t *loads,
                                  const double *shares, double bound);

#pragma clang assume_nonnull end
