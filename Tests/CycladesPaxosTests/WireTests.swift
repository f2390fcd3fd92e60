import CycladesPaxos
import Testing

@Suite struct WireTests {
  static let cluster: UInt64 = 0xC1C1_AD35

  /// A valid frame of an entry with a body of `count` bytes.
  private func frame(bodyByteCount count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: WireHeader.byteCount + count)
    for index in 0..<count {
      bytes[WireHeader.byteCount + index] = UInt8(truncatingIfNeeded: index)
    }
    var header = WireHeader(
      entry: Entry(slot: 0x0102, ballot: ballot(0x0304, 5), commit: 0x0607, payload: value(1)),
      cluster: Self.cluster, group: 8, bodyByteCount: count)
    header.flags = 0x0A0B
    header.configuration = 0x0C0D
    header.time = 0x0E0F
    header.token = 0x1011
    header.chain = 0x1213
    header.count = 0x1415
    header.extra = 0x1617
    header.seal(&bytes)
    return bytes
  }

  private func verify(_ bytes: [UInt8], cluster: UInt64 = WireTests.cluster) -> WireHeader.Fault? {
    do {
      _ = try WireHeader(verifying: bytes, cluster: cluster)
      return nil
    } catch { return error }
  }

  @Test("every field lies where the format says, little-endian")
  func layout() {
    let bytes = frame(bodyByteCount: 3)
    func number(_ offset: Int, _ count: Int) -> UInt64 {
      (0..<count).reversed().reduce(0) { $0 << 8 | UInt64(bytes[offset + $1]) }
    }
    #expect(number(0, 4) == 131)
    #expect(number(4, 1) == 7)
    #expect(number(5, 1) == 1)
    #expect(number(6, 2) == 0x0A0B)
    #expect(number(8, 8) == Self.cluster)
    #expect(number(16, 4) == 8)
    #expect(number(20, 4) == 0x0C0D)
    #expect(number(24, 8) == 0x0304)
    #expect(number(32, 4) == 5)
    #expect(number(36, 4) == 5)
    #expect(number(40, 8) == 0x0102)
    #expect(number(48, 8) == 0x0607)
    #expect(number(56, 8) == 0x0E0F)
    #expect(number(64, 8) == 0x1011)
    #expect(number(72, 8) == 0x1213)
    #expect(number(96, 4) == 0x1415)
    #expect(number(100, 4) == 0)
    #expect(number(104, 8) == 0x1617)
  }

  @Test("a frame reads back as it was written")
  func roundTrip() throws {
    for count in [0, 1, 240, 241, 5_000] {
      let bytes = frame(bodyByteCount: count)
      let header = try WireHeader(verifying: bytes, cluster: Self.cluster)
      #expect(header.kind == .accept)
      #expect(header.bodyByteCount == count)
      let entry = header.entry(value(1))
      #expect(entry.slot == 0x0102 && entry.ballot == ballot(0x0304, 5) && entry.commit == 0x0607)
      let body = Array(bytes.dropFirst(WireHeader.byteCount))
      #expect(header.bodyChecksum == WireHeader.checksum(ofBody: body, cluster: Self.cluster))
    }
  }

  @Test("the checksums of long bodies do not depend on the processor")
  func frozenChecksums() {
    let body = [UInt8](repeating: 0x5A, count: 4_096)
    #expect(
      WireHeader.checksum(ofBody: body, cluster: 7).description
        == "ab1d77fc83c1e3c8.28bd004382d9d1f2")
    #expect(
      WireHeader.checksum(ofBody: Array(body.prefix(100)), cluster: 7).description
        == "d9da9df4678179a5.b8af001964445881")
  }

  @Test("any single flipped bit of a frame is found", arguments: [0, 5, 300])
  func flippedBits(bodyByteCount: Int) {
    var bytes = frame(bodyByteCount: bodyByteCount)
    for bit in 0..<bytes.count * 8 {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      let fault = verify(bytes)
      #expect(fault != nil, "bit \(bit)")
      if bit >= WireHeader.byteCount * 8 { #expect(fault == .body) }
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
    #expect(verify(bytes) == nil)
  }

  @Test("a frame cut short at any byte is found")
  func truncation() {
    let bytes = frame(bodyByteCount: 40)
    for count in 0..<bytes.count {
      let fault = verify(Array(bytes.prefix(count)))
      #expect(fault == (count < WireHeader.byteCount ? .short : .size))
    }
    #expect(verify(bytes + [1, 2, 3]) == nil, "other frames may follow")
  }

  @Test("the faults have names: another cluster, an unknown kind, a damaged body")
  func faults() {
    var bytes = frame(bodyByteCount: 4)
    #expect(verify(bytes, cluster: 9) == .cluster)
    bytes[130] ^= 1
    #expect(verify(bytes) == .body)
    #expect(throws: Never.self) {
      try WireHeader(verifyingHeaderOf: bytes, cluster: Self.cluster)
    }
    bytes[40] ^= 1
    #expect(verify(bytes) == .header)
    var unknown = [UInt8](repeating: 0, count: WireHeader.byteCount)
    var header = WireHeader(kind: .hello, cluster: Self.cluster, group: 0, sender: NodeID(1))
    header.seal(&unknown)
    unknown[4] = 99
    let checksum = WireHeader.checksum(
      ofBody: Array(unknown.prefix(112)), cluster: Self.cluster)
    for byte in 0..<8 {
      unknown[112 + byte] = UInt8(truncatingIfNeeded: checksum.low >> (8 * byte))
      unknown[120 + byte] = UInt8(truncatingIfNeeded: checksum.high >> (8 * byte))
    }
    #expect(verify(unknown) == .format)
  }

  @Test("random bytes are never taken for a frame, whatever their size field says")
  func randomBytes() {
    var random = SplitMix(seed: 11)
    for _ in 0..<20_000 {
      var bytes = (0..<Int(random.next() % 400)).map { _ in UInt8(truncatingIfNeeded: random.next())
      }
      if bytes.count >= 16, random.next() % 2 == 0 {
        // A plausible beginning, so that more than the first check is reached.
        bytes.replaceSubrange(0..<4, with: [UInt8(random.next() % 255), 0, 0, 0])
        for index in 0..<8 {
          bytes[8 + index] = UInt8(truncatingIfNeeded: Self.cluster >> UInt64(8 * index))
        }
      }
      #expect(verify(bytes) != nil)
    }
  }

  @Test("every message of the protocol survives the way through its header")
  func messages() throws {
    let b = ballot(3, 2)
    let messages: [Message] = [
      .canvass(commit: 1, token: 2),
      .canvassReply(granted: true, promised: b, commit: 1, token: 2),
      .canvassReply(granted: false, promised: b, commit: 1, token: 2),
      .prepare(b, from: 4), .promise(b, from: 4, commit: 3, entries: []),
      .reject(round: 9, promised: b, commit: 1), .accepted(b, through: 6),
      .heartbeat(b, commit: 5, last: 6, round: 7), .heartbeatReply(b, through: 5, round: 7),
      .audit(b, slot: 5, digest: 9, isVerdict: false),
      .audit(b, slot: 5, digest: 9, isVerdict: true), .auditReply(b, slot: 5, digest: 9),
      .fetch(from: 8),
      .learn([]),
    ]
    for message in messages {
      var bytes = [UInt8](repeating: 0, count: WireHeader.byteCount)
      var header = WireHeader(message, cluster: 1, group: 2, sender: NodeID(3))
      header.seal(&bytes)
      let read = try WireHeader(verifying: bytes, cluster: 1)
      #expect(read.sender == NodeID(3) && read.group == 2)
      let back = try #require(read.message())
      #expect("\(back)" == "\(message)")
    }
  }
}
