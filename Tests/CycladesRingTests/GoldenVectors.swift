// Written by Tests/Golden/ring_vectors.py with PyPI's xxhash. Do not edit.

/// A ring as another implementation of the placement specification has it, at epoch 7.
struct GoldenRing {
  let title: String
  let pointsPerUnit: Int
  let members: [(id: String, weight: Double)]
  let pointCount: Int
  let digest: UInt128
  /// Indices of the owners of `GoldenVectors.keys`.
  let owners: [Int]
  /// Positions at and beside points, with the indices of their owners.
  let probes: [(position: UInt64, owner: Int)]
}

enum GoldenVectors {
  static let keys: [(key: String, position: UInt64)] = [
    ("", 0x2d06800538d394c2),
    ("a", 0xe6c632b61e964e1f),
    ("key", 0xbbea0d63a05165e3),
    ("user:1000", 0xfb6841b2068c0c9f),
    ("{tag}suffix", 0xc9575a1190c99523),
    ("\u{3ba}\u{3cd}\u{3ba}\u{3bb}\u{3bf}\u{3c2}", 0x6900fced96634984),
    ("xxxxxxxxxxxxxxxxx", 0x89975e6b7d2f5a11),
    (String(repeating: "y", count: 129), 0xed2ac973732f0769),
    (String(repeating: "z", count: 300), 0x4d3f26454e4c3335),
  ]

  static let rings: [GoldenRing] = [
    GoldenRing(
      title: "one", pointsPerUnit: 256,
      members: [("solo", 1.0)],
      pointCount: 256,
      digest: 0x2ab76a13c8f5eac4666365608eae35c2,
      owners: [0, 0, 0, 0, 0, 0, 0, 0, 0],
      probes: [
        (0x01001821264e0000, 0),
        (0x01001821264f0000, 0),
        (0x0100182126500000, 0),
        (0x74818890a4030000, 0),
        (0x74818890a4040000, 0),
        (0x74818890a4050000, 0),
        (0xfb791c8c02d70000, 0),
        (0xfb791c8c02d80000, 0),
        (0xfb791c8c02d90000, 0),
      ]),
    GoldenRing(
      title: "three", pointsPerUnit: 256,
      members: [
        ("a", 1.0),
        ("b", 1.0),
        ("c", 1.0),
      ],
      pointCount: 768,
      digest: 0x4f5f7c5625a84f457d2b5c9541d5dd7b,
      owners: [1, 2, 1, 0, 2, 1, 1, 2, 1],
      probes: [
        (0x0006f34e822f0000, 0),
        (0x0006f34e82300000, 0),
        (0x0006f34e82310000, 2),
        (0x821fd4b575670000, 0),
        (0x821fd4b575680000, 0),
        (0x821fd4b575690000, 1),
        (0xffdf2e2ddfec0000, 0),
        (0xffdf2e2ddfed0000, 0),
        (0xffdf2e2ddfee0000, 0),
      ]),
    GoldenRing(
      title: "weights", pointsPerUnit: 256,
      members: [
        ("heavy", 2.5),
        ("light", 0.001),
        ("drained", 0.0),
        ("half", 0.5),
      ],
      pointCount: 769,
      digest: 0x2c9bf5c8ee4aceef4339e55b16a23b47,
      owners: [2, 2, 1, 2, 1, 2, 1, 2, 2],
      probes: [
        (0x009a7b4736340000, 1),
        (0x009a7b4736350000, 1),
        (0x009a7b4736360000, 2),
        (0x7e608f4d1e590000, 2),
        (0x7e608f4d1e5a0000, 2),
        (0x7e608f4d1e5b0000, 2),
        (0xfff6dc55183c0000, 2),
        (0xfff6dc55183d0000, 2),
        (0xfff6dc55183e0000, 1),
      ]),
    GoldenRing(
      title: "unusual ids", pointsPerUnit: 16,
      members: [
        ("e\u{301}", 1.0),
        ("\u{e9}", 1.0),
        ("a", 1.0),
        ("a\u{0}", 1.0),
        (String(repeating: "Z", count: 300), 2.0),
      ],
      pointCount: 96,
      digest: 0x0672c9544f0d4e5699d6aa41003277c3,
      owners: [2, 1, 0, 0, 0, 0, 2, 1, 4],
      probes: [
        (0x00e93e678fc50000, 0),
        (0x00e93e678fc60000, 0),
        (0x00e93e678fc70000, 0),
        (0x7e66e29efd710000, 0),
        (0x7e66e29efd720000, 0),
        (0x7e66e29efd730000, 3),
        (0xfe38b5ce961a0000, 0),
        (0xfe38b5ce961b0000, 0),
        (0xfe38b5ce961c0000, 0),
      ]),
    GoldenRing(
      title: "collision", pointsPerUnit: 256,
      members: [
        ("n32703", 1.0),
        ("n16064", 1.0),
      ],
      pointCount: 512,
      digest: 0xec8857837f97b9a5e44f96d2a7741fcc,
      owners: [0, 0, 0, 1, 1, 1, 0, 0, 1],
      probes: [
        (0x00af38437b580000, 1),
        (0x00af38437b590000, 1),
        (0x00af38437b5a0000, 1),
        (0x8f44573e61590000, 1),
        (0x8f44573e615a0000, 1),
        (0x8f44573e615b0000, 1),
        (0xff8b26d43afa0000, 0),
        (0xff8b26d43afb0000, 0),
        (0xff8b26d43afc0000, 1),
      ]),
  ]
}
