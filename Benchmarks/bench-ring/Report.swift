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
  print("\na reader's ns per lookup, alone and while another thread swaps rings at 1 kHz")
  printTable(
    [["ring", "alone", "same members", "slowdown", "other members", "slowdown", "waits"]]
      + rows.flatMap { row in
        [("", row.swaps.single), (", batched", row.swaps.batched)].map { name, times in
          [
            "\(row.nodes) x 256\(name)", short(times.quiet),
            short(times.sameMembers), percent(times.slowdownBySame),
            short(times.otherMembers), percent(times.slowdownByOther),
            "\(row.swaps.waits)",
          ]
        }
      })
}

/// The bars that the project sets itself, beside what this run measured.
func printBars(_ rows: [Row]) {
  guard let row = rows.first(where: { $0.nodes == 1000 }),
    let large = rows.first(where: { $0.nodes == 10_000 })
  else { return }
  let (single, batch) = (row["ketama"] / row["single"], row["ketama"] / row["batch"])
  let bars: [(String, String, String, Bool)] = [
    ("single lookup", "<= 10 ns", short(row["single"]), row["single"] <= 10),
    ("batched lookup", "<= 4 ns", short(row["batch"]), row["batch"] <= 4),
    ("24-byte key, hashed, batched", "<= 7 ns", short(row["hash+batch"]), row["hash+batch"] <= 7),
    ("ketama's search / single", ">= 15 x", short(single), single >= 15),
    ("ketama's search / batched", ">= 25 x", short(batch), batch >= 25),
    ("10,000 nodes, batched", "<= 10 ns", short(large["batch"]), large["batch"] <= 10),
    ("build", "<= 12 ms", short(row.buildMilliseconds), row.buildMilliseconds <= 12),
    ("add one node", "<= 3 ms", short(row.addMilliseconds), row.addMilliseconds <= 3),
    slowdown("same members", row.swaps.single.slowdownBySame),
    slowdown("other members", row.swaps.single.slowdownByOther),
    slowdown("same members, batched", row.swaps.batched.slowdownBySame),
    slowdown("other members, batched", row.swaps.batched.slowdownByOther),
  ]
  print("\nbars, at 1000 x 256 unless said")
  printTable(
    [["", "bar", "measured", ""]]
      + bars.map { [$0.0, $0.1, $0.2, $0.3 ? "met" : "MISSED"] })
}

private func slowdown(_ name: String, _ share: Double) -> (String, String, String, Bool) {
  ("readers' slowdown at 1 kHz, \(name)", "<= 5 %", percent(share), share <= 0.05)
}

private func percent(_ share: Double) -> String {
  guard share.isFinite else { return "-" }
  return share < 0 ? "-\(short(-share * 100)) %" : "\(short(share * 100)) %"
}

func printJSON(_ rows: [Row]) {
  func object(_ pairs: [(String, some Any)]) -> String {
    "{" + pairs.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
  }
  func readers(_ times: Swaps.Times) -> String {
    object([
      ("alone", times.quiet), ("same_members", times.sameMembers),
      ("other_members", times.otherMembers),
    ])
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
      "reader_ns": \(readers(row.swaps.single)), \
      "reader_batched_ns": \(readers(row.swaps.batched)), \
      "reader_waits": \(row.swaps.waits)}
      """
  }
  print("[\(objects.joined(separator: ",\n "))]")
}
