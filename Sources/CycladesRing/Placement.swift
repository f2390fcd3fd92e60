/// A pure function from keys to members.
///
/// ``Ring`` is the one to use. The others are here for those who must agree with an existing system,
/// and to be compared with:
///
/// | | lookup | memory per member | who can leave | weights |
/// |---|---|---|---|---|
/// | ``Ring`` | O(1) | 4 KB | anyone, and only its keys move | any |
/// | ``KetamaRing`` | O(1) | 3 KB | anyone, and hardly any other key moves | whole |
/// | ``MaglevTable`` | O(1), the fastest | table / members | anyone, and a few other keys move | any |
/// | ``JumpHash`` | O(log members) | none | only the last one | none |
///
/// - Thread safety: any thread may use any placement; lookups take no lock and allocate nothing.
public protocol Placement: Sendable {
  /// The members. Indices in this API are into this array.
  var members: [Member] { get }

  /// Memory of the tables that lookups read, in bytes.
  var byteCount: Int { get }

  /// The position of a key: its hash, by the function that this placement is defined with.
  static func position(of key: Span<UInt8>) -> UInt64

  /// The index in ``members`` of the owner of a position.
  func ownerIndex(ofPosition position: UInt64) -> Int

  /// The indices in ``members`` of the owners of many positions.
  ///
  /// - Precondition: `owners` has as many elements as `positions`.
  func owners(ofPositions positions: Span<UInt64>, into owners: inout MutableSpan<UInt16>)
}

extension Placement {
  /// The indices in ``members`` of the owners of many positions, one after the other.
  @inlinable
  public func owners(ofPositions positions: Span<UInt64>, into owners: inout MutableSpan<UInt16>) {
    precondition(positions.count == owners.count, "as many owners as positions")
    for index in positions.indices {
      owners[index] = UInt16(ownerIndex(ofPosition: positions[index]))
    }
  }

  /// The position of a key.
  @inlinable
  public static func position(of key: [UInt8]) -> UInt64 { position(of: key.span) }

  /// The position of a key: that of its UTF-8 bytes.
  @inlinable
  public static func position(of key: String) -> UInt64 { position(of: key.utf8Span.span) }

  /// The member that owns a key.
  @inlinable
  public func owner(of key: Span<UInt8>) -> Member { owner(ofPosition: Self.position(of: key)) }

  /// The member that owns a key.
  @inlinable
  public func owner(of key: [UInt8]) -> Member { owner(ofPosition: Self.position(of: key)) }

  /// The member that owns a key, by its UTF-8 bytes.
  @inlinable
  public func owner(of key: String) -> Member { owner(ofPosition: Self.position(of: key)) }

  /// The member that owns a position, such as a key's hash that is known already.
  @inlinable
  public func owner(ofPosition position: UInt64) -> Member {
    members[ownerIndex(ofPosition: position)]
  }
}
