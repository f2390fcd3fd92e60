internal import CCycladesTable

/// What the value of a key is. The number is kept with the value, in snapshots too: never changed.
struct ValueKind: Equatable {
  let rawValue: UInt8

  static let string = ValueKind(rawValue: 0)
  static let hash = ValueKind(rawValue: 0x81)
  static let list = ValueKind(rawValue: 0x82)
  static let set = ValueKind(rawValue: 0x83)
  static let sortedSet = ValueKind(rawValue: 0x84)

  /// Set once a value has outgrown what Redis keeps in its compact encodings; see OBJECT ENCODING.
  static let largeBit: UInt8 = 0x40

  /// The kind, whatever its size.
  init(stored: UInt8) { rawValue = stored & ~Self.largeBit }

  private init(rawValue: UInt8) { self.rawValue = rawValue }

  /// What TYPE answers.
  var name: StaticString {
    switch self {
    case .hash: "hash"
    case .list: "list"
    case .set: "set"
    case .sortedSet: "zset"
    default: "string"
    }
  }

  /// Whether it is one of the kinds there are.
  var isKnown: Bool { [.string, .hash, .list, .set, .sortedSet].contains(self) }

  /// How the trees that such a value consists of are ordered. A sorted set has a second tree, which
  /// is sorted by score.
  fileprivate var orders: [UInt8] {
    let sorted = UInt8(CYC_TREE_SORTED.rawValue)
    switch self {
    case .string: return []
    case .list: return [UInt8(CYC_TREE_SEQUENCE.rawValue)]
    case .sortedSet: return [sorted, UInt8(CYC_TREE_INDEX.rawValue)]
    default: return [sorted]
    }
  }

  /// The bytes that stand before a member in its key: none in a list.
  fileprivate var headByteCount: Int { self == .list ? 0 : 4 }
}

/// The items of a collection, as they lie in the table.
///
/// Hashes, sets and sorted sets are in the order of their members' hashes, which is the same
/// everywhere; lists in their own.
@safe struct Collection: ~Escapable {
  private let trees: UnsafePointer<cyc_tree>
  private let head: Int

  /// The trees of an entry that has some.
  @_lifetime(copy entry)
  init(_ entry: borrowing Table.Entry) {
    unsafe trees = entry.value.withUnsafeBytes {
      unsafe $0.baseAddress!.assumingMemoryBound(to: cyc_tree.self)
    }
    head = ValueKind(stored: entry.kind).headByteCount
  }

  var count: Int { Int(unsafe trees.pointee.count) }

  /// The place of a member, or where it would be.
  func find(_ member: RawSpan) -> (rank: Int, isThere: Bool) {
    unsafe member.withTreeBytes { bytes, length in
      var key = unsafe cyc_tree_member_key(bytes, length)
      let found = unsafe cyc_tree_find(trees, &key)
      return (Int(found.rank), found.is_there)
    }
  }

  func contains(_ member: RawSpan) -> Bool { find(member).isThere }

  /// The first member whose hash is at or above a position; see ``position(of:)``.
  func rank(atPosition position: UInt32) -> Int {
    var key = unsafe cyc_tree_key()
    unsafe key.head_length = 4
    let word = position.bigEndian
    unsafe withUnsafeMutableBytes(of: &key.head) {
      unsafe $0.storeBytes(of: word, as: UInt32.self)
    }
    return Int(unsafe cyc_tree_find(trees, &key).rank)
  }

  /// Where a scan is when it has reached the member at a rank.
  func position(of rank: Int) -> UInt32 {
    let item = unsafe cyc_tree_at(trees, UInt64(rank))
    return unsafe UInt32(bigEndian: UnsafeRawPointer(item.key!).loadUnaligned(as: UInt32.self))
  }

  /// The member, or list element, at a rank.
  @_lifetime(copy self)
  func member(_ rank: Int) -> RawSpan {
    let item = unsafe cyc_tree_at(trees, UInt64(rank))
    return unsafe _overrideLifetime(
      RawSpan(_unsafeStart: item.key + head, byteCount: Int(item.key_length) - head),
      copying: self)
  }

