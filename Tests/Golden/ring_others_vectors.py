#!/usr/bin/env python3
"""Writes Tests/CycladesRingTests/OtherVectors.swift: where other placements put keys.

    pip install xxhash uhashring && python3 Tests/Golden/ring_others_vectors.py [--check]

Ketama is that of uhashring, which is Debian's python3-uhashring. Jump hash and Maglev are written
down here from their papers.
"""

import pathlib
import struct
import sys
import uhashring
import xxhash

KEYS = [f"key-{number}" for number in range(10_000)]
LISTS = {
  "one": [("solo", 1)],
  "three": [("10.0.0.1:11211", 1), ("10.0.0.2:11211", 1), ("10.0.0.3:11211", 1)],
  "a hundred": [(f"cache-{number}", 1) for number in range(100)],
  "out of order": [("z", 1), ("\u03bb", 1), ("a", 1), ("m", 1)],
  "weights": [("big", 7), ("small", 1), ("medium", 3), ("tiny", 1)],
  "a feather": [("heavy", 1000), ("feather", 1)],
  # A point of one and a point of the other are both at 184207872.
  "collision": [("c-423", 1), ("c-749", 1)],
  "collision, the other way round": [("c-749", 1), ("c-423", 1)],
}


def ketama(members):
  ring = uhashring.HashRing(dict(members), hash_fn="ketama")
  numbers = {name: number for number, (name, _) in enumerate(members)}
  return [numbers[ring.get_node(key)] for key in KEYS], len(ring.ring)


def jump(count, position):
  owner, step = -1, 0
  while step < count:
    owner = step
    position = (position * 2862933555777941757 + 1) % 2**64
    step = int((owner + 1) * (2**31 / ((position >> 33) + 1)))
  return owner


def way(name, size):
  digest = xxhash.xxh3_128_intdigest(name.encode())
  offset, skip = digest % 2**64 % size, (digest >> 64) % (size - 1) + 1
  return ((offset + step * skip) % size for step in range(size))


def maglev(members, size):
  members = sorted(members, key=lambda member: member[0].encode())
  heaviest = max(weight for _, weight in members)
  walks = [[way(name, size), weight / heaviest, 0.0] for name, weight in members]
  table = [None] * size
  left = size
  while left:
    for number, walk in enumerate(walks):
      walk[2] += walk[1]
      if left and walk[2] >= 1:
        walk[2] -= 1
        table[next(entry for entry in walk[0] if table[entry] is None)] = number
        left -= 1
  return table


def digest(owners):
  return f"0x{xxhash.xxh3_128_intdigest(struct.pack(f'<{len(owners)}H', *owners)):032x}"


def positions():
  return [xxhash.xxh3_64_intdigest(key.encode()) for key in KEYS]


def vectors():
  for title, members in LISTS.items():
    owners, points = ketama(members)
    jumped = [jump(len(members), position) for position in positions()]
    table = maglev(members, 1009)
    found = [table[position * 1009 >> 64] for position in positions()]
    listed = ", ".join(f'("{name}", {weight})' for name, weight in members)
    listed = f"[{listed}]"
    if len(members) == 100:
      listed = '(0..<100).map { ("cache-\\($0)", 1) }'
    elif len(listed) > 70:
      listed = "[\n" + "".join(f'        ("{n}", {w}),\n' for n, w in members) + "      ]"
    yield f"""    OtherVector(
      title: "{title}",
      members: {listed},
      ketamaPoints: {points},
      ketama: {digest(owners)},
      jump: {digest(jumped)},
      maglev: {digest(found)}),"""


def main():
  text = f"""// Written by Tests/Golden/ring_others_vectors.py with uhashring and xxhash. Do not edit.

/// Where 10,000 keys belong by other implementations: XXH3-128 of the owners' indices, each a
/// little-endian u16.
struct OtherVector {{
  let title: String
  let members: [(id: String, weight: Double)]
  let ketamaPoints: Int
  let ketama: UInt128
  /// As if all weights were 1.
  let jump: UInt128
  /// In a table of 1009 entries.
  let maglev: UInt128

  static let all: [OtherVector] = [
{chr(10).join(vectors())}
  ]
}}
"""
  path = pathlib.Path(__file__).parent.parent / "CycladesRingTests/OtherVectors.swift"
  if "--check" in sys.argv:
    if path.read_text() != text:
      sys.exit(f"error: {path.name} is not what this script writes")
    print(f"{path.name} agrees with uhashring and xxhash {xxhash.XXHASH_VERSION}")
  else:
    path.write_text(text)


main()
