import ArgumentParser
import CycladesJobs
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
    let cluster = try await ShardExport(through: address)
    let report = cluster.report
    let folder = try BackupFolder.make(output)
    let logger = Logger(label: "backup") { _ in SwiftLogNoOpLogHandler() }
    let manifest = try await withReactors(logger: logger) { reactors in
      var manifest = BackupFolder.Manifest(
        cluster: report.cluster, version: RootCommand.version, finishedAt: 0, shards: [])
      for shard in report.shards.indices {
        manifest.shards.append(
          try await Self.copy(shard, of: cluster, to: folder, reactors.next()))
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

  private static func copy(
    _ shard: Int, of cluster: ShardExport, to folder: BackupFolder, _ executor: ReactorExecutor
  ) async throws -> BackupFolder.Manifest.Shard {
    let file = BackupFolder.fileName(shard)
    let (writer, keys) = try await cluster.copy(
      shard, on: executor, into: { try BackupFolder.Writer("\(folder.path)/\(file)") }
    ) { try $0.add($1) }
    let digest = try writer.finish()
    return BackupFolder.Manifest.Shard(
      shard: shard, file: file, bytes: writer.bytes, parts: writer.parts, keys: keys,
      digest: digest)
  }
}

/// Reads an address from the command line.
func parsed(_ text: String, _ option: String) throws -> SocketAddress {
  do {
    return try SocketAddress(parsing: text)
  } catch {
    throw CommandFailure("--\(option): \(error)")
  }
}
