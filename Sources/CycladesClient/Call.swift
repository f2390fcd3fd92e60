/// One command from the moment the user asks for it until the user has an answer.
///
/// A call may be sent several times. Whether it was carried out is known from what became of the
/// attempts: a refusal (MOVED, CLUSTERDOWN, TRYAGAIN ...) is a promise that this attempt had no
/// effect; a lost connection and `UNKNOWNOUTCOME` leave it open. A call with a number is then sent
/// again under that number; one that only reads, too; any other ends as unknown.
///
/// Belongs to its client's actor.
final class Call {
  /// What a call may do, which decides how it is sent.
  enum Effect {
    /// Reads only: may be repeated at will.
    case none
    /// Changes keys of one slot: goes with a number, and may be repeated under it.
    case numbered
    /// Anything else: is not repeated once it may have been carried out.
    case other
  }

  let id: UInt64
  /// The words of the command, encoded, and their number.
  let body: [UInt8]
  let wordCount: Int
  /// The slot of its keys; `nil` when any node will do.
  let slot: Int?
  let effect: Effect
  let deadline: ContinuousClock.Instant
  let name: String

  /// Its place in a session; kept from the first attempt on.
  var number: SessionNumber?
  /// An attempt was made whose end is not known.
  var mayHaveRun = false
  /// The connection it is on, since when.
  weak var link: NodeLink?
  var sentAt: ContinuousClock.Instant?
  /// Attempts in turn that were sent elsewhere by the server.
  var redirections = 0
  /// Not before then is it sent again.
  var retryAt: ContinuousClock.Instant?
  private var completion: ((Result<StoreReply, StoreClientError>) -> Void)?

  init(
    id: UInt64, words: [[UInt8]], slot: Int?, effect: Effect,
    deadline: ContinuousClock.Instant,
    completion: @escaping (Result<StoreReply, StoreClientError>) -> Void
  ) {
    self.id = id
    body = RequestEncoding.words(words)
    wordCount = words.count
    name = String(decoding: words[0].prefix(64), as: UTF8.self)
    self.slot = slot
    self.effect = effect
    self.deadline = deadline
    self.completion = completion
  }

  var isOver: Bool { completion == nil }

  /// Whether it may be sent again, given what is known about earlier attempts.
  var mayRepeat: Bool { !mayHaveRun || effect != .other }

  func end(_ result: Result<StoreReply, StoreClientError>) {
    completion?(result)
    completion = nil
  }

  /// Appends the request as it is to be sent now.
  func append(to bytes: inout [UInt8]) {
    guard let number else {
      RequestEncoding.appendHead(wordCount, to: &bytes)
      bytes += body
      return
    }
    RequestEncoding.appendHead(wordCount + 5, to: &bytes)
    RequestEncoding.append("CYCLADES", to: &bytes)
    RequestEncoding.append("ONCE", to: &bytes)
    RequestEncoding.append(String(number.session), to: &bytes)
    RequestEncoding.append(String(number.sequence), to: &bytes)
    RequestEncoding.append(String(number.shard.floor), to: &bytes)
    bytes += body
  }
}

/// A call's place in a session.
struct SessionNumber {
  let shard: ShardView
  let session: UInt64
  let sequence: UInt64
}
