import CycladesPaxos
import CycladesTransport
import Glibc
import Testing

@testable import CycladesReplication

@Suite("Data folder")
struct DataFolderTests {
  let folder = TemporaryFolder()

  private func configuration(
    _ path: String, cluster: String = "c", node: UInt32 = 1, groups: UInt32 = 2
  ) throws -> HostConfiguration {
    let addresses = try [1, 2].map { try SocketAddress(host: "127.0.0.1", port: $0) }
    return HostConfiguration(
      cluster: cluster, node: NodeID(rawValue: node),
      peers: [NodeID(rawValue: 1): addresses[0], NodeID(rawValue: 2): addresses[1]],
      peerListen: addresses[0], directory: path,
      groups: (0..<groups).map {
        GroupConfiguration(id: $0, members: [NodeID(rawValue: 1), NodeID(rawValue: 2)])
      })
  }

  private func failure(_ configuration: HostConfiguration) -> ReplicationError? {
    do {
      _ = try DataFolder(configuration)
      return nil
    } catch {
      return error
    }
  }

  @Test("a folder keeps its identity")
  func identity() throws {
    let path = folder.path + "/a/b"
    let first = try DataFolder(configuration(path)).identity
    let second = try DataFolder(configuration(path)).identity
    #expect(first == second)
  }

  @Test("another cluster, node or set of groups is refused, and the folder left alone")
  func foreign() throws {
    let path = folder.path + "/data"
    let identity = try DataFolder(configuration(path)).identity
    #expect(try failure(configuration(path, cluster: "d"))?.code == .foreignFolder)
    #expect(try failure(configuration(path, node: 2))?.code == .foreignFolder)
    #expect(try failure(configuration(path, groups: 3))?.code == .foreignFolder)
    #expect(try DataFolder(configuration(path)).identity == identity)
  }

  @Test("a folder with something else in it is refused")
  func notOurs() throws {
    try Files.replace(folder.path + "/notes.txt", in: folder.path, with: [1, 2, 3])
    #expect(try failure(configuration(folder.path))?.code == .foreignFolder)
    #expect(try Files.names(in: folder.path) == ["notes.txt"])
  }

  @Test("a folder in use is refused")
  func busy() throws {
    let path = folder.path + "/data"
    let holder = try DataFolder(configuration(path))
    #expect(try failure(configuration(path))?.code == .folderBusy)
    withExtendedLifetime(holder) {}
  }

  @Test("a folder that cannot be made is one clear error")
  func unwritable() throws {
    try Files.replace(folder.path + "/file", in: folder.path, with: [])
    let error = try failure(configuration(folder.path + "/file/data"))
    #expect(error?.code == .ioFailed)
    #expect(error?.message.contains(folder.path + "/file") == true)
  }

  @Test("a peer is recognised by the folder it came with first")
  func recognise() throws {
    let path = folder.path + "/data"
    do {
      let data = try DataFolder(configuration(path))
      #expect(try data.recognise(NodeID(rawValue: 2), incarnation: 99))
    }
    let data = try DataFolder(configuration(path))
    #expect(try data.recognise(NodeID(rawValue: 2), incarnation: 99))
    #expect(try !data.recognise(NodeID(rawValue: 2), incarnation: 100))
  }

  /// Where each copy of the superblock stands in its file.
  private func copies(_ path: String) throws -> [Int] {
    let file = path + "/" + Superblock.name
    let descriptor = try Files.open(file, O_RDONLY)
    defer { Files.close(descriptor) }
    let stride = try Files.size(descriptor, file) / Superblock.copies
    return (0..<Superblock.copies).map { $0 * stride }
  }

  private func flip(_ path: String, _ offsets: [Int]) throws {
    let file = path + "/" + Superblock.name
    let descriptor = try Files.open(file, O_RDWR)
    defer { Files.close(descriptor) }
    for offset in offsets {
      let byte = try Files.read(descriptor, file, at: offset, count: 1)[0]
      try Files.write([byte ^ 0x10], to: descriptor, file, at: offset)
    }
  }

  @Test("any three damaged copies of the superblock are made good, and four are an error")
  func damagedSuperblock() throws {
    let path = folder.path + "/data"
    let identity = try DataFolder(configuration(path)).identity
    let copies = try copies(path)
    for place in [0, 9, 25, 30, 40, 100, 180] {
      for kept in 0..<4 {
        try flip(path, copies.indices.filter { $0 != kept }.map { copies[$0] + place })
        let data = try DataFolder(configuration(path))
        #expect(data.identity == identity)
        #expect(data.superblock.repairedCopies == 3)
      }
      #expect(try DataFolder(configuration(path)).superblock.repairedCopies == 0)
    }
    try flip(path, copies.map { $0 + 50 })
    #expect(try failure(configuration(path))?.code == .foreignFolder)
  }

  @Test("of copies of different age the newest counts, and a stray one does not")
  func oldCopies() throws {
    let path = folder.path + "/data"
    _ = try DataFolder(configuration(path))
    let file = path + "/" + Superblock.name
    let descriptor = try Files.open(file, O_RDWR)
    defer { Files.close(descriptor) }
    let copies = try copies(path)
    let old = try Files.read(descriptor, file, at: 0, count: copies[1])
    do {
      let data = try DataFolder(configuration(path))
      #expect(try data.recognise(NodeID(rawValue: 2), incarnation: 99))
    }
    // A lost write leaves the old bytes, a stray one leaves another copy's.
    try Files.write(old, to: descriptor, file, at: copies[0])
    let newest = try Files.read(descriptor, file, at: copies[3], count: copies[1])
    try Files.write(newest, to: descriptor, file, at: copies[2])
    let data = try DataFolder(configuration(path))
    #expect(data.superblock.repairedCopies == 2)
    #expect(data.identity.peers == [NodeID(rawValue: 2): 99])
  }

  @Test("a folder that was copied and used twice is refused")
  func twoPasts() throws {
    let path = folder.path + "/data"
    _ = try DataFolder(configuration(path))
    let file = path + "/" + Superblock.name
    let descriptor = try Files.open(file, O_RDWR)
    defer { Files.close(descriptor) }
    let copies = try copies(path)
    func remember(_ peer: UInt64) throws {
      let data = try DataFolder(configuration(path))
      _ = try data.recognise(NodeID(rawValue: 2), incarnation: peer)
    }
    let fresh = try Files.read(descriptor, file, at: 0, count: 4 * copies[1])
    try remember(1)
    let other = try Files.read(descriptor, file, at: 0, count: copies[1])
    try Files.write(fresh, to: descriptor, file, at: 0)
    try remember(2)
    let data = try DataFolder(configuration(path))
    try data.remember(NodeID(rawValue: 2), incarnation: 3)
    data.close()
    try Files.write(other, to: descriptor, file, at: 0)
    #expect(try failure(configuration(path))?.message.contains("two pasts") == true)
  }
}
