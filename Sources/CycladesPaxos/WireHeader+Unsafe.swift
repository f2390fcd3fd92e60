internal import CCycladesWire

/// The header of a frame: fields in, bytes out, and back.
///
/// `CSources/Wire/include/CCycladesWire.h` draws the bytes and says what each field means.
public struct WireHeader: Sendable {
  /// The size of every header in bytes.
  public static let byteCount = Int(CYC_WIRE_HEADER_SIZE)

  var fields = cyc_wire_header()

  /// What a frame is.
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// The number on the wire.
    public var rawValue: UInt8
    /// Names a kind with its number on the wire.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    init(_ kind: cyc_wire_kind) { rawValue = UInt8(truncatingIfNeeded: kind.rawValue) }

    /// The first frame of a connection.
    public static let hello = Kind(CYC_WIRE_HELLO)
    /// `Message.canvass`.
    public static let canvass = Kind(CYC_WIRE_CANVASS)
    /// `Message.canvassReply`.
    public static let canvassReply = Kind(CYC_WIRE_CANVASS_REPLY)
    /// `Message.prepare`; in a log, a promise of its ballot.
    public static let prepare = Kind(CYC_WIRE_PREPARE)
    /// `Message.promise`.
    public static let promise = Kind(CYC_WIRE_PROMISE)
    /// `Message.reject`.
    public static let reject = Kind(CYC_WIRE_REJECT)
    /// `Message.accept`; in a log, an accepted entry.
    public static let accept = Kind(CYC_WIRE_ACCEPT)
    /// `Message.accepted`.
    public static let accepted = Kind(CYC_WIRE_ACCEPTED)
    /// `Message.heartbeat`.
    public static let heartbeat = Kind(CYC_WIRE_HEARTBEAT)
    /// `Message.heartbeatReply`.
    public static let heartbeatReply = Kind(CYC_WIRE_HEARTBEAT_REPLY)
    /// `Message.fetch`.
    public static let fetch = Kind(CYC_WIRE_FETCH)
    /// `Message.learn`.
    public static let learn = Kind(CYC_WIRE_LEARN)
    /// `Message.stand`.
    public static let stand = Kind(CYC_WIRE_STAND)
    /// `Message.readIndex`.
    public static let readIndex = Kind(CYC_WIRE_READ_INDEX)
    /// `Message.readIndexReply`.
    public static let readIndexReply = Kind(CYC_WIRE_READ_INDEX_REPLY)
    /// `Message.audit`.
    public static let audit = Kind(CYC_WIRE_AUDIT)
    /// `Message.auditReply`.
    public static let auditReply = Kind(CYC_WIRE_AUDIT_REPLY)
    /// A request that one host forwards to another.
    public static let request = Kind(CYC_WIRE_REQUEST)
    /// The answer to a request or query.
    public static let reply = Kind(CYC_WIRE_REPLY)
    /// A read that one host forwards to another.
    public static let query = Kind(CYC_WIRE_QUERY)
    /// The first frame of a snapshot: what is beside the machine's state.
    public static let snapshotHead = Kind(CYC_WIRE_SNAPSHOT_HEAD)
    /// A part of a snapshot's state.
    public static let snapshotPart = Kind(CYC_WIRE_SNAPSHOT_PART)
    /// The last frame of a snapshot.
    public static let snapshotEnd = Kind(CYC_WIRE_SNAPSHOT_END)
    /// "You lack what I no longer have: take this snapshot."
    public static let snapshotOffer = Kind(CYC_WIRE_SNAPSHOT_OFFER)
    /// "Send me this frame of it."
    public static let snapshotPull = Kind(CYC_WIRE_SNAPSHOT_PULL)
    /// Bytes of the layer above, for the node as a whole.
    public static let notice = Kind(CYC_WIRE_NOTICE)
  }

  /// Why bytes are not a frame.
  public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
    private let status: Int32
    fileprivate init(_ status: Int32) { self.status = status }
    private init(_ status: cyc_wire_status) { self.status = status.rawValue }

    /// Fewer bytes than a header.
    public static let short = Fault(CYC_WIRE_SHORT)
    /// The size is below a header's, or beyond the bytes given.
    public static let size = Fault(CYC_WIRE_SIZE)
    /// The frame belongs to another cluster, or is damaged.
    public static let cluster = Fault(CYC_WIRE_CLUSTER)
    /// The header is damaged.
    public static let header = Fault(CYC_WIRE_HEADER)
    /// An intact header of another version or an unknown kind.
    public static let format = Fault(CYC_WIRE_FORMAT)
    /// The header is intact, the body is damaged.
    public static let body = Fault(CYC_WIRE_BODY)

    /// The fault in words.
    public var description: String {
      switch self {
      case .short: "shorter than a header"
      case .size: "impossible size"
      case .cluster: "of another cluster"
      case .header: "header checksum does not match"
      case .format: "unknown version or kind"
      default: "body checksum does not match"
      }
    }
  }

  /// Makes the header of a frame with a body of `bodyByteCount` bytes; all other fields are zero.
  public init(kind: Kind, cluster: UInt64, group: UInt32, sender: NodeID, bodyByteCount: Int = 0) {
    precondition(bodyByteCount >= 0 && bodyByteCount <= Int(UInt32.max) - WireHeader.byteCount)
    fields.size = UInt32(WireHeader.byteCount + bodyByteCount)
    fields.kind = kind.rawValue
    fields.cluster = cluster
    fields.group = group
    fields.sender = sender.rawValue
  }

  /// Verifies the frame at the start of the bytes, header and body, and reads its header.
  ///
  /// More frames may follow: `frameByteCount` says where.
  /// - Complexity: O(*n*) in the size of the frame.
  public init(verifying bytes: RawSpan, cluster: UInt64) throws(Fault) {
    let status = unsafe bytes.withUnsafeBytes { bytes in
      unsafe bytes.baseAddress.map { unsafe cyc_wire_verify($0, bytes.count, cluster) }
        ?? CYC_WIRE_SHORT.rawValue
    }
    guard status == CYC_WIRE_OK.rawValue else { throw Fault(status) }
    self.init(trusting: bytes)
  }

  /// Verifies the header at the start of the bytes; the body may be absent or damaged.
  public init(verifyingHeaderOf bytes: RawSpan, cluster: UInt64) throws(Fault) {
    let status = unsafe bytes.withUnsafeBytes { bytes in
      unsafe bytes.baseAddress.map { unsafe cyc_wire_verify_header($0, bytes.count, cluster) }
        ?? CYC_WIRE_SHORT.rawValue
    }
    guard status == CYC_WIRE_OK.rawValue else { throw Fault(status) }
    self.init(trusting: bytes)
  }

  /// Reads the header of a frame that was verified before.
  public init(trusting frame: RawSpan) {
    precondition(frame.byteCount >= WireHeader.byteCount)
    fields = unsafe frame.withUnsafeBytes { unsafe cyc_wire_load($0.baseAddress!) }
  }

  /// Checksums the body that lies behind `frame`'s first 128 bytes, and writes the header there.
  public mutating func seal(_ frame: inout MutableRawSpan) {
    precondition(frame.byteCount == frameByteCount)
    unsafe frame.withUnsafeMutableBytes { unsafe cyc_wire_seal($0.baseAddress!, &fields) }
  }

  /// Writes the header into 128 bytes, for a body whose checksum the header already carries.
  public mutating func reseal(_ header: inout MutableRawSpan) {
    precondition(header.byteCount >= WireHeader.byteCount)
    unsafe header.withUnsafeMutableBytes { unsafe cyc_wire_reseal($0.baseAddress!, &fields) }
  }

  /// As `seal(_:)`, for memory that no span stands for: `frameByteCount` bytes, body in place.
  package mutating func seal(_ frame: UnsafeMutableRawPointer) {
    unsafe cyc_wire_seal(frame, &fields)
  }

  /// As `reseal(_:)`, for memory that no span stands for.
  package mutating func reseal(_ header: UnsafeMutableRawPointer) {
    unsafe cyc_wire_reseal(header, &fields)
  }

  /// The checksum that a frame of this cluster carries for a body.
  public static func checksum(ofBody body: RawSpan, cluster: UInt64) -> Checksum {
    var checksum = Checksum(low: 0, high: 0)
    unsafe body.withUnsafeBytes {
      unsafe cyc_wire_checksum(
        $0.baseAddress, $0.count, cluster, &checksum.low, &checksum.high)
    }
    return checksum
  }
}

