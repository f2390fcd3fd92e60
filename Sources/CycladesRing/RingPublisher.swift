internal import Synchronization

/// The ring of the moment, for many readers and few writers.
///
/// A reader keeps the ring it saw last and asks with one atomic load whether that is still the
/// newest. Only after a change does it copy a reference, under a lock that it never waits for: when
/// another thread holds it, the reader goes on with the ring it has and looks again next time.
///
/// Rings are built before they are published and freed by whoever publishes: a ring that was
/// replaced is kept until a later publication finds that nobody else has it. So neither falls to a
/// reader, and a publisher keeps one ring more than its readers use.
///
/// ```swift
/// let publisher = RingPublisher(ring)
/// var reader = publisher.makeReader()          // one per thread
/// let owner = reader.ownerIndex(ofPosition: position)
/// ```
///
/// - Thread safety: any thread may publish and make readers; a reader belongs to one thread.
public final class RingPublisher: Sendable {
  struct State {
    var newest: Ring
    /// Rings that readers may still use.
    var replaced: [Ring] = []

    /// Takes out the rings that only this list has.
    fileprivate mutating func removeUnused() -> [Ring] {
      var unused: [Ring] = []
      for index in replaced.indices.reversed() where isKnownUniquelyReferenced(&replaced[index]) {
        unused.append(replaced.remove(at: index))
      }
      return unused
    }
  }

  let state: Mutex<State>
  fileprivate let publications = Atomic<UInt64>(0)

  /// Publishes a first ring.
  public init(_ ring: Ring) { state = Mutex(State(newest: ring)) }

  /// Replaces the ring if the new one has a later epoch; says whether it did.
  ///
  /// Readers see the new ring from their next look on; one that looks while another thread is about
  /// to take it over, from the look after that. Late and repeated news are harmless.
  ///
  /// - Complexity: O(rings still in use), and what it takes to free those that are not.
  @discardableResult
  public func publish(_ ring: Ring) -> Bool {
    // Freed when this function ends, behind the lock.
    let unused: [Ring]? = state.withLock { state in
      guard ring.epoch > state.newest.epoch else { return nil }
      state.replaced.append(state.newest)
      state.newest = ring
      publications.add(1, ordering: .releasing)
      return state.removeUnused()
    }
    return unused != nil
  }

  /// Makes a reader, which starts with the newest ring. Waits while another thread publishes.
  public func makeReader() -> RingReader {
    let (ring, publication) = state.withLock { ($0.newest, publications.load(ordering: .relaxed)) }
    return RingReader(self, ring, publication)
  }

  /// The newest ring, or nil when another thread has the lock.
  fileprivate func loadWithoutWaiting() -> (ring: Ring, publication: UInt64)? {
    state.withLockIfAvailable { ($0.newest, publications.load(ordering: .relaxed)) }
  }
}

/// One thread's view of a ``RingPublisher``.
///
/// Lookups through a reader are those of a ``Ring`` and one atomic load more: a cache line that all
/// threads may read at once. They never wait for another thread. ``ring`` also counts a reference, which threads do in turns; take it
/// once for many lookups.
public struct RingReader: ~Copyable {
  private let publisher: RingPublisher
  private var known: (ring: Ring, publication: UInt64)
  // Beside its ring, so that a lookup counts no reference.
  private var table: PointTable

  fileprivate init(_ publisher: RingPublisher, _ ring: Ring, _ publication: UInt64) {
    self.publisher = publisher
    known = (ring, publication)
    table = ring.table
  }

  private mutating func catchUp() {
    if publisher.publications.load(ordering: .acquiring) != known.publication { takeNewest() }
  }

  /// Kept out of line, so that the lookup that hardly ever needs it stays small.
  @inline(never)
  private mutating func takeNewest() {
    guard let newest = publisher.loadWithoutWaiting() else { return }
    // The old ring last: the publisher takes one that nobody has for one whose table nobody uses.
    table = newest.ring.table
    known = newest
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
