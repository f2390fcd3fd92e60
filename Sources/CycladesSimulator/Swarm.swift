import CycladesPaxos

/// A kind of weather: which faults a simulation may meet.
public struct Scenario: RawRepresentable, Hashable, Sendable, CaseIterable {
  /// The name, as on the command line.
  public let rawValue: String

  /// Finds a scenario by its name.
  public init?(rawValue: String) {
    guard Scenario.allCases.contains(where: { $0.rawValue == rawValue }) else { return nil }
    self.rawValue = rawValue
  }

  private init(_ name: String) { rawValue = name }

  /// Every seed draws its own mix of all faults; some draw none of a kind.
  public static let swarm = Scenario("swarm")
  /// No faults at all.
  public static let calm = Scenario("calm")
  /// Messages are lost, repeated, delayed and reordered.
  public static let lossy = Scenario("lossy")
  /// Links are cut: halves, single nodes, one-way, chains, stars.
  public static let partitions = Scenario("partitions")
  /// Processes crash between any two effects, and pause.
  public static let crashes = Scenario("crashes")
  /// Disks are slow and stall, and processes crash with writes under way.
  public static let disks = Scenario("disks")

  /// The operator adds, removes and replaces members, and moves the leadership.
  public static let membership = Scenario("membership")

  /// Leases on drifting clocks, and reads at all nodes, while leaders come and go.
  public static let reads = Scenario("reads")
  /// All voters are replaced at once, and those who leave are cut off from those who come.
  public static let replacement = Scenario("replacement")
  /// Leases that outlast the patience of those who would lead: leaders are cut off, or can be heard and
  /// do not hear, just when they hand over, while clients still ask them.
  public static let leases = Scenario("leases")
  /// Snapshots all the time, and leaders that fall just when somebody has installed one.
  public static let snapshots = Scenario("snapshots")
  /// Records on disks rot.
  public static let damage = Scenario("damage")

  /// All members are replaced at once, again and again, while links fail.
  public static let turnover = Scenario("turnover")

  /// States go wrong in memory, and the replicas find that out; what clients were told until then is
  /// not judged.
  public static let divergence = Scenario("divergence")

  /// All scenarios, the default first.
  public static let allCases: [Scenario] = [
    swarm, calm, lossy, partitions, crashes, disks, membership, turnover, replacement, reads,
    leases,
    snapshots, damage, divergence,
  ]
}

/// The faults that one seed draws. Times are in nanoseconds of virtual time, chances in thousandths.
struct Swarm {
  var nodes = 3
  var clients = 4
  var keys = 3
  /// Whether connections deliver in order, as TCP does.
  var isOrdered = true
  var loss: UInt64 = 0
  var duplication: UInt64 = 0
  var delayMinimum: UInt64 = 100_000
  var delaySpread: UInt64 = 400_000
  var diskSpread: UInt64 = 1_000_000
  /// How often something goes wrong, on average; zero for never.
  var faultInterval: UInt64 = 0
  var crashWeight: UInt64 = 0
  var pauseWeight: UInt64 = 0
  var partitionWeight: UInt64 = 0
  var stallWeight: UInt64 = 0
  var clogWeight: UInt64 = 0
  var outage: UInt64 = 1_000_000_000
  /// How far clocks run fast or slow, in thousandths.
  var drift: UInt64 = 0
  var window = 64
  /// How many entries one answer to a fetch brings at most.
  var learnChunk = 64
  /// How many slots are applied between two snapshots; zero for none at all.
  var compaction = 0
  /// How many slots behind a snapshot a log keeps at most.
  var retention = 64
  var lease: Lease?
  /// How many reads, in thousandths, any node may answer.
  var readsHere: UInt64 = 0
  /// Nodes that are no members at first.
  var spares = 0
  /// How many of them are observers from the beginning.
  var observers = 0
  /// How many of the operator's changes, in thousandths, turn voters into observers and these into
  /// voters.
  var turnover: UInt64 = 100
  /// Whether the nodes differ in how long they wait for a silent leader.
  var variesPatience = false
  /// How often, in thousandths, links are cut just when a leader learns of new members.
  var cutsAtChange: UInt64 = 0
  /// How often, in thousandths, whoever learns of new members has those who leave cut off from the
  /// leader and those who come.
  var splitsAtChange: UInt64 = 0
  /// How often, in thousandths, a leader that tells somebody to stand hears nothing any more.
  var deafensAtTransfer: UInt64 = 0
  /// How often, in thousandths, the leader is lost when a snapshot was installed.
  var losesLeaderAtInstall: UInt64 = 0
  /// How often the leader alone is cut off from all others.
  var isolationWeight: UInt64 = 0
  /// How many operations the clients begin at most, in hundredths of what was asked for.
  var operations = 100
  /// How often the operator does something, on average; zero for never.
  var operatorInterval: UInt64 = 0
  /// Whether the first members are known by their disks from the beginning.
  var isPinned = true
  var returnPatience: UInt64 = 3_000_000_000
  var wipeWeight: UInt64 = 0
  /// How often a state goes wrong.
  var divergeWeight: UInt64 = 0
  /// How often, in thousandths, a crash comes with damaged records.
  var rot: UInt64 = 0
  /// How many words of a snapshot travel at a time.
  var partSize = 8

  private enum Millisecond {
    static let nanoseconds: UInt64 = 1_000_000
  }

