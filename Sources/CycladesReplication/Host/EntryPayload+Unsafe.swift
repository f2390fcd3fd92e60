import CycladesPaxos
import CycladesTransport

/// The bytes of an entry: a frame that is received, sent, logged and kept as it is.
///
/// A leader's new entry is built behind room for its header, which is written when its slot and
/// ballot are known. A later leader that proposes it again needs another header: only then is the
/// body copied.
final class EntryPayload: Payload {
  /// The value's own part of the header: what stays the same from ballot to ballot.
  let time: UInt64
  let count: UInt32
  private var frame: Bytes
  private var sealedIn: Ballot?

  /// The flag of an entry whose body is a membership.
  private static let membershipFlag: UInt16 = 1

  /// Wraps a frame that was received or read back, and verified; `nil` when its body is not what its
  /// flags say.
  init?(_ frame: Bytes, _ header: WireHeader) {
    time = header.time
    count = header.count
    self.frame = frame
    sealedIn = header.ballot
    var membership: Membership?
    if header.flags == EntryPayload.membershipFlag {
      membership = Membership(
        decoding: [UInt8](copying: frame.span.extracting(WireHeader.byteCount..<frame.byteCount)))
    }
    super.init(
      byteCount: frame.byteCount, checksum: header.bodyChecksum,
      isNoop: header.count == 0 && header.flags == 0, membership: membership)
    if header.flags != 0 && membership == nil { return nil }
  }

  /// Wraps a new body of `count` requests, or one of a membership, behind 128 free bytes, which this
  /// object alone may write.
  init(
    unsealed frame: Bytes, count: Int, membership: Membership? = nil, time: UInt64, cluster: UInt64
  ) {
    self.time = time
    self.count = UInt32(count)
    self.frame = frame
    let body = frame.span.extracting(WireHeader.byteCount..<frame.byteCount)
    super.init(
      byteCount: frame.byteCount, checksum: WireHeader.checksum(ofBody: body, cluster: cluster),
      isNoop: count == 0 && membership == nil, membership: membership)
  }

  /// An entry that changes who the members of the group are.
  static func changing(
    to membership: Membership, time: UInt64, cluster: UInt64, pool: BufferPool
  ) -> EntryPayload {
    let encoded = membership.encoded
    do {
      var buffer = try Buffer(
        minimumCapacity: WireHeader.byteCount + encoded.count, in: pool)
      buffer.appendZeros(WireHeader.byteCount)
      buffer.append(encoded)
      return EntryPayload(
        unsealed: buffer.freeze(), count: 0, membership: membership, time: time, cluster: cluster)
    } catch {
      fatalError("out of memory for a membership: \(error)")
    }
  }

  /// An entry without requests, which only moves log time.
  static func empty(time: UInt64, cluster: UInt64, pool: BufferPool) -> EntryPayload {
    do {
      var buffer = try Buffer(minimumCapacity: WireHeader.byteCount, in: pool)
      buffer.appendZeros(WireHeader.byteCount)
      return EntryPayload(unsealed: buffer.freeze(), count: 0, time: time, cluster: cluster)
    } catch {
      fatalError("out of memory for an empty entry: \(error)")
    }
  }

  /// What the header's flags say of the body.
  private var flags: UInt16 { membership == nil ? 0 : EntryPayload.membershipFlag }

  /// The requests in the entry, or its membership.
  var body: RawSpan {
    @_lifetime(borrow self) get {
      let span = frame.span
      return unsafe _overrideLifetime(
        span.extracting(WireHeader.byteCount..<span.byteCount), borrowing: self)
    }
  }

  /// The frame of `entry`, whose payload this is.
  func frame(
    of entry: Entry, cluster: UInt64, group: UInt32, pool: BufferPool
  ) throws(TransportError) -> Bytes {
    if sealedIn == entry.ballot { return frame }
    if sealedIn != nil {
      frame = try Bytes(copying: frame.span, in: pool)
    }
    var header = WireHeader(
      entry: entry, cluster: cluster, group: group,
      bodyByteCount: frame.byteCount - WireHeader.byteCount)
    header.time = time
    header.count = count
    header.flags = flags
    header.bodyChecksum = checksum
    unsafe header.reseal(frame.exclusiveStart)
    sealedIn = entry.ballot
    return frame
  }
}

extension Bytes {
  /// The start, for the one who built the bytes and has not let them go yet.
  fileprivate var exclusiveStart: UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(mutating: unsafeStart)
  }

  /// Writes a frame's header, both checksums included, into the 128 bytes left free for it.
  func seal(_ header: inout WireHeader) {
    precondition(header.frameByteCount == byteCount)
    unsafe header.seal(exclusiveStart)
  }

  /// Writes a request's header into the bytes left free for it behind the frame header.
  func stamp(_ header: RequestHeader) {
    precondition(byteCount >= WireHeader.byteCount + RequestHeader.byteCount)
    unsafe header.store(exclusiveStart + WireHeader.byteCount)
  }
}

extension Reactor {
  /// Queues a frame of a header and a copied body, built in the send queue itself.
  func send(_ connection: ConnectionID, _ header: inout WireHeader, _ body: RawSpan) {
    precondition(header.bodyByteCount == body.byteCount)
    var sealed = header
    unsafe writeUnsafe(connection, atMost: header.frameByteCount) { target in
      unsafe body.withUnsafeBytes { bytes in
        guard let source = bytes.baseAddress else { return }
        unsafe (target + WireHeader.byteCount).copyMemory(from: source, byteCount: bytes.count)
      }
      unsafe sealed.seal(target)
      return sealed.frameByteCount
    }
    header = sealed
  }
}
