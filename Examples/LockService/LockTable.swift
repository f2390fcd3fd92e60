import CycladesReplication
import FoundationEssentials

/// What a client asks of the lock service.
enum LockRequest: Codable {
  /// Take `lock` for `milliseconds`, unless somebody else has it; who has it may extend.
  case acquire(lock: String, owner: String, milliseconds: UInt64)
  /// Give `lock` back; of no effect when it ran out and another has it.
  case release(lock: String, owner: String)
  /// Who has it?
  case holder(lock: String)
}

/// Who has a lock. The token grows with every new holder: whatever the lock protects must refuse a
/// token lower than one it has seen, because a holder that was asleep does not know that it is late.
struct Holder: Codable, Equatable {
  var owner: String
  var token: UInt64
  var until: UInt64
}

/// Locks that run out by themselves, replicated: time is the log's, so all replicas agree on when.
struct LockTable: StateMachine {
  private var holders: [String: Holder] = [:]

  mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    switch decode(command) {
    case .acquire(let lock, let owner, let milliseconds):
      let until = context.time &+ min(milliseconds, 86_400_000)
      if let holder = holders[lock], holder.owner != owner {
        encode(holder, to: &reply)
      } else {
        let holder = Holder(owner: owner, token: holders[lock]?.token ?? context.slot, until: until)
        holders[lock] = holder
        encode(holder, to: &reply)
      }
    case .release(let lock, let owner):
      if holders[lock]?.owner == owner { holders[lock] = nil }
      encode(holders[lock], to: &reply)
    case .holder(let lock): encode(holders[lock], to: &reply)
    case nil: encode(nil, to: &reply)
    }
  }

  func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    if case .holder(let lock) = decode(query) { encode(holders[lock], to: &reply) }
  }

  var nextDeadline: UInt64? { holders.values.map(\.until).min() }

  mutating func advance(to time: UInt64) {
    holders = holders.filter { $0.value.until > time }
  }

  func snapshot() -> any SnapshotSource {
    WholeSnapshot(Array((try? JSONEncoder().encode(holders)) ?? Data()))
  }

  mutating func restore(_ part: RawSpan) throws {
    holders = try JSONDecoder().decode([String: Holder].self, from: Data([UInt8](copying: part)))
  }

  private func decode(_ bytes: RawSpan) -> LockRequest? {
    try? JSONDecoder().decode(LockRequest.self, from: Data([UInt8](copying: bytes)))
  }

  private func encode(_ holder: Holder?, to reply: inout Reply) {
    reply.append(contentsOf: (try? JSONEncoder().encode(holder)) ?? Data())
  }
}
