// paxos-replica: one replica of a group of three, as a process, for bench-paxos.
//
//   paxos-replica serve ID FOLDER PEER-PORTS READ-PORT STALE-PORT [latency COUNT]
//   paxos-replica sync FILE COUNT
//   paxos-replica core COUNT
//
// It speaks as much of the Redis protocol as redis-benchmark needs to drive it as it drives a Redis:
// the value of a SET is a command of the group, answered when it is durable on a quorum and applied;
// a GET is answered with the last value, on READ-PORT linearizably, on STALE-PORT at once by what this
// replica has applied; COPIES with how many bytes it has copied so far: of commands, of what it received
// otherwise, and of what it sent. With `latency` the replica that leads proposes COUNT commands one after the
// other from inside, as an app does that embeds it, and says how long each took. `sync` writes and
// syncs what such a command writes, through the same reactor, and says how long that takes. `core`
// counts the heap allocations of three cores that decide COUNT values among themselves.

import CycladesPaxos
import CycladesReplication
import CycladesStore
import CycladesTransport
import Glibc
import Logging

/// Holds the last command; answers OK.
struct LastValue: StateMachine {
  private var value: [UInt8] = []

  mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    value.removeAll(keepingCapacity: true)
    unsafe command.withUnsafeBytes { unsafe value.append(contentsOf: $0) }
    reply.append("+OK\r\n")
  }

  func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    reply.appendBulk(value)
  }

  func snapshot() -> any SnapshotSource { WholeSnapshot(value) }

  mutating func restore(_ part: RawSpan) throws { value = [UInt8](copying: part) }
}

/// Answers the clients of one port in the order they asked; the group answers in that order as well.
final class Front: Endpoint {
  private let host: ReplicaHost
  private let isStale: Bool
  private let parser = RequestParser()

  init(_ host: ReplicaHost, isStale: Bool) {
    self.host = host
    self.isStale = isStale
  }

  func opened(_ connection: ConnectionID) {}

  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    var consumed = 0
    while consumed < bytes.byteCount {
      let rest = bytes.extracting(consumed..<bytes.byteCount)
      switch parser.parse(rest) {
      case .request(let byteCount):
        let arguments = parser.arguments(of: rest)
        serve(arguments, connection)
        consumed += byteCount
      case .incomplete(let needs): return Progress(consumed: consumed, needs: needs)
      case .violation:
        host.reactor.close(connection, flush: true)
        return Progress(consumed: bytes.byteCount)
      }
    }
    return Progress(consumed: consumed)
  }

  private func serve(_ arguments: borrowing Arguments, _ connection: ConnectionID) {
    let context = RequestContext(a: connection.rawValue, b: 0)
    if arguments.equals(0, "SET"), arguments.count == 3 {
      host.write(0, context, arguments[2])
    } else if arguments.equals(0, "GET"), arguments.count == 2 {
      guard isStale, let machine = host.machine(of: 0) else {
        return host.read(0, context, arguments[1])
      }
      var reply = Reply()
      machine.read(arguments[1], ApplyContext(group: 0, slot: 0, time: 0), reply: &reply)
      host.reactor.send(connection, copying: reply.bytes)
    } else if arguments.equals(0, "COPIES") {
      let seen = host.reactor.statistics
      host.reactor.send(
        connection,
        copying: "+\(host.logStatus.commandBytesCopied) \(seen.copiedInBytes) "
          + "\(seen.copiedOutBytes)\r\n")
    } else {
      host.reactor.send(connection, copying: "-ERR only SET and GET are known here\r\n")
    }
  }
}

/// Passes outcomes on to the clients, or to the one who measures from inside.
final class Outcomes: ReplicaHostDelegate {
  private unowned let host: ReplicaHost
  private let reactor: Reactor
  private var latencies: [UInt64] = []
  private var remaining: Int
  private var startedAt: UInt64 = 0
  private let command = [UInt8](repeating: 0x76, count: 64)

  init(_ host: ReplicaHost, proposing count: Int) {
    self.host = host
    reactor = host.reactor
    remaining = count
    latencies.reserveCapacity(count)
  }

  func completed(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan) {
    guard context.a == 0 else {
      if outcome == .done {
        reactor.send(ConnectionID(rawValue: context.a), copying: reply)
      } else {
        reactor.send(
          ConnectionID(rawValue: context.a), copying: "-ERR not done, or not known to be\r\n")
      }
      return
    }
    guard outcome == .done else { fatalError("a command was not decided: \(outcome)") }
    latencies.append(nanoseconds() - startedAt)
    proposeNext()
  }

  func leadershipChanged(_ group: UInt32) {
    guard remaining > 0, latencies.isEmpty, startedAt == 0,
      host.leader(of: 0) == host.configuration.node
    else { return }
    // A moment later all members are connected, and the first heartbeats were answered.
    startedAt = 1
    _ = host.reactor.schedule(after: .seconds(1)) { self.proposeNext() }
  }

