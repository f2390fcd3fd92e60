internal import CycladesReplication

/// GET, SET and their kin.
extension Shard {
  /// Appends the value of a key, or a null; false when it is no string, which is then answered.
  func appendValue(of key: RawSpan, _ version: RESPVersion, _ reply: inout Reply) -> Bool {
    guard let entry = table.find(key) else {
      reply.appendNull(version)
      return true
    }
    guard entry.kind == ValueKind.string.rawValue else {
      reply.appendWrongType()
      return false
    }
    reply.appendBulk(entry.value)
    return true
  }

  /// Whether a value of that length is allowed; refuses the command when it is not.
  mutating func admits(length: Int, _ reply: inout Reply) -> Bool {
    if length <= valueBytesMax { return true }
    reply.appendError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
    return false
  }

  mutating func get(_ call: borrowing Invocation, _ reply: inout Reply) {
    _ = appendValue(of: call[0], call.version, &reply)
  }

  mutating func getMany(_ call: borrowing Invocation, _ reply: inout Reply) {
    reply.appendArray(call.count)
    for index in 0..<call.count {
      if let entry = table.find(call[index]), entry.kind == ValueKind.string.rawValue {
        reply.appendBulk(entry.value)
      } else {
        reply.appendNull(call.version)
      }
    }
  }

  mutating func getAndDelete(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard appendValue(of: call[0], call.version, &reply) else { return }
    _ = table.remove(call[0])
  }

  mutating func getAndSet(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(length: call[1].byteCount, &reply), appendValue(of: call[0], call.version, &reply)
    else {
      return
    }
    table.put(call[0], call[1], deadline: nil)
  }

  mutating func getAndExpire(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let options = SetOptions(call, from: 1, family: .get, &reply) else { return }
    guard table.contains(call[0]) else { return reply.appendNull(call.version) }
    guard admits(call[0], .string, &reply) else { return }
    var deadline: Int64?
    if options.expiry != nil {
      deadline = options.deadline(call, &reply)
      if deadline == nil { return }
    }
    _ = appendValue(of: call[0], call.version, &reply)
    if let deadline {
      end(call[0], at: deadline, call)
    } else if options.persists {
      table.setDeadline(call[0], nil)
    }
  }

  mutating func set(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let options = SetOptions(call, from: 2, family: .set, &reply) else { return }
    var deadline: Int64?
    if options.expiry != nil {
      deadline = options.deadline(call, &reply)
      if deadline == nil { return }
    }
    let (key, value) = (call[0], call[1])
    guard admits(length: value.byteCount, &reply) else { return }
    if options.returnsOld, !appendValue(of: key, call.version, &reply) { return }
    if options.ifMissing || options.ifPresent {
      guard table.contains(key) == options.ifPresent else {
        if !options.returnsOld { reply.appendNull(call.version) }
        return
      }
    }
    let kept = options.keepsExpiry ? table.deadline(of: key) : nil
    put(key, value, deadline: deadline, or: kept, call)
    if !options.returnsOld { reply.appendOK() }
  }

  /// Stores a value that ends at `deadline`, when there is one, and else at `kept`.
  private mutating func put(
    _ key: RawSpan, _ value: RawSpan, deadline: Int64?, or kept: UInt64? = nil,
    _ call: borrowing Invocation
  ) {
    guard let deadline else { return table.put(key, value, deadline: kept) }
    if deadline <= call.time {
      _ = table.remove(key)
    } else {
      table.put(key, value, deadline: UInt64(deadline))
    }
  }

  mutating func setIfMissing(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(length: call[1].byteCount, &reply) else { return }
    if table.contains(call[0]) { return reply.appendInteger(0) }
    table.put(call[0], call[1], deadline: nil)
    reply.appendInteger(1)
  }

