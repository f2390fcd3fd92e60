import CCycladesWire
import CycladesPaxos
import CycladesTransport
import Glibc

extension Log {
  /// Encodes a prefix behind what a buffer holds.
  static func append(_ prefix: cyc_log_prefix, to buffer: inout Buffer) {
    unsafe buffer.appendUnsafe(atMost: Int(CYC_LOG_PREFIX_SIZE)) { target in
      unsafe withUnsafePointer(to: prefix) { unsafe cyc_log_prefix_encode(target, $0) }
      return Int(CYC_LOG_PREFIX_SIZE)
    }
  }
}

extension Log {
  /// The prefix that ends the write of another one.
  static func end(of prefix: cyc_log_prefix, at offset: UInt32) -> cyc_log_prefix {
    var end = prefix
    end.size = UInt32(CYC_LOG_PREFIX_SIZE)
    end.kind = UInt16(CYC_LOG_END)
    end.first = 0
    end.offset = offset
    end.group = 0
    end.node = 0
    end.round = 0
    return end
  }

  /// The parity of a write of `length` bytes.
  static func parity(
    of slices: [Bytes], length: Int, pool: BufferPool
  ) throws(TransportError) -> Bytes {
    let size = cyc_log_parity_size(length)
    var buffer = try Buffer(minimumCapacity: size, in: pool)
    buffer.appendZeros(size)
    unsafe buffer.withUnsafeMutableBytes { parity in
      var position = 0
      for slice in slices {
        unsafe cyc_log_parity_add(
          parity.baseAddress!, length, position, slice.unsafeStart, slice.byteCount)
        position += slice.byteCount
      }
      precondition(position == length, "the slices are the whole write")
    }
    return buffer.freeze()
  }
}

extension LogSegment {
  /// Appends the entry frame at a location to a buffer with room for it.
  func read(_ location: LogLocation, into buffer: inout Buffer) throws(ReplicationError) {
    var failed: Int32 = 0
    let count = Int(location.byteCount)
    var got = 0
    unsafe buffer.appendUnsafe(atMost: count) { target in
      unsafe got = Files.readFully(
        descriptor, UnsafeMutableRawBufferPointer(start: target, count: count),
        at: Int(location.offset), failed: &failed)
      return got
    }
    if got != count { throw Files.failure("read", path, failed == 0 ? EIO : failed) }
  }
}

extension Buffer {
  /// Appends zeros: padding, or room for a header.
  mutating func appendZeros(_ count: Int) {
    unsafe appendUnsafe(atMost: count) { target in
      unsafe memset(target, 0, count)
      return count
    }
  }
}

extension Files {
  /// Reads exactly `count` bytes of a file into a block of its own.
  static func read(
    _ path: String, at offset: Int, count: Int, pool: BufferPool
  ) throws(ReplicationError) -> Bytes {
    let descriptor = try open(path, O_RDONLY)
    defer { close(descriptor) }
    guard var buffer = try? Buffer(minimumCapacity: count, in: pool) else {
      throw failure("read", path, ENOMEM)
    }
    var failed: Int32 = 0
    unsafe buffer.appendUnsafe(atMost: count) { target in
      unsafe readFully(
        descriptor, UnsafeMutableRawBufferPointer(start: target, count: count), at: offset,
        failed: &failed)
    }
    if buffer.byteCount != count { throw failure("read", path, failed == 0 ? EIO : failed) }
    return buffer.freeze()
  }
}
