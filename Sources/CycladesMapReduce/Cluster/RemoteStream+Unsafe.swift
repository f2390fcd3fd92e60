internal import CycladesTransport

/// A file that is read from the job's home, some pieces ahead of its reader.
final class RemoteStream: InputStream {
  private weak var link: HomeLink?
  private let segment: InputSegment
  private var id = 0
  /// The offset of the next byte to be handed out, the first one that was not asked for, and the
  /// file's end once it is known.
  private var position = 0
  private var asked = 0
  private var end = Int.max
  private var pieces: [DataFrame] = []
  private var usedOfFirst = 0
  private var failure: (any Error)?

  /// Pieces that are asked for ahead.
  private static let ahead = 4

  init(_ link: HomeLink, _ segment: InputSegment) {
    self.link = link
    self.segment = segment
  }

  deinit { link?.forget(stream: id) }

  func read(into start: UnsafeMutableRawPointer, count: Int, at offset: Int) throws -> Int {
    if let failure { throw failure }
    if offset != position || id == 0 { begin(at: offset) }
    ask()
    guard let first = pieces.first else {
      if position >= end { return 0 }
      throw InputNotReady()
    }
    let taken = min(count, first.count - usedOfFirst)
    unsafe first.withPayload { bytes in
      if let base = bytes.baseAddress {
        unsafe start.copyMemory(from: base + usedOfFirst, byteCount: taken)
      }
    }
    usedOfFirst += taken
    position += taken
    if usedOfFirst == first.count {
      pieces.removeFirst()
      usedOfFirst = 0
      ask()
    }
    return taken
  }

  /// Where reading ahead stops: a little behind the segment, since its last record ends there.
  private var horizon: Int {
    if segment.coding != .plain { return segment.fileByteCount }
    return min(segment.fileByteCount, segment.offset + segment.byteCount + (64 << 10))
  }

  private func begin(at offset: Int) {
    link?.forget(stream: id)
    id = link?.open(self) ?? 0
    (position, asked, end) = (offset, offset, .max)
    pieces = []
    usedOfFirst = 0
  }

  private func ask() {
    let limit = position + RemoteStream.ahead * DataFrame.pieceBytes
    while asked < end, asked < limit, asked < horizon || asked == position {
      link?.ask(stream: id, path: segment.path, offset: asked, count: DataFrame.pieceBytes)
      asked += DataFrame.pieceBytes
    }
  }

  /// Takes a piece; pieces come in the order in which they were asked for.
  func take(_ piece: DataFrame) {
    if piece.count < DataFrame.pieceBytes { end = min(end, piece.extra + piece.count) }
    if piece.count > 0 { pieces.append(piece) }
  }

  func fail(_ error: any Error) { failure = error }
}

/// A part that is written at the job's home.
final class RemotePart: PartFile {
  private weak var link: HomeLink?
  private let name: Attempt
  private var sent = 0
  private var acknowledged = 0
  private var isComplete = false
  private var failure: (any Error)?

  /// Pieces that may be under way.
  private static let window = 16

  init(_ link: HomeLink, _ name: Attempt) {
    self.link = link
    self.name = name
  }

  deinit { link?.forget(name, isKept: isComplete) }

  func append(_ bytes: UnsafeRawBufferPointer) throws {
    if let failure { throw failure }
    var rest = unsafe bytes
    while unsafe !rest.isEmpty {
      let count = min(rest.count, DataFrame.pieceBytes)
      try unsafe link?.send(
        UnsafeRawBufferPointer(rebasing: rest[..<count]), of: name, sequence: sent)
      sent += 1
      unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  func finish(_ info: PartInfo, syncs: Bool) throws {
    if let failure { throw failure }
    link?.send(named: .partEnd, name) {
      $0.sequence = sent
      $0.payload = info.payload
    }
  }

  /// Whether more may be written now.
  func hasRoom() throws -> Bool {
    if let failure { throw failure }
    return sent - acknowledged < RemotePart.window
  }

  /// Whether the home has all of it on disk.
  func isKept() throws -> Bool {
    if let failure { throw failure }
    return isComplete
  }

  func kept(pieces: Int, isAll: Bool) {
    acknowledged = max(acknowledged, pieces)
    isComplete = isComplete || isAll
  }

  func fail(_ error: any Error) { failure = error }
}
