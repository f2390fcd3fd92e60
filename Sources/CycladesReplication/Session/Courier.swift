import CycladesPaxos
import CycladesTransport

/// Where a courier can hand its requests over right now.
enum Route: Equatable {
  /// This node leads the group.
  case here
  /// That node is believed to lead, and the way to it is open.
  case peer(NodeID)
  /// Nobody to hand them to.
  case nowhere
}

/// What a courier needs of its host.
protocol CourierHost: AnyObject {
  var pool: BufferPool { get }
  /// Nanoseconds of a clock that never goes back.
  var now: UInt64 { get }
  /// A random number that is not 0.
  func randomName() -> UInt64
  func route(to group: Int) -> Route
  /// Hands a request to this node's own replica; false when it does not lead.
  func lead(_ request: WriteRequest, group: Int) -> Bool
  /// Hands a query to this node's own replica; false when it does not lead.
  func lead(_ query: ReadRequest, group: Int) -> Bool
  func send(_ frame: Bytes, to peer: NodeID)
  func header(_ kind: WireHeader.Kind, group: Int, bodyByteCount: Int) -> WireHeader
  func complete(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan)
  /// As many replies, `{ u32 size, bytes }` each, as contexts: all of them are done.
  func complete(_ contexts: [RequestContext], _ replies: RawSpan)
  /// So many bytes of commands were copied.
  func copied(_ byteCount: Int)
}

/// Commands of one turn on their way to being decided.
final class WriteRequest {
  /// 128 bytes for a frame header, then the request header and its commands.
  let frame: Bytes
  let count: Int
  let contexts: [RequestContext]
  let submittedAt: UInt64
  fileprivate(set) var sequence: UInt64 = 0
  /// Once it left, the bytes are the network's and the log's to read: they change no more.
  fileprivate(set) var hasLeft = false
  fileprivate var sentTo: Route = .nowhere
  fileprivate var sentAt: UInt64 = 0
  /// The callers have been told "unknown"; the request itself goes on.
  fileprivate var isAbandoned = false

  fileprivate init(
    _ frame: Bytes, _ count: Int, _ contexts: [RequestContext], submittedAt: UInt64
  ) {
    self.frame = frame
    self.count = count
    self.contexts = contexts
    self.submittedAt = submittedAt
  }

  /// The request as it is logged.
  var body: Bytes { frame.slice(WireHeader.byteCount..<frame.byteCount) }
}

/// Queries of one turn on their way to being answered.
final class ReadRequest {
  /// 128 bytes for a frame header, then the queries.
  let frame: Bytes
  let count: Int
  let contexts: [RequestContext]
  let submittedAt: UInt64
  let id: UInt64
  fileprivate var hasLeft = false
  fileprivate var sentTo: Route = .nowhere
  fileprivate var sentAt: UInt64 = 0

  fileprivate init(
    _ frame: Bytes, _ count: Int, _ contexts: [RequestContext], id: UInt64, submittedAt: UInt64
  ) {
    self.frame = frame
    self.count = count
    self.contexts = contexts
    self.id = id
    self.submittedAt = submittedAt
  }

  /// The queries.
  var body: Bytes { frame.slice(WireHeader.byteCount..<frame.byteCount) }
}

/// Carries what this node submits to one group to the group's leader, and brings the answers back.
///
/// Commands gather during a turn and leave as one request. Requests are numbered when they first
/// leave, and the replicas apply them in that order and once each, so a request may be sent again to
/// whoever leads next without asking what became of it. A request that never left can be refused for
/// certain; one that left can only be "unknown" until its answer comes, and is carried on until then.
final class Courier {
  private unowned let host: any CourierHost
  private let group: Int
  private let node: NodeID
  private let limits: HostLimits

  private var session: UInt64
  private var nextSequence: UInt64 = 1
  private var nextReadID: UInt64 = 1

