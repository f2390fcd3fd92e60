import CycladesClient
import Synchronization

/// Tasks that read, write and add to a few keys as fast as they are answered, and write down what
/// they asked and what they were told, and when.
final class HistoryWorkload: Sendable {
  let keyCount: Int
  private let target: Int
  private let seed: UInt64
  private let started = Atomic<Int>(0)
  private let isStopping = Atomic<Bool>(false)
  /// Operations that were answered.
  let answered = Atomic<Int>(0)

  init(keyCount: Int, operations: Int, seed: UInt64) {
    self.keyCount = keyCount
    target = operations
    self.seed = seed
  }

  var isOver: Bool {
    isStopping.load(ordering: .relaxed) || started.load(ordering: .relaxed) >= target
  }

  func stop() { isStopping.store(true, ordering: .relaxed) }

  static func key(_ number: Int) -> String { "history-\(number)" }

  /// One task's work, until there is enough of it.
  func run(_ task: Int, _ client: StoreClient) async -> HistoryRecord {
    var record = HistoryRecord()
    var random = SplitMix(seed: seed &+ UInt64(task) &* 0x9e37_79b9)
    while !isOver {
      started.add(1, ordering: .relaxed)
      let key = Int.random(in: 0..<keyCount, using: &random)
      let action: NumberSpecification.Action =
        switch Int.random(in: 0..<4, using: &random) {
        case 0: .write(Int.random(in: 1...1_000_000_000, using: &random))
        case 1: .add(Int.random(in: 1...9, using: &random))
        default: .read
        }
      await perform(action, key, client, &record)
    }
    return record
  }

  /// Carries out one operation and writes it down, unless it is known to have had no effect.
  func perform(
    _ action: NumberSpecification.Action, _ key: Int, _ client: StoreClient,
    _ record: inout HistoryRecord
  ) async {
    let name = Self.key(key)
    let call = monotonicNanoseconds()
    var output: Int?
    var end: UInt64
    do throws(StoreClientError) {
      switch action {
      case .read:
        // A value that is no number is never right.
        output = try await client.getString(name).map { Int($0) ?? .min } ?? 0
      case .write(let number): try await client.set(name, number)
      case .add(let number): output = try await client.increment(name, by: number)
      }
      end = max(monotonicNanoseconds(), call + 1)
      answered.add(1, ordering: .relaxed)
    } catch {
      record.errors["\(error.code), \(error.outcome.rawValue)", default: 0] += 1
      if error.outcome == .notDone || action == .read { return }
      end = .max
    }
    record.operations.append(
      HistoryRecord.Operation(
        key: Int32(key), action: action, output: output, call: call, end: end))
  }
}