extension WireHeader {
  /// The size of the whole frame in bytes.
  public var frameByteCount: Int { Int(fields.size) }
  /// The size of the body in bytes.
  public var bodyByteCount: Int { Int(fields.size) - WireHeader.byteCount }
  /// What the frame is.
  public var kind: Kind { Kind(rawValue: fields.kind) }
  /// By kind.
  public var flags: UInt16 {
    get { fields.flags }
    set { fields.flags = newValue }
  }
  /// The hash of the cluster's name.
  public var cluster: UInt64 { fields.cluster }
  /// The Paxos group.
  public var group: UInt32 { fields.group }
  /// Which membership the sender acts in.
  public var configuration: UInt32 {
    get { fields.configuration }
    set { fields.configuration = newValue }
  }
  /// The ballot.
  public var ballot: Ballot {
    get { Ballot(round: fields.round, node: NodeID(fields.node)) }
    set {
      fields.round = newValue.round
      fields.node = newValue.node.rawValue
    }
  }
  /// The node that encoded the frame; of an entry, its proposer.
  public var sender: NodeID {
    get { NodeID(fields.sender) }
    set { fields.sender = newValue.rawValue }
  }
  /// The slot, by kind.
  public var slot: Slot {
    get { fields.slot }
    set { fields.slot = newValue }
  }
  /// The commit, by kind.
  public var commit: Slot {
    get { fields.commit }
    set { fields.commit = newValue }
  }
  /// Of an entry: log time in milliseconds since 1970.
  public var time: UInt64 {
    get { fields.time }
    set { fields.time = newValue }
  }
  /// By kind.
  public var token: UInt64 {
    get { fields.token }
    set { fields.token = newValue }
  }
  /// The digest of a state, by kind; zero when unused.
  public var chain: UInt64 {
    get { fields.chain }
    set { fields.chain = newValue }
  }
  /// The checksum of the body; set by `seal`.
  public var bodyChecksum: Checksum {
    get { Checksum(low: fields.body_low, high: fields.body_high) }
    set {
      fields.body_low = newValue.low
      fields.body_high = newValue.high
    }
  }
  /// The number of entries or requests in the body.
  public var count: UInt32 {
    get { fields.count }
    set { fields.count = newValue }
  }
  /// By kind.
  public var extra: UInt64 {
    get { fields.extra }
    set { fields.extra = newValue }
  }
}
