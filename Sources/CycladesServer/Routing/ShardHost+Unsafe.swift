import CycladesPaxos
import CycladesReplication
import CycladesStore

/// What the server asks of the replication layer.
///
/// `ReplicaHost` implements it. Tests put a host of their own in its place, to produce at will the
/// outcomes that a healthy cluster does not: no leader, overload, outcome unknown, replies out of
/// order.
protocol ShardHost: AnyObject {
  /// This node's copy of a shard, to be looked at; `nil` when it holds none.
  func shard(_ group: UInt32) -> StoreShard?

  /// Told the outcome of every command.
  var delegate: (any ReplicaHostDelegate)? { get set }

  /// Begins to take part.
  func start() throws

  /// Ends taking part; commands in flight are completed as far as they are decided.
  func stop()

  /// Submits a command that `encode` writes into the batch of the group; completed exactly once.
  func write(
    _ group: UInt32, _ context: RequestContext, byteCount: Int,
    _ encode: (UnsafeMutableRawPointer) -> Void)

  /// Submits a command that is packed already; completed exactly once.
  func write(_ group: UInt32, _ context: RequestContext, _ command: RawSpan)

  /// Submits a read-only command, answered linearizably without a log entry.
  func read(
    _ group: UInt32, _ context: RequestContext, byteCount: Int,
    _ encode: (UnsafeMutableRawPointer) -> Void)

  /// Submits a read-only command that is packed already.
  func read(_ group: UInt32, _ context: RequestContext, _ query: RawSpan)

  /// Passes bytes to the other nodes' servers: at most once, to those that are connected.
  func notify(_ notice: RawSpan)

  /// The node that leads a group, as far as this node knows.
  func leader(of group: UInt32) -> NodeID?

  /// The replicas of this node, by group.
  var groups: [GroupStatus] { get }

  /// The other nodes.
  var peers: [PeerStatus] { get }

  /// This node's log.
  var logStatus: LogStatus { get }
}

extension ShardHost {
  /// Submits a request as it was parsed, packed straight into the batch that it travels in.
  func submit(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion,
    _ duty: ReplyQueue.Duty, _ context: RequestContext
  ) {
    if duty.isWrite {
      unsafe write(duty.group, context, byteCount: duty.byteCount) {
        unsafe PackedCommand.encode(command, arguments, version, into: $0)
      }
    } else {
      unsafe read(duty.group, context, byteCount: duty.byteCount) {
        unsafe PackedCommand.encode(command, arguments, version, into: $0)
      }
    }
  }
}
