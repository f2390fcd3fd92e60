package import CCycladesBuffer

/// An immutable, reference-counted view of bytes in a block.
///
/// Received frames, log entries and queued output are `Bytes`: passing one on shares the block, and
/// the block goes back to its pool with the last view of it. Not `Sendable`: a view lives and dies
/// on the thread of its pool.
///
/// A small view keeps its whole block. Copy what is small and must live long.
@safe public final class Bytes {
  /// The view as C sees it; borrowed, valid while `self` lives.
  package let cSlice: cyc_slice

  /// Takes over the slice's reference.
  package init(adopting slice: cyc_slice) { unsafe cSlice = slice }

  /// Copies a span into a block of its own.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public convenience init(copying bytes: RawSpan, in pool: BufferPool) throws(TransportError) {
    var buffer = try Buffer(minimumCapacity: bytes.byteCount, in: pool)
    buffer.append(bytes)
    unsafe self.init(adopting: buffer.takeSlice())
  }

  /// Copies an array into a block of its own.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public convenience init(copying bytes: [UInt8], in pool: BufferPool) throws(TransportError) {
    try unsafe self.init(copying: bytes.span.bytes, in: pool)
  }

  deinit { unsafe cyc_block_release(cSlice.block) }

  /// The number of bytes.
  public var byteCount: Int { unsafe Int(cSlice.length) }

  /// The bytes, readable while `self` is.
  public var span: RawSpan {
    @_lifetime(borrow self) get {
      let span = unsafe RawSpan(_unsafeStart: unsafeStart, byteCount: byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// A view of a part, sharing the block.
  ///
  /// - Complexity: O(1).
  public func slice(_ range: Range<Int>) -> Bytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "range out of bounds")
    return unsafe Bytes(
      adopting: cyc_slice(
        block: cyc_block_retain(cSlice.block), offset: cSlice.offset + UInt32(range.lowerBound),
        length: UInt32(range.count)))
  }

  /// Where the bytes start; valid while `self` lives.
  package var unsafeStart: UnsafeRawPointer {
    unsafe UnsafeRawPointer(cSlice.block.pointee.bytes + Int(cSlice.offset))
  }

  /// Calls `body` with the bytes, for encoders and decoders in C.
  package func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    unsafe try body(UnsafeRawBufferPointer(start: unsafeStart, count: byteCount))
  }

  /// The slice with a reference of its own, for C that keeps it.
  package func retainedSlice() -> cyc_slice {
    unsafe cyc_slice(
      block: cyc_block_retain(cSlice.block), offset: cSlice.offset, length: cSlice.length)
  }
}
