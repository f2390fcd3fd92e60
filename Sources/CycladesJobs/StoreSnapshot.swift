internal import CycladesMapReduce
internal import CycladesRing
internal import CycladesServer
internal import CycladesStore
internal import CycladesTransport
internal import Foundation
internal import Logging

/// Keys of a store as input files of a job: one file per shard.
///
/// Every shard is copied as it is at one index of its log. The copy, and not the store, is what tasks
/// read: a task that is done again sees the same bytes, as it must, while the store goes on. Records
/// are those strings whose keys begin with the prefix, without the prefix, in byte order of their keys:
///
///   formats of text      key TAB value newline
///   length-prefixed      what `RawSpan.withPair` takes apart, with whatever bytes
///
/// One shard at a time is in memory.
struct StoreSnapshot {
  private let place: StorePlace
  private let isText: Bool
  private let folder: URL
  private let logger: Logger

  /// What the names of the files end in.
  static let suffix = ".store"

  /// - Parameter folder: For the files; must be there.
  init(of place: StorePlace, for format: RecordFormat, in folder: URL, logger: Logger) throws {
    if case .fixed = format {
      throw MapReduceError(.usage, "a job with records of a fixed size cannot read \(place)")
    }
    self.place = place
    isText = format != .lengthPrefixed
    self.folder = folder
    self.logger = logger
  }

  /// Copies the keys and returns the paths of the files.
  func take() async throws -> [String] {
    do {
      let cluster = try await connect()
      return try await withReactors(logger: logger) { reactors in
        var (paths, others) = ([String](), 0)
        for shard in cluster.report.shards.indices {
          let seed = Ring.position(of: Array(cluster.report.cluster.utf8).span)
          let (copy, _) = try await cluster.copy(
            shard, on: reactors.next(), into: { StoreShard(seed: seed) }
          ) { try $0.restore(part: $1) }
          let file = folder.appending(path: "shard-\(shard)\(StoreSnapshot.suffix)")
          others += try write(copy, to: file)
          paths.append(file.path)
        }
        if others > 0 {
          logger.warning(
            "left out what is no string",
            metadata: ["place": "\(place)", "keys": "\(others)"])
        }
        return paths
      }
    } catch let error as MapReduceError {
      throw error
    } catch {
      throw MapReduceError(.input, "cannot read input '\(place)'", cause: error)
    }
  }

  private func connect() async throws -> ShardExport {
    var failure: (any Error)?
    for server in place.servers {
      do { return try await ShardExport(through: try SocketAddress(parsing: server)) } catch {
        failure = error
      }
    }
    throw failure ?? MapReduceError(.usage, "\(place) names no server")
  }

  /// Writes one shard's records; returns how many keys below the prefix are no strings.
  private func write(_ shard: StoreShard, to file: URL) throws -> Int {
    let prefix = Array(place.prefix.utf8)
    var records: [(key: [UInt8], value: [UInt8])] = []
    var others = 0
    shard.forEachKey { commands in
      let (name, key) = (commands[0][0], commands[0][1])
      guard key.starts(with: prefix), key != place.successKey else { return }
      guard name.elementsEqual("SET".utf8) else {
        others += 1
        return
      }
      records.append((Array(key.dropFirst(prefix.count)), commands[0][2]))
    }
    records.sort { $0.key.lexicographicallyPrecedes($1.key) }
    guard FileManager.default.createFile(atPath: file.path, contents: nil) else {
      throw MapReduceError(.input, "cannot write '\(file.path)'")
    }
    let handle = try FileHandle(forWritingTo: file)
    defer { try? handle.close() }
    var bytes: [UInt8] = []
    for record in records {
      try append(record.key, record.value, to: &bytes)
      guard bytes.count >= 1 << 20 else { continue }
      try handle.write(contentsOf: bytes)
      bytes.removeAll(keepingCapacity: true)
    }
    try handle.write(contentsOf: bytes)
    return others
  }

  private func append(_ key: [UInt8], _ value: [UInt8], to bytes: inout [UInt8]) throws {
    guard isText else {
      bytes += StorePair(key: key, value: value).bytes
      return
    }
    guard !key.contains(0x09), !key.contains(0x0A), !value.contains(0x0A) else {
      let name = String(decoding: place.prefix.utf8 + key, as: UTF8.self)
      throw MapReduceError(
        .input,
        "key '\(name)' of \(place) has a tab or a newline in it, or its value a newline; let the "
          + "job's records be length-prefixed")
    }
    bytes += key
    bytes.append(0x09)
    bytes += value
    bytes.append(0x0A)
  }
}

/// A key and a value as `OutputFormat.pairs` lays them out: the length of all that follows, the length of
/// the key, key, value.
struct StorePair {
  var key: [UInt8]
  var value: [UInt8]

  /// The record's bytes.
  var bytes: [UInt8] {
    StorePair.littleEndian(4 + key.count + value.count) + StorePair.littleEndian(key.count) + key
      + value
  }

  private static func littleEndian(_ value: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// Takes the next record off the front of some bytes; nil when it is not there as a whole.
  static func takeFirst(from bytes: inout Data) -> StorePair? {
    func number(at offset: Int) -> Int {
      (0..<4).reduce(0) { $0 | Int(bytes[bytes.startIndex + offset + $1]) << (8 * $1) }
    }
    guard bytes.count >= 8 else { return nil }
    let (length, keyLength) = (number(at: 0), number(at: 4))
    guard bytes.count >= 4 + length, length >= 4 + keyLength else { return nil }
    let start = bytes.startIndex + 8
    let pair = StorePair(
      key: Array(bytes[start..<start + keyLength]),
      value: Array(bytes[start + keyLength..<start + length - 4]))
    bytes = bytes.dropFirst(4 + length)
    return pair
  }
}
