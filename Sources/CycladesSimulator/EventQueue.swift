import CycladesPaxos

/// What is going to happen at some instant of virtual time.
enum Occurrence {
  case tick(node: Int, life: Int)
  case deliver(Message, from: Int, incarnation: UInt64, to: Int)
  case connected(node: Int, peer: Int)
  case synced(node: Int, life: Int, sync: Int)
  case request(attempt: Attempt, to: Int)
  case reply(attempt: Attempt, Answer)
  case wake(client: Int)
  case timeout(attempt: Attempt)
  case restart(node: Int)
  case resume(node: Int)
  case nemesis
  case operate
  case transfer(Transfer, from: Int, to: Int)
  case snapshotWritten(node: Int, life: Int, Snapshot)
  case compact(node: Int, life: Int)
  case snapshotStored(node: Int, life: Int, Snapshot)
  case install(node: Int, life: Int, Snapshot)
}

/// Virtual time: a heap of what is to come, first in time first, and first come first among equals.
///
/// The heap moves small keys; the occurrences themselves stay where they are.
struct EventQueue {
  private struct Key {
    var time: UInt64
    var sequence: UInt64
    var place: Int

    func precedes(_ other: Key) -> Bool {
      time != other.time ? time < other.time : sequence < other.sequence
    }
  }

  private var heap: [Key] = []
  private var places: [Occurrence?] = []
  private var free: [Int] = []
  private var sequence: UInt64 = 0

  var nextTime: UInt64? { heap.first?.time }

  mutating func insert(_ occurrence: Occurrence, at time: UInt64) {
    let place: Int
    if let reused = free.popLast() {
      place = reused
      places[place] = occurrence
    } else {
      place = places.count
      places.append(occurrence)
    }
    sequence += 1
    heap.append(Key(time: time, sequence: sequence, place: place))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].precedes(heap[parent]) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeFirst() -> (time: UInt64, occurrence: Occurrence)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink()
    }
    free.append(first.place)
    let occurrence = places[first.place]!
    places[first.place] = nil
    return (first.time, occurrence)
  }

  private mutating func sink() {
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { return }
      if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
      guard heap[child].precedes(heap[parent]) else { return }
      heap.swapAt(child, parent)
      parent = child
    }
  }
}
