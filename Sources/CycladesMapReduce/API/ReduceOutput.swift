/// Where a reducer writes its lines.
public struct ReduceOutput: ~Copyable {
  @usableFromInline var text: ByteWriter
  @usableFromInline var key: ByteWriter
  var recordCount = 0

  init(text: Region, key: Region) {
    self.text = ByteWriter(text)
    self.key = ByteWriter(key)
  }

  @inlinable mutating func begin<Key: JobKey>(_: Key.Type, _ encoded: RawSpan) throws {
    key.removeAll()
    try Key.writeText(ofKey: encoded, into: &key)
  }

  /// Writes one line: the key of the group, a tab, the value.
  public mutating func emit(_ value: some JobValue) {
    text.append(contentsOf: key)
    text.append(UInt8(ascii: "\t"))
    value.writeText(into: &text)
    text.append(UInt8(ascii: "\n"))
    recordCount += 1
  }
}

/// The values of one key, in order of the input.
public struct Values<Value: JobValue>: ~Copyable {
  @usableFromInline let groups: GroupCursor

  @inlinable init(_ groups: GroupCursor) { self.groups = groups }

  /// The next value, or nil after the last.
  @inlinable public mutating func next() throws -> Value? {
    guard try groups.nextValue() else { return nil }
    return try groups.withValue { try Value(decoding: $0) }
  }
}
