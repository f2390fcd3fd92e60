internal import CCycladesBuffer
internal import CCycladesReactor

/// The C reactor behind a safe face: the only file of the module that calls it.
///
/// Each method forwards to the C function of the same name; CCycladesReactor.h says what it does.
@safe struct ReactorCore {
  private let raw: OpaquePointer

  init(_ configuration: ReactorConfiguration, pool: BufferPool) throws(TransportError) {
    let io = try configuration.resolvedIO()
    var options = unsafe cyc_reactor_options(
      io: io.raw,
      connections_max: UInt32(configuration.connectionsMax),
      receive_blocks: UInt32(configuration.receiveBlocks),
      receive_block_size: UInt32(configuration.receiveBlockSize),
      input_limit: UInt32(configuration.inputLimit),
      send_high: UInt64(configuration.sendHighWatermark),
      send_low: UInt64(configuration.sendLowWatermark),
      send_cap: UInt64(configuration.sendCap),
      flush_ns: configuration.flushTimeout.nanosecondsClamped,
      socket_send_buffer: UInt32(configuration.socketSendBufferBytes ?? 0),
      socket_receive_buffer: UInt32(configuration.socketReceiveBufferBytes ?? 0),
      keepalive_s: UInt32(configuration.keepalive?.components.seconds ?? 0),
      unacknowledged_ms: UInt32((configuration.userTimeout?.nanosecondsClamped ?? 0) / 1_000_000),
      world: configuration.residence?.world.raw,
      host: UInt32(configuration.residence?.host ?? 0))
    var error: Int32 = 0
    guard let raw = unsafe cyc_reactor_create(&options, pool.raw, &error) else {
      throw io == .epoll
        ? TransportError(.ringUnavailable, "epoll is not available", errno: error)
        : Self.refusal(error)
    }
    unsafe self.raw = raw
  }

  /// Says which of the usual causes keeps a ring from being set up.
  static func refusal(_ errno: Int32) -> TransportError {
    let likely =
      switch errno {
      case 1: "; a seccomp profile (Docker's default) or sysctl kernel.io_uring_disabled denies it"
      case 12: "; the locked-memory limit (ulimit -l) or the cgroup's memory is too small"
      case 22: "; the kernel is older than 6.0"
      case 38: "; the kernel has no io_uring, or a seccomp profile hides it"
      case 105: "; the buffer budget is smaller than the receive blocks"
      default: ""
      }
    return TransportError(.ringUnavailable, "io_uring is not available\(likely)", errno: errno)
  }

  func enable() throws(TransportError) {
    let result = unsafe cyc_reactor_enable(raw)
    if result < 0 { throw Self.refusal(-result) }
  }

  func shutDown() { unsafe cyc_reactor_shut_down(raw) }
  func destroy() { unsafe cyc_reactor_destroy(raw) }

  var now: UInt64 { unsafe cyc_reactor_now(raw) }
  var clock: UInt64 { unsafe cyc_reactor_clock(raw) }
  var wallClock: UInt64 { unsafe cyc_reactor_wall_clock(raw) }
  func random() -> UInt64 { unsafe cyc_reactor_random(raw) }
  var isDue: Bool { unsafe cyc_reactor_is_due(raw) }
  var nextTimer: UInt64? {
    let next = unsafe cyc_reactor_next(raw)
    return next == .max ? nil : next
  }
  var waker: Waker { Waker(descriptor: unsafe cyc_reactor_waker(raw)) }

  /// What drives the reactor, the ring's set-up flags, and why a ring was refused, if one was.
  var backend: (io: ReactorConfiguration.IO, ringFlags: UInt32, refusal: TransportError?) {
    let backend = unsafe cyc_reactor_backend(raw)
    return (
      backend.io == CYC_IO_EPOLL ? .epoll : .uring, backend.flags,
      backend.refusal == 0 ? nil : Self.refusal(backend.refusal)
    )
  }

  // MARK: Turns

  func turn(park: Bool) throws(TransportError) -> Events {
    var first: UnsafePointer<cyc_event>?
    let count = unsafe cyc_reactor_turn(raw, park, &first)
    guard count >= 0 else {
      throw TransportError(.ringFailed, "the ring failed while waiting", errno: -count)
    }
    return unsafe Events(first: first, count: Int(count))
  }

  /// One turn's events; valid until the next turn.
  @safe struct Events {
    fileprivate let first: UnsafePointer<cyc_event>?
    let count: Int

    subscript(index: Int) -> Event {
      unsafe Event(raw: first! + index)
    }
  }

  /// One event; valid until the next turn.
  @safe struct Event {
    fileprivate let raw: UnsafePointer<cyc_event>

