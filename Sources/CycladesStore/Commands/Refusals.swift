public import CycladesReplication

/// Refusals that do not depend on the data, with the texts of Redis 7.
extension Reply {
  /// Appends the answer to a request whose first argument names no command; it quotes the request's
  /// beginning.
  public mutating func appendUnknownCommand(_ arguments: borrowing Arguments) {
    var quoted: [UInt8] = []
    for index in 1..<max(arguments.count, 1) {
      guard quoted.count < 128 else { break }
      let limit = 128 - quoted.count
      quoted.append(UInt8(ascii: "'"))
      quoted.append(text: arguments[index], limit: limit)
      quoted.append(contentsOf: "' ".utf8)
    }
    var text = Array("ERR unknown command '".utf8)
    if arguments.count > 0 { text.append(text: arguments[0], limit: 128) }
    text.append(contentsOf: "', with args beginning with: ".utf8)
    appendError(bytes: text + quoted)
  }

  /// Appends the answer to a request with the wrong number of arguments for its command.
  public mutating func appendWrongArity(_ command: Command) {
    appendError("ERR wrong number of arguments for '\(command.name)' command")
  }

  /// Appends the answer to a subcommand that its command does not have, or not with that number of
  /// arguments.
  public mutating func appendUnknownSubcommand(_ command: Command, _ name: RawSpan) {
    var text = Array("ERR unknown subcommand '".utf8)
    text.append(text: name, limit: 128)
    text.append(contentsOf: "'. Try \(command.name.uppercased()) HELP.".utf8)
    appendError(bytes: text)
  }

  /// Appends the answer to an option that a command of the EXPIRE family does not have.
  mutating func appendUnsupportedOption(_ option: RawSpan) {
    var text = Array("ERR Unsupported option ".utf8)
    text.append(text: option, limit: option.byteCount)
    appendError(bytes: text)
  }

  /// Appends an error whose text may hold any byte; line ends become blanks.
  private mutating func appendError(bytes: [UInt8]) {
    append(UInt8(ascii: "-"))
    append(contentsOf: bytes.lazy.map { $0 == 13 || $0 == 10 ? 32 : $0 })
    append("\r\n")
  }
}

extension [UInt8] {
  /// Appends at most `limit` bytes of `text`, and none from a zero byte on.
  fileprivate mutating func append(text: RawSpan, limit: Int) {
    for i in 0..<Swift.min(text.byteCount, limit) {
      let byte = text.byte(i)
      if byte == 0 { return }
      append(byte)
    }
  }
}
