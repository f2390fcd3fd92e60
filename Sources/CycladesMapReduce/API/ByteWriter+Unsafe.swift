internal import CCycladesShuffle

/// Reserved memory that grows without moving and is kept when its user starts over.
@usableFromInline @safe final class Region {
  private var raw = unsafe cyc_shuffle_region()

  /// Reserves addresses; memory comes with use.
  init(reserving byteCount: Int) throws {
    let result = unsafe cyc_shuffle_region_open(&raw, byteCount)
    guard result == 0 else { throw outOfMemory(byteCount) }
  }

  deinit { unsafe cyc_shuffle_region_close(&raw) }

  @usableFromInline var start: UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(raw.bytes)
  }
  @usableFromInline var ready: Int { unsafe raw.ready }

  /// Makes the first `byteCount` bytes usable; false when that is more than was reserved, or than
  /// the system has.
  @usableFromInline func ensure(_ byteCount: Int) -> Bool {
    unsafe cyc_shuffle_region_ensure(&raw, byteCount) == 0
  }
}

func outOfMemory(_ byteCount: Int) -> MapReduceError {
  MapReduceError(.memory, "the system refuses \(byteCount) bytes of memory")
}

/// Appends bytes to memory that grows: what keys and values encode themselves into.
///
/// When its bound is met it goes on without writing; the task that owns it then fails with one clear
/// error, so encoders need not check anything.
@safe public struct ByteWriter: ~Copyable {
  @usableFromInline let region: Region
  @usableFromInline let start: UnsafeMutableRawPointer
  @usableFromInline var used = 0
  @usableFromInline var ready: Int
  @usableFromInline var overflowed = false

  /// Bytes that are readable behind what was written; the C side loads 16 at any key.
  @usableFromInline static let slack = 16

  @usableFromInline init(_ region: Region) {
    self.region = region
    unsafe start = region.start
    ready = region.ready
  }

  /// The number of bytes appended so far.
  public var byteCount: Int { used }

  /// Makes room; false when there is none.
  @inlinable @inline(__always)
  mutating func reserve(_ byteCount: Int) -> Bool {
    if used &+ byteCount &+ ByteWriter.slack <= ready { return true }
    return grow(byteCount)
  }

  @usableFromInline mutating func grow(_ byteCount: Int) -> Bool {
    guard region.ensure(used + byteCount + ByteWriter.slack) else {
      overflowed = true
      return false
    }
    ready = region.ready
    return true
  }

  /// Appends one byte.
  @inlinable public mutating func append(_ byte: UInt8) {
    guard reserve(1) else { return }
    unsafe start.storeBytes(of: byte, toByteOffset: used, as: UInt8.self)
    used &+= 1
  }

  /// Appends a span.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  @inlinable public mutating func append(_ bytes: RawSpan) {
    let count = bytes.byteCount
    guard count > 0, reserve(count) else { return }
    unsafe bytes.withUnsafeBytes {
      unsafe (start + used).copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: count)
    }
    used &+= count
  }

  /// Appends an integer, least significant byte first.
  @inlinable public mutating func append<T: FixedWidthInteger & BitwiseCopyable>(
    littleEndian value: T
  ) {
    guard reserve(MemoryLayout<T>.size) else { return }
    unsafe start.storeBytes(of: value.littleEndian, toByteOffset: used, as: T.self)
    used &+= MemoryLayout<T>.size
  }

  /// Appends `count` words that `body` fills in; the position must be a multiple of 8.
  @inlinable @inline(__always)
  mutating func appendWords(_ count: Int, _ body: (inout MutableSpan<UInt64>) -> Void) {
    guard reserve(count &* 8) else { return }
    let place = unsafe (start + used).assumingMemoryBound(to: UInt64.self)
    var words = unsafe MutableSpan(_unsafeStart: place, count: count)
    body(&words)
    used &+= count &* 8
  }

  /// Appends what another writer holds.
  mutating func append(contentsOf other: borrowing ByteWriter) { append(other.span) }

  /// Appends the UTF-8 bytes of a string.
  public mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { utf8 in unsafe append(RawSpan(_unsafeElements: utf8)) }
  }

  /// Appends an integer as decimal digits.
  public mutating func append(decimal value: Int) {
    guard reserve(20) else { return }
    let digits = unsafe (start + used).assumingMemoryBound(to: UInt8.self)
    var rest = value.magnitude
    var from = 20
    repeat {
      from -= 1
      unsafe digits[from] = UInt8(ascii: "0") + UInt8(rest % 10)
      rest /= 10
    } while rest > 0
    if value < 0 {
      from -= 1
      unsafe digits[from] = UInt8(ascii: "-")
    }
    unsafe digits.update(from: digits + from, count: 20 - from)
    used += 20 - from
  }

  /// Appends what `body` appends, as a JSON string. Bytes that are not UTF-8 stay as they are.
  public mutating func appendJSONString(_ body: (inout ByteWriter) throws -> Void) rethrows {
    append(UInt8(ascii: "\""))
    let from = used
    try body(&self)
    escapeJSON(from: from)
    append(UInt8(ascii: "\""))
  }

  private mutating func escapeJSON(from: Int) {
    let text = unsafe UnsafeRawBufferPointer(start: start + from, count: used - from)
    func isPlain(_ byte: UInt8) -> Bool {
      byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }
    guard unsafe !text.allSatisfy(isPlain) else { return }
    let bytes = unsafe [UInt8](text)
    used = from
    let digits = Array("0123456789abcdef".utf8)
    for byte in bytes {
      if isPlain(byte) {
        append(byte)
      } else if byte >= 0x20 {
        append(UInt8(ascii: "\\"))
        append(byte)
      } else {
        append("\\u00")
        append(digits[Int(byte >> 4)])
        append(digits[Int(byte & 15)])
      }
    }
  }

  /// Forgets the bytes and keeps the memory.
  @inlinable mutating func removeAll() { used = 0 }

  /// Inverts every bit from an offset on.
  mutating func invert(from: Int) {
    for index in from..<max(from, used) {
      unsafe start.storeBytes(
        of: ~start.load(fromByteOffset: index, as: UInt8.self), toByteOffset: index, as: UInt8.self)
    }
  }

  /// Puts a 1 behind every zero byte from an offset on, and two zero bytes at the end.
  mutating func escapeZeros(from: Int) {
    let text = unsafe UnsafeRawBufferPointer(start: start + from, count: max(0, used - from))
    if unsafe text.contains(0) {
      let bytes = unsafe [UInt8](text)
      used = from
      for byte in bytes {
        append(byte)
        if byte == 0 { append(1) }
      }
    }
    append(littleEndian: UInt16(0))
  }

  /// The bytes written so far.
  var span: RawSpan {
    @_lifetime(borrow self) get {
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: used)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }
}

extension RawSpan {
  /// The bytes as an array.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public func copied() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe [UInt8]($0) }
  }

  /// The byte at an offset, which must be within bounds.
  @usableFromInline func byte(_ offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount, "offset out of bounds")
    return unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  /// The word at an offset, which must be within bounds; alignment does not matter.
  func littleEndianWord(at offset: Int) -> UInt64 {
    UInt64(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
