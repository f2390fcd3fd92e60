import CycladesPaxos
import CycladesTransport

@testable import CycladesReplication

/// What a `FakeHost` says about itself.
enum FakeStatus {
  static func group(_ id: UInt32, leader: NodeID?, slot: UInt64) -> GroupStatus {
    GroupStatus(
      id: id, members: [NodeID(1)], leader: leader, role: .leader,
      ballot: Ballot(round: 1, node: NodeID(1)), commit: slot, applied: slot, last: slot)
  }

  static func peer(_ node: NodeID, _ announcement: [UInt8]) -> PeerStatus {
    PeerStatus(
      node: node, address: .loopback(port: 9), isConnected: true, announcement: announcement)
  }

  static var log: LogStatus {
    LogStatus(
      byteCount: 0, segmentCount: 0, writes: 0, records: 0, writtenBytes: 0, snapshotBytes: 0,
      snapshotsWritten: 0, snapshotsInstalled: 0, commandBytesCopied: 0)
  }
}