    var kind: cyc_event_kind { unsafe cyc_event_kind(UInt32(raw.pointee.kind)) }
    var connection: ConnectionID { ConnectionID(rawValue: id) }
    var id: UInt64 { unsafe raw.pointee.id }
    var user: UInt64 { unsafe raw.pointee.user }
    var result: Int { unsafe Int(raw.pointee.result) }
    /// What a file read brought, with the event's reference; to be taken once.
    var takenBytes: Bytes? {
      guard let block = unsafe raw.pointee.block else { return nil }
      return unsafe Bytes(
        adopting: cyc_slice(block: block, offset: raw.pointee.offset, length: raw.pointee.length))
    }
    var reason: CloseReason {
      unsafe CloseReason(code: raw.pointee.reason, errno: Int32(raw.pointee.result))
    }
  }

  // MARK: Input

  /// Shows the input of a readable event to an endpoint and settles what it consumed.
  ///
  /// C returns the address rather than setting a variable: a span made from a pointer in a `var`
  /// makes Swift 6.3 put that variable into a box, one allocation per event.
  func showInput(of event: Event, to endpoint: any Endpoint) {
    var length: UInt32 = 0
    guard let bytes = unsafe cyc_stream_begin(raw, event.raw, &length) else { return }
    let span = unsafe RawSpan(_unsafeStart: bytes, byteCount: Int(length))
    let progress = endpoint.received(event.connection, span)
    precondition(
      progress.consumed >= 0 && progress.consumed <= Int(length) && progress.needs >= 0,
      "an endpoint consumed more than it was shown")
    unsafe cyc_stream_end(
      raw, event.raw, UInt32(progress.consumed), UInt32(clamping: progress.needs))
  }

  /// A part of the input being shown, with a reference for the caller.
  func shareInput(_ range: Range<Int>) -> SliceReference {
    precondition(range.lowerBound >= 0, "range out of bounds")
    return unsafe SliceReference(
      raw: cyc_stream_share(raw, UInt32(range.lowerBound), UInt32(range.count)))
  }

  func nextFrame(_ connection: ConnectionID) -> SliceReference? {
    var frame = unsafe cyc_slice()
    guard unsafe cyc_frames_next(raw, connection.rawValue, &frame) else { return nil }
    return unsafe SliceReference(raw: frame)
  }

  // MARK: Output

  func send(_ connection: ConnectionID, _ bytes: Bytes) {
    unsafe cyc_send_slice(raw, connection.rawValue, bytes.retainedSlice())
  }

  /// Takes over the reference.
  func send(_ connection: ConnectionID, _ reference: SliceReference) {
    unsafe cyc_send_slice(raw, connection.rawValue, reference.raw)
  }

