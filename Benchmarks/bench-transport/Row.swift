/// A column of the table: one server.
struct Column {
  let title: String
  let echo: Command
  let stream: Command?
}

let columns = [
  Column(
    title: "raw C", echo: Command("transport-raw", "echo"),
    stream: Command("transport-raw", "sink")),
  Column(
    title: "handler", echo: Command("transport-cyclades", "handler"),
    stream: Command("transport-cyclades", "frames")),
  Column(title: "NIO", echo: Command("transport-nio", "handler"), stream: nil),
  Column(
    title: "async", echo: Command("transport-cyclades", "async"),
    stream: Command("transport-cyclades", "frames-async")),
  Column(title: "NIO async", echo: Command("transport-nio", "async"), stream: nil),
  Column(title: "NIO async, own", echo: Command("transport-nio", "async-own"), stream: nil),
]

/// What a row does with every server.
struct Row {
  enum Kind {
    /// Connections, message size in bytes, messages in flight on each.
    case echo(connections: Int, size: Int, depth: Int)
    /// The same, at half of what the slowest server did in row `of`.
    case half(connections: Int, size: Int)
    case stream(frameSize: Int)
    case churn(concurrency: Int)
    case idle(connections: Int)
  }
  let name: String
  let kind: Kind

  static let all = [
    Row(name: "64 B x 50", kind: .echo(connections: 50, size: 64, depth: 1)),
    Row(name: "64 B x 500", kind: .echo(connections: 500, size: 64, depth: 1)),
    Row(name: "64 B x 50, 16 deep", kind: .echo(connections: 50, size: 64, depth: 16)),
    Row(name: "64 KiB x 16", kind: .echo(connections: 16, size: 64 << 10, depth: 1)),
    Row(name: "64 B x 50, half load", kind: .half(connections: 50, size: 64)),
    Row(name: "frames of 64 KiB", kind: .stream(frameSize: 64 << 10)),
    Row(name: "connect, echo, close", kind: .churn(concurrency: 16)),
    Row(name: "idle x 15,000", kind: .idle(connections: 15_000)),
  ]

  /// The size of a message in bytes, to tell messages from received bytes.
  var messageSize: Int {
    switch kind {
    case .echo(_, let size, _), .half(_, let size): size
    case .stream(let frameSize): frameSize
    case .churn, .idle: 64
    }
  }

  var isOnce: Bool { if case .idle = kind { true } else { false } }

  func command(_ column: Column) -> Command? {
    if case .stream = kind { column.stream } else { column.echo }
  }

  /// `rate` is for the half load alone, in messages per second.
  func load(windowMilliseconds window: Int, rate: Int) -> Load {
    let warmup = window / 3
    switch kind {
    case .echo(let connections, let size, let depth):
      return Load(mode: "echo", arguments: [connections, size, depth, warmup, window])
    case .half(let connections, let size):
      return Load(mode: "echo", arguments: [connections, size, 1, warmup, window, rate])
    case .stream(let frameSize):
      return Load(mode: "stream", arguments: [frameSize, warmup, window])
    case .churn(let concurrency):
      return Load(mode: "churn", arguments: [concurrency, warmup, window])
    case .idle(let connections):
      return Load(mode: "idle", arguments: [connections])
    }
  }
}

/// What one server did in one row: medians over the rounds.
struct Cell {
  var messagesPerSecond: Double?
  var cpuNanoseconds: Double?
  var userNanoseconds: Double?
  var syscalls: Double?
  var copiedBytes: Double?
  var allocations: Double?
  var gigabytesPerSecond: Double?
  var p999Microseconds: Double?
  var idleBytes: Double?

  init(_ sights: [Sight], _ counts: [Server.Counts], _ row: Row) {
    func perMessage(_ value: (Sight) -> Double?) -> Double? {
      median(sights.compactMap { sight in value(sight).map { $0 / sight.messages } })
    }
    func counted(_ value: (Server.Counts) -> Double?) -> Double? {
      median(
        counts.compactMap { count in
          guard let value = value(count), let bytes = count.receivedBytes, bytes > 0 else {
            return nil
          }
          return value / (bytes / Double(row.messageSize))
        })
    }
    if case .idle = row.kind {
      idleBytes = perMessage { $0.bytes }
      return
    }
    messagesPerSecond = median(sights.map { $0.messages / $0.seconds })
    cpuNanoseconds = perMessage { $0.cpuNs }
    userNanoseconds = perMessage { $0.userNs }
    gigabytesPerSecond = median(sights.compactMap { s in s.bytes.map { $0 / s.seconds / 1e9 } })
    syscalls = counted { $0.enters }
    copiedBytes = counted { $0.copied }
    allocations = counted { $0.allocations }
    if case .half = row.kind { p999Microseconds = median(sights.compactMap { $0.p999Us }) }
  }
}

func median(_ values: [Double]) -> Double? {
  values.isEmpty ? nil : values.sorted()[values.count / 2]
}