  /// The value that belongs to the member at a rank.
  @_lifetime(copy self)
  func value(_ rank: Int) -> RawSpan {
    let item = unsafe cyc_tree_at(trees, UInt64(rank))
    return unsafe _overrideLifetime(
      RawSpan(_unsafeStart: item.value, byteCount: Int(item.value_length)), copying: self)
  }

  /// Visits members and their values in order, until the visitor returns false.
  func forEach(_ ranks: Range<Int>, _ visit: (_ member: RawSpan, _ value: RawSpan) -> Bool) {
    guard !ranks.isEmpty else { return }
    var iterator = unsafe cyc_tree_iterate(trees, UInt64(ranks.lowerBound))
    var item = unsafe cyc_tree_item()
    for _ in ranks {
      guard unsafe cyc_tree_next(&iterator, &item) else { return }
      let goesOn = unsafe visit(
        RawSpan(_unsafeStart: item.key + head, byteCount: Int(item.key_length) - head),
        RawSpan(_unsafeStart: item.value, byteCount: Int(item.value_length)))
      if !goesOn { return }
    }
  }

  /// Visits all members and their values.
  func forEach(_ visit: (_ member: RawSpan, _ value: RawSpan) -> Void) {
    forEach(0..<count) {
      visit($0, $1); return true
    }
  }
}

/// The members of a sorted set by score, and members of equal score by their bytes.
extension Collection {
  private var ordered: UnsafePointer<cyc_tree> { unsafe trees + 1 }

  /// The score of a member; `nil` when there is no such member.
  func score(of member: RawSpan) -> Double? {
    let (rank, isThere) = find(member)
    return isThere ? value(rank).double : nil
  }

  /// How many members come before one with that score, or with that score and those bytes.
  func rank(of score: Double, _ member: RawSpan? = nil) -> Int {
    func rank(_ bytes: UnsafePointer<UInt8>?, _ length: UInt32) -> Int {
      var key = unsafe cyc_tree_score_key(score, bytes, length)
      return Int(unsafe cyc_tree_find(ordered, &key).rank)
    }
    guard let member else { return rank(nil, 0) }
    return unsafe member.withTreeBytes { unsafe rank($0, $1) }
  }

  /// The member at a place in the order of scores.
  @_lifetime(copy self)
  func orderedMember(_ rank: Int) -> RawSpan {
    let item = unsafe cyc_tree_at(ordered, UInt64(rank))
    return unsafe _overrideLifetime(
      RawSpan(_unsafeStart: item.key + 8, byteCount: Int(item.key_length) - 8), copying: self)
  }

  /// The score at a place in the order of scores.
  func orderedScore(_ rank: Int) -> Double {
    unsafe cyc_tree_score_of(cyc_tree_at(ordered, UInt64(rank)).key)
  }

  /// Visits members in the order of scores, or from the last rank to the first.
  func forEachOrdered(
    _ ranks: Range<Int>, isReversed: Bool = false, _ visit: (RawSpan, Double) -> Void
  ) {
    if isReversed {
      for rank in ranks.reversed() { visit(orderedMember(rank), orderedScore(rank)) }
      return
    }
    guard !ranks.isEmpty else { return }
    var iterator = unsafe cyc_tree_iterate(ordered, UInt64(ranks.lowerBound))
    var item = unsafe cyc_tree_item()
    for _ in ranks {
      guard unsafe cyc_tree_next(&iterator, &item) else { return }
      unsafe visit(
        RawSpan(_unsafeStart: item.key + 8, byteCount: Int(item.key_length) - 8),
        cyc_tree_score_of(item.key))
    }
  }
}

/// A collection that is being changed. No other access to the table is possible meanwhile.
///
/// Bytes that are put in must not come from the same collection.
@safe struct CollectionEdit: ~Copyable, ~Escapable {
  private let table: OpaquePointer
  private let trees: UnsafeMutablePointer<cyc_tree>

  @_lifetime(immortal)
  fileprivate init(_ table: OpaquePointer, _ trees: UnsafeMutablePointer<cyc_tree>) {
    unsafe self.table = table
    unsafe self.trees = trees
  }

