// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that users of the library never build what only benchmarks need.
let settings: [SwiftSetting] = [.swiftLanguageMode(.v6), .strictMemorySafety()]

let package = Package(
  name: "benchmarks",
  dependencies: [
    .package(name: "cyclades", path: ".."),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    // Only as something to be measured against.
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
  ],
  targets: [
    // What Cyclades is measured against, written as others write it.
    .target(name: "CRivals", path: "CRivals"),
    // Rounds, least times and tables, shared by all benchmarks.
    .target(name: "Measure", path: "Measure", swiftSettings: settings),
    .executableTarget(
      name: "bench-ring",
      dependencies: [
        "CRivals", "Measure", .product(name: "CycladesRing", package: "cyclades"),
      ],
      path: "bench-ring", swiftSettings: settings),
    // The transport: the benchmark starts the servers and the load generator that lie beside it.
    .executableTarget(
      name: "bench-transport",
      dependencies: [
        "Measure", "transport-load", "transport-raw", "transport-cyclades", "transport-nio",
      ],
      path: "bench-transport", swiftSettings: settings),
    .executableTarget(
      name: "transport-load", path: "transport-load", linkerSettings: [.linkedLibrary("xxhash")]),
    .executableTarget(
      name: "mapreduce-jobs",
      dependencies: [
        .product(name: "CycladesMapReduce", package: "cyclades"),
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "mapreduce-jobs", swiftSettings: settings + [.enableExperimentalFeature("Lifetimes")]),
    .executableTarget(
      name: "transport-raw", path: "transport-raw", linkerSettings: [.linkedLibrary("uring")]),
    // What bench_paxos.py starts three of.
    .executableTarget(
      name: "paxos-replica",
      dependencies: [
        "CountAllocations", .product(name: "CycladesPaxos", package: "cyclades"),
        .product(name: "CycladesReplication", package: "cyclades"),
        .product(name: "CycladesStore", package: "cyclades"),
        .product(name: "CycladesTransport", package: "cyclades"),
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "paxos-replica", swiftSettings: settings),
    .target(name: "CountAllocations", path: "CountAllocations"),
    .executableTarget(
      name: "transport-cyclades",
      dependencies: [
        "CountAllocations", .product(name: "CycladesTransport", package: "cyclades"),
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "transport-cyclades", swiftSettings: settings),
    .executableTarget(
      name: "transport-nio",
      dependencies: [
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      path: "transport-nio", swiftSettings: settings),
  ],
  cLanguageStandard: .gnu17
)
