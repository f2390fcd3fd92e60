import CCycladesWire
import CycladesPaxos
import CycladesTransport
import Glibc

/// Where one write of the log stands.
struct LogWrite {
  var start: Int
  /// Without its parity.
  var length: Int

  /// With its parity.
  var byteCount: Int { length + cyc_log_parity_size(length) }
}

/// A segment mapped for reading, and what can be found in it.
@safe final class MappedFile {
  /// What `check` says of a write.
  enum Finding { case whole, damaged }
  /// What `repair` could give back.
  enum Repair { case parity, records, none }

  let path: String
  let number: UInt32
  let byteCount: Int
  private let start: UnsafeRawPointer
  private let log: UInt64
  private let cluster: UInt64

  init(_ segment: LogSegment, _ log: UInt64, _ cluster: UInt64) throws(ReplicationError) {
    path = segment.path
    number = UInt32(segment.number)
    self.log = log
    self.cluster = cluster
    byteCount = try Files.size(segment.descriptor, segment.path)
    guard byteCount > 0 else {
      unsafe start = UnsafeRawPointer(bitPattern: 1)!
      return
    }
    guard
      let address = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, segment.descriptor, 0),
      unsafe address != MAP_FAILED
    else { throw Files.failure("map", segment.path) }
    unsafe start = UnsafeRawPointer(address)
  }

  deinit {
    if byteCount > 0 { unsafe munmap(UnsafeMutableRawPointer(mutating: start), byteCount) }
  }

  private func place(_ offset: Int) -> cyc_log_place {
    cyc_log_place(log: log, cluster: cluster, segment: number, start: UInt32(offset))
  }

  /// The first intact prefix from an offset on.
  func find(from offset: Int) -> cyc_log_prefix? {
    guard offset < byteCount else { return nil }
    var place = place(offset)
    var prefix = cyc_log_prefix()
    let found = unsafe cyc_log_find(
      start + offset, byteCount - offset, 0, &place, &prefix)
    return found < byteCount - offset ? prefix : nil
  }

  /// The next write from the end of another on; `nil` when there is no trace of one.
  func write(from offset: Int) -> LogWrite? {
    guard offset < byteCount else { return nil }
    var place = place(offset)
    let length = unsafe cyc_log_length(start + offset, byteCount - offset, &place)
    if length > 0 { return LogWrite(start: offset, length: length) }
    guard let prefix = find(from: offset), Int(prefix.start) >= offset else { return nil }
    return LogWrite(start: Int(prefix.start), length: Int(prefix.length))
  }

  /// Whether a write and its parity are as they were written.
  func check(_ write: LogWrite) -> Finding {
    guard write.start + write.byteCount <= byteCount else { return .damaged }
    var place = place(write.start)
    let state = unsafe cyc_log_check(start + write.start, write.length, &place)
    return state == CYC_LOG_WHOLE.rawValue ? .whole : .damaged
  }

  /// A write's bytes, zeros where the file ends too soon.
  func copy(_ write: LogWrite) -> [UInt8] {
    let there = min(write.byteCount, byteCount - write.start)
    return unsafe [UInt8](UnsafeRawBufferPointer(start: start + write.start, count: there))
      + [UInt8](repeating: 0, count: write.byteCount - there)
  }

  /// Gives back what the parity of a copy can.
  func repair(_ copy: inout [UInt8], _ write: LogWrite) -> Repair {
    var place = place(write.start)
    let state = unsafe copy.withUnsafeMutableBytes {
      unsafe cyc_log_repair($0.baseAddress!, write.length, &place)
    }
    switch state {
    case CYC_LOG_RECORDS_DAMAGED.rawValue: return .records
    case CYC_LOG_PARITY_DAMAGED.rawValue, CYC_LOG_WHOLE.rawValue: return .parity
    default: return .none
    }
  }

  private func withBytes<R>(
    _ write: LogWrite, _ image: [UInt8]?, _ body: (UnsafeRawBufferPointer) -> R
  ) -> R {
    if let image { return unsafe image.withUnsafeBytes { unsafe body($0) } }
    let there = min(write.length, byteCount - write.start)
    return unsafe body(UnsafeRawBufferPointer(start: start + write.start, count: there))
  }

  /// The prefix at an offset of a write, in the file or in a repaired image.
  func record(_ write: LogWrite, at offset: Int, _ image: [UInt8]?) -> cyc_log_prefix? {
    var prefix = cyc_log_prefix()
    let valid = unsafe withBytes(write, image) { bytes in
      offset + Int(CYC_LOG_PREFIX_SIZE) <= bytes.count
        ? unsafe cyc_log_prefix_decode(
          bytes.baseAddress! + offset, bytes.count - offset, log, number,
          UInt32(write.start + offset), &prefix) : 0
    }
    return valid == 1 ? prefix : nil
  }

  /// The next intact prefix of a write, and its offset in it.
  func find(in write: LogWrite, from offset: Int) -> (Int, cyc_log_prefix)? {
    let end = min(write.length, byteCount - write.start)
    guard offset < end else { return nil }
    var place = place(write.start + offset)
    var prefix = cyc_log_prefix()
    let found = unsafe cyc_log_find(
      start + write.start + offset, end - offset, 0, &place, &prefix)
    guard found < end - offset, Int(prefix.start) == write.start else { return nil }
    return (offset + found, prefix)
  }

  /// The header of the frame behind a prefix; `nil` when it is damaged.
  func header(_ write: LogWrite, at offset: Int, _ image: [UInt8]?) -> WireHeader? {
    unsafe withBytes(write, image) { bytes in
      let from = offset + Int(CYC_LOG_PREFIX_SIZE)
      guard from + WireHeader.byteCount <= bytes.count else { return nil }
      let span = unsafe RawSpan(
        _unsafeStart: bytes.baseAddress! + from, byteCount: bytes.count - from)
      return try? WireHeader(verifyingHeaderOf: span, cluster: cluster)
    }
  }

  /// Whether the frame behind a prefix is intact.
  func isIntact(_ write: LogWrite, at offset: Int) -> Bool {
    guard let record = record(write, at: offset, nil) else { return false }
    let size = Int(record.size) - Int(CYC_LOG_PREFIX_SIZE)
    return unsafe withBytes(write, nil) { bytes in
      let from = offset + Int(CYC_LOG_PREFIX_SIZE)
      guard from + size <= bytes.count else { return false }
      let span = unsafe RawSpan(_unsafeStart: bytes.baseAddress! + from, byteCount: size)
      return (try? WireHeader(verifying: span, cluster: cluster))?.frameByteCount == size
    }
  }
}