  var count: Int { Int(unsafe trees.pointee.count) }

  /// Says that the value has outgrown Redis' compact encoding.
  func markLarge() { unsafe cyc_table_mark(table, ValueKind.largeBit) }

  /// Puts a member and its value in, or gives a member that is there another value.
  ///
  /// - Returns: whether the member is new.
  func put(_ member: RawSpan, _ value: RawSpan) -> Bool {
    unsafe member.withTreeBytes { bytes, length in
      unsafe value.withTreeBytes { value, valueLength in
        var key = unsafe cyc_tree_member_key(bytes, length)
        let found = unsafe cyc_tree_find(trees, &key)
        if !found.is_there {
          unsafe cyc_tree_insert(trees, found.rank, &key, value, valueLength)
        } else {
          unsafe cyc_tree_replace(trees, found.rank, value, valueLength)
        }
        return !found.is_there
      }
    }
  }

  /// Adds a member to a set.
  ///
  /// - Returns: whether the member is new.
  func add(_ member: RawSpan) -> Bool {
    unsafe member.withTreeBytes { bytes, length in
      var key = unsafe cyc_tree_member_key(bytes, length)
      let found = unsafe cyc_tree_find(trees, &key)
      if !found.is_there { unsafe cyc_tree_insert(trees, found.rank, &key, nil, 0) }
      return !found.is_there
    }
  }

  /// Removes a member of a hash or set.
  ///
  /// - Returns: whether it was there.
  func remove(_ member: RawSpan) -> Bool {
    unsafe member.withTreeBytes { bytes, length in
      var key = unsafe cyc_tree_member_key(bytes, length)
      let found = unsafe cyc_tree_find(trees, &key)
      if found.is_there { unsafe cyc_tree_remove(trees, found.rank, cyc_table_waste(table)) }
      return found.is_there
    }
  }

  /// Removes the item at a rank of a list, hash or set.
  func remove(at rank: Int) {
    unsafe cyc_tree_remove(trees, UInt64(rank), cyc_table_waste(table))
  }

  /// Adds an element to a list, in front of the one at `rank`.
  func insert(_ element: RawSpan, at rank: Int) {
    unsafe element.withTreeBytes { bytes, length in
      var key = unsafe cyc_tree_key()
      unsafe key.tail = bytes
      unsafe key.tail_length = length
      unsafe cyc_tree_insert(trees, UInt64(rank), &key, nil, 0)
    }
  }

  /// Gives a member of a sorted set a score.
  ///
  /// - Returns: whether the member is new.
  func setScore(_ member: RawSpan, _ score: Double) -> Bool {
    var bits = score.bitPattern.littleEndian
    return unsafe member.withTreeBytes { bytes, length in
      var key = unsafe cyc_tree_member_key(bytes, length)
      let found = unsafe cyc_tree_find(trees, &key)
      return unsafe withUnsafeBytes(of: &bits) { raw in
        let value = unsafe raw.baseAddress!.assumingMemoryBound(to: UInt8.self)
        if found.is_there {
          unsafe removeOrdered(scoreAt(found.rank), bytes, length)
          unsafe cyc_tree_replace(trees, found.rank, value, 8)
        } else {
          unsafe cyc_tree_insert(trees, found.rank, &key, value, 8)
        }
        var orderKey = unsafe cyc_tree_score_key(score, bytes, length)
        let place = unsafe cyc_tree_find(trees + 1, &orderKey)
        unsafe cyc_tree_insert(trees + 1, place.rank, &orderKey, nil, 0)
        return !found.is_there
      }
    }
  }

  /// The score of a member; `nil` when there is no such member.
  func score(of member: RawSpan) -> Double? {
    unsafe member.withTreeBytes { bytes, length in
      var key = unsafe cyc_tree_member_key(bytes, length)
      let found = unsafe cyc_tree_find(trees, &key)
      return found.is_there ? scoreAt(found.rank) : nil
    }
  }

