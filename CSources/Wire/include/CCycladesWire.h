/*
 * The one format: every message between nodes, and every record of the log, is a frame of a
 * 128-byte header and a body. What the leader encodes is what travels, is stored and is kept.
 *
 *    0  size u32      4 kind u8   5 version u8   6 flags u16
 *    8  cluster u64
 *   16  group u32     20 configuration u32
 *   24  round u64
 *   32  node u32      36 sender u32
 *   40  slot u64
 *   48  commit u64
 *   56  time u64
 *   64  token u64
 *   72  chain u64
 *   80  body checksum u64 x 2      XXH3-128 of the body, seeded with the cluster
 *   96  count u32    100 reserved u32, zero
 *  104  extra u64
 *  112  header checksum u64 x 2    XXH3-128 of bytes 0..<112, seeded with the cluster
 *  128  body, size - 128 bytes
 *
 * Little-endian, no padding. The header can be trusted without its body, so a torn or rotten body
 * still says what it was. Any single flipped bit is found. XXH3 guards against faults, not forgery.
 *
 * Nothing here allocates, keeps state or requires alignment: frames follow one another in a body
 * without padding, so a header is loaded by copying 128 bytes (one cache line pair), never cast.
 */
#ifndef CCYCLADES_WIRE_H
#define CCYCLADES_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "cyc_log_record.h"
#include "cyc_log_write.h"

enum { CYC_WIRE_HEADER_SIZE = 128, CYC_WIRE_VERSION = 1 };

/* What a frame is. Numbers are forever: they are in logs. */
enum cyc_wire_kind {
  CYC_WIRE_HELLO = 1,
  /* election */
  CYC_WIRE_CANVASS = 2,
  CYC_WIRE_CANVASS_REPLY = 3,
  CYC_WIRE_PREPARE = 4,
  CYC_WIRE_PROMISE = 5,
  CYC_WIRE_REJECT = 6,
  /* proposal */
  CYC_WIRE_ACCEPT = 7,
  CYC_WIRE_ACCEPTED = 8,
  /* decision */
  CYC_WIRE_HEARTBEAT = 9,
  CYC_WIRE_HEARTBEAT_REPLY = 10,
  CYC_WIRE_FETCH = 11,
  CYC_WIRE_LEARN = 12,
  /* election again */
  CYC_WIRE_STAND = 13,
  /* reads at followers */
  CYC_WIRE_READ_INDEX = 14,
  CYC_WIRE_READ_INDEX_REPLY = 15,
  /* between the hosts of replicas */
  CYC_WIRE_REQUEST = 16,
  CYC_WIRE_REPLY = 17,
  CYC_WIRE_QUERY = 18,
  /* a snapshot: its file is a head, parts and an end, and travels as these frames */
  CYC_WIRE_SNAPSHOT_HEAD = 19,
  CYC_WIRE_SNAPSHOT_PART = 20,
  CYC_WIRE_SNAPSHOT_END = 21,
  CYC_WIRE_SNAPSHOT_OFFER = 22,
  CYC_WIRE_SNAPSHOT_PULL = 23,
  /* for the layer above a host */
  CYC_WIRE_NOTICE = 24,
  /* whether the replicas have the same state */
  CYC_WIRE_AUDIT = 25,
  CYC_WIRE_AUDIT_REPLY = 26,
  /* 27...31 are open for further uses by a host */
  CYC_WIRE_HOST_LAST = 31
};

struct cyc_wire_header {
  uint32_t size;          /* of the whole frame, header included */
  uint8_t kind;           /* enum cyc_wire_kind */
  uint8_t version;        /* CYC_WIRE_VERSION */
  uint16_t flags;         /* by kind */
  uint64_t cluster;       /* hash of the cluster's name */
  uint32_t group;         /* the Paxos group */
  uint32_t configuration; /* which membership the sender acts in */
  uint64_t round;         /* ballot: (round, node) */
  uint32_t node;
  uint32_t sender;        /* the node that encoded the frame; of an entry, its proposer */
  uint64_t slot;
  uint64_t commit;
  uint64_t time;          /* of an entry: ms since 1970 assigned by the leader; else by kind */
  uint64_t token;         /* by kind */
  uint64_t chain;         /* digest of a state, of an audit; 0 when unused */
  uint64_t body_low;      /* checksum of the body */
  uint64_t body_high;
  uint32_t count;         /* of entries or requests in the body */
  uint32_t reserved;      /* zero */
  uint64_t extra;         /* by kind */
  uint64_t header_low;    /* checksum of all fields above */
  uint64_t header_high;
};

/* Why bytes are not a frame. */
enum cyc_wire_status {
  CYC_WIRE_OK = 0,
  CYC_WIRE_SHORT = -1,   /* fewer bytes than a header */
  CYC_WIRE_SIZE = -2,    /* size is below a header's or beyond the bytes given */
  CYC_WIRE_CLUSTER = -3, /* another cluster's, or damaged */
  CYC_WIRE_HEADER = -4,  /* the header is damaged */
  CYC_WIRE_FORMAT = -5,  /* an intact header of another version or an unknown kind */
  CYC_WIRE_BODY = -6     /* the header is intact, the body is damaged */
};

/* Verifies the frame at the start of `length` bytes; it may be followed by others. Reads no byte
   beyond `length`, whatever the bytes are. CYC_WIRE_OK or a negative status. */
int cyc_wire_verify(const void *bytes, size_t length, uint64_t cluster);

/* As cyc_wire_verify, but leaves the body unread, and asks only for the header's bytes to be there:
   for a reader that has to know what follows. */
int cyc_wire_verify_header(const void *bytes, size_t length, uint64_t cluster);

/* The header of a frame, by value. The frame must hold 128 readable bytes. */
struct cyc_wire_header cyc_wire_load(const void *frame);

/* Computes both checksums over the body that already lies behind `frame`, and stores the header
   before it. `size` and `cluster` must be set; `version` and `reserved` are set here. */
void cyc_wire_seal(void *frame, struct cyc_wire_header *header);

/* As cyc_wire_seal for a body whose checksum the header already carries, which is not read: an
   entry that is proposed again in another ballot. */
void cyc_wire_reseal(void *frame, struct cyc_wire_header *header);

/* XXH3-128 of a body, seeded with the cluster. */
void cyc_wire_checksum(const void *body, size_t length, uint64_t cluster, uint64_t *low,
                       uint64_t *high);

#endif
