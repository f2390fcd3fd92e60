internal import CCycladesReactor

/// The format of frames that prove they arrived whole; `SealedFrames` and `Connection.nextFrame`
/// speak it.
///
/// | offset | size | |
/// |---|---|---|
/// | 0 | 4 | size of the frame in bytes, these 16 included |
/// | 4 | 2 | version of the format, 1 |
/// | 6 | 2 | kind, the user's |
/// | 8 | 8 | XXH3-64 of the payload, seeded with bytes 0..<8 |
/// | 16 | | payload |
///
/// All numbers are little-endian. The checksum finds faults, not forgery.
public enum SealedFrame {
  /// The size of the header in bytes.
  public static let headerSize = Int(CYC_SEALED_HEADER)

  /// Why a frame is refused, and with it its connection.
  public enum Fault: Error, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// Longer than the connection's maximum, or shorter than a header.
    case size
    /// Of a version this library does not know.
    case version
    /// The checksum is another: bytes were lost or changed on the way.
    case checksum

    /// A few words.
    public var description: String {
      switch self {
      case .size: "frame size out of range"
      case .version: "frame of unknown version"
      case .checksum: "frame with a wrong checksum"
      }
    }
  }

  /// Verifies a whole frame and returns its kind; the payload starts at `headerSize`.
  ///
  /// - Complexity: O(*n*) for *n* bytes, at several bytes per nanosecond.
  public static func check(_ frame: RawSpan) throws(Fault) -> UInt16 {
    var kind: UInt16 = 0
    let fault = unsafe frame.withUnsafeBytes { bytes in
      unsafe cyc_sealed_check(
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &kind)
    }
    switch fault {
    case CYC_SEALED_WHOLE: return kind
    case CYC_SEALED_VERSION_UNKNOWN: throw .version
    case CYC_SEALED_DAMAGED: throw .checksum
    default: throw .size
    }
  }

  /// The header that goes in front of a payload.
  static func header(kind: UInt16, of payload: RawSpan) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: headerSize) { header, count in
      unsafe payload.withUnsafeBytes { bytes in
        unsafe cyc_sealed_write(
          header.baseAddress, kind, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
          bytes.count)
      }
      count = headerSize
    }
  }

  /// A whole frame around a copy of a payload.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public static func encode(kind: UInt16, _ payload: [UInt8]) -> [UInt8] {
    unsafe header(kind: kind, of: payload.span.bytes) + payload
  }
}

extension ConnectionIO {
  /// Queues a frame around a payload that is sent by reference.
  public func send(kind: UInt16, _ payload: Bytes) {
    writeHeader(kind: kind, of: payload.span)
    send(payload)
  }

  /// Queues a frame around a copy of a payload.
  public func send(kind: UInt16, copying payload: RawSpan) {
    writeHeader(kind: kind, of: payload)
    send(copying: payload)
  }

  /// Queues a frame around what `body` writes in place, at most `limit` bytes.
  public func send(kind: UInt16, atMost limit: Int, _ body: (inout OutputRawSpan) -> Void) {
    unsafe reactor.writeUnsafe(connection, atMost: SealedFrame.headerSize + limit) { room in
      let payload = unsafe room + SealedFrame.headerSize
      let length = unsafe writeRawSpan(payload, limit, body)
      unsafe cyc_sealed_write(
        room.assumingMemoryBound(to: UInt8.self), kind,
        payload.assumingMemoryBound(to: UInt8.self), length)
      return SealedFrame.headerSize + length
    }
  }

  private func writeHeader(kind: UInt16, of payload: RawSpan) {
    unsafe payload.withUnsafeBytes { bytes in
      unsafe reactor.writeUnsafe(connection, atMost: SealedFrame.headerSize) { room in
        unsafe cyc_sealed_write(
          room.assumingMemoryBound(to: UInt8.self), kind,
          bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        return SealedFrame.headerSize
      }
    }
  }
}
