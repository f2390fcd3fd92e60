public import CycladesReplication

/// Copies of a shard for those who keep them elsewhere.
extension StoreShard {
  /// The state as of this call, like ``snapshot()``, for somebody who reads it slowly or not to the
  /// end. It yields to the replication layer: when that takes a snapshot, the copy ends early, and
  /// ``ShardCopy/isWhole`` stays false. `nil` while another snapshot is being read.
  public func copy() -> ShardCopy? {
    guard current?.isOver ?? true else { return nil }
    let snapshot = ShardSnapshot(self)
    current = snapshot
    return ShardCopy(snapshot)
  }

  /// Takes in the next part of a snapshot; see ``restore(_:)``.
  public func restore(part: [UInt8]) throws(StoreError) { try restore(part.rawSpan) }

  /// Whether ``restore(_:)`` was given a whole snapshot.
  public var isRestored: Bool { restoration?.hasEnded == true }

  /// The commands that make each key anew in another store, one key after the other: the first one
  /// makes it, the others add to it, in order. Arguments have at most `argumentsMax` words, and what
  /// ended by the shard's own time is left out. The shard must not be used meanwhile.
  public func forEachKey(
    argumentsMax: Int = 1024, _ visit: (_ commands: [[[UInt8]]]) throws -> Void
  ) rethrows {
    var failure: (any Error)?
    _ = shard.table.scan(from: 0, count: .max) { key, stored in
      guard failure == nil else { return }
      do {
        try visit(shard.commands(key, ValueKind(stored: stored), argumentsMax))
      } catch { failure = error }
    }
    if let failure { try { throw failure }() }
  }
}

extension Shard {
  /// The commands that make a key anew; see ``StoreShard/forEachKey(argumentsMax:_:)``.
  fileprivate func commands(
    _ name: RawSpan, _ kind: ValueKind, _ argumentsMax: Int
  ) -> [[[UInt8]]] {
    let key = name.array
    guard let entry = table.find(name) else {
      preconditionFailure("the table visits keys that it has")
    }
    let deadline = entry.deadline.map { Array(String($0).utf8) }
    if kind == .string {
      let set = [Array("SET".utf8), key, entry.value.array]
      return [set + (deadline.map { [Array("PXAT".utf8), $0] } ?? [])]
    }
    let command =
      switch kind {
      case .hash: "HSET"
      case .list: "RPUSH"
      case .set: "SADD"
      default: "ZADD"
      }
    var commands: [[[UInt8]]] = []
    var words: [[UInt8]] = []
    let items = Collection(entry)
    items.forEach { member, value in
      switch kind {
      case .hash: words += [member.array, value.array]
      case .sortedSet: words += [Array(String(value.double).utf8), member.array]
      default: words.append(member.array)
      }
      guard words.count >= argumentsMax else { return }
      commands.append([Array(command.utf8), key] + words)
      words = []
    }
    if !words.isEmpty { commands.append([Array(command.utf8), key] + words) }
    if let deadline { commands.append([Array("PEXPIREAT".utf8), key, deadline]) }
    return commands
  }
}

/// A copy of a shard while it is read out.
public final class ShardCopy {
  private let snapshot: ShardSnapshot

  init(_ snapshot: ShardSnapshot) { self.snapshot = snapshot }

  /// The number of keys in all.
  public var keyCount: Int { Int(snapshot.head.count) }

  /// Appends the next part, of about `byteCountTarget` bytes; false when there is none, because all
  /// was read, or because the copy had to yield.
  public func next(into part: inout Reply, byteCountTarget: Int) -> Bool {
    snapshot.next(into: &part, byteCountTarget: byteCountTarget)
  }

  /// Whether all was read.
  public var isWhole: Bool { snapshot.isOver && !snapshot.hasYielded }
}
