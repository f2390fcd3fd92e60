internal import CycladesReplication

/// Commands about keys as such.
extension Shard {
  mutating func delete(_ call: borrowing Invocation, _ reply: inout Reply) {
    var removed: Int64 = 0
    for index in 0..<call.count where table.remove(call[index]) { removed += 1 }
    reply.appendInteger(removed)
  }

  mutating func count(_ call: borrowing Invocation, _ reply: inout Reply) {
    var found: Int64 = 0
    for index in 0..<call.count where table.contains(call[index]) { found += 1 }
    reply.appendInteger(found)
  }

  mutating func type(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let entry = table.find(call[0]) else { return reply.append("+none\r\n") }
    reply.appendSimple(ValueKind(stored: entry.kind).name)
  }

  mutating func rename(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard table.contains(call[0]) else { return reply.appendError("ERR no such key") }
    move(call)
    reply.appendOK()
  }

  mutating func renameIfFree(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard table.contains(call[0]) else { return reply.appendError("ERR no such key") }
    guard !table.contains(call[1]) else { return reply.appendInteger(0) }
    move(call)
    reply.appendInteger(1)
  }

  private mutating func move(_ call: borrowing Invocation) {
    guard !call[0].isEqual(to: call[1]), table.copy(call[0], to: call[1]) else { return }
    _ = table.remove(call[0])
    noteReady(call[1])
  }

  mutating func copy(_ call: borrowing Invocation, _ reply: inout Reply) {
    var replaces = false
    var index = 2
    while index < call.count {
      if call.arguments.equals(index, "REPLACE") {
        replaces = true
      } else if call.arguments.equals(index, "DB"), index + 1 < call.count {
        index += 1
        guard let database = call[index].integer else { return reply.appendNotInteger() }
        guard Int32(exactly: database) != nil else {
          return reply.appendError(
            "ERR value is out of range, value must between \(Int32.min) and \(Int32.max)")
        }
        guard database == 0 else { return reply.appendError("ERR DB index is out of range") }
      } else {
        return reply.appendSyntaxError()
      }
      index += 1
    }
    guard !call[0].isEqual(to: call[1]) else {
      return reply.appendError("ERR source and destination objects are the same")
    }
    guard replaces || !table.contains(call[1]), table.copy(call[0], to: call[1]) else {
      return reply.appendInteger(0)
    }
    noteReady(call[1])
    reply.appendInteger(1)
  }

  mutating func size(_ call: borrowing Invocation, _ reply: inout Reply) {
    reply.appendInteger(Int64(table.count))
  }

  mutating func flush(_ call: borrowing Invocation, _ reply: inout Reply) {
    let isPlain = call.count == 0
    let hasMode =
      call.count == 1
      && (call.arguments.equals(0, "SYNC") || call.arguments.equals(0, "ASYNC"))
    guard isPlain || hasMode else { return reply.appendSyntaxError() }
    table.removeAll()
    reply.appendOK()
  }
}