  private var openWrite: RequestBuilder?
  private var openWriteContexts: [RequestContext] = []
  private var openRead: RequestBuilder?
  private var openReadContexts: [RequestContext] = []
  /// The size of the last request and the last query: the next is likely to be as large.
  private var writeCapacity = 0
  private var readCapacity = 0

  private var waiting: [WriteRequest] = []
  private var inFlight: [WriteRequest] = []
  private var reads: [ReadRequest] = []
  private(set) var pendingBytes = 0
  /// Nothing is sent before then: whoever was asked last does not know the leader either.
  private var heldBackUntil: UInt64 = 0

  /// With `byteCount` pending, a request unanswered for this long, in nanoseconds, is sent again: its
  /// way may have been lost. A large one gets the time that slow disks and networks need for it.
  private static func resendAfter(_ byteCount: Int) -> UInt64 {
    1_000_000_000 + UInt64(byteCount) * 100
  }

  /// How long to wait after being turned away.
  private static let holdBack: UInt64 = 5_000_000
  private static let prefix = WireHeader.byteCount + RequestHeader.byteCount

  init(group: Int, node: NodeID, limits: HostLimits, host: any CourierHost) {
    self.group = group
    self.node = node
    self.limits = limits
    self.host = host
    session = host.randomName()
  }

  /// Whether nothing is gathered, waiting or in flight.
  var isIdle: Bool {
    openWriteContexts.isEmpty && openReadContexts.isEmpty && waiting.isEmpty && inFlight.isEmpty
      && reads.isEmpty
  }

  /// Adds a command of `size` bytes to what leaves at the end of the turn; a refusal, or `nil`.
  func write(
    _ context: RequestContext, _ size: Int, _ encode: (UnsafeMutableRawPointer) -> Void
  ) -> Refusal? {
    if let refusal = admit(size) { return refusal }
    let gathered: Int
    do {
      if openWriteContexts.isEmpty {
        openWrite = try RequestBuilder(
          prefix: Courier.prefix, capacity: writeCapacity, pool: host.pool)
      }
      gathered = unsafe try openWrite!.append(size, encode)
    } catch {
      return .overloaded
    }
    openWriteContexts.append(context)
    pendingBytes += size + 4
    if gathered >= limits.requestBytesTarget { sealWrites() }
    return nil
  }

  /// Adds a query of `size` bytes to what leaves at the end of the turn; a refusal, or `nil`.
  func read(
    _ context: RequestContext, _ size: Int, _ encode: (UnsafeMutableRawPointer) -> Void
  ) -> Refusal? {
    if let refusal = admit(size) { return refusal }
    let gathered: Int
    do {
      if openReadContexts.isEmpty {
        openRead = try RequestBuilder(
          prefix: WireHeader.byteCount, capacity: readCapacity, pool: host.pool)
      }
      gathered = unsafe try openRead!.append(size, encode)
    } catch {
      return .overloaded
    }
    openReadContexts.append(context)
    pendingBytes += size + 4
    if gathered >= limits.requestBytesTarget { sealReads() }
    return nil
  }

  private func admit(_ size: Int) -> Refusal? {
    if size > limits.commandBytesMax { return .tooLarge }
    return pendingBytes + size > limits.requestBytesPendingMax ? .overloaded : nil
  }

  /// Room for as many contexts as the last time, so that they are not moved again and again.
  private static func room(_ count: Int) -> [RequestContext] {
    var contexts: [RequestContext] = []
    contexts.reserveCapacity(min(count, 1024))
    return contexts
  }

  private func sealWrites() {
    let builder = openWrite.take()!
    let contexts = openWriteContexts
    let count = builder.count
    let size = builder.byteCount - WireHeader.byteCount
    host.copied(builder.copiedBytes)
    writeCapacity = min(builder.byteCount, 2 * limits.requestBytesTarget)
    openWriteContexts = Courier.room(contexts.count)
    let header = RequestHeader(
      size: size, count: count, session: session, sequence: 1, floor: 1, origin: node.rawValue)
    let frame = unsafe builder.finish {
      unsafe header.store($0 + WireHeader.byteCount)
    }
    waiting.append(WriteRequest(frame, count, contexts, submittedAt: host.now))
  }

