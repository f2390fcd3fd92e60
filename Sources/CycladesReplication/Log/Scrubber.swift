import CycladesPaxos
import CycladesTransport
import Logging

/// Reads the closed segments of the log again and again, slowly, and mends what has rotted.
///
/// Damage that is found while the parity, or a snapshot of this very replica, can still make up for it
/// never has to be fetched from anybody. What the parity cannot give back is reported to the host, which
/// writes snapshots until the segment can go.
///
/// It has a budget of its own, 256 KiB every quarter of a second and one round in six hours, and asks the
/// kernel to forget the pages first, so that the disk is read and not the cache.
struct Scrubber {
  private var file: MappedFile?
  private var offset = 0
  /// The segment that is read, or will be.
  private var number: UInt64 = 0
  private var nextStepAt: UInt64 = 0
  private var roundBeganAt: UInt64?
  /// Whole rounds since the start.
  private(set) var rounds: UInt64 = 0

  private static let stepInterval: UInt64 = 250_000_000
  private static let stepBytes = 256 << 10
  private static let roundInterval: UInt64 = 6 * 3_600_000_000_000

  /// What one step found.
  struct Findings {
    var counts = RecoveryCounts()
    /// Segments with damage beyond repair.
    var damaged: [UInt64] = []
  }

  /// Reads on when it is time to; `nil` when it is not.
  mutating func tick(_ now: UInt64, _ log: Log, cluster: UInt64) throws(ReplicationError)
    -> Findings?
  {
    guard now >= nextStepAt, log.segments.count > 1 else { return nil }
    nextStepAt = now + Scrubber.stepInterval
    if file == nil, number == 0 {
      if let roundBeganAt, now - roundBeganAt < Scrubber.roundInterval { return nil }
      roundBeganAt = now
    }
    return try step(log, cluster: cluster)
  }

  /// Reads one stretch, or the rest of a segment.
  mutating func step(_ log: Log, cluster: UInt64) throws(ReplicationError) -> Findings {
    var findings = Findings()
    // The segment that is written to is read when it is closed; one that was dropped is left.
    guard let segment = log.segments.dropLast().first(where: { $0.number >= max(number, 1) }) else {
      number = 0
      file = nil
      rounds += 1
      return findings
    }
    if file?.number != UInt32(segment.number) {
      number = segment.number
      offset = 0
      Files.forgetPages(segment.descriptor)
      file = try MappedFile(segment, log.folder.identity.log, cluster)
    }
    guard let file else { return findings }
    let end = offset + Scrubber.stepBytes
    while offset < end {
      guard let write = file.write(from: offset), write.start < segment.byteCount else {
        number += 1
        self.file = nil
        break
      }
      if write.start > offset { findings.damaged.append(segment.number) }
      try check(write, file, segment, &findings)
      offset = write.start + write.byteCount
    }
    return findings
  }

  private func check(
    _ write: LogWrite, _ file: MappedFile, _ segment: LogSegment, _ findings: inout Findings
  ) throws(ReplicationError) {
    if file.check(write) == .whole {
      findings.counts[.wholeWrite] += 1
      return
    }
    var copy = file.copy(write)
    switch file.repair(&copy, write) {
    case .none:
      findings.counts[.bytesLost] += UInt64(write.length)
      findings.damaged.append(segment.number)
      return
    case .parity: findings.counts[.parityRepaired] += 1
    case .records: findings.counts[.recordsRepaired] += 1
    }
    try Files.write(copy, to: segment.descriptor, file.path, at: write.start)
    try Files.sync(segment.descriptor, file.path)
  }
}
