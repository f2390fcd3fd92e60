import CycladesPaxos
import CycladesTransport
import Glibc

/// What must be known of a group besides its entries, as of a place in the log.
struct GroupMark: Equatable {
  /// The highest ballot promised: written before anything is said in it.
  var promised = Ballot.zero
  /// What was accepted up to this slot was dropped at some time.
  var forgotten: Slot = 0
  /// The last slot with a durable record.
  var last: Slot = 0
  /// Everything up to this slot is decided.
  var commit: Slot = 0
}

/// A place in the log.
struct LogPosition: Equatable {
  var segment: UInt32 = 0
  var offset: UInt32 = 0
  /// The number of the last write before it.
  var generation: UInt64 = 0
}

/// The few facts that no damage may take: whose folder it is, what its groups promised, and how far the
/// log was durable at the time.
///
/// The file holds four copies, one behind the other:
///
/// ```
///   u64 magic  u128 checksum of the rest  u32 which copy  u32 bytes of the rest
///   rest: u64 sequence  u64 checksum of the one before  u32 segment  u32 offset  u64 generation
///         u32 groups  u32 bytes of identity  { u64 round u32 node u32 0 u64 x 3 } ...  identity
/// ```
///
/// Two copies are written and synced, then the other two. So at any instant two are complete, and of
/// these the newer sequence counts. A copy knows which it is, outside of the checksum that all four
/// share, and names its predecessor: a copy that strayed to another's place, and a folder whose past
/// forked, are found.
///
/// It is written before a promise is spoken of, so a damaged log never costs a promise; and once a
/// second when the log has moved: with the place in it, everything before was certainly durable, and
/// what is missing there has rotted and was not torn.
final class Superblock: FileCompletion {
  struct Content: Equatable {
    var sequence: UInt64 = 0
    var parent: UInt64 = 0
    var identity: Identity
    var position = LogPosition()
    var groups: [GroupMark]
  }

  static let name = "superblock"
  static let copies = 4
  private static let magic: UInt64 = 0x6b6c_6275_7370_7963
  private static let headBytes = 32
  private static let identityBytesMax = 64 << 10

  let path: String
  /// What the next copies will say.
  var content: Content
  /// Copies that were damaged or old when the file was opened.
  private(set) var repairedCopies = 0
  private(set) var descriptor: Int32 = -1
  private let stride: Int
  private var stored: Content
  private var reactor: Reactor!
  private var writing: (image: [UInt8], copy: Int, sequence: UInt64)?
  private var waiting: [(ReplicationError?) -> Void] = []
  private var called: [(ReplicationError?) -> Void] = []

  private init(_ path: String, _ content: Content) {
    self.path = path
    self.content = content
    stored = content
    stride = Superblock.stride(content.groups.count)
  }

  private static func stride(_ groups: Int) -> Int {
    Log.align(headBytes + 40 + 40 * groups + identityBytesMax, 4096)
  }

  /// Makes the file in a folder that has none, durably.
  static func create(
    _ identity: Identity, groups: Int, in folder: String
  ) throws(ReplicationError) -> Superblock {
    let path = folder + "/" + name
    let content = Content(
      identity: identity, groups: Array(repeating: GroupMark(), count: groups))
    let superblock = Superblock(path, content)
    var file: [UInt8] = []
    for copy in 0..<copies {
      var image = superblock.image(content)
      image[24] = UInt8(copy)
      file += image + Array(repeating: 0, count: superblock.stride - image.count)
    }
    try Files.replace(path, in: folder, with: file)
    superblock.descriptor = try Files.open(path, O_RDWR)
    return superblock
  }

  /// Opens the file, and makes all copies equal to the newest one.
  static func open(in folder: String, groups: Int) throws(ReplicationError) -> Superblock {
    let path = folder + "/" + name
    let descriptor = try Files.open(path, O_RDWR)
    do throws(ReplicationError) {
      let size = stride(groups)
      var found: [(content: Content, checksum: UInt64)?] = []
      for copy in 0..<copies {
        found.append(
          read(try Files.read(descriptor, path, at: copy * size, count: size), copy))
      }
      guard
        let newest = found.compactMap({ $0 }).max(by: { $0.content.sequence < $1.content.sequence })
      else {
        throw ReplicationError(
          .foreignFolder,
          "none of the \(copies) copies in \(path) can be read: it is damaged or of another version; "
            + "if other replicas have the data, start the node with an empty folder")
      }
      for case let other? in found
      where other.content.sequence + 1 == newest.content.sequence
        && other.checksum != newest.content.parent
      {
        throw ReplicationError(
          .foreignFolder, "\(path) has two pasts: the folder was copied and used twice")
      }
      guard newest.content.groups.count == groups else {
        throw ReplicationError(
          .foreignFolder,
          "\(path) was made for other groups or members: start with the shards and peers it had")
      }
      let superblock = Superblock(path, newest.content)
      superblock.descriptor = descriptor
      superblock.repairedCopies = found.count { $0?.content.sequence != newest.content.sequence }
      if superblock.repairedCopies > 0 { try superblock.storeNow() }
      return superblock
    } catch {
      Files.close(descriptor)
      throw error
    }
  }

  deinit { close() }

  func close() {
    if descriptor >= 0 { Files.close(descriptor) }
    descriptor = -1
  }

  // MARK: Bytes