  init(_ scenario: Scenario, nodes range: ClosedRange<Int>, random: inout SplitMix) {
    func chance(_ thousandths: UInt64) -> Bool { random.chance(thousandths) }
    let everything = scenario == .swarm
    let ms = Millisecond.nanoseconds
    nodes = Int(random.uniform(UInt64(range.lowerBound)...UInt64(range.upperBound)))
    clients = Int(random.uniform(1...12))
    keys = Int(random.uniform(1...4))
    guard scenario != .calm else { return }
    window = chance(300) ? Int(random.uniform(1...8)) : 64
    learnChunk = Int(random.uniform(1...64))
    if chance(700) { compaction = Int(random.uniform(1...(chance(600) ? 3 : 20))) }
    retention = chance(700) ? Int(random.uniform(0...2)) : 64
    partSize = Int(random.uniform(1...(chance(500) ? 3 : 12)))
    drift = random.uniform(0...50)
    delaySpread = random.uniform(1...20) * ms
    diskSpread = random.uniform(1...20) * ms
    faultInterval = random.uniform(50...600) * ms
    outage = random.uniform(100...2_000) * ms
    if scenario == .lossy || everything && chance(600) {
      isOrdered = chance(400)
      loss = random.uniform(0...200)
      duplication = random.uniform(0...300)
      delaySpread = random.uniform(1...60) * ms
      clogWeight = random.uniform(0...10)
    }
    variesPatience = scenario == .reads || scenario == .turnover
    if scenario == .reads {
      isOrdered = chance(500)
      delaySpread = random.uniform(1...40) * ms
      partitionWeight = random.uniform(1...10)
      crashWeight = random.uniform(0...5)
      pauseWeight = random.uniform(0...10)
      clogWeight = random.uniform(0...10)
      operatorInterval = chance(600) ? random.uniform(50...500) * ms : 0
    }
    if scenario == .turnover {
      spares = Int(random.uniform(1...3))
      observers = spares
      window = Int(random.uniform(1...3))
      operatorInterval = random.uniform(20...300) * ms
      turnover = 800
      faultInterval = random.uniform(30...200) * ms
      cutsAtChange = 700
      partitionWeight = 10
      crashWeight = random.uniform(0...3)
      learnChunk = max(learnChunk, 8)
    }
    if scenario == .replacement {
      nodes = 3
      spares = 3
      observers = 3
      window = chance(700) ? 1 : Int(random.uniform(2...3))
      variesPatience = true
      delaySpread = random.uniform(1...5) * ms
      diskSpread = random.uniform(1...5) * ms
      operatorInterval = random.uniform(100...400) * ms
      turnover = 1_000
      faultInterval = random.uniform(400...1_200) * ms
      partitionWeight = 10
      splitsAtChange = random.uniform(200...600)
      operations = 200
      learnChunk = 64
    }
    if scenario == .leases {
      nodes = max(3, nodes)
      variesPatience = true
      operations = 400
      keys = Int(random.uniform(1...2))
      clients = Int(random.uniform(6...12))
      delaySpread = random.uniform(1...5) * ms
      diskSpread = random.uniform(1...5) * ms
      faultInterval = random.uniform(200...600) * ms
      isolationWeight = 10
      operatorInterval = chance(700) ? random.uniform(100...400) * ms : 0
      deafensAtTransfer = 600
    }
    if scenario == .snapshots {
      nodes = max(3, nodes)
      isOrdered = chance(300)
      loss = random.uniform(50...300)
      delaySpread = random.uniform(1...30) * ms
      compaction = Int(random.uniform(1...3))
      retention = Int(random.uniform(0...1))
      losesLeaderAtInstall = 500
      partitionWeight = random.uniform(1...10)
      crashWeight = random.uniform(1...5)
    }
    if scenario == .damage {
      partitionWeight = random.uniform(1...10)
      crashWeight = random.uniform(5...10)
      rot = random.uniform(300...900)
    }
    if scenario == .divergence {
      nodes = max(3, nodes)
      divergeWeight = random.uniform(2...10)
      partitionWeight = random.uniform(0...5)
      crashWeight = random.uniform(0...5)
    }
    if scenario == .partitions || everything && chance(600) {
      partitionWeight = random.uniform(1...10)
    }
    if scenario == .crashes || everything && chance(700) {
      crashWeight = random.uniform(1...10)
      pauseWeight = random.uniform(0...5)
    }
    if scenario == .disks || everything && chance(400) {
      stallWeight = random.uniform(1...10)
      crashWeight += random.uniform(0...5)
      diskSpread = random.uniform(1...100) * ms
      rot = random.uniform(0...400)
    }
    if scenario == .leases {
      lease = Lease(duration: random.uniform(400...1_500) * ms, maximumDrift: drift)
    } else if scenario == .reads || chance(400) {
      lease = Lease(duration: random.uniform(100...1_500) * ms, maximumDrift: drift)
    }
    if scenario == .reads || scenario != .leases && chance(500) {
      readsHere = random.uniform(0...1_000)
    }
    returnPatience = random.uniform(0...3) * 500 * ms
    if scenario == .membership || everything && chance(300) {
      spares = Int(random.uniform(0...3))
      operatorInterval = random.uniform(20...(chance(500) ? 200 : 1_000)) * ms
      if chance(600) { window = Int(random.uniform(1...4)) }
      // Every change costs a window of no-ops, which nobody can fetch one by one in time.
      learnChunk = max(learnChunk, 8)
      isPinned = chance(500)
      wipeWeight = random.uniform(0...5)
      cutsAtChange = chance(400) ? 500 : 0
      if chance(400) { observers = spares }
      if scenario == .membership {
        partitionWeight = random.uniform(0...10)
        crashWeight = random.uniform(0...10)
      }
    }
  }
}

extension SplitMix {
  mutating func uniform(_ range: ClosedRange<UInt64>) -> UInt64 {
    range.lowerBound + next() % (range.upperBound - range.lowerBound + 1)
  }

  mutating func index(below count: Int) -> Int { Int(next() % UInt64(count)) }

  mutating func chance(_ thousandths: UInt64) -> Bool { next() % 1000 < thousandths }
}
