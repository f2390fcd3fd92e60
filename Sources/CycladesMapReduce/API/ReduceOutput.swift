/// How a record of output is written.
public enum OutputFormat: String, Sendable, Hashable, CaseIterable {
  /// `key TAB value`, a line each.
  case text
  /// `{"key":…,"value":…}`, a line each.
  case jsonLines = "jsonl"
  /// The key's encoded bytes behind their length, then the value's, and before all that the length of
  /// the record: what `RecordFormat.lengthPrefixed` reads and `RawSpan.pair` takes apart.
  case pairs
  /// The same of the text of key and value: for what goes on to where both may hold any byte.
  case textPairs
}

/// Where a reducer writes its records.
public struct ReduceOutput: ~Copyable {
  @usableFromInline var text: ByteWriter
  /// Of the group: its key as the format writes it.
  @usableFromInline var key: ByteWriter
  /// Where a value is encoded before it is appended anywhere.
  @usableFromInline var value: ByteWriter
  @usableFromInline let format: OutputFormat
  let memory: PairMemory
  var recordCount = 0

  init(_ memory: TaskMemory, format: OutputFormat) {
    text = ByteWriter(memory.text)
    key = ByteWriter(memory.keyText)
    value = ByteWriter(memory.pairs.keyRegion)
    self.format = format
    self.memory = memory.pairs
  }

  @inlinable mutating func begin<Key: JobKey>(_: Key.Type, _ encoded: RawSpan) throws {
    key.removeAll()
    switch format {
    case .text, .textPairs: try Key.writeText(ofKey: encoded, into: &key)
    case .jsonLines: try Key.writeJSON(ofKey: encoded, into: &key)
    case .pairs: key.append(encoded)
    }
  }

  /// Writes one record: the key of the group and the value.
  public mutating func emit(_ value: some JobValue) {
    switch format {
    case .text:
      text.append(contentsOf: key)
      endText(value)
    case .jsonLines:
      text.append("{\"key\":")
      text.append(contentsOf: key)
      text.append(",\"value\":")
      value.writeJSON(into: &text)
      text.append("}\n")
    case .pairs, .textPairs:
      self.value.removeAll()
      if format == .pairs {
        value.encode(into: &self.value)
      } else {
        value.writeText(into: &self.value)
      }
      text.append(littleEndian: UInt32(truncatingIfNeeded: 4 + key.used + self.value.used))
      text.append(littleEndian: UInt32(truncatingIfNeeded: key.used))
      text.append(contentsOf: key)
      text.append(contentsOf: self.value)
    }
    recordCount += 1
  }

  /// Adds to a counter of the job.
  public mutating func count(_ counter: JobCounter, by amount: Int = 1) {
    memory.count(counter.index, amount)
  }

  /// Writes one record whose key is written straight from its bytes.
  @inlinable mutating func write<Key: JobKey>(
    _: Key.Type, _ encoded: RawSpan, _ value: some JobValue
  ) throws {
    if format == .text {
      try Key.writeText(ofKey: encoded, into: &text)
      endText(value)
      countRecord()
    } else {
      try begin(Key.self, encoded)
      emit(value)
    }
  }

  @usableFromInline mutating func countRecord() { recordCount &+= 1 }

  @inlinable mutating func endText<Value: JobValue>(_ value: Value) {
    // A sorted line has no value, and no tab that would say so.
    if Value.self != NoValue.self {
      text.append(UInt8(ascii: "\t"))
      value.writeText(into: &text)
    }
    text.append(UInt8(ascii: "\n"))
  }
}

/// The values of one key, in order of the input, or of the rest of their keys where these have an
/// order.
public struct Values<Value: JobValue>: ~Copyable {
  @usableFromInline let groups: GroupCursor

  @inlinable init(_ groups: GroupCursor) { self.groups = groups }

  /// The next value, or nil after the last.
  @inlinable public mutating func next() throws -> Value? {
    guard try groups.nextValue() else { return nil }
    return try groups.withValue { try Value(decoding: $0) }
  }
}
