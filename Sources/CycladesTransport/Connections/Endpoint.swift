/// Names a connection of one reactor: a slot and its generation.
///
/// A connection's id is never given to another one while anybody could still hold it, and an id
/// whose connection is gone is harmless: every call with it does nothing.
public struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
  /// Slot in the low half, generation in the high half.
  public let rawValue: UInt64

  /// Makes an id from its raw value, for callers that keep ids in C or in messages.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Small and dense, reused after the connection is closed: an index for tables of connections.
  public var slot: Int { Int(UInt32(truncatingIfNeeded: rawValue)) }

  /// `slot.generation`.
  public var description: String { "\(slot).\(rawValue >> 32)" }
}

/// How a connection's input is cut.
public enum Mode: Sendable, Hashable {
  /// A stream of bytes; the endpoint finds the boundaries.
  case stream
  /// Frames, each with its total size as a little-endian `UInt32` at offset 0, the size's own bytes
  /// and the rest of the header included; 16...`maximumSize` bytes, at most 1 GiB.
  ///
  /// Frames arrive whole and contiguous. When all sizes are multiples of 8, every frame starts at
  /// an address that is one, too. A size out of range closes the connection with
  /// `CloseReason.protocolViolation`.
  case frames(maximumSize: Int)
}

/// What an endpoint did with the input it was shown.
public struct Progress: Sendable, Hashable {
  /// How many bytes are done with; the rest is shown again, with more behind it.
  public var consumed: Int
  /// Do not call again before this many unconsumed bytes are there; 0 means any more.
  ///
  /// For a value whose size is already known this saves looking at it again and again, and its
  /// memory is allocated once. More than the reactor's `inputLimit` closes the connection.
  public var needs: Int

  /// Makes a progress.
  public init(consumed: Int, needs: Int = 0) {
    self.consumed = consumed
    self.needs = needs
  }
}

/// What to do when the peer has finished sending.
public enum InputEnd: Sendable {
  /// Send what is queued, then close.
  case close
  /// Keep sending; the endpoint closes the connection itself.
  case keepSending
}

/// What a listener or an outgoing connection reports to.
///
/// All calls come on the reactor's thread, one at a time, and never from inside a call to the
/// reactor: closing a connection is answered by `closed` in a later turn.
public protocol Endpoint: AnyObject {
  /// The connection was accepted, or connected.
  func opened(_ connection: ConnectionID)

  /// Input of a stream connection, from the first unconsumed byte on.
  ///
  /// The span is valid during the call. `Reactor.share(_:)` keeps a part of it without a copy.
  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress

  /// One frame of a framed connection.
  func received(_ connection: ConnectionID, frame: Bytes)

  /// The peer has finished sending (half-close).
  ///
  /// All its input has been shown, but for bytes left behind that do not make up what was needed.
  func inputEnded(_ connection: ConnectionID) -> InputEnd

  /// A send queue that was above the high watermark fell to the low one.
  func drained(_ connection: ConnectionID)

  /// The connection is gone; exactly once, also for one that never connected.
  func closed(_ connection: ConnectionID, _ reason: CloseReason)
}

extension Endpoint {
  /// Does nothing.
  public func opened(_ connection: ConnectionID) {}

  /// Discards the input.
  public func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    Progress(consumed: bytes.byteCount)
  }

  /// Discards the frame.
  public func received(_ connection: ConnectionID, frame: Bytes) {}

  /// Closes when everything queued is sent.
  public func inputEnded(_ connection: ConnectionID) -> InputEnd { .close }

  /// Does nothing.
  public func drained(_ connection: ConnectionID) {}

  /// Does nothing.
  public func closed(_ connection: ConnectionID, _ reason: CloseReason) {}
}

/// An endpoint that looks at frames in place; `Reactor.share(_:)` keeps a part of one.
protocol FrameViewer: AnyObject {
  /// One frame of a framed connection; the span is valid during the call.
  func received(_ connection: ConnectionID, frame: RawSpan)
}
