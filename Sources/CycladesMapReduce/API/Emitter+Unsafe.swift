/// Where a mapper's pairs go.
///
/// `emit` only notes the pair; every 64 pairs are hashed, looked up and combined together, so that
/// their cache misses overlap. A key that is a span into the record is kept by address until then
/// and not copied; any other key is.
///
/// An emitter lives as long as the call of `map` it is passed to; it cannot be copied or kept.
@safe public struct Emitter<Key: JobKey, Value: JobValue>: ~Copyable {
  @usableFromInline let keys: UnsafeMutablePointer<UnsafePointer<UInt8>?>
  @usableFromInline let lengths: UnsafeMutablePointer<UInt32>
  @usableFromInline let valueLengths: UnsafeMutablePointer<UInt32>
  @usableFromInline let counters: UnsafeMutablePointer<Int>
  @usableFromInline let window: UnsafeRawBufferPointer
  /// The file that the record is from.
  public let path: String
  @usableFromInline let drain: (Int) -> Void
  @usableFromInline var count = 0
  @usableFromInline var keyBytes: ByteWriter
  @usableFromInline var valueBytes: ByteWriter

  /// The pairs go to `memory`, from where `drain` takes them, so many at a time. Keys inside
  /// `window`, which has 16 readable bytes behind it, stay where they are.
  @inlinable init(
    _ memory: PairMemory, window: UnsafeRawBufferPointer, path: String = "",
    drain: @escaping (Int) -> Void
  ) {
    self.path = path
    unsafe keys = memory.keys
    unsafe lengths = memory.lengths
    unsafe valueLengths = memory.valueLengths
    unsafe counters = memory.counters
    unsafe self.window = unsafe window
    self.drain = drain
    keyBytes = ByteWriter(memory.keyRegion)
    valueBytes = ByteWriter(memory.valueRegion)
  }

  /// Emits a pair.
  @inlinable public mutating func emit(_ key: Key, _ value: Value) {
    let from = keyBytes.used
    key.encodeKey(into: &keyBytes)
    unsafe add(keyBytes.start + from, keyBytes.used &- from, value)
  }

  @inlinable @inline(__always)
  mutating func add(_ key: UnsafeRawPointer, _ byteCount: Int, _ value: Value) {
    unsafe keys[count] = unsafe key.assumingMemoryBound(to: UInt8.self)
    unsafe lengths[count] = UInt32(truncatingIfNeeded: byteCount)
    let from = valueBytes.used
    value.encode(into: &valueBytes)
    unsafe valueLengths[count] = UInt32(truncatingIfNeeded: valueBytes.used &- from)
    count &+= 1
    if count == PairMemory.capacity { flush() }
  }

  /// Adds to a counter of the job.
  @inlinable public mutating func count(_ counter: JobCounter, by amount: Int = 1) {
    unsafe counters[counter.index] &+= amount
  }

  /// Hands on what is pending. True when a key or value was too large to be taken.
  @inlinable @discardableResult mutating func flush() -> Bool {
    if count > 0 { drain(count) }
    count = 0
    keyBytes.removeAll()
    valueBytes.removeAll()
    return keyBytes.overflowed || valueBytes.overflowed
  }
}

extension Emitter where Key == ByteString {
  /// Emits a pair whose key is the bytes of a span.
  @inlinable @inline(__always)
  public mutating func emit(_ key: RawSpan, _ value: Value) {
    unsafe key.withUnsafeBytes { bytes in
      if let start = bytes.baseAddress, let low = unsafe window.baseAddress,
        unsafe start >= low && start < low + window.count
      {
        unsafe add(start, bytes.count, value)
      } else {
        let from = keyBytes.used
        keyBytes.append(unsafe RawSpan(_unsafeBytes: bytes))
        unsafe add(keyBytes.start + from, keyBytes.used &- from, value)
      }
    }
  }
}
