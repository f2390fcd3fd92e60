// A membership as bytes, little-endian: in the body of its entry, and in snapshots.
//
//   membership:  number u32 | count u32 | count x (id u32 | kind u8 | zero u8 x 3 | incarnation u64)
//   schedule:    nextFrom u64 | current | next, unless nextFrom is zero

extension Membership {
  /// The bytes that `init(decoding:)` reads.
  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: number)
    bytes.append(littleEndian: UInt32(members.count))
    for member in members {
      bytes.append(littleEndian: member.id.rawValue)
      bytes.append(littleEndian: UInt32(member.kind.rawValue))
      bytes.append(littleEndian: member.incarnation)
    }
    return bytes
  }

  /// Reads what `encoded` wrote; nil for any other bytes.
  public init?(decoding bytes: [UInt8]) {
    var bytes = bytes[...]
    guard let membership = Membership(from: &bytes), bytes.isEmpty else { return nil }
    self = membership
  }

  fileprivate init?(from bytes: inout ArraySlice<UInt8>) {
    guard let number = bytes.removeLittleEndian(UInt32.self),
      let count = bytes.removeLittleEndian(UInt32.self), count <= Membership.limit
    else { return nil }
    self.init(number: number, members: [])
    for _ in 0..<count {
      guard let id = bytes.removeLittleEndian(UInt32.self),
        let kind = bytes.removeLittleEndian(UInt32.self).flatMap(UInt8.init(exactly:))
          .flatMap(Member.Kind.init(rawValue:)),
        let incarnation = bytes.removeLittleEndian(UInt64.self)
      else { return nil }
      members.append(Member(id: NodeID(id), incarnation: incarnation, kind: kind))
    }
    guard flaw == nil else { return nil }
  }
}

extension MembershipSchedule {
  /// The bytes that `init(decoding:)` reads.
  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: nextFrom)
    return bytes + current.encoded + (next?.encoded ?? [])
  }

  /// Reads what `encoded` wrote; nil for any other bytes.
  public init?(decoding bytes: [UInt8]) {
    var bytes = bytes[...]
    guard let nextFrom = bytes.removeLittleEndian(UInt64.self),
      let current = Membership(from: &bytes)
    else { return nil }
    var next: Membership?
    if nextFrom > 0 {
      next = Membership(from: &bytes)
      guard next != nil else { return nil }
    }
    guard bytes.isEmpty else { return nil }
    self.init(current: current, next: next, nextFrom: nextFrom)
  }
}

extension [UInt8] {
  fileprivate mutating func append<Number: FixedWidthInteger>(littleEndian number: Number) {
    for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }
}

extension ArraySlice<UInt8> {
  fileprivate mutating func removeLittleEndian<Number: FixedWidthInteger>(
    _: Number.Type
  ) -> Number? {
    let size = Number.bitWidth / 8
    guard count >= size else { return nil }
    defer { removeFirst(size) }
    return prefix(size).reversed().reduce(0) { $0 << 8 | Number($1) }
  }
}
