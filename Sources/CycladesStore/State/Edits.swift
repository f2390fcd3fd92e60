internal import CycladesReplication

/// Commands that compute with a value or change a part of it. They keep the key's expiry.
extension Shard {
  mutating func length(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .string, &reply) else { return }
    reply.appendInteger(Int64(table.find(call[0])?.value.byteCount ?? 0))
  }

  mutating func getRange(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard var start = call[1].integer, var end = call[2].integer else {
      return reply.appendNotInteger()
    }
    guard admits(call[0], .string, &reply) else { return }
    let isReversed = start < 0 && end < 0 && start > end
    guard let entry = table.find(call[0]), !isReversed else { return reply.append("$0\r\n\r\n") }
    let length = Int64(entry.value.byteCount)
    if start < 0 { start = max(start + length, 0) }
    if end < 0 { end = max(end + length, 0) }
    end = min(end, length - 1)
    guard start <= end else { return reply.append("$0\r\n\r\n") }
    reply.appendBulk(entry.value.extracting(Int(start)...Int(end)))
  }

  mutating func append(_ call: borrowing Invocation, _ reply: inout Reply) {
    let (key, part) = (call[0], call[1])
    guard admits(key, .string, &reply) else { return }
    guard let old = table.find(key)?.value.byteCount else {
      guard admits(length: part.byteCount, &reply) else { return }
      table.put(key, part, deadline: nil)
      return reply.appendInteger(Int64(part.byteCount))
    }
    guard admits(length: old + part.byteCount, &reply) else { return }
    let length = part.isEmpty ? old : table.write(key, at: old, part)
    reply.appendInteger(Int64(length))
  }

  mutating func setRange(_ call: borrowing Invocation, _ reply: inout Reply) {
    let (key, part) = (call[0], call[2])
    guard let offset = call[1].integer else { return reply.appendNotInteger() }
    guard offset >= 0 else { return reply.appendError("ERR offset is out of range") }
    guard admits(key, .string, &reply) else { return }
    if part.isEmpty { return length(call, &reply) }
    let (end, overflows) = Int(offset).addingReportingOverflow(part.byteCount)
    guard admits(length: overflows ? .max : end, &reply) else { return }
    reply.appendInteger(Int64(table.write(key, at: Int(offset), part)))
  }

  mutating func increment(_ call: borrowing Invocation, _ reply: inout Reply) {
    add(1, call, &reply)
  }

  mutating func decrement(_ call: borrowing Invocation, _ reply: inout Reply) {
    add(-1, call, &reply)
  }

  mutating func incrementBy(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let amount = call[1].integer else { return reply.appendNotInteger() }
    add(amount, call, &reply)
  }

  mutating func decrementBy(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let amount = call[1].integer else { return reply.appendNotInteger() }
    guard amount != .min else { return reply.appendError("ERR decrement would overflow") }
    add(-amount, call, &reply)
  }

  private mutating func add(_ amount: Int64, _ call: borrowing Invocation, _ reply: inout Reply) {
    let key = call[0]
    var old: Int64 = 0
    var deadline: UInt64?
    if let entry = table.find(key) {
      guard entry.kind == ValueKind.string.rawValue else { return reply.appendWrongType() }
      guard let value = entry.value.integer else { return reply.appendNotInteger() }
      (old, deadline) = (value, entry.deadline)
    }
    let (sum, overflows) = old.addingReportingOverflow(amount)
    guard !overflows else {
      return reply.appendError("ERR increment or decrement would overflow")
    }
    withDecimal(sum) { table.put(key, $0, deadline: deadline) }
    reply.appendInteger(sum)
  }

  private static let zero = [UInt8(ascii: "0")]

  mutating func incrementByFloat(_ call: borrowing Invocation, _ reply: inout Reply) {
    let key = call[0]
    guard admits(key, .string, &reply) else { return }
    let sum: Result<[UInt8], DecimalError>
    var deadline: UInt64?
    if let entry = table.find(key) {
      deadline = entry.deadline
      sum = addDecimals(entry.value, call[1])
    } else {
      sum = addDecimals(Self.zero.rawSpan, call[1])
    }
    switch sum {
    case .success(let digits):
      table.put(key, digits.rawSpan, deadline: deadline)
      reply.appendBulk(digits)
    case .failure(.notFloat):
      reply.appendError("ERR value is not a valid float")
    case .failure(.notFinite):
      reply.appendError("ERR increment would produce NaN or Infinity")
    }
  }
}
