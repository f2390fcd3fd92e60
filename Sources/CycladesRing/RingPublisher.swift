internal import Synchronization

/// The ring of the moment, for many readers and few writers.
///
/// A reader keeps the ring it saw last and asks with one atomic load whether that is still the
/// newest. Only after a change does it take a lock, for as long as it takes to copy a reference; a
/// writer builds its ring before it publishes it, outside that lock.
///
/// ```swift
/// let publisher = RingPublisher(ring)
/// var reader = publisher.makeReader()          // one per thread
/// let owner = reader.ownerIndex(ofPosition: position)
/// ```
///
/// - Thread safety: any thread may publish and make readers; a reader belongs to one thread.
public final class RingPublisher: Sendable {
  private let newest: Mutex<Ring>
  fileprivate let publications = Atomic<UInt64>(0)

  /// Publishes a first ring.
  public init(_ ring: Ring) { newest = Mutex(ring) }

  /// Replaces the ring if the new one has a later epoch; says whether it did.
  ///
  /// Readers see the new ring from their next look on. Late and repeated news are harmless.
  @discardableResult
  public func publish(_ ring: Ring) -> Bool {
    newest.withLock { newest in
      guard ring.epoch > newest.epoch else { return false }
      newest = ring
      publications.add(1, ordering: .releasing)
      return true
    }
  }

  /// Makes a reader, which starts with the newest ring.
  public func makeReader() -> RingReader { RingReader(self) }

  fileprivate func load() -> (ring: Ring, publication: UInt64) {
    newest.withLock { ($0, publications.load(ordering: .relaxed)) }
  }
}

/// One thread's view of a ``RingPublisher``.
///
/// Lookups through a reader are those of a ``Ring`` and one atomic load more: a cache line that all
/// threads may read at once. ``ring`` also counts a reference, which threads do in turns; take it
/// once for many lookups.
public struct RingReader: ~Copyable {
  private let publisher: RingPublisher
  private var known: (ring: Ring, publication: UInt64)
  // Beside its ring, so that a lookup counts no reference.
  private var table: PointTable

  fileprivate init(_ publisher: RingPublisher) {
    self.publisher = publisher
    known = publisher.load()
    table = known.ring.table
  }

  private mutating func catchUp() {
    guard publisher.publications.load(ordering: .acquiring) != known.publication else { return }
    known = publisher.load()
    table = known.ring.table
  }

  /// The newest ring.
  public var ring: Ring {
    mutating get {
      catchUp()
      return known.ring
    }
  }

  /// The index, in the newest ring's members, of the owner of a position.
  ///
  /// See ``Ring/ownerIndex(ofPosition:)``.
  public mutating func ownerIndex(ofPosition position: UInt64) -> Int {
    catchUp()
    return table.owner(position)
  }

  /// The indices, in the newest ring's members, of the owners of many positions.
  ///
  /// See ``Ring/owners(ofPositions:into:)``. One ring answers them all.
  public mutating func owners(
    ofPositions positions: Span<UInt64>, into owners: inout MutableSpan<UInt16>
  ) {
    catchUp()
    table.owners(positions, into: &owners)
  }

  /// The indices, in the newest ring's members, of the owners of many keys, hashed on the way.
  ///
  /// See ``Ring/owners(ofKeys:endingAt:into:)``. One ring answers them all.
  public mutating func owners(
    ofKeys keys: Span<UInt8>, endingAt ends: Span<UInt32>, into owners: inout MutableSpan<UInt16>
  ) {
    catchUp()
    table.owners(ofKeys: keys, endingAt: ends, into: &owners)
  }
}
