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
  print("\nbuilding and balance")
  printTable(
    [["ring", "build ms", "add one ms", "bytes/node", "peak/average", "expected"]]
      + rows.map { row in
        let statistics = row.ring.statistics
        return [
          "\(row.nodes) x 256", short(row.buildMilliseconds), short(row.addMilliseconds),
          "\(row.ring.byteCount / row.nodes)", short(statistics.peakToAverage),
          short(statistics.expectedPeakToAverage),
        ]
      })
}

func printJSON(_ rows: [Row]) {
  let objects = rows.map { row in
    let statistics = row.ring.statistics
    let lookups = row.lookups.map { "\"\($0.name)\": \($0.nanoseconds)" }.joined(separator: ", ")
    return """
      {"nodes": \(row.nodes), "points": \(row.ring.pointCount), \
      "lookup_ns": {\(lookups)}, "build_ms": \(row.buildMilliseconds), \
      "add_one_ms": \(row.addMilliseconds), "bytes_per_node": \(row.ring.byteCount / row.nodes), \
      "peak_to_average": \(statistics.peakToAverage), \
      "expected_peak_to_average": \(statistics.expectedPeakToAverage)}
      """
  }
  print("[\(objects.joined(separator: ",\n "))]")
}