  private func sealReads() {
    let builder = openRead.take()!
    let contexts = openReadContexts
    let count = builder.count
    readCapacity = min(builder.byteCount, 2 * limits.requestBytesTarget)
    openReadContexts = Courier.room(contexts.count)
    let frame = unsafe builder.finish { _ in }
    reads.append(ReadRequest(frame, count, contexts, id: nextReadID, submittedAt: host.now))
    nextReadID += 1
  }

  /// Sends what can be sent; called at the end of every turn in which anything may have changed.
  ///
  /// - Parameter isGathering: whether commands had better wait for the end of the log's write; queries
  ///   never do.
  func dispatch(isGathering: Bool = false) {
    if !isGathering, !openWriteContexts.isEmpty { sealWrites() }
    if !openReadContexts.isEmpty { sealReads() }
    let route = host.route(to: group)
    if route == .nowhere || host.now < heldBackUntil { return }
    resend(route)
    while !isGathering && !waiting.isEmpty && inFlight.count < limits.requestsInFlightMax {
      let request = waiting[0]
      request.sequence = nextSequence
      guard hand(over: request, to: route) else { break }
      nextSequence += 1
      waiting.removeFirst()
      inFlight.append(request)
    }
    let resendAfter = Courier.resendAfter(pendingBytes)
    for read in reads where read.sentTo != route || host.now &- read.sentAt > resendAfter {
      guard hand(over: read, to: route) else { break }
    }
  }

  /// Sends everything in flight again, in order, when the leader changed or an answer is overdue.
  private func resend(_ route: Route) {
    guard let first = inFlight.first else { return }
    let overdue = host.now &- first.sentAt > Courier.resendAfter(pendingBytes)
    if !overdue && inFlight.allSatisfy({ $0.sentTo == route }) { return }
    for request in inFlight {
      guard hand(over: request, to: route) else { return }
    }
  }

  private func hand(over request: WriteRequest, to route: Route) -> Bool {
    if !request.hasLeft {
      let floor = inFlight.first?.sequence ?? request.sequence
      request.frame.stamp(
        RequestHeader(
          size: request.frame.byteCount - WireHeader.byteCount, count: request.count,
          session: session, sequence: request.sequence, floor: floor, origin: node.rawValue))
    }
    switch route {
    case .here:
      guard host.lead(request, group: group) else { return false }
    case .peer(let peer):
      if request.hasLeft { host.copied(request.frame.byteCount) }
      guard
        forward(
          request.frame, .request, request.count, request.sequence, copy: request.hasLeft, to: peer)
      else { return false }
    case .nowhere: return false
    }
    request.hasLeft = true
    request.sentTo = route
    request.sentAt = host.now
    return true
  }

  private func hand(over read: ReadRequest, to route: Route) -> Bool {
    switch route {
    case .here:
      guard host.lead(read, group: group) else { return false }
    case .peer(let peer):
      guard forward(read.frame, .query, read.count, read.id, copy: read.hasLeft, to: peer) else {
        return false
      }
    case .nowhere: return false
    }
    read.hasLeft = true
    read.sentTo = route
    read.sentAt = host.now
    return true
  }

  private func forward(
    _ frame: Bytes, _ kind: WireHeader.Kind, _ count: Int, _ token: UInt64, copy: Bool,
    to peer: NodeID
  ) -> Bool {
    guard let frame = copy ? try? Bytes(copying: frame.span, in: host.pool) : frame else {
      return false
    }
    var header = host.header(
      kind, group: group, bodyByteCount: frame.byteCount - WireHeader.byteCount)
    header.count = UInt32(count)
    header.token = token
    frame.seal(&header)
    host.send(frame, to: peer)
    return true
  }
}

// MARK: - Answers

