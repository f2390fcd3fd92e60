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
/// Records of a fixed size need no skipping, since they are cut between records; and files whose
/// records cannot be found from the middle, as in CSV or compressed ones, are one segment.
///
/// Windows are read by `pread` into memory that is used over and over and stays in the cache; mapping
/// the file instead costs a page fault per 64 KiB, and a file that shrinks would kill the process.
@safe final class SplitReader {
  private let region: Region
  private let format: RecordFormat
  private let recordLimit: Int
  private var segments: ArraySlice<InputSegment>
  private var stream: (any InputStream)?
  private var segment = InputSegment(path: "", offset: 0, byteCount: 0, fileByteCount: 0)
  /// Bytes `from ..< to` of the region are read and not consumed; `base` is the offset in the file of
  /// the region's first byte.
  private var base = 0
  private var from = 0
  private var to = 0
  private var skipping = false
  /// Where the segment and the file end; not known of a compressed file before its end is read.
  private var segmentEnd = 0
  private var fileEnd = 0

  private let windowBytes: Int
  private let files: any FileSource

  init(
    _ split: InputSplit, format: RecordFormat, region: Region,
    files: any FileSource = LocalFiles(), windowBytes: Int = 512 << 10,
    recordLimit: Int = TaskMemory.recordLimit
  ) {
    segments = split.segments[...]
    self.format = format
    self.region = region
    self.recordLimit = recordLimit
    self.windowBytes = windowBytes
    self.files = files
  }

  /// Where the next window begins, or the last one ended.
  var position: InputPosition { InputPosition(path: segment.path, offset: base + from) }

  /// Hands the next whole records to `body`, with their ends and with 16 readable bytes behind;
  /// false at the end of the split. Throws `InputNotReady` while input is on its way.
  func withNextWindow(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
    while true {
      if stream == nil, try !openNext() { return false }
      if let end = try fillWindow() {
        let window = unsafe UnsafeRawBufferPointer(
          start: region.start + from, count: end - from)
        if unsafe !window.isEmpty {
          try unsafe body(window)
          from = end
          return true
        }
      }
      stream = nil
    }
  }

  private func openNext() throws -> Bool {
    guard let next = segments.popFirst() else { return false }
    segment = next
    stream = try next.coding.decode(files.open(next), path: next.path)
    skipping = next.offset > 0 && format.cutUnit == 1
    base = skipping ? next.offset - 1 : next.offset
    from = 0
    to = 0
    segmentEnd = next.coding == .plain ? next.offset + next.byteCount : .max
    fileEnd = next.coding == .plain ? next.fileByteCount : .max
    return true
  }

  /// Reads until the region holds whole records of the segment. Returns where they end, or nil when
  /// the segment has no more.
  private func fillWindow() throws -> Int? {
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
          if format.cutUnit != 1 { return try lastWindow() }
          // The last record is the one that holds the segment's last byte.
          if let end = recordEnd(after: max(from, segmentEnd - 1 - base)) { return end }
          if base + to == fileEnd { return to }
        } else if let end = lastRecordEnd() {
          return end
        }
      } else if base + to >= segmentEnd {
        return nil
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
    let end = format.cutUnit == 1 ? fileEnd : segmentEnd
    let want = min(max(windowBytes, to), end - base - to)
    guard to + want <= recordLimit + windowBytes, region.ensure(to + want + 64) else {
      throw MapReduceError(.input, "\(position): a record is larger than \(recordLimit) bytes")
    }
    let count = try unsafe stream?.read(into: region.start + to, count: want, at: base + to) ?? 0
    if count == 0 && segment.coding != .plain {
      segmentEnd = base + to
      fileEnd = segmentEnd
      return
    }
    guard count > 0 else {
      throw MapReduceError(
        .input,
        "input '\(segment.path)' was cut to \(base + to) bytes while the job ran; it had "
          + "\(segment.fileByteCount)")
    }
    to += count
  }

  /// Where the records of a segment's end stop, for formats whose segments end with a record.
  private func lastWindow() throws -> Int {
    if format == .csv { return to }
    let end = lastRecordEnd() ?? from
    guard end == to else {
      throw MapReduceError(
        .input, "\(segment.path) at byte \(base + end): the last record is not complete")
    }
    return end
  }

  /// One past the first byte at or after `index` that ends a record.
  private func recordEnd(after index: Int) -> Int? {
    let text = unsafe region.start.assumingMemoryBound(to: UInt8.self)
    let past = unsafe cyc_text_skip(text + index, to - index, format.endsAtAnySpace ? 1 : 0)
    return past == 0 ? nil : index + past
  }

  /// One past the last byte read that ends a record.
  private func lastRecordEnd() -> Int? {
    let text = unsafe region.start.assumingMemoryBound(to: UInt8.self)
    let past: Int
    switch format {
    case .line, .lines, .text:
      past = unsafe cyc_text_cut(text + from, to - from, format.endsAtAnySpace ? 1 : 0)
    case .csv: past = lastSkip { unsafe cyc_text_csv_skip(text + $0, $1, UInt8(ascii: "\"")) }
    case .fixed(let byteCount): past = (to - from) / byteCount * byteCount
    case .lengthPrefixed:
      past = lastSkip { index, count in
        guard count >= 4 else { return 0 }
        let length = unsafe RawSpan(_unsafeStart: region.start + index, byteCount: 4)
          .prefixedLength(at: 0)
        return count - 4 >= length ? 4 + length : 0
      }
    }
    return past == 0 ? nil : from + past
  }

  /// How far whole records reach, skipping one after the other.
  private func lastSkip(_ skip: (_ index: Int, _ count: Int) -> Int) -> Int {
    var index = from
    while index < to {
      let length = skip(index, to - index)
      if length == 0 { break }
      index += length
    }
    return index - from
  }
}
