import CycladesRing
import Foundation

/// A folder that holds a copy of every shard of a cluster.
///
/// ```
/// manifest.json     what there is, written last: without it the folder is no backup
/// shard-00000       | u32 size | u64 XXH3 | part |  ...  for every part of the shard's snapshot
/// ```
///
/// Little-endian. The manifest holds of every file the bytes, the parts, the keys, and the XXH3 of all
/// the parts' sums; and a sum of itself. So a byte that was changed, and a part or a file that is
/// missing, is found before anything is restored.
struct BackupFolder {
  struct Manifest: Codable, Equatable {
    struct Shard: Codable, Equatable {
      var shard: Int
      var file: String
      var bytes: Int
      var parts: Int
      var keys: Int
      var digest: String
    }

    var format = 1
    var cluster: String
    var version: String
    /// Seconds since 1970, by the clock of whoever made the backup.
    var finishedAt: Int
    var shards: [Shard]
    /// Of the manifest as it is with an empty sum.
    var digest = ""
  }

  static let partBytesMax = 1 << 30
  let path: String

  private var manifestPath: String { "\(path)/manifest.json" }

  /// Makes the folder, which must be new or empty.
  static func make(_ path: String) throws -> BackupFolder {
    let manager = FileManager.default
    do {
      try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
      guard try manager.contentsOfDirectory(atPath: path).isEmpty else {
        throw CommandFailure("\(path) is not empty: name a new folder for the backup")
      }
    } catch let failure as CommandFailure {
      throw failure
    } catch {
      throw CommandFailure("cannot make the folder \(path): \(error.localizedDescription)")
    }
    return BackupFolder(path: path)
  }

  static func digest(_ bytes: [UInt8]) -> UInt64 { Ring.position(of: bytes.span) }

  static func text(_ digest: UInt64) -> String {
    let digits = String(digest, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  static func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static func number<T: FixedWidthInteger>(_ bytes: [UInt8], as type: T.Type) -> T {
    bytes.reversed().reduce(0) { $0 << 8 | T($1) }
  }

  // MARK: Writing

  /// Writes the parts of one shard, and syncs them.
  struct Writer {
    private let file: FileHandle
    private var sums: [UInt8] = []
    private(set) var bytes = 0
    private(set) var parts = 0

    init(_ path: String) throws {
      guard FileManager.default.createFile(atPath: path, contents: nil),
        let file = FileHandle(forWritingAtPath: path)
      else { throw CommandFailure("cannot write \(path)") }
      self.file = file
    }

    mutating func add(_ part: [UInt8]) throws {
      let sum = littleEndian(BackupFolder.digest(part))
      try file.write(contentsOf: Data(littleEndian(UInt32(part.count)) + sum + part))
      sums += sum
      bytes += 12 + part.count
      parts += 1
    }

    /// The sum over all parts.
    func finish() throws -> String {
      try file.synchronize()
      try file.close()
      return text(BackupFolder.digest(sums))
    }
  }

  static func fileName(_ shard: Int) -> String {
    "shard-" + String(repeating: "0", count: 5 - String(shard).count) + String(shard)
  }

  /// Writes the manifest under another name first, so that it is there as a whole or not at all.
  func finish(_ manifest: Manifest) throws {
    var manifest = manifest
    manifest.digest = try Self.sum(manifest)
    let draft = manifestPath + ".new"
    try Data(Self.encode(manifest)).write(to: URL(filePath: draft))
    let file = FileHandle(forUpdatingAtPath: draft)
    try file?.synchronize()
    try file?.close()
    try FileManager.default.moveItem(atPath: draft, toPath: manifestPath)
  }

  private static func encode(_ manifest: Manifest) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    return [UInt8](try encoder.encode(manifest))
  }

  private static func sum(_ manifest: Manifest) throws -> String {
    var manifest = manifest
    manifest.digest = ""
    return text(digest(try encode(manifest)))
  }

  // MARK: Reading

  /// Reads the manifest and checks it against itself and the sizes of the files.
  func manifest() throws -> Manifest {
    guard let data = FileManager.default.contents(atPath: manifestPath) else {
      throw CommandFailure(
        "\(path) is no backup: it has no manifest.json, so it was never finished")
    }
    guard let manifest = try? JSONDecoder().decode(Manifest.self, from: data),
      manifest.format == 1, manifest.digest == (try? Self.sum(manifest))
    else { throw CommandFailure("\(manifestPath) is damaged, or of a later version") }
    for shard in manifest.shards {
      let file = "\(path)/\(shard.file)"
      let size =
        (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? NSNumber)?.intValue
      guard shard.file == Self.fileName(shard.shard), size == shard.bytes else {
        throw CommandFailure("\(file) is missing or has other than \(shard.bytes) bytes")
      }
    }
    return manifest
  }

  /// Reads the parts of a shard's file, each checked, and at the end the whole.
  func read(_ shard: Manifest.Shard, _ take: ([UInt8]) throws -> Void) throws {
    let name = "\(path)/\(shard.file)"
    guard let file = FileHandle(forReadingAtPath: name) else {
      throw CommandFailure("cannot read \(name)")
    }
    defer { try? file.close() }
    var (offset, parts, sums) = (0, 0, [UInt8]())
    while let head = try file.read(upToCount: 12), !head.isEmpty {
      let head = [UInt8](head)
      let size = head.count == 12 ? Int(Self.number(Array(head[..<4]), as: UInt32.self)) : -1
      guard size >= 0, size <= Self.partBytesMax else {
        throw CommandFailure("\(name) is damaged at byte \(offset)")
      }
      let part = size == 0 ? [] : [UInt8](try file.read(upToCount: size) ?? Data())
      guard part.count == size,
        Self.digest(part) == Self.number(Array(head[4...]), as: UInt64.self)
      else {
        throw CommandFailure("\(name) is damaged between bytes \(offset) and \(offset + size)")
      }
      sums += head[4...]
      offset += 12 + size
      parts += 1
      try take(part)
    }
    guard parts == shard.parts, Self.text(Self.digest(sums)) == shard.digest else {
      throw CommandFailure("\(name) is damaged: it has not the parts that the manifest lists")
    }
  }
}
