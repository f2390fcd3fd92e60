import CycladesRing
import Measure

/// What a reader pays for rings that change under it: one thread looks up as fast as it can, and
/// its `RingReader` looks for the newest ring before every lookup; another publishes a ring every
/// millisecond. By turns the ring has one member more and does not, so that every swap leads the
/// reader to other memory.
///
/// Times are those of the reader on a processor, in windows of four milliseconds, and the least one
/// counts; a window without its four swaps does not. A reader that waits for the publisher would not
/// show in such times, so its waits are counted.
struct Swaps {
  /// Nanoseconds per lookup while nobody publishes.
  let quiet: Double
  /// Nanoseconds per lookup while rings change.
  let busy: Double
  /// How often readers gave up their processor to wait, in all rounds.
  let waits: Int

  /// By how much lookups are slower while rings change, as a share.
  var slowdown: Double { busy / quiet - 1 }

  private static let window = 4
  private static let windows = 16

  init(_ ring: Ring, keys: Keys, rounds: Int) throws {
    var builder = RingBuilder(ring)
    try builder.add(Member(id: "newcomer"))
    let larger = try builder.build()
    let rings = try (1...Self.window * Self.windows).map { number in
      var builder = RingBuilder(number % 2 == 0 ? ring : larger)
      builder.epoch = ring.epoch + UInt64(number)
      return try builder.build()
    }
    var (quiet, busy, waits) = (Double.infinity, Double.infinity, 0)
    for _ in 0..<2 * rounds {
      quiet = min(quiet, Self.read(RingPublisher(ring), keys, swaps: 0))
      let publisher = RingPublisher(ring)
      let start = monotonicNanoseconds()
      let writer = BackgroundThread {
        for (number, ring) in rings.enumerated() {
          sleep(untilNanoseconds: start + (number + 1) * 1_000_000)
          publisher.publish(ring)
        }
      }
      let before = waitCount()
      busy = min(busy, Self.read(publisher, keys, swaps: UInt64(Self.window)))
      waits += waitCount() - before
      writer.join()
    }
    (self.quiet, self.busy, self.waits) = (quiet, busy, waits)
  }

  /// Looks up in windows of time; returns the least nanoseconds per lookup of a window that saw so
  /// many swaps.
  private static func read(_ publisher: RingPublisher, _ keys: Keys, swaps: UInt64) -> Double {
    var reader = publisher.makeReader()
    var (least, sum, next) = (Double.infinity, 0, 0)
    for _ in 0..<windows {
      let epoch = reader.ring.epoch
      let end = monotonicNanoseconds() + window * 1_000_000
      let (start, first) = (processorNanoseconds(), next)
      repeat {
        let place = next % keys.positions.count
        for index in place..<place + 4096 {
          sum &+= reader.ownerIndex(ofPosition: keys.positions[index])
        }
        next += 4096
      } while monotonicNanoseconds() < end
      let taken = Double(processorNanoseconds() - start) / Double(next - first)
      if reader.ring.epoch >= epoch + swaps { least = min(least, taken) }
    }
    keep(UInt64(sum))
    return least
  }
}
