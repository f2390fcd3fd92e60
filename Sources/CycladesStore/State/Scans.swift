internal import CycladesReplication

/// The options of the SCAN family.
private struct ScanOptions {
  private(set) var count = 10
  private(set) var pattern: GlobPattern?
  private(set) var type: String?

  /// Reads options from `start` to `end`; `nil` after an error, which is then answered.
  init?(
    _ call: borrowing Invocation, _ range: Range<Int>, allowsType: Bool, _ reply: inout Reply
  ) {
    var index = range.lowerBound
    while index < range.upperBound {
      guard index + 1 < range.upperBound else {
        reply.appendSyntaxError()
        return nil
      }
      if call.arguments.equals(index, "COUNT") {
        guard let value = call[index + 1].integer else {
          reply.appendNotInteger()
          return nil
        }
        guard value >= 1 else {
          reply.appendSyntaxError()
          return nil
        }
        count = Int(value)
      } else if call.arguments.equals(index, "MATCH") {
        pattern = GlobPattern(call[index + 1].array)
      } else if allowsType, call.arguments.equals(index, "TYPE") {
        type = call.arguments.string(index + 1).lowercased()
      } else {
        reply.appendSyntaxError()
        return nil
      }
      index += 2
    }
  }

  func admits(_ name: RawSpan) -> Bool { pattern?.matches(name.array) ?? true }
}

/// SCAN and its kin, KEYS, RANDOMKEY.
extension Shard {
  /// SCAN, to which ``PackedCommand`` has added the cursor to answer at the end of this shard.
  mutating func scan(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let cursor = ScanCursor(call[0]), let end = call[call.count - 1].unsigned else {
      return reply.appendError("ERR invalid cursor")
    }
    guard let options = ScanOptions(call, 1..<call.count - 1, allowsType: true, &reply) else {
      return
    }
    var elements = Reply()
    var count = 0
    let next = table.scan(from: cursor.position, count: options.count) { key, kind in
      guard options.type == nil || options.type == "\(ValueKind(stored: kind).name)",
        options.admits(key)
      else { return }
      elements.appendBulk(key)
      count += 1
    }
    reply.appendArray(2)
    reply.appendBulk(String(cursor.advanced(to: next, orEnd: end)))
    reply.appendArray(count)
    reply.append(contentsOf: elements.bytes)
  }

  mutating func keys(_ call: borrowing Invocation, _ reply: inout Reply) {
    let pattern = GlobPattern(call[0].array)
    reply.appendCounted(call) { elements in
      var count = 0
      _ = table.scan(from: 0, count: .max) { key, _ in
        guard pattern.matches(key.array) else { return }
        elements.appendBulk(key)
        count += 1
      }
      return count
    }
  }

  mutating func randomKey(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard table.count > 0 else { return reply.appendNull(call.version) }
    var random = SharedRandom(call, digest: table.digest &+ reads)
    reads &+= 1
    // The first keys behind a random position; around again when there are none.
    var chosen: [[UInt8]] = []
    for position in [random.bits(), 0] where chosen.isEmpty {
      _ = table.scan(from: position, count: 1) { key, _ in chosen.append(key.array) }
    }
    guard !chosen.isEmpty else { return reply.appendNull(call.version) }
    reply.appendBulk(chosen[random.below(chosen.count)])
  }

  mutating func scanHash(_ call: borrowing Invocation, _ reply: inout Reply) {
    scan(call, .hash, &reply) { member, value, reply in
      reply.appendBulk(member)
      reply.appendBulk(value)
      return 2
    }
  }

  mutating func scanSet(_ call: borrowing Invocation, _ reply: inout Reply) {
    scan(call, .set, &reply) { member, _, reply in
      reply.appendBulk(member)
      return 1
    }
  }

  mutating func scanSortedSet(_ call: borrowing Invocation, _ reply: inout Reply) {
    var isSmall = false
    if let entry = table.find(call[0]) { isSmall = entry.kind & ValueKind.largeBit == 0 }
    scan(call, .sortedSet, &reply) { member, value, reply in
      reply.appendBulk(member)
      // Redis keeps a small set's whole scores as integers, and a scan shows them as such.
      if isSmall, let whole = Int64(exactly: value.double), whole.magnitude <= 1 << 62 {
        reply.appendBulk(String(whole))
      } else {
        reply.appendDoubleText(value.double)
      }
      return 2
    }
  }

