import CycladesTransport

/// All commands that one node gathered for one group in one turn: the unit that is forwarded, logged
/// and applied exactly once.
///
/// ```
///  0 u32 size       header and commands        4 u32 count      of commands
///  8 u64 session    of the node that gathered 16 u64 sequence   1, 2, 3… within session and group
/// 24 u64 floor      every sequence below it is answered, its reply may be forgotten
/// 32 u32 origin     the node that gathered    36 u32 zero
/// 40 count × { u32 size, bytes }
/// ```
///
/// The body of an entry, and of a forwarded request, is a sequence of these.
struct RequestHeader: Equatable {
  static let byteCount = 40

  var size: UInt32
  var count: UInt32
  var session: UInt64
  var sequence: UInt64
  var floor: UInt64
  var origin: UInt32

  /// Writes the header's 40 bytes.
  func store(_ target: UnsafeMutableRawPointer) {
    unsafe target.storeBytes(of: size.littleEndian, as: UInt32.self)
    unsafe target.storeBytes(of: count.littleEndian, toByteOffset: 4, as: UInt32.self)
    unsafe target.storeBytes(of: session.littleEndian, toByteOffset: 8, as: UInt64.self)
    unsafe target.storeBytes(of: sequence.littleEndian, toByteOffset: 16, as: UInt64.self)
    unsafe target.storeBytes(of: floor.littleEndian, toByteOffset: 24, as: UInt64.self)
    unsafe target.storeBytes(of: origin.littleEndian, toByteOffset: 32, as: UInt32.self)
    unsafe target.storeBytes(of: 0, toByteOffset: 36, as: UInt32.self)
  }

  /// Reads a header; `nil` when the bytes do not hold one, or not all of its request.
  init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= RequestHeader.byteCount else { return nil }
    size = loadLittleEndian(bytes, at: 0, as: UInt32.self)
    count = loadLittleEndian(bytes, at: 4, as: UInt32.self)
    session = loadLittleEndian(bytes, at: 8, as: UInt64.self)
    sequence = loadLittleEndian(bytes, at: 16, as: UInt64.self)
    floor = loadLittleEndian(bytes, at: 24, as: UInt64.self)
    origin = loadLittleEndian(bytes, at: 32, as: UInt32.self)
    guard size >= RequestHeader.byteCount, size <= bytes.byteCount, sequence >= 1 else {
      return nil
    }
  }

  init(
    size: Int, count: Int, session: UInt64, sequence: UInt64, floor: UInt64, origin: UInt32
  ) {
    self.size = UInt32(size)
    self.count = UInt32(count)
    self.session = session
    self.sequence = sequence
    self.floor = floor
    self.origin = origin
  }
}

/// Reads an integer at any offset; the caller has checked that it is there.
func loadLittleEndian<T: FixedWidthInteger & BitwiseCopyable>(
  _ bytes: RawSpan, at offset: Int, as type: T.Type
) -> T {
  T(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: type))
}

/// Walks over a sequence of `{ u32 size, bytes }`: the commands of a request, the replies to one.
package struct SizedItems {
  /// Calls `body` with each item; false when the bytes end in the middle of one.
  package static func forEach(_ bytes: RawSpan, _ body: (RawSpan) -> Void) -> Bool {
    var offset = 0
    while offset < bytes.byteCount {
      guard let end = end(of: bytes, at: offset) else { return false }
      body(bytes.extracting((offset + 4)..<end))
      offset = end
    }
    return true
  }

  /// The number of items; `nil` when the bytes are not a sequence of them.
  static func count(_ bytes: RawSpan) -> Int? {
    var offset = 0
    var count = 0
    while offset < bytes.byteCount {
      guard let end = end(of: bytes, at: offset) else { return nil }
      offset = end
      count += 1
    }
    return count
  }

  private static func end(of bytes: RawSpan, at offset: Int) -> Int? {
    guard bytes.byteCount - offset >= 4 else { return nil }
    let size = Int(loadLittleEndian(bytes, at: offset, as: UInt32.self))
    guard size <= bytes.byteCount - offset - 4 else { return nil }
    return offset + 4 + size
  }
}

/// Gathers items behind a frame header (and, for writes, a request header), copying each once.
struct RequestBuilder: ~Copyable {
  /// Where the items start in the frame.
  let start: Int
  /// Of the items gathered.
  private(set) var count = 0
  /// Bytes copied so far: each item once, and all of them again where they outgrew their block.
  private(set) var copiedBytes = 0
  private var buffer: Buffer
  private let pool: BufferPool

  /// - Parameters:
  ///   - prefix: Bytes left free before the first item, for headers.
  ///   - capacity: How many bytes are likely to gather; more only cost a copy of those before them.
  init(prefix: Int, capacity: Int, pool: BufferPool) throws(TransportError) {
    start = prefix
    self.pool = pool
    buffer = try Buffer(minimumCapacity: max(4096, capacity), in: pool)
    buffer.appendZeros(prefix)
  }

  /// Bytes gathered, headers included.
  var byteCount: Int { buffer.byteCount }

  /// Appends an item of `size` bytes that `encode` fills in; returns the bytes gathered so far.
  mutating func append(
    _ size: Int, _ encode: (UnsafeMutableRawPointer) -> Void
  ) throws(TransportError) -> Int {
    if buffer.freeCapacity < size + 4 {
      var larger = try Buffer(
        minimumCapacity: max(2 * buffer.capacity, buffer.byteCount + size + 4), in: pool)
      larger.append(buffer.span)
      copiedBytes += buffer.byteCount
      buffer = larger
    }
    buffer.append(littleEndian: UInt32(size))
    unsafe buffer.appendUnsafe(atMost: size) { target in
      unsafe encode(target)
      return size
    }
    count += 1
    copiedBytes += size
    return buffer.byteCount
  }

  /// Ends the gathering; `fill` writes the headers into the bytes left free for them.
  consuming func finish(_ fill: (UnsafeMutableRawPointer) -> Void) -> Bytes {
    unsafe buffer.withUnsafeMutableBytes { unsafe fill($0.baseAddress!) }
    return buffer.freeze()
  }
}
