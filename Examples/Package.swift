// swift-tools-version: 6.2
import PackageDescription

/// An example is one folder beside this file, and one line in `targets`.
func example(_ name: String, _ libraries: String...) -> Target {
  .executableTarget(
    name: name,
    dependencies: libraries.map { .product(name: $0, package: "cyclades") } + [
      .product(name: "Logging", package: "swift-log")
    ],
    path: name,
    swiftSettings: [.swiftLanguageMode(.v6), .strictMemorySafety()])
}

let package = Package(
  name: "examples",
  dependencies: [
    .package(name: "cyclades", path: ".."),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
  ],
  targets: [
    example("Ring", "CycladesRing"),
    example("ReplicatedCounter", "CycladesReplication", "CycladesPaxos", "CycladesTransport"),
    example("LockService", "CycladesReplication", "CycladesPaxos", "CycladesTransport"),
    example("WordCount", "CycladesMapReduce"),
  ]
)
