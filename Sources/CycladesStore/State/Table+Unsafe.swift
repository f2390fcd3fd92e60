internal import CCycladesTable

/// The keys of a shard: an owning wrapper of the C table (`CSources/Table`).
///
/// A value found is a view into the table; the compiler refuses to change the table while one is in
/// use.
@safe struct Table: ~Copyable {
  let raw: OpaquePointer

  /// A value in the table, and when it ends.
  struct Entry: ~Escapable {
    let kind: UInt8
    let value: RawSpan
    /// Milliseconds of log time; `nil` when the key does not expire.
    let deadline: UInt64?

    @_lifetime(copy value)
    init(kind: UInt8, value: RawSpan, deadline: UInt64?) {
      self.kind = kind
      self.value = value
      self.deadline = deadline
    }
  }

  init(seed: UInt64) { unsafe raw = cyc_table_create(seed) }

  deinit { unsafe cyc_table_destroy(raw) }

  /// The sums over all keys: functions of the keys, values and deadlines alone.
  struct Sums {
    let count: UInt64
    let digest: UInt64
    let usedBytes: UInt64
    let time: UInt64

    fileprivate init(_ state: cyc_table_state) {
      (count, digest, usedBytes, time) = (
        state.count, state.digest, state.used_bytes, state.time
      )
    }
  }

  var sums: Sums { unsafe Sums(cyc_table_current(raw)) }

  var count: UInt64 { sums.count }

  var digest: UInt64 { sums.digest }

  /// Bytes of memory that the table really has; depends on history.
  var allocatedBytes: UInt64 { unsafe cyc_table_allocated_bytes(raw) }

  var nextDeadline: UInt64? { unsafe Self.deadline(cyc_table_next_deadline(raw)) }

  @_lifetime(borrow self)
  borrowing func find(_ key: RawSpan) -> Entry? {
    let item = unsafe key.withBytes { unsafe cyc_table_get(raw, $0, $1) }
    guard unsafe item.key != nil else { return nil }
    let value = unsafe RawSpan(_unsafeStart: item.value, byteCount: Int(item.value_length))
    return unsafe _overrideLifetime(
      Entry(kind: item.kind, value: value, deadline: Self.deadline(item.deadline)),
      borrowing: self)
  }

  /// Brings into the cache what finding these keys will touch.
  func warm(_ keys: UnsafeBufferPointer<cyc_table_key>) {
    guard let first = keys.baseAddress else { return }
    unsafe cyc_table_warm(raw, first, UInt32(keys.count))
  }

  /// A digest of a key's value and deadline; 0 when there is no such key.
  func version(of key: RawSpan) -> UInt64 {
    unsafe key.withBytes { unsafe cyc_table_version(raw, $0, $1) }
  }

  func contains(_ key: RawSpan) -> Bool { find(key) != nil }

  /// When a key ends; `nil` when it does not, or is not there.
  func deadline(of key: RawSpan) -> UInt64? { find(key)?.deadline }

  mutating func put(_ key: RawSpan, kind: UInt8 = 0, _ value: RawSpan, deadline: UInt64?) {
    unsafe key.withBytes { key, keyLength in
      unsafe value.withBytes { value, length in
        unsafe cyc_table_put(raw, key, keyLength, kind, value, length, deadline ?? Self.none)
      }
    }
  }

  /// Writes a non-empty `part` at an offset of a value, which is extended as needed.
  ///
  /// - Returns: the value's length.
  mutating func write(_ key: RawSpan, at offset: Int, _ part: RawSpan) -> Int {
    unsafe key.withBytes { key, keyLength in
      unsafe part.withBytes { part, length in
        Int(unsafe cyc_table_write(raw, key, keyLength, UInt32(offset), part, length))
      }
    }
  }

  /// Gives `target` the value and deadline of `source`, which must be another key.
  ///
  /// - Returns: false when there is no `source`.
  mutating func copy(_ source: RawSpan, to target: RawSpan) -> Bool {
    precondition(!source.isEqual(to: target), "a key is not copied onto itself")
    return unsafe source.withBytes { source, sourceLength in
      unsafe target.withBytes { target, targetLength in
        unsafe cyc_table_copy(raw, source, sourceLength, target, targetLength)
      }
    }
  }

