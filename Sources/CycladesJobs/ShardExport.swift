internal import CycladesClient
package import CycladesServer
package import CycladesTransport

/// Copies the shards of a running cluster, each as it is at one moment: with every write that was
/// acknowledged before, while commands go on.
package struct ShardExport {
  /// What the asked node says of its cluster.
  package let report: StatusReport
  private let address: SocketAddress

  /// How long one shard may have no leader, or a busy one.
  private static let patience = Duration.seconds(120)

  /// Asks a node, at either of its client ports.
  package init(through address: SocketAddress) async throws {
    self.address = address
    report = try await StatusReport.fetch(from: address)
  }

  /// Reads a shard's snapshot part by part into a sink; begins anew, with another sink, when its leader
  /// changes or needs a snapshot for itself.
  ///
  /// - Returns: The sink, and the number of keys in the copy.
  package func copy<Sink>(
    _ shard: Int, on executor: ReactorExecutor, into makeSink: () throws -> Sink,
    _ add: (inout Sink, [UInt8]) throws -> Void
  ) async throws -> (sink: Sink, keys: Int) {
    let deadline = ContinuousClock.now + ShardExport.patience
    while true {
      var sink = try makeSink()
      do {
        let leader = try await leader(of: shard)
        var dialogue = try await ServerDialogue.begin(
          with: leader, on: executor, timeout: .seconds(5))
        let begun = try await dialogue.ask(
          ["CYCLADES", "EXPORT", "\(shard)"], within: .seconds(30))
        guard let keys = begun.integer else {
          throw StoreServerError("PROTOCOL node \(leader) answers EXPORT with \(begun)")
        }
        while let part = try await dialogue.ask(
          ["CYCLADES", "EXPORT", "NEXT"], within: .seconds(30)
        ).bytes {
          do { try add(&sink, part) } catch { throw SinkFailure(cause: error) }
        }
        return (sink, keys)
      } catch let failure as SinkFailure {
        throw failure.cause
      } catch {
        guard ContinuousClock.now < deadline else {
          throw ShardUnavailable(shard: shard, cause: error)
        }
        try await Task.sleep(for: .milliseconds(200))
      }
    }
  }

  private func leader(of shard: Int) async throws -> SocketAddress {
    let report = try await StatusReport.fetch(from: address)
    guard shard < report.shards.count, let leader = report.shards[shard].leader,
      let node = report.nodes.first(where: { $0.id == leader }), let plain = node.plainAddress
    else { throw StoreServerError("CLUSTERDOWN shard \(shard) has no leader") }
    return try SocketAddress(parsing: plain)
  }

  /// What the sink throws, and not the cluster.
  private struct SinkFailure: Error { let cause: any Error }
}

/// A shard that could not be copied in time.
package struct ShardUnavailable: Error, CustomStringConvertible {
  let shard: Int
  let cause: any Error

  package var description: String { "shard \(shard) cannot be copied: \(cause)" }
}
