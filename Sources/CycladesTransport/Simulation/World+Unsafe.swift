internal import CCycladesReactor

/// A world in memory for whole nodes: one clock, a network and disks that can fail, all on one thread.
///
/// Reactors that are made with a `Residence` in it run unchanged, but nothing runs them by itself:
/// whoever owns the world takes turns with them.
///
/// ```swift
/// repeat {
///   for reactor in reactors where reactor.isDue { try reactor.turn() }
/// } while reactors.contains(where: \.isDue)
/// world.advance(until: earliest of reactors.map(\.nextTimer))
/// ```
///
/// One seed makes all its choices; see `CCycladesWorld.h` for what is modelled, and what is not.
@safe package final class World {
  /// How fast and how faulty the world is at its best.
  package struct Options {
    /// Makes every choice.
    package var seed: UInt64
    /// How many hosts there are, numbered from 0, at 10.0.0.0 and on.
    package var hosts: Int
    /// One way through the network: at least, and how much more.
    package var latency = (least: Duration.microseconds(50), spread: Duration.microseconds(200))
    /// One operation of a disk: at least, and how much more.
    package var disk = (least: Duration.microseconds(50), spread: Duration.microseconds(150))
    /// The share of sends that are taken in part only.
    package var shortSends = 0.0
    /// Whether disks call durable what is not: a simulation must find that.
    package var disksLie = false

    package init(seed: UInt64, hosts: Int) {
      self.seed = seed
      self.hosts = hosts
    }
  }

  /// What a disk does.
  package enum Disk: UInt32, CaseIterable { case well, full, failing, stalled }

  /// What happened so far.
  package struct Statistics {
    package var events, segments, bytes, resets, refusals, retransmissions: UInt64
    package var diskOperations, tornWrites, lostSectors: UInt64
  }

  let raw: OpaquePointer
  /// The number of hosts.
  package let hostCount: Int

  package init(_ options: Options) {
    precondition((1...65_536).contains(options.hosts), "a world has 1 to 65,536 hosts")
    var raw = cyc_world_options()
    raw.seed = options.seed
    raw.hosts = UInt32(options.hosts)
    raw.latency_ns = options.latency.least.nanosecondsClamped
    raw.latency_spread_ns = options.latency.spread.nanosecondsClamped
    raw.disk_ns = options.disk.least.nanosecondsClamped
    raw.disk_spread_ns = options.disk.spread.nanosecondsClamped
    raw.short_ppm = UInt32(options.shortSends * 1_000_000)
    raw.disks_lie = options.disksLie
    guard let world = unsafe cyc_world_create(&raw) else {
      preconditionFailure("out of memory for a world")
    }
    unsafe self.raw = world
    hostCount = options.hosts
  }

  deinit { unsafe cyc_world_destroy(raw) }

  /// The world's own time.
  package var now: Instant { Instant(nanoseconds: unsafe cyc_world_now(raw)) }

  /// Moves the clock to the next event, at the latest to `until`; false when nothing happened.
  package func advance(until: Instant) -> Bool {
    unsafe cyc_world_advance(raw, until.nanoseconds)
  }

  /// A hash over everything that happened, in order.
  package var digest: UInt64 { unsafe cyc_world_digest(raw) }

  /// The address of a host.
  package static func address(of host: Int, port: UInt16) -> SocketAddress {
    var raw = cyc_address()
    raw.family = CYC_FAMILY_IPV4
    raw.bytes.0 = 10
    raw.bytes.2 = UInt8(host >> 8)
    raw.bytes.3 = UInt8(host & 255)
    raw.port = port
    return SocketAddress(raw)
  }

  package var statistics: Statistics {
    let report = unsafe cyc_world_report(raw)
    return Statistics(
      events: report.events, segments: report.segments, bytes: report.bytes, resets: report.resets,
      refusals: report.refusals, retransmissions: report.retransmissions,
      diskOperations: report.disk_operations, tornWrites: report.torn_writes,
      lostSectors: report.lost_sectors)
  }

  // MARK: Accidents

  /// Holds back what one host sends to another, or lets it through.
  package func block(from: Int, to: Int, _ isBlocked: Bool) {
    unsafe cyc_world_block(raw, checked(from), checked(to), isBlocked)
  }

  /// Resets every connection between two hosts.
  package func reset(_ a: Int, _ b: Int) { unsafe cyc_world_reset(raw, checked(a), checked(b)) }

  package func setDisk(of host: Int, _ disk: Disk) {
    unsafe cyc_world_set_disk(raw, checked(host), cyc_disk_state(disk.rawValue))
  }

  /// Makes a host's wall clock wrong by `offset`, and both its clocks fast by `drift` millionths.
  package func setClock(of host: Int, offset: Duration, drift: Int32) {
    let (seconds, attoseconds) = offset.components
    unsafe cyc_world_set_clock(
      raw, checked(host), seconds * 1_000_000_000 + attoseconds / 1_000_000_000, drift)
  }

  /// Ends a host's processes, and with `isSilent` its machine: what was on its way to the disk is torn.
  ///
  /// Its reactor can only be released after this.
  package func crash(_ host: Int, isSilent: Bool) {
    unsafe cyc_world_crash(raw, checked(host), isSilent)
  }

  /// Lets a host that crashed have a new reactor; the old one must be gone.
  package func revive(_ host: Int) { unsafe cyc_world_revive(raw, checked(host)) }

  private func checked(_ host: Int) -> UInt32 {
    precondition((0..<hostCount).contains(host), "the world has no host \(host)")
    return UInt32(host)
  }
}

/// A reactor's place in a world. Unchecked: a world and its reactors stay on one thread.
package struct Residence: @unchecked Sendable {
  package var world: World
  package var host: Int

  package init(_ world: World, host: Int) {
    self.world = world
    self.host = host
  }
}
