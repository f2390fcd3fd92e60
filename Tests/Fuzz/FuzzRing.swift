// Fuzzes the decoder of a ring's canonical bytes. Compiled into the module it tests, by ring.sh.
//
// The digest at the front would keep a fuzzer out for ever. So every input is tried three times: as
// it is; under the size and digest that it should have; and, when its members are valid, with the
// placement hash that they should have. Whatever is accepted must be the very ring that its bytes
// stand for, and in working order.

private let maximumPoints = 1 << 12

/// Tries one input of libFuzzer's.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe Array(UnsafeBufferPointer(start: start, count: count))
  check(input)
  guard input.count >= RingCoding.headerBytes else { return 0 }
  let forged = sealed(input)
  check(forged)
  // Members in any order and with any count of points, which only a canonical ring has right.
  guard let content = try? RingCoding.decode(forged), content.pointCount <= maximumPoints,
    let ring = try? content.builder.build()
  else { return 0 }
  guard let read = try? Ring(bytes: ring.bytes), read == ring, read.bytes == ring.bytes else {
    preconditionFailure("what the encoder wrote is refused")
  }
  return 0
}

private func check(_ bytes: [UInt8]) {
  do throws(RingError) {
    let ring = try Ring(bytes: bytes, maximumPoints: maximumPoints)
    precondition(ring.bytes == bytes, "what was accepted is not what was read")
    for position in [0, .max, ring.epoch] {
      let owner = ring.ownerIndex(ofPosition: position)
      precondition(owner == ring.ownerIndexByBinarySearch(ofPosition: position))
      precondition(ring.members[owner].weight > 0)
      let list = ring.preferenceIndices(ofPosition: position, count: 5)
      precondition(list.first == owner && Set(list).count == list.count)
    }
  } catch {
    precondition([.damagedBytes, .tooManyPoints].contains(error.code) && !error.message.isEmpty)
  }
}

/// The input with magic, number of points, size and digest as they should be.
private func sealed(_ input: [UInt8]) -> [UInt8] {
  var bytes = input
  bytes.replaceSubrange(0..<8, with: RingCoding.magic)
  put(UInt64(bytes.count), at: 8, in: &bytes)
  put(points(of: bytes), at: 56, in: &bytes)
  put(RingHash.digest(bytes.span.extracting(RingCoding.digestedFrom...)), at: 16, in: &bytes)
  return bytes
}

/// How many points the members of these bytes ask for, as far as they can be read.
private func points(of bytes: [UInt8]) -> UInt32 {
  var header = RingCoding.Reader(bytes.span, from: 48)
  let (perUnit, count): (UInt32, UInt32) = (header.integer()!, header.integer()!)
  var members = RingCoding.Reader(bytes.span, from: RingCoding.headerBytes)
  var sum = 0
  for _ in 0..<count {
    guard let member = members.member(), (try? member.validate()) != nil else { break }
    sum += (try? member.pointCount(perUnit: Int(perUnit))) ?? 0
  }
  return UInt32(truncatingIfNeeded: sum)
}

private func put(_ value: some FixedWidthInteger, at offset: Int, in bytes: inout [UInt8]) {
  for place in 0..<value.bitWidth / 8 {
    bytes[offset + place] = UInt8(truncatingIfNeeded: value >> (8 * place))
  }
}
