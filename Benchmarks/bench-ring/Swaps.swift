import CycladesRing
import Measure

/// What a reader pays for rings that change under it: one thread looks up as fast as it can, and
/// its `RingReader` looks for the newest ring before every lookup, or every batch of 64; another
/// thread publishes a ring every millisecond, in one of three manners.
///
/// - *Epochs*: the members stay and the epoch alone goes on. What a reader pays is the handing over.
/// - *Members*: of two rings that were built before, one has a member more. Every swap leads the
///   reader to other memory, which it has to fetch into its caches.
/// - *Builds*: the publishing thread makes every ring from the one before, with a member more or
///   less. So the memory is fresh, and two threads compete for the cache that they share. Where
///   building takes longer than a millisecond there are fewer swaps.
///
/// The reader alone is measured before and after every manner, and what a manner costs is its time
/// over the mean of these two. The median of all repetitions counts, with the quartiles beside it.
///
/// Times are those of the reader on a processor. A reader that waits for the publisher would not
/// show in such times, so its waits are counted.
struct Swaps {
  enum Manner: String, CaseIterable {
    case epochs, members, builds
  }

  /// One manner, over all repetitions.
  struct Cost {
    var nanoseconds: [Double] = []
    var slowdowns: [Double] = []
    var swapsPerSecond: [Double] = []

    /// Median slowdown as a share.
    var slowdown: Double { quantile(slowdowns, 0.5) }
  }

  /// One way of looking up.
  struct Way {
    let isBatched: Bool
    /// Nanoseconds per lookup while nobody publishes.
    fileprivate(set) var alone: [Double] = []
    fileprivate(set) var costs: [Manner: Cost] = [:]
    /// How often the reader gave up its processor to wait, in all windows.
    fileprivate(set) var waits = 0
  }

  let ways: [Way]

  private static let window = 40_000_000
  private static let period = 1_000_000
  private static let batch = 64

  init(_ ring: Ring, keys: Keys, rounds: Int) throws {
    let windows = try Windows(ring, keys)
    ways = try [false, true].map { isBatched in
      var way = Way(isBatched: isBatched)
      // The first warms up.
      var before = try windows.read(isBatched: isBatched, under: nil).nanoseconds
      for _ in 0..<3 * rounds {
        for manner in Manner.allCases {
          let swapped = try windows.read(isBatched: isBatched, under: manner)
          let after = try windows.read(isBatched: isBatched, under: nil)
          way.alone.append(after.nanoseconds)
          way.waits += swapped.waits + after.waits
          var cost = way.costs[manner, default: Cost()]
          cost.nanoseconds.append(swapped.nanoseconds)
          cost.slowdowns.append(2 * swapped.nanoseconds / (before + after.nanoseconds) - 1)
          cost.swapsPerSecond.append(Double(swapped.swaps) * 1e9 / Double(Self.window))
          way.costs[manner] = cost
          before = after.nanoseconds
        }
      }
      return way
    }
  }

  /// What one window of time gave.
  private struct Outcome {
    var nanoseconds = 0.0
    var swaps = 0
    var waits = 0
  }

  /// The rings, and the two threads.
  private struct Windows {
    let keys: Keys
    /// The ring that is read alone, and the one with a member more.
    let rings: [Ring]
    /// Rings for all milliseconds of a window.
    let prepared: [Manner: [Ring]]

    init(_ ring: Ring, _ keys: Keys) throws {
      self.keys = keys
      rings = [ring, try Self.next(ring, from: ring, hasNewcomer: true)]
      let epochs = 1...2 * Swaps.window / Swaps.period
      func prepare(_ choice: (Int) -> Ring) throws -> [Ring] {
        try epochs.map { number in
          var builder = RingBuilder(choice(number))
          builder.epoch = ring.epoch + UInt64(number)
          return try builder.build()
        }
      }
      prepared = [
        .epochs: try prepare { [rings] _ in rings[0] },
        .members: try prepare { [rings] in rings[$0 % 2] },
      ]
    }

    /// The ring that follows `last`: the members of `ring`, and a newcomer or not.
    static func next(_ ring: Ring, from last: Ring, hasNewcomer: Bool) throws -> Ring {
      var builder = RingBuilder(last)
      if hasNewcomer {
        try builder.add(Member(id: "newcomer"))
      } else {
        try builder.remove("newcomer")
      }
      return try builder.build()
    }

    /// Looks up for a window of time while rings are published.
    func read(isBatched: Bool, under manner: Manner?) throws -> Outcome {
      let publisher = RingPublisher(rings[0])
      var reader = publisher.makeReader()
      let start = monotonicNanoseconds()
      let end = start + Swaps.window
      let writer = manner.map { manner in
        BackgroundThread { [self] in publish(manner, to: publisher, from: start, until: end) }
      }
      let waits = waitCount()
      let (taken, swaps) = lookUp(&reader, isBatched: isBatched, until: end)
      let waited = waitCount() - waits
      writer?.join()
      return Outcome(nanoseconds: taken, swaps: swaps, waits: waited)
    }

    private func publish(
      _ manner: Manner, to publisher: RingPublisher, from start: Int, until end: Int
    ) {
      var last = rings[0]
      var (time, number) = (start, 0)
      while true {
        time = max(time + Swaps.period, monotonicNanoseconds())
        if time >= end { return }
        if manner == .builds {
          last = try! Self.next(rings[0], from: last, hasNewcomer: number % 2 == 0)
        } else {
          last = prepared[manner]![number]
        }
        sleep(untilNanoseconds: time)
        publisher.publish(last)
        number += 1
      }
    }

    /// Nanoseconds per lookup, and how many rings the reader saw.
    private func lookUp(
      _ reader: inout RingReader, isBatched: Bool, until end: Int
    ) -> (Double, Int) {
      var owners = [UInt16](repeating: 0, count: Swaps.batch)
      var (sum, count) = (0, 0)
      let epoch = reader.ring.epoch
      let start = processorNanoseconds()
      repeat {
        for _ in 0..<64 {
          let place = count % keys.positions.count
          let positions = keys.positions.span.extracting(place..<place + Swaps.batch)
          if isBatched {
            var span = owners.mutableSpan
            reader.owners(ofPositions: positions, into: &span)
            sum &+= Int(owners[0])
          } else {
            for index in positions.indices {
              sum &+= reader.ownerIndex(ofPosition: positions[index])
            }
          }
          count += Swaps.batch
        }
      } while monotonicNanoseconds() < end
      let taken = Double(processorNanoseconds() - start) / Double(count)
      keep(UInt64(sum))
      return (taken, Int(reader.ring.epoch - epoch))
    }
  }
}

/// The value that a share of all values lies below.
func quantile(_ values: [Double], _ share: Double) -> Double {
  let sorted = values.sorted()
  return sorted[min(Int(share * Double(sorted.count)), sorted.count - 1)]
}
