internal import CCycladesRESP

/// The version of Redis' serialization protocol that a connection speaks.
public enum RESPVersion: UInt8, Sendable {
  /// RESP2, the protocol of a connection that never said HELLO 3.
  case v2 = 2
  /// RESP3: adds nulls, maps, sets, doubles, booleans and push messages.
  case v3 = 3
}

/// What a client may send at most. Every bound is inclusive and in bytes unless it says otherwise.
public struct RequestLimits: Sendable {
  /// The number of arguments of a request, its command name included.
  public var argumentsMax: UInt32 = 1_048_576
  /// The size of one argument. Redis' `proto-max-bulk-len`.
  public var bulkBytesMax: UInt32 = 512 << 20
  /// The size of an inline request, and of a line that holds a length.
  public var inlineBytesMax: UInt32 = 64 << 10
  /// The size of a whole request.
  public var requestBytesMax: UInt32 = 1 << 30

  /// Redis' limits.
  public init() {}
}

/// A request that breaks the protocol; after it the byte stream has no meaning any more.
///
/// Answer it with ``CycladesReplication/Reply/append(_:)-(ProtocolViolation)`` and close.
public struct ProtocolViolation: Error, Hashable, Sendable, CustomStringConvertible {
  /// Redis' text, such as "Protocol error: invalid bulk length".
  public let description: String
}

/// Finds requests in received bytes, without copying them.
///
/// The parser keeps nothing about a connection between calls, so one per reactor is enough. A
/// request is parsed when it is there as a whole; until then ``Parsed/incomplete(needs:)`` says how
/// many bytes to wait for, so that a large value is looked at twice and not once per packet.
///
/// Not thread-safe. Follows the RESP specification and the inline form of Redis 7.
public final class RequestParser {
  /// What the bytes begin with.
  public enum Parsed: Hashable, Sendable {
    /// A whole request of that many bytes; ``RequestParser/arguments(of:)`` has its arguments. They
    /// may be none, for a blank line or `*0`: such a request is skipped without a reply.
    case request(byteCount: Int)
    /// The beginning of a request that has at least this many bytes.
    case incomplete(needs: Int)
    /// Something else than a request.
    case violation(ProtocolViolation)
  }

  private let limits: cyc_resp_limits
  private let list: ArgumentList
  private var isInScratch = false

  /// Makes a parser; allocates its scratch space for inline requests.
  public init(limits: RequestLimits = .init()) {
    self.limits = cyc_resp_limits(
      arguments: limits.argumentsMax, bulk: limits.bulkBytesMax, line: limits.inlineBytesMax,
      request: limits.requestBytesMax)
    list = ArgumentList(scratchBytes: Int(limits.inlineBytesMax))
  }

  /// Parses the first request in `bytes`.
  ///
  /// - Complexity: O(*n*) in the number of arguments, whatever their size.
  public func parse(_ bytes: RawSpan) -> Parsed {
    var request = cyc_resp_request()
    while true {
      let status = unsafe bytes.withUnsafeBytes { raw in
        unsafe cyc_resp_parse(
          raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count, [limits],
          list.scratch.baseAddress, list.storage.baseAddress, UInt32(list.storage.count), &request)
      }
      switch status {
      case CYC_RESP_OK:
        isInScratch = request.in_scratch
        list.count = Int(request.count)
        return .request(byteCount: request.consumed)
      case CYC_RESP_INCOMPLETE:
        return .incomplete(needs: request.needed)
      case CYC_RESP_ARGUMENTS_FULL:
        list.reserve(Int(request.count))
      default:
        return .violation(violation(status, request))
      }
    }
  }

  /// The arguments of the request found by the last ``parse(_:)``, which must have been given the
  /// same bytes. They are valid until the next call of `parse`.
  @_lifetime(copy bytes)
  public func arguments(of bytes: RawSpan) -> Arguments {
    guard isInScratch else { return Arguments(bytes, list) }
    let inline = unsafe _overrideLifetime(
      RawSpan(_unsafeBytes: UnsafeRawBufferPointer(list.scratch)), copying: bytes)
    return Arguments(inline, list)
  }

  private func violation(
    _ status: cyc_resp_status, _ request: cyc_resp_request
  ) -> ProtocolViolation {
    var text = unsafe String(cString: cyc_resp_status_text(status))
    if status == CYC_RESP_NOT_BULK {
      // Line ends would break the reply's framing; Redis sends them as blanks.
      let byte = request.unexpected
      text.unicodeScalars.append(byte == 13 || byte == 10 ? " " : Unicode.Scalar(byte))
      text += "'"
    }
    return ProtocolViolation(description: text)
  }
}
