import Glibc

#if Compression
  internal import CZlib
  internal import CZstd
#endif

/// How a file's bytes become input.
enum InputCoding: Int, Hashable, Sendable {
  case plain, gzip, zstd

  /// By the end of the path.
  init(path: String) {
    self = path.hasSuffix(".gz") ? .gzip : path.hasSuffix(".zst") ? .zstd : .plain
  }

  /// Whether this build can read it.
  static var isCompressionBuilt: Bool {
    #if Compression
      true
    #else
      false
    #endif
  }
}

/// Says that input is on its way: whoever reads asks again later, and nothing has changed.
struct InputNotReady: Error {}

/// Where the bytes of input files are.
protocol FileSource: AnyObject {
  /// Opens the file of a segment, as it is.
  func open(_ segment: InputSegment) throws -> any InputStream
}

/// Files of this machine.
final class LocalFiles: FileSource {
  func open(_ segment: InputSegment) throws -> any InputStream { try PlainStream(segment.path) }
}

/// The bytes of an input file from front to back: as they are, or decompressed.
protocol InputStream: AnyObject {
  /// Reads up to `count` bytes of what begins at `offset`; 0 only at the end. A decompressing stream is
  /// always asked for what follows what it gave before. May throw `InputNotReady`.
  func read(into start: UnsafeMutableRawPointer, count: Int, at offset: Int) throws -> Int
}

/// A file read by `pread`.
final class PlainStream: InputStream {
  private let path: String
  private let file: Int32

  init(_ path: String) throws {
    self.path = path
    file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Files.failed(.input, "read input", path) }
  }

  deinit { close(file) }

  func read(into start: UnsafeMutableRawPointer, count: Int, at offset: Int) throws -> Int {
    while true {
      let result = unsafe pread(file, start, count, off_t(offset))
      if result >= 0 { return result }
      guard errno == EINTR else { throw Files.failed(.input, "read input", path) }
    }
  }
}

#if Compression
  /// What both decompressors share: compressed bytes at hand.
  private struct CompressedInput {
    let file: any InputStream
    let path: String
    var bytes = [UInt8](repeating: 0, count: 256 << 10)
    var next = 0
    var filled = 0
    private var offset = 0

    init(_ path: String, _ file: any InputStream) {
      self.file = file
      self.path = path
    }

    /// Reads more when all is used up; false at the end of the file.
    mutating func fill() throws -> Bool {
      if next < filled { return true }
      let position = offset
      // Nothing changes when this throws.
      let count = try unsafe bytes.withUnsafeMutableBytes {
        unsafe try file.read(into: $0.baseAddress.unsafelyUnwrapped, count: $0.count, at: position)
      }
      next = 0
      filled = count
      offset += count
      return count > 0
    }

    func corrupt(_ reason: String) -> MapReduceError {
      MapReduceError(
        .input, "input '\(path)' is damaged before byte \(offset - filled + next): \(reason)")
    }
  }

  /// gzip, of one or more members.
  @safe final class GzipStream: InputStream {
    private var input: CompressedInput
    private var state = unsafe z_stream()
    private var isInsideMember = false

    init(_ path: String, _ file: any InputStream) throws {
      input = CompressedInput(path, file)
      let result = unsafe inflateInit2_(
        &state, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      guard result == Z_OK else { throw outOfMemory(64 << 10) }
    }

    deinit { unsafe inflateEnd(&state) }

    func read(into start: UnsafeMutableRawPointer, count: Int, at offset: Int) throws -> Int {
      while true {
        guard try input.fill() else {
          guard !isInsideMember else { throw input.corrupt("it ends too early") }
          return 0
        }
        let (next, available) = (input.next, input.filled - input.next)
        let room = min(count, 1 << 30)
        unsafe state.next_out = start.assumingMemoryBound(to: UInt8.self)
        unsafe state.avail_out = UInt32(room)
        let result = unsafe input.bytes.withUnsafeMutableBufferPointer { bytes in
          unsafe state.next_in = bytes.baseAddress.unsafelyUnwrapped + next
          unsafe state.avail_in = UInt32(available)
          return unsafe inflate(&state, Z_NO_FLUSH)
        }
        let taken = unsafe available - Int(state.avail_in)
        input.next += taken
        isInsideMember = true
        if result == Z_STREAM_END {
          isInsideMember = false
          unsafe inflateReset(&state)
        } else if result != Z_OK && result != Z_BUF_ERROR {
          throw input.corrupt(unsafe state.msg.map { unsafe String(cString: $0) } ?? "not gzip")
        }
        let given = unsafe room - Int(state.avail_out)
        if given > 0 { return given }
      }
    }
  }

  /// Zstandard, of one or more frames.
  @safe final class ZstdStream: InputStream {
    private var input: CompressedInput
    private let state: OpaquePointer
    private var isInsideFrame = false

    init(_ path: String, _ file: any InputStream) throws {
      input = CompressedInput(path, file)
      guard let state = unsafe ZSTD_createDCtx() else { throw outOfMemory(128 << 10) }
      unsafe self.state = state
    }

    deinit { unsafe ZSTD_freeDCtx(state) }

    func read(into start: UnsafeMutableRawPointer, count: Int, at offset: Int) throws -> Int {
      while true {
        // What is decompressed and not handed out yet comes without more input.
        let more = try input.fill()
        guard more || isInsideFrame else { return 0 }
        var output = unsafe ZSTD_outBuffer(dst: start, size: count, pos: 0)
        let (next, filled) = (input.next, input.filled)
        var used = next
        let result = unsafe input.bytes.withUnsafeBytes { bytes in
          var source = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: filled, pos: next)
          defer { unsafe used = source.pos }
          return unsafe ZSTD_decompressStream(state, &output, &source)
        }
        input.next = used
        guard ZSTD_isError(result) == 0 else {
          throw input.corrupt(unsafe String(cString: ZSTD_getErrorName(result)))
        }
        isInsideFrame = result != 0
        let given = unsafe output.pos
        if given > 0 { return given }
        if !more { throw input.corrupt("it ends too early") }
      }
    }
  }
#endif

extension InputCoding {
  /// What is in a file.
  func decode(_ file: any InputStream, path: String) throws -> any InputStream {
    switch self {
    case .plain: return file
    #if Compression
      case .gzip: return try GzipStream(path, file)
      case .zstd: return try ZstdStream(path, file)
    #else
      case .gzip, .zstd:
        throw MapReduceError(
          .input,
          "cannot read input '\(path)': this program was built without the trait Compression")
    #endif
    }
  }
}
