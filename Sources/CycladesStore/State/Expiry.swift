internal import CycladesReplication

/// The unit in which a command gives a time.
enum TimeUnit: Int64 {
  case milliseconds = 1
  case seconds = 1000
}

/// What a command counts a time from.
enum TimeBase {
  /// From log time.
  case relative
  /// From 1970.
  case absolute
}

extension Reply {
  mutating func appendSyntaxError() { appendError("ERR syntax error") }

  mutating func appendNotInteger() { appendError("ERR value is not an integer or out of range") }

  mutating func appendInvalidExpiry(_ call: borrowing Invocation) {
    appendError("ERR invalid expire time in '\(call.command.name)' command")
  }
}

extension Invocation {
  /// A time in an argument, converted to milliseconds since 1970; `nil` when it overflows.
  func deadline(_ value: Int64, _ unit: TimeUnit, _ base: TimeBase) -> Int64? {
    let (scaled, scaledOverflows) = value.multipliedReportingOverflow(by: unit.rawValue)
    let (sum, sumOverflows) = scaled.addingReportingOverflow(base == .relative ? time : 0)
    return scaledOverflows || sumOverflows ? nil : sum
  }
}

/// EXPIRE, TTL and their kin, and PERSIST.
extension Shard {
  /// Sets a key's deadline; one that log time has reached removes the key at once.
  mutating func end(_ key: RawSpan, at deadline: Int64, _ call: borrowing Invocation) {
    if deadline <= call.time {
      _ = table.remove(key)
    } else {
      table.setDeadline(key, UInt64(deadline))
    }
  }

  mutating func expire(
    _ call: borrowing Invocation, _ unit: TimeUnit, _ base: TimeBase, _ reply: inout Reply
  ) {
    guard let condition = ExpiryCondition(call, &reply) else { return }
    guard let value = call[1].integer else { return reply.appendNotInteger() }
    guard let deadline = call.deadline(value, unit, base) else {
      return reply.appendInvalidExpiry(call)
    }
    let key = call[0]
    guard table.contains(key), condition.allows(deadline, replacing: table.deadline(of: key))
    else { return reply.appendInteger(0) }
    end(key, at: deadline, call)
    reply.appendInteger(1)
  }

  mutating func expiry(
    _ call: borrowing Invocation, _ unit: TimeUnit, _ base: TimeBase, _ reply: inout Reply
  ) {
    guard let entry = table.find(call[0]) else { return reply.appendInteger(-2) }
    guard let deadline = entry.deadline else { return reply.appendInteger(-1) }
    let milliseconds =
      base == .absolute ? Int64(deadline) : max(Int64(deadline) - call.time, 0)
    reply.appendInteger(unit == .seconds ? (milliseconds + 500) / 1000 : milliseconds)
  }

  mutating func persist(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard table.deadline(of: call[0]) != nil else { return reply.appendInteger(0) }
    table.setDeadline(call[0], nil)
    reply.appendInteger(1)
  }
}

/// The options of the EXPIRE family.
private struct ExpiryCondition {
  private var ifNone = false
  private var ifSome = false
  private var ifLater = false
  private var ifEarlier = false

  init?(_ call: borrowing Invocation, _ reply: inout Reply) {
    for index in 2..<max(call.count, 2) {
      if call.arguments.equals(index, "NX") {
        ifNone = true
      } else if call.arguments.equals(index, "XX") {
        ifSome = true
      } else if call.arguments.equals(index, "GT") {
        ifLater = true
      } else if call.arguments.equals(index, "LT") {
        ifEarlier = true
      } else {
        reply.appendUnsupportedOption(call[index])
        return nil
      }
    }
    if ifNone && (ifSome || ifLater || ifEarlier) {
      reply.appendError(
        "ERR NX and XX, GT or LT options at the same time are not compatible")
      return nil
    }
    if ifLater && ifEarlier {
      reply.appendError("ERR GT and LT options at the same time are not compatible")
      return nil
    }
  }

  /// A key without a deadline counts as one that ends never, which no deadline is later than.
  func allows(_ deadline: Int64, replacing old: UInt64?) -> Bool {
    let current = old.map { Int64($0) }
    if ifNone && current != nil { return false }
    if ifSome && current == nil { return false }
    if ifLater && deadline <= current ?? .max { return false }
    if ifEarlier, let current, deadline >= current { return false }
    return true
  }
}
