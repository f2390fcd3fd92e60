import Glibc

#if Compression
  internal import CZlib
  internal import CZstd
#endif

/// Compresses what a part file is made of; nil for parts that are written as they are.
protocol PartCompressor: AnyObject {
  /// Compresses bytes, or what is left when `isLast`, and hands what comes out to `write`.
  func compress(
    _ bytes: UnsafeRawBufferPointer, isLast: Bool,
    _ write: (UnsafeRawBufferPointer) throws -> Void) throws
}

#if Compression
  /// gzip, at the fastest level: a job's output is written once and its cost is the job's.
  @safe private final class GzipCompressor: PartCompressor {
    private var state = unsafe z_stream()
    private var output = [UInt8](repeating: 0, count: 128 << 10)

    init() throws {
      let result = unsafe deflateInit2_(
        &state, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size))
      guard result == Z_OK else { throw outOfMemory(256 << 10) }
    }

    deinit { unsafe deflateEnd(&state) }

    func compress(
      _ bytes: UnsafeRawBufferPointer, isLast: Bool,
      _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
      let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
      unsafe state.next_in = unsafe UnsafeMutablePointer(mutating: start)
      unsafe state.avail_in = UInt32(bytes.count)
      var isDone = false
      while !isDone {
        try unsafe output.withUnsafeMutableBytes { room in
          unsafe state.next_out = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
          unsafe state.avail_out = UInt32(room.count)
          let result = unsafe deflate(&state, isLast ? Z_FINISH : Z_NO_FLUSH)
          let count = unsafe room.count - Int(state.avail_out)
          try unsafe write(UnsafeRawBufferPointer(rebasing: room[..<count]))
          isDone = unsafe isLast ? result == Z_STREAM_END : state.avail_in == 0
        }
      }
    }
  }

  /// Zstandard, at its default level.
  @safe private final class ZstdCompressor: PartCompressor {
    private let state: OpaquePointer
    private var output = [UInt8](repeating: 0, count: 128 << 10)

    init() throws {
      guard let state = unsafe ZSTD_createCCtx() else { throw outOfMemory(1 << 20) }
      unsafe self.state = state
    }

    deinit { unsafe ZSTD_freeCCtx(state) }

    func compress(
      _ bytes: UnsafeRawBufferPointer, isLast: Bool,
      _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
      var source = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
      var isDone = false
      while !isDone {
        try unsafe output.withUnsafeMutableBytes { room in
          var target = unsafe ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
          let left = unsafe ZSTD_compressStream2(
            state, &target, &source, isLast ? ZSTD_e_end : ZSTD_e_continue)
          guard ZSTD_isError(left) == 0 else {
            throw MapReduceError(
              .output, "zstd: \(unsafe String(cString: ZSTD_getErrorName(left)))")
          }
          try unsafe write(UnsafeRawBufferPointer(rebasing: room[..<target.pos]))
          isDone = unsafe isLast ? left == 0 : source.pos == source.size
        }
      }
    }
  }
#endif

extension OutputCompression {
  func makeCompressor() throws -> (any PartCompressor)? {
    switch self {
    case .none: return nil
    #if Compression
      case .gzip: return try GzipCompressor()
      case .zstd: return try ZstdCompressor()
    #else
      case .gzip, .zstd:
        throw MapReduceError(.output, "this program was built without the trait Compression")
    #endif
    }
  }
}
