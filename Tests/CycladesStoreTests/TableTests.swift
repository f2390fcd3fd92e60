import Testing

@testable import CycladesStore

extension Table {
  /// Advances until nothing that is due waits to be removed.
  mutating func settle(at time: UInt64) {
    var before: UInt64
    repeat {
      before = count
      advance(to: time)
    } while count < before
  }
}

@Suite("The table")
struct TableTests {
  private struct Model {
    struct Item: Equatable {
      var value: [UInt8]
      var deadline: UInt64?
    }
    var items: [[UInt8]: Item] = [:]
    var next: UInt64? { items.values.compactMap(\.deadline).min() }
  }

  private func item(_ table: borrowing Table, _ key: [UInt8]) -> Model.Item? {
    let key = key.rawSpan
    guard let entry = table.find(key) else { return nil }
    return Model.Item(value: copy(entry.value), deadline: entry.deadline)
  }

  /// A table that holds just what the model does, built in another order.
  private func rebuilt(_ model: Model) -> UInt64 {
    var table = Table(seed: 3)
    for key in model.items.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      let item = model.items[key]!
      table.put(key.rawSpan, item.value.rawSpan, deadline: item.deadline)
    }
    return table.digest
  }

  @Test("a hundred thousand random operations agree with a dictionary", arguments: 0..<2)
  func model(seed: UInt64) {
    var random = SeededRandom(seed)
    var table = Table(seed: 3)
    var model = Model()
    var time: UInt64 = 0
    // Phases of growing and of shrinking, so that sweeps run in both directions.
    for step in 0..<100_000 {
      let grows = (step / 20_000) % 2 == 0
      let key = Array("k\(Int.random(in: 0..<20_000, using: &random))".utf8)
      let choice = Int.random(in: 0..<100, using: &random)
      switch choice {
      case 0..<(grows ? 60 : 10):
        let value = random.bytes(
          choice == 0 ? Int.random(in: 0...9_000, using: &random) : choice % 40)
        let deadline = choice % 3 == 0 ? time + UInt64.random(in: 1...4_000, using: &random) : nil
        table.put(key.rawSpan, value.rawSpan, deadline: deadline)
        model.items[key] = Model.Item(value: value, deadline: deadline)
      case 60..<65:
        let part = random.bytes(Int.random(in: 1...30, using: &random))
        let old = model.items[key]?.value.count ?? 0
        let offset = Int.random(in: 0...(old + 20), using: &random)
        var value = model.items[key]?.value ?? []
        value += [UInt8](repeating: 0, count: max(offset + part.count - value.count, 0))
        value.replaceSubrange(offset..<offset + part.count, with: part)
        #expect(table.write(key.rawSpan, at: offset, part.rawSpan) == value.count)
        model.items[key, default: .init(value: [])].value = value
      case 65..<68:
        let deadline = Bool.random(using: &random) ? time + 100 : nil
        table.setDeadline(key.rawSpan, deadline)
        model.items[key]?.deadline = deadline
      case 68..<70:
        time += UInt64.random(in: 0...20, using: &random)
        guard step % 10 == 0 else { break }
        table.settle(at: time)
        model.items = model.items.filter { ($0.value.deadline ?? .max) > time }
      case 70..<(grows ? 75 : 95):
        #expect(table.remove(key.rawSpan) == (model.items.removeValue(forKey: key) != nil))
      default:
        if item(table, key) != model.items[key] {
          Issue.record("the value differs at step \(step)")
          return
        }
      }
      if Int(table.count) != model.items.count {
        Issue.record("\(table.count) keys instead of \(model.items.count) at step \(step)")
        return
      }
      if step % 20_000 == 0 {
        #expect(table.nextDeadline == model.next)
        #expect(table.digest == rebuilt(model))
      }
    }
    #expect(model.items.allSatisfy { item(table, $0.key) == $0.value })
    table.settle(at: .max - 2)
    #expect(table.nextDeadline == nil)
    table.removeAll()
    #expect(table.count == 0 && table.digest == 0)
  }

  @Test("the digest depends on every key, value and deadline, and on nothing else")
  func digest() {
    func digest(_ build: (inout Table) -> Void) -> UInt64 {
      var table = Table(seed: 3)
      build(&table)
      return table.digest
    }
    let (a, b, one, two) = ([UInt8(1)], [UInt8(2)], [UInt8(11)], [UInt8(12)])
    let base = digest {
      $0.put(a.rawSpan, one.rawSpan, deadline: nil)
      $0.put(b.rawSpan, two.rawSpan, deadline: 5)
    }
    let others: [UInt64] = [
      digest { $0.put(a.rawSpan, one.rawSpan, deadline: nil) },
      digest {
        $0.put(a.rawSpan, two.rawSpan, deadline: nil)
        $0.put(b.rawSpan, one.rawSpan, deadline: 5)
      },
      digest {
        $0.put(a.rawSpan, one.rawSpan, deadline: nil)
        $0.put(b.rawSpan, two.rawSpan, deadline: 6)
      },
      digest {
        $0.put(a.rawSpan, one.rawSpan, deadline: nil)
        $0.put(b.rawSpan, two.rawSpan, deadline: nil)
      },
    ]
    #expect(Set(others + [base]).count == 5)
    let detour = digest {
      $0.put(b.rawSpan, one.rawSpan, deadline: nil)
      $0.put([9].rawSpan, one.rawSpan, deadline: 3)
      _ = $0.write(b.rawSpan, at: 0, two.rawSpan)
      $0.advance(to: 4)
      $0.setDeadline(b.rawSpan, 5)
      $0.put(a.rawSpan, one.rawSpan, deadline: nil)
    }
    #expect(detour == base)
  }

  @Test("a value written in pieces has the digest of the same value written at once")
  func piecewiseDigest() {
    var random = SeededRandom(1)
    let key = Array("key".utf8)
    for _ in 0..<50 {
      var table = Table(seed: 3)
      var value: [UInt8] = []
      for _ in 0..<12 {
        let part = random.bytes(Int.random(in: 1...5_000, using: &random))
        let offset = Int.random(in: 0...(value.count + 3_000), using: &random)
        value += [UInt8](repeating: 0, count: max(offset + part.count - value.count, 0))
        value.replaceSubrange(offset..<offset + part.count, with: part)
        _ = table.write(key.rawSpan, at: offset, part.rawSpan)
      }
      var other = Table(seed: 3)
      other.put(key.rawSpan, value.rawSpan, deadline: nil)
      #expect(table.digest == other.digest)
      #expect(item(table, key)?.value == value)
    }
  }

  @Test("a scan visits every key that stays exactly once while the table grows and shrinks")
  func scanWhileChanging() {
    var table = Table(seed: 3)
    let staying = (0..<3_000).map { Array("stays\($0)".utf8) }
    for key in staying { table.put(key.rawSpan, key.rawSpan, deadline: nil) }
    var seen: [[UInt8]: Int] = [:]
    var cursor: UInt64 = 0
    var rounds = 0
    repeat {
      cursor = table.scan(from: cursor, count: 50) { key, _ in seen[copy(key), default: 0] += 1 }
      // Ten rounds of growing by 1500 keys each, then ten that take them away again.
      let phase = rounds % 20
      for i in 0..<1_500 {
        let key = Array("passes\(phase % 10 * 1_500 + i)".utf8)
        if phase < 10 {
          table.put(key.rawSpan, key.rawSpan, deadline: nil)
        } else {
          _ = table.remove(key.rawSpan)
        }
      }
      rounds += 1
    } while cursor != 0 && rounds < 1_000
    #expect(cursor == 0 && rounds > 40)
    #expect(staying.allSatisfy { seen[$0] == 1 })
  }

  @Test("used bytes are a function of what is stored, whatever was stored before")
  func usedBytes() {
    var one = Table(seed: 3)
    var two = Table(seed: 3)
    let empty = one.sums.usedBytes
    for i in 0..<1_000 {
      one.put(Array("\(i)".utf8).rawSpan, [1, 2, 3].rawSpan, deadline: i % 2 == 0 ? 9 : nil)
    }
    for i in (0..<1_000).reversed() {
      let key = Array("\(i)".utf8)
      two.put(key.rawSpan, [UInt8](repeating: 7, count: 5_000).rawSpan, deadline: 4)
      two.put(key.rawSpan, [1, 2].rawSpan, deadline: nil)
      _ = two.write(key.rawSpan, at: 2, [3].rawSpan)
      if i % 2 == 0 { two.setDeadline(key.rawSpan, 9) }
    }
    #expect(one.sums.usedBytes == two.sums.usedBytes && one.sums.usedBytes > empty + 50_000)
    two.removeAll()
    #expect(two.sums.usedBytes == empty)
  }

  @Test("keys that end together are gone at once, and are removed a few at a time")
  func massExpiry() {
    var table = Table(seed: 3)
    for i in 0..<5_000 { table.put(Array("\(i)".utf8).rawSpan, [1].rawSpan, deadline: 50) }
    table.put([0].rawSpan, [1].rawSpan, deadline: 60)
    table.advance(to: 50)
    #expect(table.count > 4_000 && table.nextDeadline == 51)
    #expect((0..<5_000).allSatisfy { !table.contains(Array("\($0)".utf8).rawSpan) })
    var visited = 0
    #expect(table.scan(from: 0, count: .max) { _, _ in visited += 1 } == 0)
    #expect(visited == 1)
    // A key that waits to be removed does not come back by being written to.
    #expect(table.write([52].rawSpan, at: 0, [7].rawSpan) == 1)
    #expect(table.deadline(of: [52].rawSpan) == nil)
    table.settle(at: 50)
    #expect(table.count == 2 && table.nextDeadline == 60)
  }

  @Test("memory in use follows what is stored")
  func allocatedBytes() {
    var table = Table(seed: 3)
    let empty = table.allocatedBytes
    let value = [UInt8](repeating: 1, count: 1_000_000)
    table.put([1].rawSpan, value.rawSpan, deadline: 10)
    #expect(table.allocatedBytes >= empty + 1_000_000 && table.allocatedBytes < empty + 1_010_000)
    table.put([1].rawSpan, [2].rawSpan, deadline: nil)
    #expect(table.allocatedBytes < empty + 10_000)
    for i in 0..<10_000 { table.put(Array("\(i)".utf8).rawSpan, [1].rawSpan, deadline: 5) }
    table.settle(at: 5)
    #expect(table.count == 1)
    for _ in 0..<20_000 {
      _ = table.write([3].rawSpan, at: 0, [1].rawSpan); _ = table.remove([3].rawSpan)
    }
    #expect(table.allocatedBytes < empty + 400_000)
  }
}
