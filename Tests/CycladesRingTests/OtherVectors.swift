// Written by Tests/Golden/ring_others_vectors.py with uhashring and xxhash. Do not edit.

/// Where 10,000 keys belong by other implementations: XXH3-128 of the owners' indices, each a
/// little-endian u16.
struct OtherVector {
  let title: String
  let members: [(id: String, weight: Double)]
  let ketamaPoints: Int
  let ketama: UInt128
  /// As if all weights were 1.
  let jump: UInt128
  /// In a table of 1009 entries.
  let maglev: UInt128

  static let all: [OtherVector] = [
    OtherVector(
      title: "one",
      members: [("solo", 1)],
      ketamaPoints: 160,
      ketama: 0xf52d5282c93fef0dcfc05a4112393455,
      jump: 0xf52d5282c93fef0dcfc05a4112393455,
      maglev: 0xf52d5282c93fef0dcfc05a4112393455),
    OtherVector(
      title: "three",
      members: [("10.0.0.1:11211", 1), ("10.0.0.2:11211", 1), ("10.0.0.3:11211", 1)],
      ketamaPoints: 480,
      ketama: 0x64e275dd4193a78e8448a85c1dc14534,
      jump: 0x55e2735df62269c04eef960cbb1d337f,
      maglev: 0x8366d1b1017cc1fa5e0e62eee5ed23e2),
    OtherVector(
      title: "a hundred",
      members: (0..<100).map { ("cache-\($0)", 1) },
      ketamaPoints: 16000,
      ketama: 0x281c042add5d420894fd776ff0c491dd,
      jump: 0x3a2890c7f2720e4cef9d24aa89ccb34b,
      maglev: 0xcbb55e0500450c029cc21db1b2ed3c42),
    OtherVector(
      title: "out of order",
      members: [("z", 1), ("λ", 1), ("a", 1), ("m", 1)],
      ketamaPoints: 640,
      ketama: 0xabd1c8d257bdcba0ad66411721429aa2,
      jump: 0x7696764b8fc3411cefc7ec4a36b7060f,
      maglev: 0x40fff899915fadafc351d9f49aaa9de6),
    OtherVector(
      title: "weights",
      members: [("big", 7), ("small", 1), ("medium", 3), ("tiny", 1)],
      ketamaPoints: 636,
      ketama: 0x0462adddf7351eac492ca61086cc0150,
      jump: 0x7696764b8fc3411cefc7ec4a36b7060f,
      maglev: 0x4cb895a72a1d8fe12c0fea6a64fbafb7),
    OtherVector(
      title: "a feather",
      members: [("heavy", 1000), ("feather", 1)],
      ketamaPoints: 316,
      ketama: 0xf52d5282c93fef0dcfc05a4112393455,
      jump: 0x11c765335e9780a742c713772ab9ae47,
      maglev: 0xda05e7b42a174251bdf2f74766d91aba),
    OtherVector(
      title: "collision",
      members: [("c-423", 1), ("c-749", 1)],
      ketamaPoints: 319,
      ketama: 0x22028fd84a8b4cf84f5908c627566afb,
      jump: 0x11c765335e9780a742c713772ab9ae47,
      maglev: 0x49b922a246a0a8a457e7f54d07a21c97),
    OtherVector(
      title: "collision, the other way round",
      members: [("c-749", 1), ("c-423", 1)],
      ketamaPoints: 319,
      ketama: 0x873c4dd5bb661c764651c3cc29590160,
      jump: 0x11c765335e9780a742c713772ab9ae47,
      maglev: 0x49b922a246a0a8a457e7f54d07a21c97),
  ]
}
