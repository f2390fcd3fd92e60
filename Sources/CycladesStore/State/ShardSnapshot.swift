public import CycladesReplication

/// The snapshot of a shard: a stream of records, each part a whole number of them.
///
/// ```
///  head   | 0 | u8 version | u64 log time | u64 keys | u64 digest | u64 session |
///  key    | 1 | u8 kind | u64 deadline | u32 key bytes | u64 total | u32 piece bytes |
///         |   | key | piece |
///  more   | 2 | u32 piece bytes | piece |                    of the value begun before
///  end    | 3 |
///  client | 4 | u64 session | u64 floor | u64 last slot | u32 count | count x
///         |   | u64 sequence | u8 kept | u32 reply bytes | reply |
/// ```
///
/// Little-endian. `total` counts the bytes of a string and the items of a collection, whose pieces
/// are whole items. The head comes first and once; after the end nothing comes. Keys come in no
/// particular order. A value longer than a piece is continued by the records right behind it, also
/// in the next part. Keys and digest are checked at the end, so a part that was lost is found out.
/// The head's session is the last one that began; those that are remembered follow the head, in the
/// order of their numbers. Version 1 had none.
enum SnapshotFormat {
  static let version: UInt8 = 2
  static let pieceBytesMax = 1 << 20
  static let noDeadline = UInt64.max

  enum Record: UInt8 { case head, key, more, end, client }
}

extension StoreShard {
  /// The state as of this call, read out while commands go on.
  ///
  /// A command that changes a key which was not read yet keeps its old value for the snapshot first:
  /// that costs nothing when the value is replaced or removed, and a copy of that one value when it
  /// is changed in place. Nothing takes time in proportion to the shard.
  ///
  /// At most one snapshot is alive at a time; letting go of it ends it.
  public func snapshot() -> any SnapshotSource { ShardSnapshot(self) }

  /// Takes in the next part of a snapshot of a shard with the same seed. The shard must be new.
  ///
  /// - Throws: ``StoreError/Code/damagedSnapshot`` for bytes that no shard wrote; the shard is then
  ///   of no use.
  public func restore(_ part: RawSpan) throws(StoreError) {
    if restoration == nil {
      guard keyCount == 0 else { throw StoreError(.damagedSnapshot, "the shard is not empty") }
      restoration = Restoration()
    }
    try restoration!.take(part, into: &shard, &sessions)
  }
}

/// Reads the snapshot of a shard out of its table. Ends the table's snapshot when it goes.
private final class ShardSnapshot: SnapshotSource {
  private let owner: StoreShard
  private let head: Table.Sums
  private let sessions: ClientSessions
  private var sessionsWritten = 0
  private var hasBegun = false
  private var hasEnded = false

  init(_ owner: StoreShard) {
    self.owner = owner
    sessions = owner.sessions
    head = owner.shard.table.beginSnapshot()
  }

  deinit { owner.shard.table.endSnapshot() }

  func next(into part: inout Reply, byteCountTarget: Int) -> Bool {
    guard !hasEnded else { return false }
    if !hasBegun {
      hasBegun = true
      part.append(SnapshotFormat.Record.head.rawValue)
      part.append(SnapshotFormat.version)
      part.append(littleEndian: head.time)
      part.append(littleEndian: head.count)
      part.append(littleEndian: head.digest)
      part.append(littleEndian: sessions.lastID)
    }
    let pieceBytes = max(1, min(byteCountTarget, SnapshotFormat.pieceBytesMax))
    let start = part.byteCount
    while sessionsWritten < sessions.count, part.byteCount - start < byteCountTarget {
      part.append(SnapshotFormat.Record.client.rawValue)
      sessions.encode(sessionsWritten, into: &part)
      sessionsWritten += 1
    }
    while part.byteCount - start < byteCountTarget {
      let isMore = owner.shard.table.nextPiece(byteCount: pieceBytes) { piece in
        if piece.offset == 0 {
          part.append(SnapshotFormat.Record.key.rawValue)
          part.append(piece.kind)
          part.append(littleEndian: piece.deadline)
          part.append(littleEndian: UInt32(piece.key.byteCount))
          part.append(littleEndian: piece.total)
          part.append(littleEndian: UInt32(piece.bytes.byteCount))
          part.append(piece.key)
        } else {
          part.append(SnapshotFormat.Record.more.rawValue)
          part.append(littleEndian: UInt32(piece.bytes.byteCount))
        }
        part.append(piece.bytes)
      }
      guard isMore else {
        part.append(SnapshotFormat.Record.end.rawValue)
        hasEnded = true
        owner.shard.table.endSnapshot()
        break
      }
    }
    return true
  }
}

/// Builds a shard's state from the parts of a snapshot; trusts no byte of them.
struct Restoration {
  private var head: (count: UInt64, digest: UInt64)?
  /// The value that is being taken in: its key, and how much of it is there of how much.
  private var open: (key: [UInt8], kind: ValueKind, taken: Int, total: Int)?
  private var hasEnded = false

