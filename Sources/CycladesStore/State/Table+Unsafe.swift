internal import CCycladesTable

/// The keys of a shard: an owning wrapper of the C table (`CSources/Table`).
///
/// A value found is a view into the table; the compiler refuses to change the table while one is in
/// use.
@safe struct Table: ~Copyable {
  private let raw: OpaquePointer

  /// A value in the table, and when it ends.
  struct Entry: ~Escapable {
    let value: RawSpan
    /// Milliseconds of log time; `nil` when the key does not expire.
    let deadline: UInt64?

    @_lifetime(copy value)
    init(value: RawSpan, deadline: UInt64?) {
      self.value = value
      self.deadline = deadline
    }
  }

  init(seed: UInt64) { unsafe raw = cyc_table_create(seed) }

  deinit { unsafe cyc_table_destroy(raw) }

  var count: UInt64 { unsafe cyc_table_count(raw) }

  var usedBytes: UInt64 { unsafe cyc_table_used_bytes(raw) }

  var digest: UInt64 { unsafe cyc_table_digest(raw) }

  var nextDeadline: UInt64? { unsafe Self.deadline(cyc_table_next_deadline(raw)) }

  @_lifetime(borrow self)
  borrowing func find(_ key: RawSpan) -> Entry? {
    let item = unsafe key.withBytes { unsafe cyc_table_get(raw, $0, $1) }
    guard unsafe item.key != nil else { return nil }
    let value = unsafe RawSpan(_unsafeStart: item.value, byteCount: Int(item.value_length))
    return unsafe _overrideLifetime(
      Entry(value: value, deadline: Self.deadline(item.deadline)), borrowing: self)
  }

  func contains(_ key: RawSpan) -> Bool { find(key) != nil }

  /// When a key ends; `nil` when it does not, or is not there.
  func deadline(of key: RawSpan) -> UInt64? { find(key)?.deadline }

  mutating func put(_ key: RawSpan, _ value: RawSpan, deadline: UInt64?) {
    unsafe key.withBytes { key, keyLength in
      unsafe value.withBytes { value, length in
        unsafe cyc_table_put(raw, key, keyLength, value, length, deadline ?? Self.none)
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
    let item = unsafe source.withBytes { unsafe cyc_table_get(raw, $0, $1) }
    guard unsafe item.key != nil else { return false }
    unsafe target.withBytes {
      unsafe cyc_table_put(raw, $0, $1, item.value, item.value_length, item.deadline)
    }
    return true
  }

  mutating func setDeadline(_ key: RawSpan, _ deadline: UInt64?) {
    _ = unsafe key.withBytes { unsafe cyc_table_set_deadline(raw, $0, $1, deadline ?? Self.none) }
  }

  /// - Returns: whether the key was there.
  mutating func remove(_ key: RawSpan) -> Bool {
    unsafe key.withBytes { unsafe cyc_table_remove(raw, $0, $1) }
  }

  mutating func removeAll() { unsafe cyc_table_clear(raw) }

  /// Removes what is due at or before `time`.
  mutating func advance(to time: UInt64) { unsafe _ = cyc_table_advance(raw, time) }

  /// Visits keys in the order of their hashes, at least `count` of them if there are as many at or
  /// behind `cursor`; start with 0.
  ///
  /// A key that stays in the table from the first call to the last is visited exactly once, however
  /// the table grows or shrinks in between.
  ///
  /// - Returns: the cursor to go on from, 0 at the end.
  func scan(from cursor: UInt64, count: Int, _ visit: (RawSpan) -> Void) -> UInt64 {
    withoutActuallyEscaping(visit) { visit in
      var visit = visit
      return unsafe withUnsafeMutablePointer(to: &visit) { context in
        unsafe cyc_table_scan(
          raw, cursor, UInt64(count),
          { context, item in
            let visit = unsafe context!.assumingMemoryBound(to: ((RawSpan) -> Void).self)
            let item = unsafe item!.pointee
            unsafe visit.pointee(
              RawSpan(_unsafeStart: item.key, byteCount: Int(item.key_length)))
          }, context)
      }
    }
  }

  private static let none = UInt64.max  // CYC_DEADLINE_NONE

  private static func deadline(_ value: UInt64) -> UInt64? { value == none ? nil : value }
}

extension RawSpan {
  fileprivate func withBytes<R>(_ body: (UnsafePointer<UInt8>?, UInt32) -> R) -> R {
    unsafe withUnsafeBytes { raw in
      unsafe body(raw.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(raw.count))
    }
  }
}
