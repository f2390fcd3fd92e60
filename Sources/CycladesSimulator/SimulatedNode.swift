package import CycladesPaxos

/// One node: a core, its disk, and the shell between them, as small as it can be.
package final class SimulatedNode {
  struct Held {
    var message: Message
    var to: Int
    var token: UInt64
  }

  package let id: NodeID
  /// The core; nil while the process is down.
  package internal(set) var core: Paxos?
  var disk = Disk()
  /// Names the disk: one that was emptied has another number.
  var incarnation: UInt64
  /// The disks that it lost, by their numbers: votes that left in time still count.
  var lostDisks: [UInt64: Disk] = [:]
  /// What it accepted up to this slot it gave up, with its state: so far it has no vote.
  var forgotten: Slot = 0
  var promisedAtStart = Ballot.zero
  /// Its state went wrong.
  var isWrong = false
  /// When it heard that a quorum has another state, by the clock of the simulation.
  var outvotedAt: UInt64?
  /// Counts the lives of the process, so that what was meant for an earlier one is known.
  var life = 0
  /// Numbers the syncs, so that one that was put forward is not done twice.
  var sync = 0
  var machine: Machine
  package internal(set) var applied: Slot = 0
  var held: [Held] = []
  var isWritingSnapshot = false
  /// The snapshot that it gets from a peer.
  var download: Download?
  /// Operations proposed in this life, by slot, and reads that wait.
  var proposals: [(slot: Slot, command: Command)] = []
  var readers: [Attempt] = []
  var pausedUntil: UInt64 = 0
  /// What came to the process while it was paused.
  var postponed: [Occurrence] = []
  /// The process crashes after this many effects more.
  var crashCountdown: Int?
  let clockOffset: UInt64
  /// How fast the clock runs, in thousandths.
  let clockRate: UInt64
  /// How long it waits for a silent leader.
  var patience: UInt64 = 500_000_000
  var effects: [Effect] = []

  init(id: NodeID, machine: Machine, clockOffset: UInt64, clockRate: UInt64) {
    self.id = id
    incarnation = UInt64(id.rawValue) * 1_000
    self.machine = machine
    self.clockOffset = clockOffset
    self.clockRate = clockRate
  }

  /// The disk that a member votes with.
  func disk(of member: Member) -> Disk? {
    member.incarnation == 0 || member.incarnation == incarnation
      ? disk : lostDisks[member.incarnation]
  }

  var isMuted: Bool { (core?.commit ?? 0) < forgotten }

  package var isUp: Bool { core != nil }

  func clock(_ now: UInt64) -> UInt64 { clockOffset + now / 1000 * clockRate }
}