  mutating func take(
    _ part: RawSpan, into shard: inout Shard, _ sessions: inout ClientSessions
  ) throws(StoreError) {
    var reader = SnapshotReader(part)
    while !reader.isAtEnd {
      guard !hasEnded, let record = SnapshotFormat.Record(rawValue: try reader.integer()) else {
        throw reader.damage("a record of no kind")
      }
      guard (record == .head) == (head == nil) else { throw reader.damage("a head out of place") }
      switch record {
      case .head:
        let version: UInt8 = try reader.integer()
        guard (1...SnapshotFormat.version).contains(version) else {
          throw reader.damage("a version that is not known")
        }
        shard.table.advance(to: try reader.integer())
        head = (try reader.integer(), try reader.integer())
        if version > 1 { sessions.lastID = try reader.integer() }
      case .key:
        try takeKey(&reader, &shard)
      case .more:
        try takeMore(&reader, &shard)
      case .client:
        guard open == nil else { throw reader.damage("a value cut short") }
        try sessions.decode(&reader)
      case .end:
        guard open == nil, let head, shard.table.count == head.count,
          shard.table.digest == head.digest
        else { throw reader.damage("other keys than the head announced") }
        hasEnded = true
      }
    }
  }

  private mutating func takeKey(
    _ reader: inout SnapshotReader, _ shard: inout Shard
  ) throws(StoreError) {
    guard open == nil else { throw reader.damage("a value cut short") }
    let stored: UInt8 = try reader.integer()
    let ends: UInt64 = try reader.integer()
    let keyBytes: UInt32 = try reader.integer()
    let total: UInt64 = try reader.integer()
    let pieceBytes: UInt32 = try reader.integer()
    let key = try reader.bytes(keyBytes)
    let piece = try reader.bytes(pieceBytes)
    let kind = ValueKind(stored: stored)
    let deadline = ends == SnapshotFormat.noDeadline ? nil : Optional(ends)
    guard kind.isKnown, kind == .string ? stored == 0 && total <= shard.valueBytesMax : total > 0
    else { throw reader.damage("a key with impossible values") }
    let before = shard.table.count
    let taken: Int
    if kind == .string {
      shard.table.put(key, piece, deadline: deadline)
      taken = piece.byteCount
    } else {
      guard !shard.table.contains(key) else { throw reader.damage("a key that comes twice") }
      taken = try take(piece, key, kind, isLarge: stored != kind.rawValue, &reader, &shard)
      if deadline != nil { shard.table.setDeadline(key, deadline) }
    }
    guard shard.table.count == before + 1 else { throw reader.damage("a key that comes twice") }
    guard taken <= total, taken > 0 || total == 0 else { throw reader.damage("an odd piece") }
    if taken < total {
      let copy = (0..<key.byteCount).map { key.byte($0) }
      open = (copy, kind, taken, Int(clamping: total))
    }
  }

  private mutating func takeMore(
    _ reader: inout SnapshotReader, _ shard: inout Shard
  ) throws(StoreError) {
    let pieceBytes: UInt32 = try reader.integer()
    let piece = try reader.bytes(pieceBytes)
    guard let (key, kind, before, total) = open, !piece.isEmpty else {
      throw reader.damage("a piece of no value")
    }
    var taken = before
    if kind == .string {
      guard piece.byteCount <= total - before else { throw reader.damage("a piece too long") }
      _ = shard.table.write(key.rawSpan, at: before, piece)
      taken += piece.byteCount
    } else {
      taken += try take(piece, key.rawSpan, kind, isLarge: false, &reader, &shard)
    }
    guard taken <= total else { throw reader.damage("a piece too long") }
    open = taken == total ? nil : (key, kind, taken, total)
  }

  /// Appends items to a collection.
  private func take(
    _ piece: RawSpan, _ key: RawSpan, _ kind: ValueKind, isLarge: Bool,
    _ reader: inout SnapshotReader, _ shard: inout Shard
  ) throws(StoreError) -> Int {
    let count = shard.table.edit(key, kind, creates: true) { edit in
      if isLarge { edit.markLarge() }
      return edit.append(run: piece, isScored: kind == .sortedSet)
    }
    guard let count = count ?? nil else { throw reader.damage("items that are none") }
    return count
  }
}

/// Reads the fields of records, and refuses to read past the end.
struct SnapshotReader: ~Escapable {
  private let bytes: RawSpan
  private var position = 0

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan) { self.bytes = bytes }

  var isAtEnd: Bool { position == bytes.byteCount }

  func damage(_ what: String) -> StoreError {
    StoreError(.damagedSnapshot, "a snapshot's part holds \(what), before byte \(position)")
  }

  @_lifetime(self: copy self)
  mutating func integer<T: FixedWidthInteger>() throws(StoreError) -> T {
    guard bytes.byteCount - position >= T.bitWidth / 8 else { throw damage("half a record") }
    var value: T = 0
    for index in 0..<T.bitWidth / 8 {
      value |= T(truncatingIfNeeded: bytes.byte(position + index)) << (8 * index)
    }
    position += T.bitWidth / 8
    return value
  }

  @_lifetime(self: copy self)
  @_lifetime(copy self)
  mutating func bytes(_ count: UInt32) throws(StoreError) -> RawSpan {
    guard bytes.byteCount - position >= Int(count) else { throw damage("half a record") }
    let start = position
    position += Int(count)
    return bytes.extracting(start..<position)
  }
}
