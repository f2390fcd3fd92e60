internal import CCycladesRESP
public import CycladesReplication

/// RESP replies. Text given to a simple string or an error must not hold a line end.
extension Reply {
  /// Appends a simple string, such as `+PONG`.
  public mutating func appendSimple(_ text: StaticString) {
    append(UInt8(ascii: "+"))
    append(text)
    append("\r\n")
  }

  /// Appends `+OK`.
  public mutating func appendOK() { append("+OK\r\n") }

  /// Appends an error; `text` begins with its code, such as `ERR` or `MOVED`.
  public mutating func appendError(_ text: StaticString) {
    append(UInt8(ascii: "-"))
    append(text)
    append("\r\n")
  }

  /// Appends an error whose text was built; line ends in it become blanks.
  public mutating func appendError(_ text: String) {
    append(UInt8(ascii: "-"))
    for byte in text.utf8 { append(byte == 13 || byte == 10 ? 32 : byte) }
    append("\r\n")
  }

  /// Appends the error reply to a broken request, after which the connection is to be closed.
  public mutating func append(_ violation: ProtocolViolation) {
    appendError("ERR " + violation.description)
  }

  /// Appends an integer.
  public mutating func appendInteger(_ value: Int64) { appendNumber(":", value) }

  /// Appends a bulk string.
  public mutating func appendBulk(_ bytes: RawSpan) {
    appendNumber("$", Int64(bytes.byteCount))
    append(bytes)
    append("\r\n")
  }

  /// Appends a bulk string.
  public mutating func appendBulk(_ bytes: [UInt8]) { appendBulk(bytes.rawSpan) }

  /// Appends a bulk string.
  public mutating func appendBulk(_ text: String) {
    appendNumber("$", Int64(text.utf8.count))
    append(contentsOf: text.utf8)
    append("\r\n")
  }

  /// Appends a null: `$-1` in RESP2.
  public mutating func appendNull(_ version: RESPVersion) {
    append(version == .v3 ? "_\r\n" : "$-1\r\n")
  }

  /// Appends a null where an array was due: `*-1` in RESP2.
  public mutating func appendNullArray(_ version: RESPVersion) {
    append(version == .v3 ? "_\r\n" : "*-1\r\n")
  }

  /// Appends the head of an array; its elements follow.
  public mutating func appendArray(_ count: Int) { appendNumber("*", Int64(count)) }

  /// Appends the head of a map; keys and values follow in turn. RESP2: a flat array.
  public mutating func appendMap(_ pairs: Int, _ version: RESPVersion) {
    if version == .v3 { appendNumber("%", Int64(pairs)) } else { appendArray(pairs * 2) }
  }

  /// Appends the head of a set. RESP2: an array.
  public mutating func appendSet(_ count: Int, _ version: RESPVersion) {
    appendNumber(version == .v3 ? "~" : "*", Int64(count))
  }

  /// Appends the head of a push message. RESP2: an array.
  public mutating func appendPush(_ count: Int, _ version: RESPVersion) {
    appendNumber(version == .v3 ? ">" : "*", Int64(count))
  }

  /// Appends a double. RESP2: a bulk string.
  public mutating func appendDouble(_ value: Double, _ version: RESPVersion) {
    unsafe appendWritten { unsafe cyc_resp_write_double($0, version == .v3, value) }
  }

  /// Appends a double as a bulk string in either version, as ZSCAN answers scores: with the fewest
  /// digits that stand for it when it is a whole number, else with 17.
  mutating func appendDoubleText(_ value: Double) {
    if let whole = Int64(exactly: value), whole.magnitude < 1 << 52,
      value != 0 || value.sign == .plus
    {
      appendBulk(String(whole))
    } else {
      appendDouble(value, .v2)
    }
  }

  /// Appends a boolean. RESP2: the integer 0 or 1.
  public mutating func appendBoolean(_ value: Bool, _ version: RESPVersion) {
    if version == .v3 { append(value ? "#t\r\n" : "#f\r\n") } else { appendInteger(value ? 1 : 0) }
  }

  /// Appends verbatim text. RESP2: a bulk string.
  public mutating func appendVerbatim(_ text: String, _ version: RESPVersion) {
    guard version == .v3 else { return appendBulk(text) }
    appendNumber("=", Int64(text.utf8.count) + 4)
    append("txt:")
    append(contentsOf: text.utf8)
    append("\r\n")
  }

  private mutating func appendNumber(_ mark: Unicode.Scalar, _ value: Int64) {
    unsafe appendWritten {
      unsafe cyc_resp_write_number($0, CChar(bitPattern: UInt8(ascii: mark)), value)
    }
  }

  /// Appends what a C writer puts into a small buffer on the stack.
  private mutating func appendWritten(_ write: (UnsafeMutablePointer<UInt8>) -> Int) {
    unsafe withUnsafeTemporaryAllocation(
      of: UInt8.self, capacity: CYC_RESP_HEAD_MAX
    ) { scratch in
      let count = unsafe write(scratch.baseAddress!)
      unsafe append(contentsOf: scratch[..<count])
    }
  }
}
