import Measure

/// One figure of every cell, as a table of its own.
struct Figure: Sendable {
  let title: String
  let key: String
  let value: @Sendable (Cell) -> Double?

  static let all = [
    Figure(title: "server CPU per message, us", key: "cpu_us") {
      $0.cpuNanoseconds.map { $0 / 1000 }
    },
    Figure(title: "of it in user space, ns", key: "user_ns") { $0.userNanoseconds },
    Figure(title: "messages per second, thousands", key: "messages_per_ms") {
      $0.messagesPerSecond.map { $0 / 1000 }
    },
    Figure(title: "system calls per message", key: "syscalls") { $0.syscalls },
    Figure(title: "bytes copied per message", key: "copied_bytes") { $0.copiedBytes },
    Figure(title: "heap allocations per message", key: "allocations") { $0.allocations },
    Figure(title: "GB/s", key: "gb_per_s") { $0.gigabytesPerSecond },
    Figure(title: "p99.9 latency, us", key: "p999_us") { $0.p999Microseconds },
    Figure(title: "memory per connection, bytes", key: "idle_bytes") { $0.idleBytes },
  ]
}

/// A promise about two columns of a row, or about one against a number.
struct Bar: Sendable {
  let text: String
  let row: String
  let value: @Sendable (Cell) -> Double?
  let column: String
  var against: String?
  let limit: Double
  var atLeast = false

  static let all = [
    Bar(
      text: "CPU", row: "64 B x 50", value: { $0.cpuNanoseconds }, column: "handler",
      against: "raw C", limit: 1.05),
    Bar(
      text: "CPU", row: "64 B x 50", value: { $0.cpuNanoseconds }, column: "handler",
      against: "NIO", limit: 0.78),
    Bar(
      text: "CPU", row: "64 B x 500", value: { $0.cpuNanoseconds }, column: "handler",
      against: "raw C", limit: 1.05),
    Bar(
      text: "CPU", row: "64 B x 500", value: { $0.cpuNanoseconds }, column: "handler",
      against: "NIO", limit: 0.70),
    Bar(
      text: "CPU", row: "64 B x 50, 16 deep", value: { $0.cpuNanoseconds }, column: "handler",
      against: "NIO", limit: 0.75),
    Bar(
      text: "user ns", row: "64 B x 50, 16 deep", value: { $0.userNanoseconds },
      column: "handler", limit: 50),
    Bar(
      text: "CPU", row: "64 KiB x 16", value: { $0.cpuNanoseconds }, column: "handler",
      against: "NIO", limit: 1.0),
    Bar(
      text: "CPU", row: "64 B x 50", value: { $0.cpuNanoseconds }, column: "async",
      against: "NIO async", limit: 0.9),
    Bar(
      text: "CPU", row: "64 B x 50", value: { $0.cpuNanoseconds }, column: "async",
      against: "NIO async, own", limit: 0.9),
    Bar(
      text: "GB/s", row: "frames of 64 KiB", value: { $0.gigabytesPerSecond },
      column: "handler", against: "raw C", limit: 0.9, atLeast: true),
    Bar(
      text: "bytes", row: "idle x 15,000", value: { $0.idleBytes }, column: "handler",
      limit: 512),
    Bar(
      text: "allocations", row: "64 B x 50", value: { $0.allocations }, column: "handler",
      limit: 0.01),
  ]

  /// One line: what is, what should be, whether it is.
  func line(_ results: [String: [String: Cell]]) -> [String]? {
    guard let cell = results[row]?[column], let own = value(cell) else { return nil }
    var ratio = own
    if let against {
      guard let other = results[row]?[against].flatMap(value) else { return nil }
      ratio = own / other
    }
    let holds = atLeast ? ratio >= limit : ratio <= limit
    let subject = against.map { "\(text), \(column) / \($0)" } ?? "\(text), \(column)"
    return [
      "\(row): \(subject)", short(ratio), "\(atLeast ? ">=" : "<=") \(short(limit))",
      holds ? "holds" : "MISSED",
    ]
  }
}

func printTables(_ results: [String: [String: Cell]], rows: [Row]) {
  for figure in Figure.all {
    let lines = rows.compactMap { row -> [String]? in
      let cells = columns.map { column in results[row.name]?[column.title].flatMap(figure.value) }
      guard cells.contains(where: { $0 != nil }) else { return nil }
      return [row.name] + cells.map { $0.map(short) ?? "-" }
    }
    guard !lines.isEmpty else { continue }
    printTable([[figure.title] + columns.map(\.title)] + lines)
    print()
  }
  let bars = Bar.all.compactMap { $0.line(results) }
  if !bars.isEmpty { printTable([["bar", "measured", "asked", ""]] + bars) }
}

func printJSON(_ results: [String: [String: Cell]], rows: [Row]) {
  var lines: [String] = []
  for row in rows {
    for column in columns {
      guard let cell = results[row.name]?[column.title] else { continue }
      let fields = Figure.all.compactMap { figure in
        figure.value(cell).map { "\"\(figure.key)\": \($0)" }
      }
      lines.append(
        "  {\"row\": \"\(row.name)\", \"server\": \"\(column.title)\", "
          + fields.joined(separator: ", ") + "}")
    }
  }
  print("[\n" + lines.joined(separator: ",\n") + "\n]")
}
