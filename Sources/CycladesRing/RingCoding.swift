/// The canonical bytes of a ring, little-endian:
///
/// ```
///  0 u8[8] "CYCRING1"       8 u64 size of all bytes
/// 16 u128 XXH3-128 of the bytes from 32 on
/// 32 u64 epoch             40 u64 XXH3-64 of the sorted points
/// 48 u32 points per unit   52 u32 members   56 u32 points   60 u32 0
/// 64 per member, in order of id: f64 weight, u16 id bytes, u16 zone bytes, u16 rack bytes, u16 0,
///    id, zone, rack
/// ```
///
/// A reader takes nothing on trust: it checks the digest, rebuilds the ring from the members it
/// finds and encodes that. Only bytes that come out as they went in are a ring, so every field and
/// every virtual node is checked by the code that made it.
enum RingCoding {
  static let magic: [UInt8] = Array("CYCRING1".utf8)
  static let headerBytes = 64
  static let digestedFrom = 32

  static func encode(
    members: [Member], epoch: UInt64, pointsPerUnit: Int, pointCount: Int, placement: UInt64
  ) -> [UInt8] {
    var body: [UInt8] = []
    append(epoch, to: &body)
    append(placement, to: &body)
    append(UInt32(pointsPerUnit), to: &body)
    append(UInt32(members.count), to: &body)
    append(UInt32(pointCount), to: &body)
    append(UInt32(0), to: &body)
    for member in members {
      append((member.weight + 0).bitPattern, to: &body)
      for length in [member.id.utf8.count, member.zone.utf8.count, member.rack.utf8.count, 0] {
        append(UInt16(length), to: &body)
      }
      for name in [member.id, member.zone, member.rack] { body.append(contentsOf: name.utf8) }
    }
    var bytes = magic
    append(UInt64(digestedFrom + body.count), to: &bytes)
    append(RingHash.digest(body.span), to: &bytes)
    return bytes + body
  }

  static func digest(of bytes: [UInt8]) -> UInt128 {
    var reader = Reader(bytes.span, from: 16)
    return reader.integer()!
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  /// Reads bytes front to back and never past their end.
  struct Reader: ~Escapable {
    private let bytes: Span<UInt8>
    private var offset: Int

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, from offset: Int) {
      self.bytes = bytes
      self.offset = offset
    }

    var isAtEnd: Bool { offset == bytes.count }

    mutating func integer<Value: FixedWidthInteger>(_: Value.Type = Value.self) -> Value? {
      guard bytes.count - offset >= Value.bitWidth / 8 else { return nil }
      var value: Value = 0
      for place in 0..<Value.bitWidth / 8 {
        value |= Value(truncatingIfNeeded: bytes[offset + place]) << (8 * place)
      }
      offset += Value.bitWidth / 8
      return value
    }

    mutating func string(_ count: UInt16) -> String? {
      guard bytes.count - offset >= Int(count) else { return nil }
      var utf8: [UInt8] = []
      for place in offset..<offset + Int(count) { utf8.append(bytes[place]) }
      offset += Int(count)
      return String(validating: utf8, as: UTF8.self)
    }
  }
}

extension RingCoding {
  /// What canonical bytes say before anything is built from it.
  struct Content {
    var builder: RingBuilder
    var pointCount: Int
  }

  /// Reads bytes whose size and digest are right; every member is valid, and none comes twice.
  static func decode(_ bytes: [UInt8]) throws(RingError) -> Content {
    guard bytes.count >= headerBytes else { throw damaged(bytes, "too short") }
    guard bytes.starts(with: magic) else { throw damaged(bytes, "they do not begin as one") }
    var reader = Reader(bytes.span, from: magic.count)
    let size: UInt64 = reader.integer()!
    guard size == bytes.count else { throw damaged(bytes, "they say they are \(size)") }
    let digest: UInt128 = reader.integer()!
    guard digest == RingHash.digest(bytes.span.extracting(digestedFrom...)) else {
      throw damaged(bytes, "the digest does not match")
    }
    let epoch: UInt64 = reader.integer()!
    _ = reader.integer(UInt64.self)
    let pointsPerUnit: UInt32 = reader.integer()!
    let memberCount: UInt32 = reader.integer()!
    let pointCount: UInt32 = reader.integer()!
    _ = reader.integer(UInt32.self)
    do throws(RingError) {
      var builder = try RingBuilder(epoch: epoch, pointsPerUnit: Int(pointsPerUnit))
      var asked = 0
      for number in 0..<memberCount {
        guard let member = reader.member() else {
          throw damaged(bytes, "member \(number) is cut short")
        }
        try builder.add(member)
        asked += try member.pointCount(perUnit: Int(pointsPerUnit))
      }
      guard asked == pointCount else {
        throw damaged(bytes, "they say \(pointCount) points, their members have \(asked)")
      }
      return Content(builder: builder, pointCount: asked)
    } catch  where error.code != .damagedBytes {
      throw damaged(bytes, error.message)
    }
  }

  static func damaged(_ bytes: [UInt8], _ what: String) -> RingError {
    RingError(.damagedBytes, "\(bytes.count) bytes are not a ring: \(what)")
  }
}

extension Ring {
  /// Reads a ring from its canonical bytes, checking all of them.
  ///
  /// - Parameter maximumPoints: the most virtual nodes to build. A few bytes may stand for
  ///   ``maximumPoints``, which take 300 MB and a second: whoever reads from strangers sets a bound.
  /// - Complexity: O(points): the ring is built from the members in the bytes.
  /// - Throws: ``RingError`` of code ``RingError/Code/damagedBytes`` for bytes that no ring has;
  ///   ``RingError/Code/tooManyPoints`` for more than `maximumPoints`;
  ///   ``RingError/Code/outOfMemory`` when memory is short.
  public convenience init(
    bytes: [UInt8], maximumPoints: Int = Ring.maximumPoints
  ) throws(RingError) {
    let content = try RingCoding.decode(bytes)
    guard content.pointCount <= maximumPoints || content.pointCount > Self.maximumPoints else {
      throw RingError(
        .tooManyPoints,
        "the ring has \(content.pointCount) points; at most \(maximumPoints) are accepted")
    }
    do throws(RingError) {
      let builder = content.builder
      try self.init(
        members: builder.sortedMembers, epoch: builder.epoch, pointsPerUnit: builder.pointsPerUnit,
        base: nil)
    } catch  where error.code != .outOfMemory {
      throw RingCoding.damaged(bytes, error.message)
    }
    guard self.bytes == bytes else {
      throw RingCoding.damaged(bytes, "this build places its members differently")
    }
  }
}

extension RingCoding.Reader {
  /// Reads a member as it comes, valid or not.
  mutating func member() -> Member? {
    guard let weight: UInt64 = integer(), let idBytes: UInt16 = integer(),
      let zoneBytes: UInt16 = integer(), let rackBytes: UInt16 = integer(),
      integer(UInt16.self) != nil, let id = string(idBytes), let zone = string(zoneBytes),
      let rack = string(rackBytes)
    else { return nil }
    return Member(id: id, weight: Double(bitPattern: weight), zone: zone, rack: rack)
  }
}
