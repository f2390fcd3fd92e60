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
/// let owner = reader.ring.ownerIndex(ofPosition: position)
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
public struct RingReader: ~Copyable {
  private let publisher: RingPublisher
  private var known: (ring: Ring, publication: UInt64)

  fileprivate init(_ publisher: RingPublisher) {
    self.publisher = publisher
    known = publisher.load()
  }

  /// The newest ring.
  public var ring: Ring {
    // Lent out, not copied: a copy would count a reference up and down, which threads that look up
    // at the same time would do to one cache line in turns.
    mutating _read {
      if publisher.publications.load(ordering: .acquiring) != known.publication {
        known = publisher.load()
      }
      yield known.ring
    }
  }
}
