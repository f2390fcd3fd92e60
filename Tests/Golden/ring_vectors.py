#!/usr/bin/env python3
"""Writes Tests/CycladesRingTests/GoldenVectors.swift: the ring, a second time, from its spec alone.

    pip install xxhash && python3 Tests/Golden/ring_vectors.py [--check]

A point is XXH3-64(id, 0x00, u32le j) >> 16, j below weight * points per unit rounded half up, at
least 1 unless the weight is 0. Members are numbered by the bytes of their ids; points sort by
(position, number). A key at XXH3-64(key) >> 16 belongs to the first point not below it, and past
the last point to the first.
"""

import math
import pathlib
import struct
import sys
import xxhash

RINGS = {
  "one": (256, [("solo", 1.0)]),
  "three": (256, [("a", 1.0), ("b", 1.0), ("c", 1.0)]),
  "weights": (256, [("heavy", 2.5), ("light", 0.001), ("drained", 0.0), ("half", 0.5)]),
  "unusual ids": (
    16, [("e\u0301", 1.0), ("\u00e9", 1.0), ("a", 1.0), ("a\x00", 1.0), ("Z" * 300, 2.0)]),
  # A point of n16064 (37) and one of n32703 (245) have the same 48-bit position, a2586a0ac472.
  "collision": (256, [("n32703", 1.0), ("n16064", 1.0)]),
}
KEYS = [
  "", "a", "key", "user:1000", "{tag}suffix", "\u03ba\u03cd\u03ba\u03bb\u03bf\u03c2",
  "x" * 17, "y" * 129, "z" * 300,
]


def build(per_unit, members):
  members = sorted(members, key=lambda m: m[0].encode())
  points = []
  for number, (name, weight) in enumerate(members):
    count = max(1, math.floor(weight * per_unit + 0.5)) if weight > 0 else 0
    for j in range(count):
      key = name.encode() + b"\0" + struct.pack("<I", j)
      points.append((xxhash.xxh3_64_intdigest(key) >> 16, number))
  return members, sorted(points)


def owner(points, position):
  return next((number for at, number in points if at >= position >> 16), points[0][1])


def encode(per_unit, members, points, epoch):
  packed = b"".join(struct.pack("<Q", at << 16 | number) for at, number in points)
  placement = xxhash.xxh3_64_intdigest(packed)
  body = struct.pack("<QQIIII", epoch, placement, per_unit, len(members), len(points), 0)
  for name, weight in members:
    body += struct.pack("<dHHHH", weight, len(name.encode()), 0, 0, 0) + name.encode()
  digest = xxhash.xxh3_128_intdigest(body).to_bytes(16, "little")
  return b"CYCRING1" + struct.pack("<Q", 32 + len(body)) + digest + body


def quoted(text):
  if len(text) > 40:
    return f'String(repeating: "{text[0]}", count: {len(text)})'
  escaped = (c if c.isascii() and c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)
  return f'"{"".join(escaped)}"'


def listed(elements):
  elements = list(elements)
  if len(elements) == 1:
    return f"[{elements[0]}]"
  return "[\n" + "".join(f"        {element},\n" for element in elements) + "      ]"


def rings():
  for title, (per_unit, given) in RINGS.items():
    members, points = build(per_unit, given)
    encoded = encode(per_unit, members, points, 7)
    owners = [owner(points, xxhash.xxh3_64_intdigest(key.encode())) for key in KEYS]
    edges = [points[0][0], points[-1][0], points[len(points) // 2][0]]
    probes = sorted({p & (1 << 48) - 1 for at in edges for p in (at - 1, at, at + 1)})
    yield f"""    GoldenRing(
      title: {quoted(title)}, pointsPerUnit: {per_unit},
      members: {listed(f"({quoted(n)}, {w})" for n, w in given)},
      pointCount: {len(points)},
      digest: 0x{int.from_bytes(encoded[16:32], "little"):032x},
      owners: {owners},
      probes: {listed(f"(0x{p << 16:016x}, {owner(points, p << 16)})" for p in probes)}),"""


def main():
  keys = "\n".join(
    f"    ({quoted(k)}, 0x{xxhash.xxh3_64_intdigest(k.encode()):016x})," for k in KEYS)
  text = f"""// Written by Tests/Golden/ring_vectors.py with PyPI's xxhash. Do not edit.

/// A ring as another implementation of the placement specification has it, at epoch 7.
struct GoldenRing {{
  let title: String
  let pointsPerUnit: Int
  let members: [(id: String, weight: Double)]
  let pointCount: Int
  let digest: UInt128
  /// Indices of the owners of `GoldenVectors.keys`.
  let owners: [Int]
  /// Positions at and beside points, with the indices of their owners.
  let probes: [(position: UInt64, owner: Int)]
}}

enum GoldenVectors {{
  static let keys: [(key: String, position: UInt64)] = [
{keys}
  ]

  static let rings: [GoldenRing] = [
{chr(10).join(rings())}
  ]
}}
"""
  vectors = pathlib.Path(__file__).parent.parent / "CycladesRingTests/GoldenVectors.swift"
  if "--check" in sys.argv:
    if vectors.read_text() != text:
      sys.exit(f"error: {vectors.name} is not what this script writes")
    print(f"{vectors.name} agrees with xxhash {xxhash.XXHASH_VERSION}")
  else:
    vectors.write_text(text)


main()
