#if Metrics
  import Metrics

  // Only with the package trait "Metrics".

  /// Exports what reactors count to swift-metrics, once per interval.
  ///
  /// Counting happens in C, in the reactors; a message never touches swift-metrics. Every metric
  /// has the dimension `reactor`, the number of the reactor in its group.
  public struct MetricsExporter: Sendable {
    private let group: ReactorGroup
    private let interval: Duration
    private let prefix: String

    private static let counters: [(String, any KeyPath<ReactorStatistics, UInt64> & Sendable)] = [
      ("turns", \.turns), ("enters", \.enters), ("receives", \.receives),
      ("received_bytes", \.receivedBytes), ("sends", \.sends), ("sent_bytes", \.sentBytes),
      ("short_sends", \.shortSends), ("copied_in_bytes", \.copiedInBytes),
      ("copied_out_bytes", \.copiedOutBytes), ("accepted", \.accepted),
      ("refused_accepts", \.refusedAccepts), ("connects", \.connects), ("closes", \.closes),
      ("starved", \.starved), ("capped", \.capped), ("held_back", \.heldBack),
      ("queue_full", \.queueFull),
      ("accept_rests", \.acceptRests), ("missed_ends", \.missedEnds),
      ("send_overflows", \.sendOverflows), ("input_overflows", \.inputOverflows),
      ("protocol_violations", \.protocolViolations), ("out_of_buffers", \.outOfBuffers),
      ("resets", \.resets), ("connect_timeouts", \.connectTimeouts),
      ("idle_timeouts", \.idleTimeouts), ("header_timeouts", \.headerTimeouts),
      ("stall_timeouts", \.stallTimeouts), ("flush_timeouts", \.flushTimeouts),
      ("wakes", \.wakes),
    ]

    /// Makes an exporter; labels start with `prefix` and a dot.
    public init(
      _ group: ReactorGroup, every interval: Duration = .seconds(10), prefix: String = "cyclades"
    ) {
      self.group = group
      self.interval = interval
      self.prefix = prefix
    }

    /// Exports until the task is cancelled or the reactors have stopped.
    public func run() async {
      var last = [ReactorStatistics](
        repeating: ReactorStatistics(), count: group.executors.count)
      while (try? await group.executors[0].sleep(for: interval)) != nil {
        let now = await group.statistics()
        guard now.count == last.count else { return }
        for number in now.indices { export(now[number], since: last[number], number) }
        last = now
      }
    }

    private func export(_ now: ReactorStatistics, since last: ReactorStatistics, _ number: Int) {
      let dimensions = [("reactor", "\(number)")]
      func count(_ name: String, _ value: KeyPath<ReactorStatistics, UInt64>) {
        Counter(label: "\(prefix).\(name)", dimensions: dimensions)
          .increment(by: Int64(now[keyPath: value] - last[keyPath: value]))
      }
      func gauge(_ name: String, _ value: Int) {
        Gauge(label: "\(prefix).\(name)", dimensions: dimensions).record(value)
      }
      for (name, value) in Self.counters { count(name, value) }
      gauge("connections", now.connections)
      gauge("operations", now.operations)
      gauge("blocks", now.blocks)
    }
  }
#endif