  private func proposeNext() {
    guard remaining > 0 else {
      report("latency", latencies.dropFirst(latencies.count / 10))
      return
    }
    remaining -= 1
    startedAt = nanoseconds()
    let command = command
    let span = command.span
    unsafe host.write(0, RequestContext(a: 0, b: 0), span.bytes)
  }
}

func nanoseconds() -> UInt64 {
  var now = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Prints median, mean and 99th percentile in microseconds.
func report(_ name: String, _ values: some Sequence<UInt64>) {
  let sorted = values.sorted()
  guard !sorted.isEmpty else { return }
  let mean = Double(sorted.reduce(0, +)) / Double(sorted.count)
  // Not by way of stdio: flushing all of it waits for whoever reads from the standard input.
  let line = Array(
    ("{\"name\":\"\(name)\",\"p50\":\(Double(sorted[sorted.count / 2]) / 1000),"
      + "\"mean\":\(mean / 1000),\"p99\":\(Double(sorted[sorted.count * 99 / 100]) / 1000)}\n").utf8
  )
  _ = unsafe line.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
}

/// Writes a command's worth of bytes over and over, each time waiting until it is durable.
final class Syncs: FileCompletion {
  private let reactor: Reactor
  private let descriptor: Int32
  private let block: Bytes
  private var remaining: Int
  private var offset: Int64 = 0
  private var startedAt: UInt64 = 0
  private var latencies: [UInt64] = []

  init(_ reactor: Reactor, _ path: String, count: Int) throws {
    self.reactor = reactor
    remaining = count
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0, posix_fallocate(descriptor, 0, 4 << 20) == 0 else {
      fatalError("cannot make \(path)")
    }
    block = try Bytes(copying: [UInt8](repeating: 0, count: 512), in: reactor.pool)
  }

  func next() {
    guard remaining > 0 else {
      report("sync", latencies.dropFirst(latencies.count / 10))
      reactor.stop()
      return
    }
    remaining -= 1
    startedAt = nanoseconds()
    reactor.write(
      [block], to: descriptor, at: offset, durable: true, completion: self, token: 0)
    offset = (offset + 512) % (4 << 20)
  }

  func completed(_ token: UInt64, result: Int) {
    guard result == 512 else { fatalError("a write failed: \(result)") }
    latencies.append(nanoseconds() - startedAt)
    next()
  }
}

func makeLogger() -> Logger {
  var logger = Logger(label: "paxos-replica", factory: StreamLogHandler.standardError(label:))
  logger.logLevel = .warning
  return logger
}

@main
struct PaxosReplica {
  static func main() throws {
    let arguments = CommandLine.arguments
    let logger = makeLogger()
    if arguments.count == 4, arguments[1] == "sync", let count = Int(arguments[3]) {
      let path = arguments[2]
      let thread = try ReactorThread.start(name: "sync", logger: logger) { reactor in
        let syncs = try Syncs(reactor, path, count: count)
        _ = reactor.schedule(after: .zero) { syncs.next() }
      }
      thread.join()
      return
    }
    if arguments.count == 3, arguments[1] == "core", let count = Int(arguments[2]) {
      return try CoreCluster.measure(count)
    }
    guard arguments.count >= 7, arguments[1] == "serve", let id = UInt32(arguments[2]),
      let readPort = UInt16(arguments[5]), let stalePort = UInt16(arguments[6])
    else {
      print("usage: see the head of Replica.swift")
      exit(64)
    }
    var peers: [NodeID: SocketAddress] = [:]
    for (index, port) in arguments[4].split(separator: ",").enumerated() {
      peers[NodeID(rawValue: UInt32(index + 1))] = .loopback(port: UInt16(port)!)
    }
    let count = arguments.count == 9 && arguments[7] == "latency" ? Int(arguments[8])! : 0
    let node = NodeID(rawValue: id)
    let configuration = HostConfiguration(
      cluster: "bench", node: node, peers: peers, peerListen: peers[node]!,
      directory: arguments[3], groups: [GroupConfiguration(id: 0, members: peers.keys.sorted())])
    let thread = try ReactorThread.start(name: "replica-\(id)", logger: logger) { reactor in
      let host = try ReplicaHost(configuration, reactor: reactor, logger: logger) { _ in
        LastValue()
      }
      host.delegate = Outcomes(host, proposing: count)
      for (port, isStale) in [(readPort, false), (stalePort, true)] {
        _ = try reactor.listen(
          on: .loopback(port: port), endpoint: Front(host, isStale: isStale))
      }
      try host.start()
    }
    // Ends with its parent, which closes the pipe.
    while getchar() != EOF {}
    thread.stop()
    thread.join()
  }
}
