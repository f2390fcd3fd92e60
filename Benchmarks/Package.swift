// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that users of the library never build what only benchmarks need.
let settings: [SwiftSetting] = [.swiftLanguageMode(.v6), .strictMemorySafety()]

let package = Package(
  name: "benchmarks",
  dependencies: [.package(name: "cyclades", path: "..")],
  targets: [
    // What Cyclades is measured against, written as others write it.
    .target(name: "CRivals", path: "CRivals"),
    // Rounds, medians and tables, shared by all benchmarks.
    .target(name: "Measure", path: "Measure", swiftSettings: settings),
    .executableTarget(
      name: "bench-ring",
      dependencies: [
        "CRivals", "Measure", .product(name: "CycladesRing", package: "cyclades"),
      ],
      path: "bench-ring", swiftSettings: settings),
  ],
  cLanguageStandard: .gnu17
)
