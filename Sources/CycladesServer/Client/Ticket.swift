import CycladesReplication
import CycladesTransport

/// Which command of a connection, and which part of it, a shard's answer belongs to.
///
/// It travels through the replication layer as a `RequestContext`: the connection in `a`, the sequence
/// in the upper 48 bits of `b`, the part in the lower 16. A connection would need a century at a
/// million commands a second to use its sequences up, and there are fewer shards than parts.
struct Ticket {
  var sequence: UInt64
  var part = 0

  init(sequence: UInt64, part: Int = 0) {
    self.sequence = sequence
    self.part = part
  }

  init(_ context: RequestContext) {
    sequence = context.b >> 16
    part = Int(context.b & 0xffff)
  }

  func context(of connection: ConnectionID) -> RequestContext {
    RequestContext(a: connection.rawValue, b: sequence << 16 | UInt64(part))
  }
}
