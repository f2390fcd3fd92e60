// swift-tools-version: 6.2
import PackageDescription

/// An example is one folder beside this file, and one line in `targets`.
func example(_ name: String, _ libraries: String..., lifecycle: Bool = false) -> Target {
  .executableTarget(
    name: name,
    dependencies: libraries.map { .product(name: $0, package: "cyclades") } + [
      .product(name: "Logging", package: "swift-log")
    ]
      + (lifecycle
        ? [.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")] : []),
    path: name,
    swiftSettings: [.swiftLanguageMode(.v6), .strictMemorySafety()])
}

let package = Package(
  name: "examples",
  dependencies: [
    .package(name: "cyclades", path: "..", traits: ["ServiceLifecycle", "Metrics"]),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
  ],
  targets: [
    example("Ring", "CycladesRing"),
    example("ReplicatedCounter", "CycladesReplication", "CycladesPaxos", "CycladesTransport"),
    example("LockService", "CycladesReplication", "CycladesPaxos", "CycladesTransport"),
    example("TicketShop", "CycladesServer", "CycladesClient", "CycladesTransport", lifecycle: true),
    example("WordCount", "CycladesMapReduce", "CycladesJobs"),
    example("Echo", "CycladesTransport"),
    example("EchoHandler", "CycladesTransport"),
    example("Chat", "CycladesTransport", lifecycle: true),
    example("Join", "CycladesMapReduce"),
  ]
)