  mutating func setWithExpiry(_ call: borrowing Invocation, _ unit: TimeUnit, _ reply: inout Reply)
  {
    guard let value = call[1].integer else { return reply.appendNotInteger() }
    guard value > 0, let deadline = call.deadline(value, unit, .relative) else {
      return reply.appendInvalidExpiry(call)
    }
    guard admits(length: call[2].byteCount, &reply) else { return }
    put(call[0], call[2], deadline: deadline, call)
    reply.appendOK()
  }

  mutating func setMany(_ call: borrowing Invocation, _ reply: inout Reply) {
    for index in stride(from: 1, to: call.count, by: 2) {
      guard admits(length: call[index].byteCount, &reply) else { return }
    }
    for index in stride(from: 0, to: call.count, by: 2) {
      table.put(call[index], call[index + 1], deadline: nil)
    }
    reply.appendOK()
  }

  mutating func setManyIfNoneExists(_ call: borrowing Invocation, _ reply: inout Reply) {
    for index in stride(from: 0, to: call.count, by: 2) {
      guard admits(length: call[index + 1].byteCount, &reply) else { return }
      if table.contains(call[index]) { return reply.appendInteger(0) }
    }
    for index in stride(from: 0, to: call.count, by: 2) {
      table.put(call[index], call[index + 1], deadline: nil)
    }
    reply.appendInteger(1)
  }
}

/// The options of SET and GETEX.
struct SetOptions {
  enum Family { case set, get }

  private(set) var ifMissing = false
  private(set) var ifPresent = false
  private(set) var returnsOld = false
  private(set) var keepsExpiry = false
  private(set) var persists = false
  /// Which argument is a time, and how to read it.
  private(set) var expiry: (argument: Int, unit: TimeUnit, base: TimeBase)?

  /// Reads the options from an argument on; `nil` after a syntax error, which is then answered.
  init?(
    _ call: borrowing Invocation, from start: Int, family: Family, _ reply: inout Reply
  ) {
    var index = start
    while index < call.count {
      guard read(call, &index, family) else {
        reply.appendSyntaxError()
        return nil
      }
      index += 1
    }
  }

  private mutating func read(
    _ call: borrowing Invocation, _ index: inout Int, _ family: Family
  ) -> Bool {
    let arguments = call.arguments
    if family == .set {
      if arguments.equals(index, "NX"), !ifPresent { ifMissing = true; return true }
      if arguments.equals(index, "XX"), !ifMissing { ifPresent = true; return true }
      if arguments.equals(index, "GET") { returnsOld = true; return true }
      if arguments.equals(index, "KEEPTTL"), expiry == nil { keepsExpiry = true; return true }
    } else if arguments.equals(index, "PERSIST"), expiry == nil {
      persists = true
      return true
    }
    let form: (unit: TimeUnit, base: TimeBase)
    if arguments.equals(index, "EX") {
      form = (.seconds, .relative)
    } else if arguments.equals(index, "PX") {
      form = (.milliseconds, .relative)
    } else if arguments.equals(index, "EXAT") {
      form = (.seconds, .absolute)
    } else if arguments.equals(index, "PXAT") {
      form = (.milliseconds, .absolute)
    } else {
      return false
    }
    // The same option may be repeated, the last one counts; two different ones exclude each other.
    if let expiry, expiry.unit != form.unit || expiry.base != form.base { return false }
    guard !keepsExpiry, !persists, index + 1 < call.count else { return false }
    index += 1
    expiry = (index, form.unit, form.base)
    return true
  }

  /// The deadline in milliseconds since 1970; `nil` after an error, which is then answered.
  ///
  /// There must be an expiry.
  func deadline(_ call: borrowing Invocation, _ reply: inout Reply) -> Int64? {
    let expiry = expiry!
    guard let value = call[expiry.argument].integer else {
      reply.appendNotInteger()
      return nil
    }
    guard value > 0, let deadline = call.deadline(value, expiry.unit, expiry.base) else {
      reply.appendInvalidExpiry(call)
      return nil
    }
    return deadline
  }
}