  private func image(_ content: Content) -> [UInt8] {
    var rest = Reply()
    rest.append(littleEndian: content.sequence)
    rest.append(littleEndian: content.parent)
    rest.append(littleEndian: content.position.segment)
    rest.append(littleEndian: content.position.offset)
    rest.append(littleEndian: content.position.generation)
    let identity = Array(content.identity.text.utf8)
    precondition(identity.count <= Superblock.identityBytesMax, "an identity has at most 64 KiB")
    rest.append(littleEndian: UInt32(content.groups.count))
    rest.append(littleEndian: UInt32(identity.count))
    for group in content.groups {
      rest.append(littleEndian: group.promised.round)
      rest.append(littleEndian: group.promised.node.rawValue)
      rest.append(littleEndian: UInt32(0))
      rest.append(littleEndian: group.forgotten)
      rest.append(littleEndian: group.last)
      rest.append(littleEndian: group.commit)
    }
    rest.append(contentsOf: identity)
    let checksum = WireHeader.checksum(ofBody: rest.bytes.rawSpan, cluster: Superblock.magic)
    var image = Reply()
    image.append(littleEndian: Superblock.magic)
    image.append(littleEndian: checksum.low)
    image.append(littleEndian: checksum.high)
    image.append(littleEndian: UInt32(0))
    image.append(littleEndian: UInt32(rest.byteCount))
    image.append(contentsOf: rest.bytes)
    return image.bytes
  }

  /// A copy's content and checksum; `nil` unless it is whole and in its place.
  private static func read(
    _ bytes: [UInt8], _ copy: Int
  ) -> (content: Content, checksum: UInt64)? {
    var input = SpanReader(bytes.rawSpan)
    guard input.read(UInt64.self) == magic, let low = input.read(UInt64.self),
      let high = input.read(UInt64.self), input.read(UInt32.self) == UInt32(copy),
      let size = input.read(UInt32.self), let rest = input.read(byteCount: Int(size))
    else { return nil }
    let checksum = WireHeader.checksum(ofBody: rest.rawSpan, cluster: magic)
    guard checksum.low == low, checksum.high == high else { return nil }
    input = SpanReader(rest.rawSpan)
    guard let sequence = input.read(UInt64.self), let parent = input.read(UInt64.self),
      let segment = input.read(UInt32.self), let offset = input.read(UInt32.self),
      let generation = input.read(UInt64.self), let count = input.read(UInt32.self),
      let identityBytes = input.read(UInt32.self)
    else { return nil }
    var groups: [GroupMark] = []
    for _ in 0..<count {
      guard let round = input.read(UInt64.self), let node = input.read(UInt32.self),
        input.read(UInt32.self) != nil, let forgotten = input.read(UInt64.self),
        let last = input.read(UInt64.self), let commit = input.read(UInt64.self)
      else { return nil }
      groups.append(
        GroupMark(
          promised: Ballot(round: round, node: NodeID(rawValue: node)), forgotten: forgotten,
          last: last, commit: commit))
    }
    guard let text = input.read(byteCount: Int(identityBytes)),
      let identity = Identity(text: String(decoding: text, as: UTF8.self))
    else { return nil }
    return (
      Content(
        sequence: sequence, parent: parent, identity: identity,
        position: LogPosition(segment: segment, offset: offset, generation: generation),
        groups: groups),
      low
    )
  }

  // MARK: Writing

  /// The image of the next sequence, which follows whatever was last written or is being written.
  private func advance() -> [UInt8] {
    let before = image(stored)
    content.sequence = stored.sequence + 1
    content.parent = before[8..<16].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    stored = content
    return image(content)
  }

  /// Writes the content and waits for it. For what happens rarely: it holds up the thread.
  ///
  /// A write of `store` that is under way may put older bytes over one pair of copies; it comes again
  /// when it ends.
  func storeNow() throws(ReplicationError) {
    var image = advance()
    for copy in 0..<Superblock.copies {
      image[24] = UInt8(copy)
      try Files.write(image, to: descriptor, path, at: copy * stride)
      if copy % 2 == 1 { try Files.sync(descriptor, path) }
    }
  }

  /// Whether a write of `store` is under way.
  var isBusy: Bool { writing != nil }

  /// Writes the content through the reactor, and says when it is durable, or that it never will be.
  func store(_ reactor: Reactor, _ done: @escaping (ReplicationError?) -> Void) {
    self.reactor = reactor
    waiting.append(done)
    if writing == nil { begin() }
  }

  private func begin() {
    called = waiting
    waiting = []
    writing = (advance(), 0, content.sequence)
    writeCopy()
  }

  private func writeCopy() {
    writing!.image[24] = UInt8(writing!.copy)
    do {
      let bytes = try Bytes(copying: writing!.image, in: reactor.pool)
      reactor.write(
        [bytes], to: descriptor, at: Int64(writing!.copy * stride),
        durable: writing!.copy % 2 == 1, completion: self, token: 0)
    } catch {
      finish(ReplicationError(.ioFailed, "no memory for the superblock: \(error)"))
    }
  }

  func completed(_ token: UInt64, result: Int) {
    guard let (image, copy, sequence) = writing else { return }
    guard result == image.count else {
      return finish(Files.failure("write", path, result < 0 ? Int32(-result) : ENOSPC))
    }
    if copy + 1 < Superblock.copies {
      writing!.copy += 1
      return writeCopy()
    }
    if stored.sequence > sequence {
      // What was written meanwhile is newer, and perhaps half overwritten.
      writing = (advance(), 0, content.sequence)
      return writeCopy()
    }
    finish(nil)
  }

  private func finish(_ error: ReplicationError?) {
    writing = nil
    var done = called
    called = []
    if error != nil {
      // A failed disk is not tried again: those who wait for the next time hear of this one.
      done += waiting
      waiting = []
    }
    for call in done { call(error) }
    if !waiting.isEmpty, writing == nil, error == nil { begin() }
  }
}
