internal import CCycladesBuffer

/// A writable block with one owner.
///
/// Fill it, then `freeze` it: what was written becomes `Bytes` without a copy. A buffer does not
/// grow; its capacity is at least what was asked for.
@safe public struct Buffer: ~Copyable {
  private let block: UnsafeMutablePointer<cyc_block>

  /// The number of bytes written so far.
  public private(set) var byteCount: Int

  /// Takes a block of at least `minimumCapacity` bytes, at most 1 GiB.
  public init(minimumCapacity: Int, in pool: BufferPool) throws(TransportError) {
    unsafe block = try pool.takeBlock(minimumCapacity: minimumCapacity)
    byteCount = 0
  }

  deinit { unsafe cyc_block_release(block) }

  /// The most bytes it can hold.
  public var capacity: Int { unsafe Int(block.pointee.capacity) }

  /// How many more bytes fit.
  public var freeCapacity: Int { capacity - byteCount }

  /// The bytes written so far.
  public var span: RawSpan {
    @_lifetime(borrow self) borrowing get {
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Appends a span, which must fit.
  public mutating func append(_ bytes: RawSpan) {
    precondition(bytes.byteCount <= freeCapacity, "the bytes do not fit into the buffer")
    unsafe bytes.withUnsafeBytes { source in
      guard let from = source.baseAddress else { return }
      unsafe (start + byteCount).copyMemory(from: from, byteCount: source.count)
    }
    byteCount += bytes.byteCount
  }

  /// Appends an array's bytes, which must fit.
  public mutating func append(_ bytes: [UInt8]) { unsafe append(bytes.span.bytes) }

  /// Appends an integer's bytes, least significant first; they must fit.
  public mutating func append<T: FixedWidthInteger & BitwiseCopyable>(littleEndian value: T) {
    let size = MemoryLayout<T>.size
    precondition(size <= freeCapacity, "the integer does not fit into the buffer")
    unsafe (start + byteCount).storeBytes(of: value.littleEndian, as: T.self)
    byteCount += size
  }

  /// Appends what `body` writes into the next `limit` bytes, which must fit.
  public mutating func append(atMost limit: Int, _ body: (inout OutputRawSpan) -> Void) {
    precondition(limit >= 0 && limit <= freeCapacity, "the limit does not fit into the buffer")
    byteCount += unsafe writeRawSpan(start + byteCount, limit, body)
  }

  /// Appends what `body` says it wrote at the pointer, at most `limit` bytes, for encoders in C.
  package mutating func appendUnsafe(
    atMost limit: Int, _ body: (UnsafeMutableRawPointer) -> Int
  ) {
    precondition(limit >= 0 && limit <= freeCapacity, "the limit does not fit into the buffer")
    let written = unsafe body(start + byteCount)
    precondition(written >= 0 && written <= limit, "an encoder wrote past its limit")
    byteCount += written
  }

  /// Calls `body` with the bytes written so far, to fill in what was left open (sizes, checksums).
  package mutating func withUnsafeMutableBytes<R>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> R
  ) rethrows -> R {
    unsafe try body(UnsafeMutableRawBufferPointer(start: start, count: byteCount))
  }

  /// What was written, as `Bytes`, without a copy.
  ///
  /// - Complexity: O(1).
  public consuming func freeze() -> Bytes { unsafe Bytes(adopting: takeSlice()) }

  /// What was written, as a slice that owns the block.
  consuming func takeSlice() -> cyc_slice {
    let slice = unsafe cyc_slice(block: block, offset: 0, length: UInt32(byteCount))
    discard self
    return unsafe slice
  }

  private var start: UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(block.pointee.bytes)
  }
}

/// Lets `body` write into raw memory through a span; returns how many bytes it wrote.
func writeRawSpan(
  _ start: UnsafeMutableRawPointer, _ limit: Int, _ body: (inout OutputRawSpan) -> Void
) -> Int {
  let memory = unsafe UnsafeMutableRawBufferPointer(start: start, count: limit)
  var output = unsafe OutputRawSpan(buffer: memory, initializedCount: 0)
  body(&output)
  return unsafe output.finalize(for: memory)
}
