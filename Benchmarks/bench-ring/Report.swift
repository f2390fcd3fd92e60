import CycladesRing
import Measure

func print(_ rows: [Row]) {
  print("ns per lookup; hash excluded, except in hash+batch (24-byte keys)")
  printTable(
    [["ring"] + rows[0].lookups.map(\.name) + ["ketama/single", "ketama/batch"]]
      + rows.map { row in
        ["\(row.nodes) x 256"] + row.lookups.map { short($0.nanoseconds) }
          + [
            "\(short(row["ketama"] / row["single"])) x", "\(short(row["ketama"] / row["batch"])) x",
          ]
      })
  print("\nbuilding, reading from canonical bytes, and balance")
  printTable(
    [["ring", "build ms", "add one ms", "decode ms", "bytes sent", "peak/average", "expected"]]
      + rows.map { row in
        let statistics = row.ring.statistics
        return [
          "\(row.nodes) x 256", short(row.buildMilliseconds), short(row.addMilliseconds),
          short(row.decodeMilliseconds), "\(row.ring.bytes.count)",
          short(statistics.peakToAverage), short(statistics.expectedPeakToAverage),
        ]
      })
  print("\nmemory, bytes per node")
  printTable(
    [["ring"] + rows[0].memory.map(\.name)]
      + rows.map { row in ["\(row.nodes) x 256"] + row.memory.map { "\($0.bytes)" } })
  printSwaps(rows)
}

private func printSwaps(_ rows: [Row]) {
  print("\na reader's ns per lookup, alone and while another thread publishes a ring every ms:")
  print("a later epoch; by turns one member more and less; or each built there from the last one")
  printTable(
    [
      [
        "ring", "alone", "epochs", "slowdown", "members", "slowdown", "builds", "slowdown",
        "builds/s", "waits",
      ]
    ]
      + rows.flatMap { row in
        row.swaps.ways.map { way in
          [
            "\(row.nodes) x 256\(way.isBatched ? ", batched" : "")",
            short(quantile(way.alone, 0.5)),
          ]
            + Swaps.Manner.allCases.flatMap { manner in
              let cost = way.costs[manner]!
              return [
                short(quantile(cost.nanoseconds, 0.5)),
                "\(percent(cost.slowdown)) (\(percent(quantile(cost.slowdowns, 0.25))) ... "
                  + "\(percent(quantile(cost.slowdowns, 0.75))))",
              ]
            } + [
              short(quantile(way.costs[.builds]!.swapsPerSecond, 0.5)), "\(way.waits)",
            ]
        }
      })
  print("medians, with quartiles in brackets, each over the reader alone just before and after")
}

/// The bars that the project sets itself, beside what this run measured.
func printBars(_ rows: [Row]) {
  guard let row = rows.first(where: { $0.nodes == 1000 }),
    let large = rows.first(where: { $0.nodes == 10_000 })
  else { return }
  let (single, batch) = (row["ketama"] / row["single"], row["ketama"] / row["batch"])
  let bars: [Bar] =
    [
      ("single lookup", "<= 10 ns", short(row["single"]), row["single"] <= 10),
      ("batched lookup", "<= 4 ns", short(row["batch"]), row["batch"] <= 4),
      ("24-byte key, hashed, batched", "<= 7 ns", short(row["hash+batch"]), row["hash+batch"] <= 7),
      ("ketama's search / single", ">= 15 x", short(single), single >= 15),
      ("ketama's search / batched", ">= 25 x", short(batch), batch >= 25),
      ("10,000 nodes, batched", "<= 10 ns", short(large["batch"]), large["batch"] <= 10),
      ("build", "<= 12 ms", short(row.buildMilliseconds), row.buildMilliseconds <= 12),
      ("add one node", "<= 3 ms", short(row.addMilliseconds), row.addMilliseconds <= 3),
    ] + row.swaps.ways.flatMap(slowdowns)
  print("\nbars, at 1000 x 256 unless said")
  printTable(
    [["", "bar", "measured", ""]]
      + bars.map { [$0.0, $0.1, $0.2, $0.3 ? "met" : "MISSED"] })
}

private typealias Bar = (name: String, bar: String, measured: String, isMet: Bool)

/// Readers' slowdown, where rings did come at 1 kHz.
private func slowdowns(_ way: Swaps.Way) -> [Bar] {
  Swaps.Manner.allCases.compactMap { manner in
    let cost = way.costs[manner]!
    guard quantile(cost.swapsPerSecond, 0.5) >= 900 else { return nil }
    return (
      "readers' slowdown at 1 kHz, \(manner)\(way.isBatched ? ", batched" : "")", "<= 5 %",
      percent(cost.slowdown), cost.slowdown <= 0.05
    )
  }
}

private func percent(_ share: Double) -> String {
  guard share.isFinite else { return "-" }
  return share < 0 ? "-\(short(-share * 100)) %" : "\(short(share * 100)) %"
}

func printJSON(_ rows: [Row]) {
  func object(_ pairs: [(String, some Any)]) -> String {
    "{" + pairs.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
  }
  func readers(_ way: Swaps.Way) -> String {
    object(
      [("alone_ns", quantile(way.alone, 0.5)), ("waits", Double(way.waits))]
        + Swaps.Manner.allCases.flatMap { manner in
          let cost = way.costs[manner]!
          return [
            ("\(manner)_ns", quantile(cost.nanoseconds, 0.5)),
            ("\(manner)_slowdown", cost.slowdown),
            ("\(manner)_per_second", quantile(cost.swapsPerSecond, 0.5)),
          ]
        })
  }
  let objects = rows.map { row in
    let statistics = row.ring.statistics
    return """
      {"nodes": \(row.nodes), "points": \(row.ring.pointCount), \
      "lookup_ns": \(object(row.lookups.map { ($0.name, $0.nanoseconds) })), \
      "build_ms": \(row.buildMilliseconds), "add_one_ms": \(row.addMilliseconds), \
      "decode_ms": \(row.decodeMilliseconds), "canonical_bytes": \(row.ring.bytes.count), \
      "bytes_per_node": \(object(row.memory.map { ($0.name, $0.bytes) })), \
      "peak_to_average": \(statistics.peakToAverage), \
      "expected_peak_to_average": \(statistics.expectedPeakToAverage), \
      "reader": \(readers(row.swaps.ways[0])), \
      "reader_batched": \(readers(row.swaps.ways[1]))}
      """
  }
  print("[\(objects.joined(separator: ",\n "))]")
}
