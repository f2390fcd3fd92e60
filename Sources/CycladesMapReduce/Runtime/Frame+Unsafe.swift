internal import CCycladesShuffle
internal import CycladesTransport

/// A frame that is not a block: header fields, and a payload of integers and strings.
///
/// The same 64 bytes of header as a block, so that there is one format on every connection.
struct Frame {
  var kind: FrameKind
  var job: UInt64
  var map = 0
  var attempt = 0
  var partition = 0
  var sequence = 0
  var extra: UInt64 = 0
  var payload: [UInt8] = []

  /// The largest frame, of any kind.
  static let maximumSize = 1 << 30

  init(_ kind: FrameKind, job: UInt64) {
    self.kind = kind
    self.job = job
  }

  /// Verifies and reads a frame; throws when it is damaged or of an unknown kind.
  init(verifying bytes: Bytes) throws {
    var header = cyc_shuffle_header()
    let result = unsafe bytes.withUnsafeBytes {
      unsafe cyc_shuffle_frame_open(
        $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, &header)
    }
    guard result == 0, let kind = FrameKind(rawValue: header.kind) else {
      throw MapReduceError(.protocolViolation, "a peer sent a damaged frame")
    }
    self.kind = kind
    job = header.job
    map = Int(header.map)
    attempt = Int(header.attempt)
    partition = Int(header.partition)
    sequence = Int(header.sequence)
    extra = header.extra
    payload = bytes.span.extracting(last: Int(header.length)).copied()
  }

  /// The kind of a frame that was received, before it is verified.
  static func kind(of bytes: Bytes) -> FrameKind? {
    guard bytes.byteCount >= 64 else { return nil }
    return FrameKind(rawValue: unsafe bytes.span.unsafeLoad(fromByteOffset: 4, as: UInt8.self))
  }

  /// The bytes to send.
  func encoded() -> [UInt8] {
    var header = cyc_shuffle_header()
    header.kind = kind.rawValue
    header.job = job
    header.map = UInt32(map)
    header.attempt = UInt32(attempt)
    header.partition = UInt32(partition)
    header.sequence = UInt32(sequence)
    header.extra = extra
    let headerSize = MemoryLayout<cyc_shuffle_header>.size
    var bytes = [UInt8](repeating: 0, count: headerSize) + payload
    while bytes.count % 8 != 0 { bytes.append(0) }
    let length = bytes.count - headerSize
    unsafe bytes.withUnsafeMutableBufferPointer {
      _ = unsafe cyc_shuffle_frame_seal($0.baseAddress, header, length)
    }
    return bytes
  }
}

extension Reactor {
  /// Queues a frame.
  func send(_ connection: ConnectionID, _ frame: Frame) {
    let bytes = frame.encoded()
    unsafe send(connection, copying: bytes.span.bytes)
  }
}

/// Hashes bytes with XXH3-64.
func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
  unsafe cyc_shuffle_hash(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
}