  /// Removes a member of a sorted set.
  ///
  /// - Returns: whether it was there.
  func removeScored(_ member: RawSpan) -> Bool {
    unsafe member.withTreeBytes { bytes, length in
      var key = unsafe cyc_tree_member_key(bytes, length)
      let found = unsafe cyc_tree_find(trees, &key)
      guard found.is_there else { return false }
      unsafe removeOrdered(scoreAt(found.rank), bytes, length)
      unsafe cyc_tree_remove(trees, found.rank, cyc_table_waste(table))
      return true
    }
  }

  /// Removes the member at a place in the order of scores.
  func removeOrdered(at rank: Int) {
    let item = unsafe cyc_tree_at(trees + 1, UInt64(rank))
    var key = unsafe cyc_tree_member_key(item.key + 8, item.key_length - 8)
    let found = unsafe cyc_tree_find(trees, &key)
    unsafe cyc_tree_remove(trees, found.rank, cyc_table_waste(table))
    unsafe cyc_tree_remove(trees + 1, UInt64(rank), cyc_table_waste(table))
  }

  private func scoreAt(_ rank: UInt64) -> Double {
    let item = unsafe cyc_tree_at(trees, rank)
    return unsafe Double(
      bitPattern: UInt64(
        littleEndian: UnsafeRawPointer(item.value!).loadUnaligned(as: UInt64.self)))
  }

  private func removeOrdered(_ score: Double, _ bytes: UnsafePointer<UInt8>?, _ length: UInt32) {
    var key = unsafe cyc_tree_score_key(score, bytes, length)
    let found = unsafe cyc_tree_find(trees + 1, &key)
    precondition(found.is_there, "the two trees of a sorted set hold the same members")
    unsafe cyc_tree_remove(trees + 1, found.rank, cyc_table_waste(table))
  }

  /// Appends the packed items of a snapshot's piece.
  ///
  /// - Returns: how many items there were; `nil` when the bytes are damaged.
  func append(run: RawSpan, isScored: Bool) -> Int? {
    let before = unsafe trees.pointee.count
    var items: UInt32 = 0
    let isSound = unsafe run.withTreeBytes { bytes, length in
      unsafe cyc_tree_append_run(trees, bytes, length, &items)
    }
    guard isSound else { return nil }
    guard isScored else { return Int(items) }
    for rank in before..<before + UInt64(items) {
      let item = unsafe cyc_tree_at(trees, rank)
      guard unsafe item.value_length == 8 else { return nil }
      let score = scoreAt(rank)
      guard !score.isNaN else { return nil }
      var key = unsafe cyc_tree_score_key(score, item.key + 4, item.key_length - 4)
      let place = unsafe cyc_tree_find(trees + 1, &key)
      unsafe cyc_tree_insert(trees + 1, place.rank, &key, nil, 0)
    }
    return Int(items)
  }
}

extension Table {
  /// Changes the collection of a key, which must be missing or of that kind. A collection that ends
  /// up empty is removed with its key.
  ///
  /// - Returns: what `change` does; `nil`, without a call, when the key is missing and not made.
  mutating func edit<R>(
    _ key: RawSpan, _ kind: ValueKind, creates: Bool, _ change: (borrowing CollectionEdit) -> R
  ) -> R? {
    let orders = creates ? kind.orders : []
    let raw = unsafe raw
    let trees = unsafe key.withTreeBytes { bytes, length in
      unsafe cyc_table_open(raw, bytes, length, kind.rawValue, orders, UInt32(orders.count))
    }
    guard let trees = unsafe trees else { return nil }
    defer { unsafe cyc_table_close(raw) }
    return change(unsafe CollectionEdit(raw, trees))
  }
}

extension RawSpan {
  fileprivate func withTreeBytes<R>(_ body: (UnsafePointer<UInt8>?, UInt32) -> R) -> R {
    unsafe withUnsafeBytes { raw in
      unsafe body(raw.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(raw.count))
    }
  }

  /// Eight bytes as a score.
  var double: Double {
    precondition(byteCount == 8, "a score has eight bytes")
    return Double(
      bitPattern: UInt64(littleEndian: unsafe unsafeLoadUnaligned(as: UInt64.self)))
  }
}