extension Courier {
  /// The replies to a request arrived. A repeated answer finds nobody waiting.
  func answered(session: UInt64, sequence: UInt64, replies: RawSpan) {
    guard session == self.session,
      let position = inFlight.firstIndex(where: { $0.sequence == sequence })
    else { return }
    let request = inFlight.remove(at: position)
    pendingBytes -= request.pendingBytes
    if !request.isAbandoned { complete(request.contexts, replies) }
  }

  /// The replies to a query arrived.
  func answered(read id: UInt64, replies: RawSpan) {
    guard let position = reads.firstIndex(where: { $0.id == id }) else { return }
    let read = reads.remove(at: position)
    pendingBytes -= read.pendingBytes
    complete(read.contexts, replies)
  }

  private func complete(_ contexts: [RequestContext], _ replies: RawSpan) {
    guard SizedItems.count(replies) == contexts.count else {
      for context in contexts { host.complete(context, .unknown, RawSpan()) }
      return
    }
    host.complete(contexts, replies)
  }

  /// The one that was asked does not lead: ask again, in order, when there is a better idea.
  func turnedAway() {
    heldBackUntil = host.now &+ Courier.holdBack
    for request in inFlight { request.sentTo = .nowhere }
    for read in reads { read.sentTo = .nowhere }
  }

  /// A request came to be applied before an earlier one of its session.
  func tooEarly(session: UInt64, expected: UInt64) {
    guard session == self.session, let first = inFlight.first else { return }
    if expected >= first.sequence { return turnedAway() }
    // The replicas have forgotten the session: what is in flight may or may not have been applied.
    let lost = inFlight
    inFlight = []
    self.session = host.randomName()
    nextSequence = 1
    for request in lost {
      pendingBytes -= request.pendingBytes
      abandon(request)
    }
  }

  /// The way to a peer was lost, and with it perhaps what was sent on it.
  func lost(_ peer: NodeID) {
    for request in inFlight where request.sentTo == .peer(peer) { request.sentTo = .nowhere }
    for read in reads where read.sentTo == .peer(peer) { read.sentTo = .nowhere }
  }

  /// Answers those who have waited long enough.
  func expire() {
    let now = host.now
    let patience = limits.patienceNanoseconds
    for request in inFlight where now &- request.submittedAt > patience { abandon(request) }
    while let request = waiting.first, now &- request.submittedAt > patience {
      waiting.removeFirst()
      pendingBytes -= request.pendingBytes
      for context in request.contexts {
        host.complete(context, .notDone(.noLeader), RawSpan())
      }
    }
    while let read = reads.first, now &- read.submittedAt > patience {
      reads.removeFirst()
      pendingBytes -= read.pendingBytes
      for context in read.contexts { host.complete(context, .notDone(.noLeader), RawSpan()) }
    }
  }

  private func abandon(_ request: WriteRequest) {
    if request.isAbandoned { return }
    request.isAbandoned = true
    for context in request.contexts { host.complete(context, .unknown, RawSpan()) }
  }

  /// Tells everybody who waits that this node stops.
  func stop() {
    if !openWriteContexts.isEmpty { sealWrites() }
    if !openReadContexts.isEmpty { sealReads() }
    let (sent, unsent, unanswered) = (inFlight, waiting, reads)
    inFlight = []
    waiting = []
    reads = []
    pendingBytes = 0
    for request in sent { abandon(request) }
    for request in unsent {
      for context in request.contexts { host.complete(context, .notDone(.stopping), RawSpan()) }
    }
    for read in unanswered {
      for context in read.contexts { host.complete(context, .notDone(.stopping), RawSpan()) }
    }
  }
}

extension WriteRequest {
  /// What it counts for in `pendingBytes`.
  fileprivate var pendingBytes: Int {
    frame.byteCount - WireHeader.byteCount - RequestHeader.byteCount
  }
}

extension ReadRequest {
  /// What it counts for in `pendingBytes`.
  fileprivate var pendingBytes: Int { frame.byteCount - WireHeader.byteCount }
}