  mutating func setDeadline(_ key: RawSpan, _ deadline: UInt64?) {
    _ = unsafe key.withBytes { unsafe cyc_table_set_deadline(raw, $0, $1, deadline ?? Self.none) }
  }

  /// - Returns: whether the key was there.
  mutating func remove(_ key: RawSpan) -> Bool {
    unsafe key.withBytes { unsafe cyc_table_remove(raw, $0, $1) }
  }

  mutating func removeAll() { unsafe cyc_table_clear(raw) }

  /// Lets keys end that are due at or before `time`; a bounded number of them is removed.
  mutating func advance(to time: UInt64) { unsafe _ = cyc_table_advance(raw, time) }

  /// Visits keys in the order of their hashes, at least `count` of them if there are as many at or
  /// behind `cursor`; start with 0.
  ///
  /// A key that stays in the table from the first call to the last is visited exactly once, however
  /// the table grows or shrinks in between.
  ///
  /// - Returns: the cursor to go on from, 0 at the end.
  func scan(
    from cursor: UInt64, count: Int, _ visit: (_ key: RawSpan, _ kind: UInt8) -> Void
  ) -> UInt64 {
    withoutActuallyEscaping(visit) { visit in
      var visit = visit
      return unsafe withUnsafeMutablePointer(to: &visit) { context in
        unsafe cyc_table_scan(
          raw, cursor, UInt64(count),
          { context, item in
            let visit = unsafe context!.assumingMemoryBound(
              to: ((RawSpan, UInt8) -> Void).self)
            let item = unsafe item!.pointee
            unsafe visit.pointee(
              RawSpan(_unsafeStart: item.key, byteCount: Int(item.key_length)), item.kind)
          }, context)
      }
    }
  }

  // MARK: - Snapshots

  /// A piece of a key's value, read by a snapshot.
  struct Piece: ~Escapable {
    let key: RawSpan
    let kind: UInt8
    let deadline: UInt64
    /// How many bytes, or items, the whole value has, and how many of them came before.
    let total: UInt64
    let offset: UInt64
    let bytes: RawSpan

    @_lifetime(copy key, copy bytes)
    init(_ piece: cyc_table_piece, _ key: RawSpan, _ bytes: RawSpan) {
      self.key = key
      self.bytes = bytes
      unsafe kind = piece.item.kind
      unsafe deadline = piece.item.deadline
      unsafe total = piece.total
      unsafe offset = piece.offset
    }
  }

  /// Begins a snapshot; the sums are those of the table at this moment.
  mutating func beginSnapshot() -> Sums { unsafe Sums(cyc_table_snapshot_begin(raw)) }

  mutating func endSnapshot() { unsafe cyc_table_snapshot_end(raw) }

  /// Visits the next piece, of at most `byteCount` bytes, of some key's value.
  ///
  /// - Returns: false at the end.
  mutating func nextPiece(byteCount: Int, _ visit: (borrowing Piece) -> Void) -> Bool {
    var piece = unsafe cyc_table_piece()
    guard unsafe cyc_table_snapshot_next(raw, UInt32(byteCount), &piece) else { return false }
    let item = unsafe piece.item
    let key = unsafe RawSpan(_unsafeStart: item.key, byteCount: Int(item.key_length))
    let bytes = unsafe RawSpan(
      _unsafeStart: piece.bytes, byteCount: Int(piece.byte_count))
    unsafe visit(Piece(piece, key, bytes))
    return true
  }

  private static let none = UInt64.max  // CYC_DEADLINE_NONE

  private static func deadline(_ value: UInt64) -> UInt64? { value == none ? nil : value }
}

extension StoreShard {
  /// Sets the process's allocator up for a store: without it, the allocator may halt for hundreds of
  /// milliseconds after millions of keys were removed.
  ///
  /// To be called once, early, by a program whose work is a store; it holds for the whole process.
  public static func tuneAllocator() { cyc_table_tune_allocator() }
}

extension RawSpan {
  fileprivate func withBytes<R>(_ body: (UnsafePointer<UInt8>?, UInt32) -> R) -> R {
    unsafe withUnsafeBytes { raw in
      unsafe body(raw.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(raw.count))
    }
  }
}
