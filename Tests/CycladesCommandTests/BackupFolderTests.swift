import Foundation
import Testing

@testable import CycladesCommand

@Suite("Folders of backups")
struct BackupFolderTests {
  private func make() throws -> (BackupFolder, [[UInt8]]) {
    let path = FileManager.default.temporaryDirectory.path + "/cyclades-backup-\(UUID())"
    let folder = try BackupFolder.make(path)
    let parts = (0..<20).map { number in (0..<number * 37).map { UInt8(truncatingIfNeeded: $0) } }
    var manifest = BackupFolder.Manifest(
      cluster: "c", version: "1", finishedAt: 1, shards: [])
    for shard in 0..<2 {
      let file = BackupFolder.fileName(shard)
      var writer = try BackupFolder.Writer("\(path)/\(file)")
      for part in parts { try writer.add(part) }
      let digest = try writer.finish()
      manifest.shards.append(
        .init(
          shard: shard, file: file, bytes: writer.bytes, parts: writer.parts, keys: 5,
          digest: digest))
    }
    try folder.finish(manifest)
    return (folder, parts)
  }

  /// Reads everything, as a restore does.
  private func read(_ folder: BackupFolder) throws -> [[UInt8]] {
    var parts: [[UInt8]] = []
    for shard in try folder.manifest().shards { try folder.read(shard) { parts.append($0) } }
    return parts
  }

  @Test("what was written is read, and a folder in use is refused")
  func roundTrip() throws {
    let (folder, parts) = try make()
    defer { try? FileManager.default.removeItem(atPath: folder.path) }
    #expect(try read(folder) == parts + parts)
    #expect(throws: CommandFailure.self) { try BackupFolder.make(folder.path) }
  }

  @Test("a changed bit anywhere, a missing end, a missing file: all are found")
  func damage() throws {
    let (folder, _) = try make()
    defer { try? FileManager.default.removeItem(atPath: folder.path) }
    for name in ["manifest.json", "shard-00001"] {
      let path = "\(folder.path)/\(name)"
      let whole = try #require(FileManager.default.contents(atPath: path))
      for position in stride(from: 0, to: whole.count, by: max(1, whole.count / 200)) {
        var bytes = [UInt8](whole)
        bytes[position] ^= 4
        try Data(bytes).write(to: URL(filePath: path))
        #expect(throws: CommandFailure.self, "\(name), byte \(position)") { try read(folder) }
      }
      try whole.prefix(whole.count - 1).write(to: URL(filePath: path))
      #expect(throws: CommandFailure.self) { try read(folder) }
      try whole.write(to: URL(filePath: path))
      #expect(try read(folder).count == 40)
    }
    // The parts of one shard in the place of another are as many bytes, but not in this order.
    try FileManager.default.removeItem(atPath: "\(folder.path)/shard-00000")
    #expect(throws: CommandFailure.self) { try read(folder) }
    try FileManager.default.removeItem(atPath: "\(folder.path)/manifest.json")
    #expect(throws: CommandFailure.self) { try read(folder) }
  }
}
