/// Where a data command goes.
public enum Route: Hashable, Sendable {
  /// The keys that one shard has to answer for: their positions among the command's arguments, and
  /// which of the command's keys they are, counted from 0.
  public struct Part: Hashable, Sendable {
    /// The shard.
    public let shard: Int
    /// The positions of the keys, for ``PackedCommand/part(_:_:positions:_:)``.
    public internal(set) var positions: [Int]
    /// The numbers of the keys, for ``ReplyJoin/add(_:keys:)``.
    public internal(set) var keys: [Int]
  }

  /// The whole command to one shard.
  case shard(Int)
  /// A part of the command to each of several shards; the replies are joined.
  case parts([Part], Command.Join)
  /// The whole command to every shard; the replies are joined.
  case everyShard(Command.Join)
  /// A packed command, read-only, to one shard.
  case packed(Int, [UInt8])
  /// Keys in several shards of a command that cannot be split: CROSSSLOT.
  case crossSlot
  /// Not a data command.
  case server
}

extension ShardMap {
  /// Where a command goes.
  ///
  /// The request must have a number of arguments that the command accepts.
  ///
  /// - Complexity: O(*k*) for *k* keys; allocates only for a command that is split.
  public func route(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion
  ) -> Route {
    switch command.scope {
    case .server:
      return .server
    case .everyShard(let join):
      return .everyShard(join)
    case .scan:
      return scan(command, arguments, version)
    case .shard:
      return commonShard(command, arguments).map { .shard($0) } ?? .crossSlot
    case .keys(let join):
      if let shard = commonShard(command, arguments) { return .shard(shard) }
      return .parts(parts(command, arguments), join)
    }
  }

  /// The shard at which a SCAN goes on, and the command for it; see ``ScanCursor``.
  private func scan(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion
  ) -> Route {
    let given = ScanCursor(arguments[1])
    let shard = shard(of: KeySlot(clamping: given?.slot ?? 0))
    let slots = slots(of: shard)
    let cursor = given?.adapted(to: slots).rawValue
    let isLast = shard + 1 == shardCount
    let next = isLast ? 0 : ScanCursor(slots: self.slots(of: shard + 1), position: 0).rawValue
    return .packed(shard, PackedCommand.scan(command, arguments, from: cursor, next: next, version))
  }

  /// The slot that all keys of a command share, as a cluster demands; `nil` when they do not. A
  /// request without keys, which is then in error, counts as one of slot 0: a shard says so.
  public static func commonSlot(
    _ command: Command, _ arguments: borrowing Arguments
  ) -> KeySlot? {
    var common: KeySlot?
    for position in command.keyPositions(of: arguments) {
      let slot = KeySlot(arguments[position])
      if let common, common != slot { return nil }
      common = slot
    }
    return common ?? KeySlot(clamping: 0)
  }

  private func commonShard(_ command: Command, _ arguments: borrowing Arguments) -> Int? {
    var common: Int?
    for position in command.keyPositions(of: arguments) {
      let shard = shard(of: arguments[position])
      if let common, common != shard { return nil }
      common = shard
    }
    return common ?? 0
  }

  private func parts(_ command: Command, _ arguments: borrowing Arguments) -> [Route.Part] {
    var parts: [Route.Part] = []
    var partOfShard = [Int](repeating: -1, count: shardCount)
    for (key, position) in command.keyPositions(of: arguments).enumerated() {
      let shard = shard(of: arguments[position])
      if partOfShard[shard] < 0 {
        partOfShard[shard] = parts.count
        parts.append(Route.Part(shard: shard, positions: [], keys: []))
      }
      parts[partOfShard[shard]].positions.append(position)
      parts[partOfShard[shard]].keys.append(key)
    }
    return parts
  }
}
