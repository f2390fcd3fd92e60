internal import CycladesReplication

/// Hashes.
extension Shard {
  /// Puts fields and their values, which follow an argument in turn, into a hash.
  ///
  /// - Returns: how many fields are new; `nil` after an error, which is then answered.
  private mutating func putFields(_ call: borrowing Invocation, _ reply: inout Reply) -> Int64? {
    guard call.count % 2 == 1 else {
      reply.appendWrongArity(call.command)
      return nil
    }
    guard admits(call[0], .hash, &reply), admitsElements(call, from: 1, &reply) else { return nil }
    return table.edit(call[0], .hash, creates: true) { edit in
      var added: Int64 = 0
      var isLarge = false
      for index in stride(from: 1, to: call.count, by: 2) {
        if edit.put(call[index], call[index + 1]) { added += 1 }
        isLarge =
          isLarge || max(call[index].byteCount, call[index + 1].byteCount) > CompactLimits.itemBytes
      }
      if isLarge || edit.count > CompactLimits.fields { edit.markLarge() }
      return added
    }
  }

  mutating func hashSet(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let added = putFields(call, &reply) else { return }
    reply.appendInteger(added)
  }

  mutating func hashSetMany(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard putFields(call, &reply) != nil else { return }
    reply.appendOK()
  }

