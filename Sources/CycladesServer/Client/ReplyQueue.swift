import CycladesReplication
import CycladesStore

/// The replies one connection still owes, in the order of its commands.
///
/// Commands of one connection run concurrently in many shards and finish in any order; clients match
/// replies to commands by position. Each command therefore takes a cell, numbered by its sequence:
///
/// ```
///   head                      tail
///    | waiting | ready | gathering | ready | waiting |
/// ```
///
/// A reply for the head goes straight to `emit`, followed by every ready cell behind it; any other
/// reply is parked in its cell. Most replies (`+OK`, counters, short values) fit inside the cell, so
/// an out-of-order reply costs no allocation.
struct ReplyQueue {
  /// What a group still has to answer for one command.
  struct Duty {
    /// The group that was asked.
    var group: UInt32
    /// True when the command went through the log.
    var isWrite: Bool
    /// The size of what was sent to the group.
    var byteCount: Int
  }

  /// What becomes of a cell when a reply for it arrives.
  enum Expectation {
    case one(Duty)
    case parts(Gather)
    /// Already answered, or not a command of this queue.
    case nothing
  }

  private enum Cell {
    case waiting(Duty)
    case gathering(Gather)
    case short(ShortReply)
    case long([UInt8])
  }

  private var cells: [Cell] = []
  private var head: UInt64 = 0
  private var tail: UInt64 = 0

  /// Bytes of replies that wait for an earlier one.
  private(set) var parkedBytes = 0

  /// The number of commands that are not answered to the client yet.
  var count: Int { Int(tail - head) }

  var isEmpty: Bool { head == tail }

  /// Takes the next cell for a command that one group answers.
  mutating func expect(_ duty: Duty) -> UInt64 { append(.waiting(duty)) }

  /// Takes the next cell for a command that several groups answer in parts.
  mutating func expect(_ gather: Gather) -> UInt64 { append(.gathering(gather)) }

  /// What the cell of `sequence` waits for.
  func expectation(of sequence: UInt64) -> Expectation {
    guard sequence >= head, sequence < tail else { return .nothing }
    switch cells[index(of: sequence)] {
    case .waiting(let duty): return .one(duty)
    case .gathering(let gather): return .parts(gather)
    case .short, .long: return .nothing
    }
  }

  /// Appends a reply that is known at once, behind everything still owed.
  mutating func append(_ reply: RawSpan, emit: (RawSpan) -> Void) {
    guard !isEmpty else {
      emit(reply)
      return
    }
    _ = append(park(reply))
  }

  /// Hands over the reply of a command, and every later one that waited for it.
  ///
  /// - Complexity: O(replies emitted); a reply that must wait is copied once.
  mutating func fulfil(_ sequence: UInt64, _ reply: RawSpan, emit: (RawSpan) -> Void) {
    precondition(sequence >= head && sequence < tail, "a reply belongs to an open cell")
    guard sequence == head else {
      cells[index(of: sequence)] = park(reply)
      return
    }
    emit(reply)
    head += 1
    emitReady(emit)
  }

  private mutating func emitReady(_ emit: (RawSpan) -> Void) {
    while head < tail {
      switch cells[index(of: head)] {
      case .waiting, .gathering:
        return
      case .short(let reply):
        parkedBytes -= reply.byteCount
        emit(reply.span)
      case .long(let reply):
        parkedBytes -= reply.count
        cells[index(of: head)] = .short(ShortReply())
        emit(reply.rawSpan)
      }
      head += 1
    }
  }

  private mutating func park(_ reply: RawSpan) -> Cell {
    parkedBytes += reply.byteCount
    if let short = ShortReply(reply) { return .short(short) }
    return .long([UInt8](copying: reply))
  }

  private mutating func append(_ cell: Cell) -> UInt64 {
    if count == cells.count { grow(filling: cell) }
    cells[index(of: tail)] = cell
    defer { tail += 1 }
    return tail
  }

  /// Doubles the ring and lays the open cells out for the new mask.
  private mutating func grow(filling cell: Cell) {
    let larger = max(8, cells.count * 2)
    var moved = [Cell](repeating: cell, count: larger)
    for sequence in head..<tail {
      moved[Int(truncatingIfNeeded: sequence) & (larger - 1)] = cells[index(of: sequence)]
    }
    cells = moved
  }

  private func index(of sequence: UInt64) -> Int {
    Int(truncatingIfNeeded: sequence) & (cells.count - 1)
  }
}