  func send(_ connection: ConnectionID, copying bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe cyc_send_copy(raw, connection.rawValue, start, source.count)
    }
  }

  func send(_ connection: ConnectionID, copying bytes: [UInt8]) {
    unsafe send(connection, copying: bytes.span.bytes)
  }

  func send(_ connection: ConnectionID, copying text: String) {
    var text = text
    text.withUTF8 { utf8 in
      guard let start = utf8.baseAddress else { return }
      unsafe cyc_send_copy(raw, connection.rawValue, start, utf8.count)
    }
  }

  func write(_ connection: ConnectionID, atMost limit: Int, _ body: (inout OutputRawSpan) -> Void) {
    unsafe writeUnsafe(connection, atMost: limit) { unsafe writeRawSpan($0, limit, body) }
  }

  func writeUnsafe(
    _ connection: ConnectionID, atMost limit: Int, _ body: (UnsafeMutableRawPointer) -> Int
  ) {
    precondition(limit >= 0, "a limit is not negative")
    guard let room = unsafe cyc_send_reserve(raw, connection.rawValue, limit) else { return }
    let used = unsafe body(room)
    precondition(used >= 0 && used <= limit, "an encoder wrote past its limit")
    unsafe cyc_send_commit(raw, connection.rawValue, used)
  }

  func queuedBytes(_ connection: ConnectionID) -> Int {
    unsafe Int(cyc_send_queued(raw, connection.rawValue))
  }

  // MARK: Listeners and connections

  func listen(
    on address: SocketAddress, backlog: Int, sharing: PortSharing, frameMaximum: UInt32,
    deadlines: Deadlines, user: UInt64
  ) throws(TransportError) -> (id: UInt64, address: SocketAddress) {
    var options = cyc_listen_options(
      address: address.cAddress, deadlines: deadlines.raw, backlog: Int32(clamping: backlog),
      sharing: sharing.raw, frame_max: frameMaximum, user: user)
    var id: UInt64 = 0
    var bound = cyc_address()
    let result = unsafe cyc_listener_open(raw, &options, &id, &bound)
    guard result == 0 else {
      throw TransportError(
        .listenFailed, "cannot listen on \(address)", errno: -result, address: address)
    }
    return (id, SocketAddress(bound))
  }

  func closeListener(_ id: UInt64) { unsafe cyc_listener_close(raw, id) }

  func connect(
    to address: SocketAddress, timeout: Duration, frameMaximum: UInt32, deadlines: Deadlines,
    user: UInt64
  ) -> ConnectionID? {
    var options = cyc_connect_options(
      address: address.cAddress, deadlines: deadlines.raw, timeout_ns: timeout.nanosecondsClamped,
      frame_max: frameMaximum, user: user)
    let id = unsafe cyc_connection_connect(raw, &options)
    return id == 0 ? nil : ConnectionID(rawValue: id)
  }

  func isOpen(_ connection: ConnectionID) -> Bool {
    unsafe cyc_connection_is_open(raw, connection.rawValue)
  }

  func peer(_ connection: ConnectionID) -> SocketAddress? {
    var address = cyc_address()
    guard unsafe cyc_connection_peer(raw, connection.rawValue, &address) else { return nil }
    return SocketAddress(address)
  }

  func close(_ connection: ConnectionID, flush: Bool, reason: CloseReason) {
    unsafe cyc_connection_close(raw, connection.rawValue, flush, reason.raw)
  }

  func finishOutput(_ connection: ConnectionID) {
    unsafe cyc_connection_finish_output(raw, connection.rawValue)
  }

  func settleEnd(_ connection: ConnectionID) -> Bool {
    unsafe cyc_connection_settle_end(raw, connection.rawValue)
  }

  func closeAll(flush: Bool) { unsafe cyc_reactor_close_all(raw, flush) }
  func pause(_ connection: ConnectionID) { unsafe cyc_connection_pause(raw, connection.rawValue) }
  func resume(_ connection: ConnectionID) {
    unsafe cyc_connection_resume(raw, connection.rawValue)
  }

  // MARK: Files and timers

  /// 0, or a negative error number when nothing was started.
  func writeFile(
    _ descriptor: Int32, _ slices: [Bytes], offset: Int64, durable: Bool, user: UInt64
  ) -> Int {
    unsafe withUnsafeTemporaryAllocation(of: cyc_slice.self, capacity: slices.count) { room in
      for index in slices.indices {
        unsafe room.initializeElement(at: index, to: slices[index].retainedSlice())
      }
      return unsafe Int(
        cyc_file_write(
          raw, descriptor, room.baseAddress, UInt32(slices.count), offset, durable, user))
    }
  }

  func readFile(_ descriptor: Int32, byteCount: Int, offset: Int64, user: UInt64) -> Int {
    guard let length = UInt32(exactly: byteCount) else { return -22 }
    return unsafe Int(cyc_file_read(raw, descriptor, length, offset, user))
  }

  func syncFile(_ descriptor: Int32, user: UInt64) -> Int {
    unsafe Int(cyc_file_sync(raw, descriptor, user))
  }

  func addTimer(at deadline: UInt64) -> UInt64 {
    let id = unsafe cyc_timer_add(raw, deadline, 0)
    precondition(id != 0, "out of memory for a timer")
    return id
  }

  func cancelTimer(_ id: UInt64) -> Bool { unsafe cyc_timer_cancel(raw, id) }

  func settleTimer(_ id: UInt64) -> Bool { unsafe cyc_timer_settle(raw, id) }

  // MARK: Figures

  func statistics(pool: BufferPool) -> ReactorStatistics {
    let report = unsafe cyc_reactor_report(raw)
    return ReactorStatistics(report, blocks: pool.statistics.takenBlocks)
  }
}

extension Deadlines {
  fileprivate var raw: cyc_deadlines {
    func milliseconds(_ limit: Duration?) -> UInt32 {
      guard let limit else { return 0 }
      return max(1, UInt32(clamping: limit.nanosecondsClamped / 1_000_000))
    }
    return cyc_deadlines(
      idle_ms: milliseconds(idle), header_ms: milliseconds(header),
      stall_ms: milliseconds(writeStall))
  }
}

extension ReactorConfiguration.IO {
  fileprivate var raw: cyc_io {
    switch self {
    case .auto: CYC_IO_AUTO
    case .uring: CYC_IO_URING
    case .epoll: CYC_IO_EPOLL
    }
  }
}

/// Wakes a parked reactor from any thread.
struct Waker: Sendable {
  let descriptor: Int32
  func wake() { cyc_waker_wake(descriptor) }
}