  /// Scans a collection: the cursor is the hash of the member to go on with. A small one is answered
  /// as a whole, as Redis does.
  private func scan(
    _ call: borrowing Invocation, _ kind: ValueKind, _ reply: inout Reply,
    append: (RawSpan, RawSpan, inout Reply) -> Int
  ) {
    guard let cursor = call[1].unsigned else { return reply.appendError("ERR invalid cursor") }
    func appendResult(_ next: UInt32, _ elements: [UInt8], _ count: Int, _ reply: inout Reply) {
      reply.appendArray(2)
      reply.appendBulk(String(next))
      reply.appendArray(count)
      reply.append(contentsOf: elements)
    }
    guard let entry = table.find(call[0]) else { return appendResult(0, [], 0, &reply) }
    guard ValueKind(stored: entry.kind) == kind else { return reply.appendWrongType() }
    guard let options = ScanOptions(call, 2..<call.count, allowsType: false, &reply) else { return }
    let isSmall = entry.kind & ValueKind.largeBit == 0
    let items = Collection(entry)
    let start = isSmall ? 0 : items.rank(atPosition: UInt32(truncatingIfNeeded: cursor))
    var end = min(
      start.addingReportingOverflow(options.count).overflow
        ? .max
        : start + options.count, items.count)
    if isSmall { end = items.count }
    // Members of equal hash are answered together, so that the hash says where to go on.
    while end > start, end < items.count, items.position(of: end) == items.position(of: end - 1) {
      end += 1
    }
    var elements = Reply()
    var count = 0
    items.forEach(start..<end) { member, value in
      if options.admits(member) { count += append(member, value, &elements) }
      return true
    }
    appendResult(end < items.count ? items.position(of: end) : 0, elements.bytes, count, &reply)
  }
}

// MARK: - OBJECT

extension Shard {
  mutating func object(_ call: borrowing Invocation, _ reply: inout Reply) {
    if call.arguments.equals(0, "HELP"), call.count == 1 {
      let lines: [StaticString] = [
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>", "    Return how the value of a key is stored, in Redis' terms.",
        "REFCOUNT <key>", "    Return 1 for a key that exists.",
        "HELP", "    Print this help.",
      ]
      reply.appendArray(lines.count)
      for line in lines { reply.appendSimple(line) }
      return
    }
    let isKnown = ["ENCODING", "REFCOUNT", "IDLETIME", "FREQ", "HELP"].contains(
      call.arguments.string(0).uppercased())
    guard isKnown else { return reply.appendUnknownSubcommand(call.command, call[0]) }
    guard call.count == 2, !call.arguments.equals(0, "HELP") else {
      let name = "object|" + call.arguments.string(0).lowercased()
      return reply.appendError("ERR wrong number of arguments for '\(name)' command")
    }
    guard let entry = table.find(call[1]) else { return reply.appendNull(call.version) }
    if call.arguments.equals(0, "ENCODING") {
      reply.appendBulk(Self.encoding(entry))
    } else if call.arguments.equals(0, "FREQ") {
      reply.appendError(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
          + "that when switching between policies at runtime LRU and LFU data will take some time "
          + "to adjust.")
    } else {
      reply.appendInteger(call.arguments.equals(0, "REFCOUNT") ? 1 : 0)
    }
  }

  /// The encoding that Redis would have chosen for a value.
  private static func encoding(_ entry: borrowing Table.Entry) -> String {
    let isLarge = entry.kind & ValueKind.largeBit != 0
    switch ValueKind(stored: entry.kind) {
    case .hash: return isLarge ? "hashtable" : "listpack"
    case .list: return "quicklist"
    case .set: return isLarge ? "hashtable" : "intset"
    case .sortedSet: return isLarge ? "skiplist" : "listpack"
    default:
      if entry.value.byteCount <= 20, entry.value.integer != nil { return "int" }
      return entry.value.byteCount <= 44 ? "embstr" : "raw"
    }
  }
}
