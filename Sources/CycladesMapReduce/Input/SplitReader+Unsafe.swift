internal import CCycladesShuffle
import Glibc

/// Reads a split as windows of whole records.
///
/// The boundary rule: a record belongs to the segment in which its first byte lies. So a segment that
/// does not begin its file is read from one byte before its start and skips to the first record end
/// found there; and its last record is read to its end, wherever that is. Every record of a file is
/// in exactly one segment, however the file is cut.
///
///   file     aaaa n bbbbbbbbbbbb n cc n          n = a byte that ends records
///   cut               |
///   segment  [aaaa n bbbbbbbbbbbb n]   and   [cc n]
///
/// Windows are read by `pread` into memory that is used over and over and stays in the cache; mapping
/// the file instead costs a page fault per 64 KiB, and a file that shrinks would kill the process.
@safe final class SplitReader {
  private let region: Region
  private let anySpace: Bool
  private var segments: ArraySlice<InputSegment>
  private var file: Int32 = -1
  private var segment = InputSegment(path: "", offset: 0, byteCount: 0, fileByteCount: 0)
  /// Bytes `from ..< to` of the region are read and not consumed; `base` is the offset in the file of
  /// the region's first byte.
  private var base = 0
  private var from = 0
  private var to = 0
  private var skipping = false

  private static let windowBytes = 512 << 10

  init(_ split: InputSplit, format: RecordFormat, region: Region) {
    segments = split.segments[...]
    anySpace = format.endsAtAnySpace
    self.region = region
  }

  deinit { if file >= 0 { close(file) } }

  /// Where the next window begins, or the last one ended.
  var position: InputPosition { InputPosition(path: segment.path, offset: base + from) }

  /// Hands the next whole records to `body`, with their ends and with 16 readable bytes behind;
  /// false at the end of the split.
  func withNextWindow(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
    while true {
      if file < 0, try !openNext() { return false }
      if let end = try fillWindow() {
        let window = unsafe UnsafeRawBufferPointer(
          start: region.start + from, count: end - from)
        if unsafe !window.isEmpty {
          try unsafe body(window)
          from = end
          return true
        }
      }
      close(file)
      file = -1
    }
  }

  private func openNext() throws -> Bool {
    guard let next = segments.popFirst() else { return false }
    segment = next
    file = unsafe open(next.path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Files.failed(.input, "read input", next.path) }
    skipping = next.offset > 0
    base = skipping ? next.offset - 1 : 0
    from = 0
    to = 0
    return true
  }

  /// Reads until the region holds whole records of the segment. Returns where they end, or nil when
  /// the segment has no more.
  private func fillWindow() throws -> Int? {
    let segmentEnd = segment.offset + segment.byteCount
    guard base + from < segmentEnd else { return nil }
    moveToFront()
    while true {
      if skipping, let start = recordEnd(after: from) {
        skipping = false
        from = start
        if base + from >= segmentEnd { return nil }
      } else if skipping {
        // Nothing here ends a record: what begins in this segment has not begun yet.
        if base + to >= segmentEnd { return nil }
        base += to
        from = 0
        to = 0
      }
      if !skipping, to > from {
        if base + to >= segmentEnd {
          // The last record is the one that holds the segment's last byte.
          if let end = recordEnd(after: max(from, segmentEnd - 1 - base)) { return end }
          if base + to == segment.fileByteCount { return to }
        } else if let end = lastRecordEnd() {
          return end
        }
      }
      try readMore()
    }
  }

  private func moveToFront() {
    guard from > 0 else { return }
    unsafe region.start.copyMemory(from: region.start + from, byteCount: to - from)
    base += from
    to -= from
    from = 0
  }

  private func readMore() throws {
    // A record larger than the window doubles what is read at a time.
    let want = min(max(SplitReader.windowBytes, to), segment.fileByteCount - base - to)
    guard to + want <= TaskMemory.recordLimit, region.ensure(to + want + 64) else {
      throw MapReduceError(
        .input, "\(position): a record is larger than \(TaskMemory.recordLimit) bytes")
    }
    let count = unsafe pread(file, region.start + to, want, off_t(base + to))
    if count < 0 && errno == EINTR { return }
    guard count >= 0 else { throw Files.failed(.input, "read input", segment.path) }
    guard count > 0 else {
      throw MapReduceError(
        .input,
        "input '\(segment.path)' was cut to \(base + to) bytes while the job ran; it had "
          + "\(segment.fileByteCount)")
    }
    to += count
  }

  /// One past the first byte at or after `index` that ends a record.
  private func recordEnd(after index: Int) -> Int? {
    let text = unsafe region.start.assumingMemoryBound(to: UInt8.self)
    let past = unsafe cyc_text_skip(text + index, to - index, anySpace ? 1 : 0)
    return past == 0 ? nil : index + past
  }

  /// One past the last byte read that ends a record.
  private func lastRecordEnd() -> Int? {
    let text = unsafe region.start.assumingMemoryBound(to: UInt8.self)
    let past = unsafe cyc_text_cut(text + from, to - from, anySpace ? 1 : 0)
    return past == 0 ? nil : from + past
  }
}
