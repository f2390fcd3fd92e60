import CycladesTransport

/// The one connection to a node, over which all calls to it are pipelined.
///
/// Belongs to its client's actor.
final class NodeLink {
  enum State {
    case connecting
    case ready
    /// Nothing is tried before then.
    case failed(until: ContinuousClock.Instant)
  }

  let address: NodeAddress
  var state = State.connecting
  var task: Task<Void, Never>?
  var writer: ConnectionWriter?
  var parser = ReplyParser()
  /// What is to be written, and whether somebody is about to.
  var outgoing: [UInt8] = []
  var isWriting = false
  /// Failures in turn.
  var failures = 0

  /// Calls that were sent, in the order in which they will be answered; those before `head` were.
  private var sent: [Call?] = []
  private var head = 0
  /// Calls for when the connection is there.
  private(set) var backlog: [Call] = []

  init(_ address: NodeAddress) { self.address = address }

  var isReady: Bool { if case .ready = state { true } else { false } }

  /// Whether it failed so lately that it is not tried again yet.
  var isResting: Bool { if case .failed(let until) = state { until > .now } else { false } }

  /// The first call without a reply.
  var oldest: Call? { head < sent.count ? sent[head] : nil }

  func note(sent call: Call) { sent.append(call) }

  func keep(_ call: Call) { backlog.append(call) }

  func takeBacklog() -> [Call] {
    defer { backlog = [] }
    return backlog
  }

  /// The call that the next reply is for.
  func takeOldest() -> Call? {
    guard head < sent.count else { return nil }
    let call = sent[head]
    sent[head] = nil
    head += 1
    if head == sent.count {
      sent.removeAll(keepingCapacity: true)
      head = 0
    } else if head > 4096, head > sent.count / 2 {
      sent.removeSubrange(..<head)
      head = 0
    }
    return call
  }

  /// All calls without a reply; the link has none afterwards.
  func takeAll() -> [Call] {
    defer {
      sent = []
      head = 0
    }
    return sent[head...].compactMap { $0 }
  }
}
