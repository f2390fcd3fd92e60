import CycladesRing
import Measure

/// What a reader pays for rings that change under it: one thread looks up as fast as it can, and
/// its `RingReader` looks for the newest ring before every lookup; another publishes a ring every
/// millisecond.
///
/// Rings are published in two manners. Either the members stay and the epoch alone goes on: then what
/// a reader pays is the handing over. Or the ring has one member more and one less by turns: then
/// every swap also leads it to other memory, which it has to fetch into its caches.
///
/// It looks up one by one, and in batches of 64, which wait for memory together.
///
/// Times are those of the reader on a processor, in windows of four milliseconds, and the least one
/// counts; a window without its four swaps does not. A reader that waits for the publisher would not
/// show in such times, so its waits are counted.
struct Swaps {
  /// Nanoseconds per lookup.
  struct Times {
    /// While nobody publishes.
    var quiet = Double.infinity
    /// While epochs go on.
    var sameMembers = Double.infinity
    /// While a member comes and goes.
    var otherMembers = Double.infinity

    /// By how much lookups are slower while epochs go on, as a share.
    var slowdownBySame: Double { sameMembers / quiet - 1 }
    /// By how much lookups are slower while a member comes and goes, as a share.
    var slowdownByOther: Double { otherMembers / quiet - 1 }
  }

  private(set) var single = Times()
  private(set) var batched = Times()
  /// How often readers gave up their processor to wait, in all rounds.
  private(set) var waits = 0

  private static let window = 4
  private static let windows = 16
  private static let batch = 64

  init(_ ring: Ring, keys: Keys, rounds: Int) throws {
    var builder = RingBuilder(ring)
    try builder.add(Member(id: "newcomer"))
    let larger = try builder.build()
    let same = try Self.epochs(ring, ring)
    let other = try Self.epochs(larger, ring)
    for _ in 0..<2 * rounds {
      for isBatched in [false, true] {
        var times = isBatched ? batched : single
        let quiet = Self.read(RingPublisher(ring), keys, isBatched: isBatched, swaps: 0)
        times.quiet = min(times.quiet, quiet)
        times.sameMembers = min(times.sameMembers, swap(ring, same, keys, isBatched))
        times.otherMembers = min(times.otherMembers, swap(ring, other, keys, isBatched))
        if isBatched { batched = times } else { single = times }
      }
    }
  }

  /// Rings with the members of `odd` and `even` by turns, one for every millisecond.
  private static func epochs(_ odd: Ring, _ even: Ring) throws -> [Ring] {
    try (1...window * windows).map { number in
      var builder = RingBuilder(number % 2 == 0 ? even : odd)
      builder.epoch = even.epoch + UInt64(number)
      return try builder.build()
    }
  }

  private mutating func swap(
    _ first: Ring, _ rings: [Ring], _ keys: Keys, _ isBatched: Bool
  ) -> Double {
    let publisher = RingPublisher(first)
    let start = monotonicNanoseconds()
    let writer = BackgroundThread {
      for (number, ring) in rings.enumerated() {
        sleep(untilNanoseconds: start + (number + 1) * 1_000_000)
        publisher.publish(ring)
      }
    }
    let before = waitCount()
    let taken = Self.read(publisher, keys, isBatched: isBatched, swaps: UInt64(Self.window))
    waits += waitCount() - before
    writer.join()
    return taken
  }

  /// Looks up in windows of time; returns the least nanoseconds per lookup of a window that saw so
  /// many swaps.
  private static func read(
    _ publisher: RingPublisher, _ keys: Keys, isBatched: Bool, swaps: UInt64
  ) -> Double {
    var reader = publisher.makeReader()
    var owners = [UInt16](repeating: 0, count: batch)
    var (least, sum, next) = (Double.infinity, 0, 0)
    for _ in 0..<windows {
      let epoch = reader.ring.epoch
      let end = monotonicNanoseconds() + window * 1_000_000
      let (start, first) = (processorNanoseconds(), next)
      repeat {
        for _ in 0..<64 {
          let place = next % keys.positions.count
          let positions = keys.positions.span.extracting(place..<place + batch)
          if isBatched {
            var span = owners.mutableSpan
            reader.owners(ofPositions: positions, into: &span)
            sum &+= Int(owners[0])
          } else {
            for index in positions.indices {
              sum &+= reader.ownerIndex(ofPosition: positions[index])
            }
          }
          next += batch
        }
      } while monotonicNanoseconds() < end
      let taken = Double(processorNanoseconds() - start) / Double(next - first)
      if reader.ring.epoch >= epoch + swaps { least = min(least, taken) }
    }
    keep(UInt64(sum))
    return least
  }
}
