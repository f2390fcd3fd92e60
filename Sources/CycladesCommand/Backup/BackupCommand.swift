import ArgumentParser
import CycladesClient
import CycladesServer
import CycladesTransport
import Foundation
import Logging

/// `cyclades backup`: a copy of a running cluster.
struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Copy all keys of a running cluster into a folder.",
    discussion: """
      Each shard is copied as it is at one moment, with every write that was acknowledged before, \
      while commands go on; shards one after the other, so commands over several shards may be in \
      the copy in part. 'cyclades restore' puts it into a new cluster, of whatever size.
      """)

  @Option(help: "HOST:PORT of any node, its plain or its cluster port.")
  var connect: String

  @Option(help: "The folder to make; must be new or empty.")
  var output: String

  func run() async throws {
    let time = Stopwatch()
    let address = try parsed(connect, "connect")
    let report = try await StatusReport.fetch(from: address)
    let folder = try BackupFolder.make(output)
    let logger = Logger(label: "backup") { _ in SwiftLogNoOpLogHandler() }
    let manifest = try await withReactors(logger: logger) { reactors in
      var manifest = BackupFolder.Manifest(
        cluster: report.cluster, version: RootCommand.version, finishedAt: 0, shards: [])
      for shard in report.shards.indices {
        manifest.shards.append(
          try await Self.copy(shard, to: folder, through: address, reactors.next()))
      }
      manifest.finishedAt = Int(Date().timeIntervalSince1970)
      return manifest
    }
    try folder.finish(manifest)
    let keys = manifest.shards.reduce(0) { $0 + $1.keys }
    let bytes = manifest.shards.reduce(0) { $0 + $1.bytes }
    print(
      "\(keys.grouped) keys of \(manifest.shards.count) shards, \(bytes.grouped) bytes, in "
        + "\(output) after \(time.text)")
  }

  /// Copies one shard; begins anew when its leader changes, or needs a snapshot for itself.
  private static func copy(
    _ shard: Int, to folder: BackupFolder, through address: SocketAddress,
    _ executor: ReactorExecutor
  ) async throws -> BackupFolder.Manifest.Shard {
    let file = BackupFolder.fileName(shard)
    let deadline = ContinuousClock.now + .seconds(120)
    while true {
      do {
        let leader = try await Self.leader(of: shard, through: address)
        var dialogue = try await ServerDialogue.begin(
          with: leader, on: executor, timeout: .seconds(5))
        let begun = try await dialogue.ask(
          ["CYCLADES", "EXPORT", "\(shard)"], within: .seconds(30))
        guard let keys = begun.integer else {
          throw CommandFailure("node \(leader) answers EXPORT with \(begun)")
        }
        var writer = try BackupFolder.Writer("\(folder.path)/\(file)")
        while let part = try await dialogue.ask(
          ["CYCLADES", "EXPORT", "NEXT"], within: .seconds(30)
        ).bytes {
          try writer.add(part)
        }
        let digest = try writer.finish()
        return BackupFolder.Manifest.Shard(
          shard: shard, file: file, bytes: writer.bytes, parts: writer.parts, keys: keys,
          digest: digest)
      } catch let failure as CommandFailure {
        throw failure
      } catch {
        guard ContinuousClock.now < deadline else {
          throw CommandFailure("shard \(shard) cannot be copied: \(error)")
        }
        try await Task.sleep(for: .milliseconds(200))
      }
    }
  }

  private static func leader(
    of shard: Int, through address: SocketAddress
  ) async throws -> SocketAddress {
    let report = try await StatusReport.fetch(from: address)
    guard shard < report.shards.count, let leader = report.shards[shard].leader,
      let node = report.nodes.first(where: { $0.id == leader }), let plain = node.plainAddress
    else { throw Leaderless(shard: shard) }
    return try SocketAddress(parsing: plain)
  }
}

/// The moment is a bad one; another will be better.
private struct Leaderless: Error, CustomStringConvertible {
  let shard: Int
  var description: String { "shard \(shard) has no leader" }
}

/// Reads an address from the command line.
func parsed(_ text: String, _ option: String) throws -> SocketAddress {
  do {
    return try SocketAddress(parsing: text)
  } catch {
    throw CommandFailure("--\(option): \(error)")
  }
}
