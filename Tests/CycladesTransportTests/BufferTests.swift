import CycladesTransport
import Testing

@Suite("buffers")
struct BufferTests {
  @Test("what is appended is what is frozen")
  func appending() throws {
    let pool = BufferPool(budgetBytes: 8 << 20)
    var buffer = try Buffer(minimumCapacity: 100, in: pool)
    #expect(buffer.capacity >= 100 && buffer.freeCapacity == buffer.capacity)
    buffer.append(littleEndian: 0x0102_0304 as UInt32)
    buffer.append([9, 8])
    buffer.append(atMost: 10) { output in
      output.append(7 as UInt8)
      output.append(6 as UInt8)
    }
    buffer.append(littleEndian: -2 as Int64)
    unsafe buffer.withUnsafeMutableBytes { unsafe $0[0] = 0xff }
    #expect(buffer.byteCount == 16)
    let bytes = buffer.freeze()
    #expect(
      bytes.span.array == [0xff, 3, 2, 1, 9, 8, 7, 6, 0xfe] + Array(repeating: 0xff, count: 7))
  }

  @Test("slices share their block and keep it until the last is gone")
  func slicing() throws {
    let pool = BufferPool(budgetBytes: 8 << 20)
    var slice: Bytes? = try Bytes(copying: Array(0..<100), in: pool).slice(10..<20).slice(2..<5)
    #expect(slice?.span.array == [12, 13, 14])
    #expect(slice?.slice(3..<3).byteCount == 0)
    #expect(pool.statistics.takenBlocks == 1)
    slice = nil
    #expect(pool.statistics.takenBlocks == 0)
  }

  @Test("a dropped buffer gives its block back")
  func dropping() throws {
    let pool = BufferPool(budgetBytes: 8 << 20)
    do {
      var buffer = try Buffer(minimumCapacity: 1, in: pool)
      buffer.append(littleEndian: 1 as UInt8)
      #expect(pool.statistics.takenBlocks == 1)
    }
    #expect(pool.statistics.takenBlocks == 0)
  }

  @Test(
    "capacities come from the smallest class that holds them",
    arguments: [
      (0, 16_384), (1, 16_384), (16_384, 16_384), (16_385, 65_536), (65_536, 65_536),
      (65_537, 262_144), (262_144, 262_144),
      (262_145, 262_145), (5_000_000, 5_000_000),
    ])
  func classes(minimum: Int, capacity: Int) throws {
    let pool = BufferPool(budgetBytes: 64 << 20)
    let buffer = try Buffer(minimumCapacity: minimum, in: pool)
    #expect(buffer.capacity == capacity)
  }

  @Test("the budget is never passed and a refusal is a typed error")
  func budget() throws {
    let pool = BufferPool(budgetBytes: 4 << 20)
    var held: [Bytes] = []
    let error = #expect(throws: TransportError.self) {
      while true { held.append(try Bytes(copying: [1], in: pool)) }
    }
    #expect(error?.code == .outOfBuffers)
    #expect(held.count == 256)
    #expect(pool.statistics.mappedBytes == 4 << 20)
    #expect(pool.statistics.refusals == 1)
    held.removeLast()
    #expect(try Bytes(copying: [2], in: pool).byteCount == 1)
  }

  @Test("idle chunks of one class make room for another class")
  func trimming() throws {
    let pool = BufferPool(budgetBytes: 4 << 20)
    var held = try (0..<256).map { _ in try Bytes(copying: [1], in: pool) }
    #expect(throws: TransportError.self) { _ = try Buffer(minimumCapacity: 100_000, in: pool) }
    held.removeAll()
    let medium = try Buffer(minimumCapacity: 100_000, in: pool)
    let big = try Buffer(minimumCapacity: 1 << 20, in: pool)
    #expect(medium.capacity == 262_144 && big.capacity == 1 << 20)
    #expect(pool.statistics.mappedBytes <= 4 << 20)
  }

  @Test("a size no block can have is refused", arguments: [(1 << 30) + 1, Int.max])
  func tooLarge(size: Int) throws {
    let pool = BufferPool(budgetBytes: .max)
    #expect(throws: TransportError.self) { _ = try Buffer(minimumCapacity: size, in: pool) }
  }

  @Test("bytes may outlive their pool")
  func outliving() throws {
    var pool: BufferPool? = BufferPool(budgetBytes: 4 << 20)
    let bytes = try Bytes(copying: pattern(1000), in: pool!)
    pool = nil
    #expect(Blob(bytes.span.array) == Blob(pattern(1000)))
  }
}

@Suite("socket addresses")
struct SocketAddressTests {
  @Test(
    "literals are read and written alike",
    arguments: ["127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[fe80::1]:7", "192.168.1.20:6379"])
  func roundTrip(text: String) throws {
    let address = try SocketAddress(parsing: text)
    #expect(address.description == text)
    #expect(try SocketAddress(host: address.host, port: Int(address.port)) == address)
  }

  @Test("a name resolves, and an empty host is every address")
  func names() throws {
    #expect(try SocketAddress(parsing: "localhost:80") == .loopback(port: 80))
    #expect(try SocketAddress(parsing: ":80").description == "0.0.0.0:80")
    #expect(SocketAddress.loopback(port: 1).withPort(2) == .loopback(port: 2))
  }

  @Test(
    "text that is no address is refused with a typed error",
    arguments: ["", "80", "host", "host:", "host:x", "1.2.3.4:65536", "1.2.3.4:-1", "::1:80"])
  func malformed(text: String) {
    let error = #expect(throws: TransportError.self) { try SocketAddress(parsing: text) }
    #expect(error?.code == .addressMalformed)
  }

  @Test("a name that does not exist is a resolution error")
  func unresolved() {
    let error = #expect(throws: TransportError.self) {
      try SocketAddress(host: "no such host", port: 1)
    }
    #expect(error?.code == .addressUnresolved)
  }
}

@Suite("reading raw spans")
struct RawSpanTests {
  @Test("bytes, integers and delimiters are found where they are")
  func reading() throws {
    let pool = BufferPool(budgetBytes: 4 << 20)
    let bytes = try Bytes(copying: [1, 2, 3, 4, 5, 0xff, 2, 9, 9], in: pool)
    let span = bytes.span
    let last = span.byte(at: 8)
    #expect(last == 9)
    let loaded = (
      span.load(littleEndianAt: 1, as: UInt32.self), span.load(littleEndianAt: 5, as: Int16.self),
      span.load(littleEndianAt: 1, as: UInt64.self)
    )
    #expect(loaded == (0x0504_0302, 0x02ff, 0x0909_02ff_0504_0302))
    let offsets = [
      span.firstOffset(of: 2), span.firstOffset(of: 2, from: 2), span.firstOffset(of: 2, from: 7),
      span.firstOffset(of: 9, from: 9),
    ]
    #expect(offsets == [1, 6, nil, nil])
    let copy = span.array
    #expect(copy == [1, 2, 3, 4, 5, 0xff, 2, 9, 9])
  }

  @Test("text is read as UTF-8, and an empty span holds nothing")
  func text() throws {
    let pool = BufferPool(budgetBytes: 4 << 20)
    let text = try Bytes(copying: Array("grüße".utf8), in: pool)
    let read = text.span.string
    #expect(read == "grüße")
    let empty = try Bytes(copying: [], in: pool)
    let found = empty.span.firstOffset(of: 0)
    #expect(found == nil)
  }
}
