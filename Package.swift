// swift-tools-version: 6.2
import PackageDescription

// CYCLADES_STRICT=1 (set by the Makefile and CI) turns every warning into an error. Dependents build
// without it, so that a newer compiler's warning never breaks them.
let strict = Context.environment["CYCLADES_STRICT"] != nil

let swiftSettings: [SwiftSetting] =
  [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
  ] + (strict ? [.treatAllWarnings(as: .error)] : [])

let cSettings: [CSetting] =
  [.enableWarning("all"), .enableWarning("extra"), .define("_GNU_SOURCE")]
  + (strict ? [.treatAllWarnings(as: .error)] : [])

/// A C target: `CSources/<name>` becomes the module `CCyclades<name>`.
func core(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(
    name: "CCyclades" + name, dependencies: dependencies, path: "CSources/" + name,
    cSettings: cSettings)
}

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: [.byName(name: name)] + dependencies,
    swiftSettings: swiftSettings)
}

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let arguments = Target.Dependency.product(
  name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "cyclades",
  products: [
    .library(name: "Cyclades", targets: ["Cyclades"]),
    .library(name: "CycladesRing", targets: ["CycladesRing"]),
    .library(name: "CycladesTransport", targets: ["CycladesTransport"]),
    .library(name: "CycladesPaxos", targets: ["CycladesPaxos"]),
    .library(name: "CycladesReplication", targets: ["CycladesReplication"]),
    .library(name: "CycladesStore", targets: ["CycladesStore"]),
    .library(name: "CycladesServer", targets: ["CycladesServer"]),
    .library(name: "CycladesClient", targets: ["CycladesClient"]),
    .library(name: "CycladesMapReduce", targets: ["CycladesMapReduce"]),
    .library(name: "CycladesJobs", targets: ["CycladesJobs"]),
    .library(name: "CycladesSimulator", targets: ["CycladesSimulator"]),
    .executable(name: "cyclades", targets: ["CycladesCommand"]),
  ],
  traits: [
    .trait(
      name: "Compression",
      description: "MapReduce reads and writes gzip and zstd; needs zlib1g-dev and libzstd-dev."),
    .trait(
      name: "ServiceLifecycle",
      description: "Reactors and servers as services of swift-service-lifecycle."),
    .trait(name: "Metrics", description: "Exports what reactors count to swift-metrics."),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
  ],
  targets: [
    // System libraries.
    .systemLibrary(
      name: "CXXHash", path: "CSources/CXXHash", pkgConfig: "libxxhash",
      providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(
      name: "CLiburing", path: "CSources/CLiburing", pkgConfig: "liburing",
      providers: [.apt(["liburing-dev"])]),
    .systemLibrary(
      name: "CZlib", path: "CSources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CZstd", path: "CSources/CZstd", pkgConfig: "libzstd",
      providers: [.apt(["libzstd-dev"])]),

    // The C core: bytes, no decisions.
    core("Buffer"),
    core("Reactor", ["CCycladesBuffer", "CLiburing", "CXXHash"]),
    core("Ring", ["CXXHash"]),
    core("Wire", ["CXXHash"]),
    core("RESP"),
    core("Table", ["CXXHash"]),
    core("Shuffle", ["CXXHash"]),
    // For tests alone.
    core("Testing"),

    // The Swift libraries, lowest first.
    library("CycladesRing", ["CCycladesRing"]),
    library(
      "CycladesTransport",
      [
        "CCycladesBuffer", "CCycladesReactor", logging,
        .product(
          name: "ServiceLifecycle", package: "swift-service-lifecycle",
          condition: .when(traits: ["ServiceLifecycle"])),
        .product(
          name: "Metrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
      ]),
    library("CycladesPaxos", ["CCycladesWire"]),
    library(
      "CycladesReplication",
      ["CycladesPaxos", "CycladesTransport", "CCycladesWire", logging]),
    library(
      "CycladesStore",
      ["CycladesReplication", "CycladesRing", "CCycladesRESP", "CCycladesTable"]),
    library(
      "CycladesServer",
      [
        "CycladesStore", "CycladesReplication", "CycladesTransport", "CycladesRing",
        "CycladesPaxos",
        "CCycladesRESP", logging,
        .product(
          name: "ServiceLifecycle", package: "swift-service-lifecycle",
          condition: .when(traits: ["ServiceLifecycle"])),
      ]),
    library(
      "CycladesClient",
      [
        "CycladesTransport", "CCycladesRESP", logging,
        .product(
          name: "ServiceLifecycle", package: "swift-service-lifecycle",
          condition: .when(traits: ["ServiceLifecycle"])),
      ]),
    library(
      "CycladesMapReduce",
      [
        "CycladesReplication", "CycladesTransport", "CycladesRing", "CCycladesShuffle", logging,
        .target(name: "CZlib", condition: .when(traits: ["Compression"])),
        .target(name: "CZstd", condition: .when(traits: ["Compression"])),
      ]),
    // What only a program of jobs needs: its command line, and the store on both sides of a job, so
    // that neither knows the other.
    library(
      "CycladesJobs",
      [
        "CycladesMapReduce", "CycladesServer", "CycladesClient", "CycladesStore",
        "CycladesReplication", "CycladesPaxos", "CycladesTransport", "CycladesRing", logging,
      ]),
    library(
      "CycladesSimulator",
      ["CycladesPaxos", "CycladesReplication", "CycladesServer", "CycladesTransport", logging]),
    library(
      "Cyclades",
      [
        "CycladesRing", "CycladesTransport", "CycladesPaxos", "CycladesReplication",
        "CycladesStore", "CycladesServer", "CycladesClient", "CycladesMapReduce", "CycladesJobs",
      ]),
    .executableTarget(
      name: "CycladesCommand",
      dependencies: [
        "CycladesRing", "CycladesTransport", "CycladesPaxos", "CycladesReplication",
        "CycladesStore", "CycladesServer", "CycladesClient", "CycladesMapReduce", "CycladesJobs",
        "CycladesSimulator", arguments,
        logging,
      ],
      swiftSettings: swiftSettings),

    tests("CycladesRing"),
    tests("CycladesTransport", ["CCycladesTesting"]),
    tests("CycladesPaxos", ["CycladesSimulator"]),
    tests("CycladesReplication", ["CycladesTransport", "CycladesPaxos"]),
    tests("CycladesSimulator", ["CycladesTransport"]),
    tests("CycladesStore"),
    tests("CycladesServer", ["CycladesStore", "CycladesTransport", "CycladesClient"]),
    tests("CycladesClient"),
    tests(
      "CycladesMapReduce",
      ["CycladesReplication", "CycladesTransport", "CycladesPaxos", "CCycladesTesting"]),
    tests(
      "CycladesJobs",
      [
        "CycladesServer", "CycladesClient", "CycladesTransport", "CycladesReplication",
        "CycladesPaxos",
      ]),
    tests("CycladesCommand", [arguments]),
  ],
  cLanguageStandard: .gnu17
)
