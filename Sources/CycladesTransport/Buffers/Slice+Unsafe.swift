internal import CCycladesBuffer

/// A view of received bytes with one owner, for use on any thread.
///
/// The bytes are where the kernel put them; they go back to their reactor's pool when the slice is
/// consumed or goes out of scope, from whatever thread. The counterpart of `Bytes`, which is shared
/// freely but never leaves its reactor's thread.
///
/// A slice keeps a whole block of memory. Copy what is small and must live long.
@safe public struct Slice: ~Copyable, Sendable {
  private var reference: SliceReference?
  let executor: ReactorExecutor

  /// Takes over the reference.
  init(adopting reference: SliceReference, of executor: ReactorExecutor) {
    self.reference = reference
    self.executor = executor
  }

  deinit {
    guard let reference else { return }
    if executor.isCurrent { reference.release() } else { executor.mailbox.giveBack(reference) }
  }

  /// The number of bytes.
  public var byteCount: Int { reference!.byteCount }

  /// The bytes, readable while `self` is borrowed.
  public var span: RawSpan {
    @_lifetime(borrow self) borrowing get {
      unsafe _overrideLifetime(reference!.span, borrowing: self)
    }
  }

  /// Leaves the first `count` bytes out of the view.
  public mutating func removeFirst(_ count: Int) { reference!.removeFirst(count) }

  /// Leaves the last `count` bytes out of the view.
  public mutating func removeLast(_ count: Int) { reference!.removeLast(count) }

  /// A copy of the bytes.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public var array: [UInt8] { span.array }

  /// The bytes read as UTF-8; what is not valid becomes U+FFFD.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public var string: String { span.string }

  /// The reference, whose release is the caller's business from here on.
  consuming func takeReference() -> SliceReference {
    let taken = reference!
    reference = nil
    return taken
  }
}

/// A C slice and the reference it owns, on its way between threads. Whoever has it releases it,
/// once, on its reactor's thread.
@safe struct SliceReference: @unchecked Sendable {
  private(set) var raw: cyc_slice

  init(raw: cyc_slice) { unsafe self.raw = raw }

  func release() { unsafe cyc_block_release(raw.block) }
  var byteCount: Int { unsafe Int(raw.length) }

  /// The bytes, for as long as somebody holds the reference.
  var span: RawSpan {
    @_lifetime(borrow self) get {
      let start = unsafe UnsafeRawPointer(raw.block.pointee.bytes + Int(raw.offset))
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: Int(raw.length))
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// A part, with a reference of its own.
  func share(_ range: Range<Int>) -> SliceReference {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "range out of bounds")
    return unsafe SliceReference(
      raw: cyc_slice(
        block: cyc_block_retain(raw.block), offset: raw.offset + UInt32(range.lowerBound),
        length: UInt32(range.count)))
  }

  mutating func removeFirst(_ count: Int) {
    precondition(count >= 0 && count <= byteCount, "more than there is")
    unsafe raw.offset += UInt32(count)
    unsafe raw.length -= UInt32(count)
  }

  mutating func removeLast(_ count: Int) {
    precondition(count >= 0 && count <= byteCount, "more than there is")
    unsafe raw.length -= UInt32(count)
  }

  /// The memory that it keeps from its pool.
  var heldBytes: Int { unsafe Int(raw.block.pointee.capacity) }
}

extension Bytes {
  /// Takes over the reference.
  convenience init(_ reference: SliceReference) { unsafe self.init(adopting: reference.raw) }
}
