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

  @Test("a damaged identity is an error, not a new identity")
  func damagedIdentity() throws {
    let path = folder.path + "/data"
    _ = try DataFolder(configuration(path))
    try Files.replace(path + "/identity", in: path, with: Array("cyclades-data 1\n".utf8))
    #expect(try failure(configuration(path))?.code == .foreignFolder)
  }
}