  mutating func hashSetIfMissing(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .hash, &reply) else { return }
    if let entry = table.find(call[0]), Collection(entry).contains(call[1]) {
      return reply.appendInteger(0)
    }
    guard let added = putFields(call, &reply) else { return }
    reply.appendInteger(added)
  }

  mutating func hashGet(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .hash, &reply, missing: { $0.appendNull(call.version) }) { fields, reply in
      let (rank, isThere) = fields.find(call[1])
      if isThere { reply.appendBulk(fields.value(rank)) } else { reply.appendNull(call.version) }
    }
  }

  mutating func hashGetMany(_ call: borrowing Invocation, _ reply: inout Reply) {
    func missing(_ reply: inout Reply) {
      reply.appendArray(call.count - 1)
      for _ in 1..<call.count { reply.appendNull(call.version) }
    }
    read(call[0], .hash, &reply, missing: missing) { fields, reply in
      reply.appendArray(call.count - 1)
      for index in 1..<call.count {
        let (rank, isThere) = fields.find(call[index])
        if isThere { reply.appendBulk(fields.value(rank)) } else { reply.appendNull(call.version) }
      }
    }
  }

  mutating func hashDelete(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .hash, &reply) else { return }
    let removed = table.edit(call[0], .hash, creates: false) { edit in
      var removed: Int64 = 0
      for index in 1..<call.count where edit.remove(call[index]) { removed += 1 }
      return removed
    }
    reply.appendInteger(removed ?? 0)
  }

  mutating func hashLength(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .hash, &reply, missing: { $0.appendInteger(0) }) { fields, reply in
      reply.appendInteger(Int64(fields.count))
    }
  }

  mutating func hashFieldLength(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .hash, &reply, missing: { $0.appendInteger(0) }) { fields, reply in
      let (rank, isThere) = fields.find(call[1])
      reply.appendInteger(isThere ? Int64(fields.value(rank).byteCount) : 0)
    }
  }

  mutating func hashExists(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .hash, &reply, missing: { $0.appendInteger(0) }) { fields, reply in
      reply.appendInteger(fields.contains(call[1]) ? 1 : 0)
    }
  }

  mutating func hashAll(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .hash, &reply, missing: { $0.appendMap(0, call.version) }) { fields, reply in
      reply.appendMap(fields.count, call.version)
      fields.forEach { field, value in
        reply.appendBulk(field)
        reply.appendBulk(value)
      }
    }
  }

  mutating func hashFields(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .hash, &reply, missing: { $0.appendEmptyArray() }) { fields, reply in
      reply.appendArray(fields.count)
      fields.forEach { field, _ in reply.appendBulk(field) }
    }
  }

  mutating func hashValues(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .hash, &reply, missing: { $0.appendEmptyArray() }) { fields, reply in
      reply.appendArray(fields.count)
      fields.forEach { _, value in reply.appendBulk(value) }
    }
  }

  mutating func hashIncrement(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let amount = call[2].integer else { return reply.appendNotInteger() }
    guard admits(call[0], .hash, &reply), admitsElements(call, from: 1, &reply) else { return }
    var old: Int64 = 0
    if let entry = table.find(call[0]) {
      let fields = Collection(entry)
      let (rank, isThere) = fields.find(call[1])
      if isThere {
        guard let value = fields.value(rank).integer else {
          return reply.appendError("ERR hash value is not an integer")
        }
        old = value
      }
    }
    let (sum, overflows) = old.addingReportingOverflow(amount)
    guard !overflows else {
      return reply.appendError("ERR increment or decrement would overflow")
    }
    withDecimal(sum) { putField(call, $0) }
    reply.appendInteger(sum)
  }

  mutating func hashIncrementByFloat(_ call: borrowing Invocation, _ reply: inout Reply) {
    // The increment is looked at before the hash, and by itself.
    let zero = [UInt8(ascii: "0")]
    switch addDecimals(zero.rawSpan, call[2]) {
    case .success: break
    case .failure(.notFloat): return reply.appendError("ERR value is not a valid float")
    case .failure(.notFinite): return reply.appendError("ERR value is NaN or Infinity")
    }
    guard admits(call[0], .hash, &reply), admitsElements(call, from: 1, &reply) else { return }
    var sum = addDecimals(zero.rawSpan, call[2])
    if let entry = table.find(call[0]) {
      let fields = Collection(entry)
      let (rank, isThere) = fields.find(call[1])
      if isThere { sum = addDecimals(fields.value(rank), call[2]) }
    }
    switch sum {
    case .success(let digits):
      putField(call, digits.rawSpan)
      reply.appendBulk(digits)
    case .failure(.notFloat):
      reply.appendError("ERR hash value is not a float")
    case .failure(.notFinite):
      reply.appendError("ERR increment would produce NaN or Infinity")
    }
  }

  /// Gives the field that a call names a value.
  private mutating func putField(_ call: borrowing Invocation, _ value: RawSpan) {
    _ = table.edit(call[0], .hash, creates: true) { edit in
      _ = edit.put(call[1], value)
      let longest = max(call[1].byteCount, value.byteCount)
      if longest > CompactLimits.itemBytes || edit.count > CompactLimits.fields { edit.markLarge() }
    }
  }

  mutating func hashRandom(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard call.count > 1 else {
      let digest = table.digest
      return read(call[0], .hash, &reply, missing: { $0.appendNull(call.version) }) {
        fields, reply in
        var random = SharedRandom(call, digest: digest)
        reply.appendBulk(fields.member(random.below(fields.count)))
      }
    }
    guard let count = call.integer(at: 1, in: -Int64.max...Int64.max, &reply) else { return }
    guard call.count == 2 || call.count == 3 && call.arguments.equals(2, "WITHVALUES") else {
      return reply.appendSyntaxError()
    }
    let withValues = call.count == 3
    guard !withValues || abs(count) <= Int64.max / 2 else { return reply.appendOutOfRange() }
    appendRandom(call, .hash, count, &reply) { fields, rank, reply in
      if withValues && call.version == .v3 { reply.appendArray(2) }
      reply.appendBulk(fields.member(rank))
      if withValues { reply.appendBulk(fields.value(rank)) }
    } head: { count, reply in
      reply.appendArray(withValues && call.version == .v2 ? count * 2 : count)
    }
  }

  /// Appends random items: different ones for a positive count, any for a negative.
  func appendRandom(
    _ call: borrowing Invocation, _ kind: ValueKind, _ count: Int64, _ reply: inout Reply,
    item: (borrowing Collection, Int, inout Reply) -> Void, head: (Int, inout Reply) -> Void
  ) {
    let digest = table.digest
    read(call[0], kind, &reply, missing: { $0.appendEmptyArray() }) { items, reply in
      guard count != 0 else { return reply.appendEmptyArray() }
      var random = SharedRandom(call, digest: digest)
      if count < 0 {
        let wanted = Int(clamping: count.magnitude)
        head(wanted, &reply)
        for _ in 0..<wanted { item(items, random.below(items.count), &reply) }
      } else {
        let ranks = random.different(min(Int(clamping: count), items.count), below: items.count)
        head(ranks.count, &reply)
        for rank in ranks { item(items, rank, &reply) }
      }
    }
  }
}
