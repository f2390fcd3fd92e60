import ArgumentParser
import CycladesClient
import CycladesRing
import CycladesServer
import CycladesStore
import Logging

/// `cyclades restore`: a backup into a new cluster.
struct RestoreCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore",
    abstract: "Write the keys of a backup into an empty cluster, of whatever size.",
    discussion: """
      The whole backup is checked before anything is written. Every key gets its value, and ends when \
      it would have; what ended since the backup is gone.
      """)

  @Option(help: "HOST:PORT of any node of the new cluster.")
  var connect: String

  @Option(help: "The folder that 'cyclades backup' made.")
  var input: String

  /// Keys that are written at a time.
  private static let batch = 512

  func run() async throws {
    let time = Stopwatch()
    let folder = BackupFolder(path: input)
    let manifest = try folder.manifest()
    for shard in manifest.shards { _ = try Self.load(shard, folder, manifest.cluster) }
    let logger = Logger(label: "restore") { _ in SwiftLogNoOpLogHandler() }
    let report = try await StatusReport.fetch(from: try parsed(connect, "connect"))
    let servers = report.nodes.compactMap(\.clusterAddress)
    let client = try await StoreClient.connect(
      to: servers.isEmpty ? [connect] : servers, logger: logger)
    do {
      try await Self.demandEmpty(client)
      var count = 0
      for shard in manifest.shards {
        count += try await Self.write(
          try Self.load(shard, folder, manifest.cluster), to: client)
      }
      print("\(count.grouped) keys restored after \(time.text)")
    } catch {
      await client.close()
      throw error
    }
    await client.close()
  }

  /// Reads one shard into memory, checked part by part and as a whole.
  private static func load(
    _ shard: BackupFolder.Manifest.Shard, _ folder: BackupFolder, _ cluster: String
  ) throws -> StoreShard {
    let loaded = StoreShard(seed: Ring.position(of: Array(cluster.utf8).span))
    do {
      try folder.read(shard) { try loaded.restore(part: $0) }
    } catch let error as StoreError {
      throw CommandFailure("\(folder.path)/\(shard.file) is damaged: \(error)")
    }
    guard loaded.isRestored, loaded.keyCount == shard.keys else {
      throw CommandFailure(
        "\(folder.path)/\(shard.file) is damaged: it has \(loaded.keyCount) keys, not \(shard.keys)"
      )
    }
    return loaded
  }

  private static func demandEmpty(_ client: StoreClient) async throws {
    var cursor = "0"
    repeat {
      let reply = try await client.send("SCAN", cursor, "COUNT", 10)
      guard let parts = reply.array, parts.count == 2, let next = parts[0].string else {
        throw CommandFailure("the cluster answers SCAN with \(reply)")
      }
      guard parts[1].array?.isEmpty == true else {
        throw CommandFailure("the cluster is not empty: restore into a new one")
      }
      cursor = next
    } while cursor != "0"
  }

  /// Writes a shard's keys; those of one command each together, others one command after the other.
  private static func write(_ shard: StoreShard, to client: StoreClient) async throws -> Int {
    var (single, several) = ([StoreCommand](), [[StoreCommand]]())
    shard.forEachKey { commands in
      let commands = commands.map { words in
        StoreCommand(String(decoding: words[0], as: UTF8.self), arguments: Array(words.dropFirst()))
      }
      if commands.count == 1 { single.append(commands[0]) } else { several.append(commands) }
    }
    var start = 0
    while start < single.count {
      let end = min(start + batch, single.count)
      for result in await client.sendAll(Array(single[start..<end])) { _ = try result.get() }
      start = end
    }
    for commands in several {
      for command in commands { _ = try await client.send(command) }
    }
    return single.count + several.count
  }
}
