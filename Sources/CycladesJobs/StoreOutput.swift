internal import CycladesClient
internal import CycladesMapReduce
internal import Foundation
internal import Logging

/// Writes the parts of a finished job into a store.
///
/// The job's parts lie in a folder that nobody else sees, so a job that fails writes nothing. Then each
/// record becomes a SET, numbered in the client's session, so that a repeated one is carried out once;
/// and because the parts are the same bytes however often the job is run, so is what ends up in the
/// store when all of this is done again after a crash. The success key comes last.
struct StoreOutput {
  private let place: StorePlace
  private let client: StoreClient

  /// Commands that are sent at a time.
  private static let batch = 1024

  /// Connects, and refuses a place that has the output of a job, unless that may be replaced.
  init(to place: StorePlace, overwrites: Bool, logger: Logger) async throws {
    self.place = place
    do {
      client = try await StoreClient.connect(to: place.servers, logger: logger)
      if try await client.exists(place.successKey) {
        guard overwrites else {
          throw MapReduceError(
            .output, "\(place) holds the output of a job; name another place or overwrite it")
        }
      }
    } catch let error as StoreClientError {
      throw StoreOutput.failed(place, error)
    }
  }

  private static func failed(_ place: StorePlace, _ error: any Error) -> MapReduceError {
    MapReduceError(.output, "cannot write into \(place)", cause: error)
  }

  func close() async { await client.close() }

  /// Writes the records of all parts; keys that the job does not write stay as they are.
  func write(partsOf folder: URL, job: String) async throws {
    let parts = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasPrefix("part-") }.sorted().map { folder.appending(path: $0) }
    // Before anything is written: a key has one value in a store.
    for part in parts { try demandOneValuePerKey(part) }
    do {
      _ = try await client.delete(place.successKey)
      for part in parts { try await write(part) }
      try await client.set(place.successKey, job)
    } catch let error as StoreClientError {
      throw StoreOutput.failed(place, error)
    }
  }

  private func demandOneValuePerKey(_ part: URL) throws {
    var last: [UInt8]?
    // Equal keys follow each other in one part.
    try forEachPair(of: part) { pair in
      guard pair.key != last else {
        let key = String(decoding: place.prefix.utf8 + pair.key, as: UTF8.self)
        throw MapReduceError(.output, "the job gives key '\(key)' more than one value")
      }
      last = pair.key
    }
  }

  private func write(_ part: URL) async throws {
    let prefix = Array(place.prefix.utf8)
    var bytes = try Data(contentsOf: part, options: .alwaysMapped)
    while !bytes.isEmpty {
      var commands: [StoreCommand] = []
      while commands.count < StoreOutput.batch, let pair = StorePair.takeFirst(from: &bytes) {
        commands.append(StoreCommand("SET", prefix + pair.key, pair.value))
      }
      for result in await client.sendAll(commands) { _ = try result.get() }
    }
  }

  private func forEachPair(of part: URL, _ body: (StorePair) throws -> Void) throws {
    var bytes = try Data(contentsOf: part, options: .alwaysMapped)
    while !bytes.isEmpty {
      guard let pair = StorePair.takeFirst(from: &bytes) else {
        throw MapReduceError(.output, "'\(part.path)' is damaged")
      }
      try body(pair)
    }
  }
}
