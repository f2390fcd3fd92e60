/// What may be an argument of a command: a text, bytes, or a number, which is sent as decimals.
public protocol StoreArgument: Sendable {
  /// Appends the argument's bytes.
  func append(to bytes: inout [UInt8])
}

extension String: StoreArgument {
  /// Appends the text as UTF-8.
  public func append(to bytes: inout [UInt8]) { bytes.append(contentsOf: utf8) }
}

extension Substring: StoreArgument {
  /// Appends the text as UTF-8.
  public func append(to bytes: inout [UInt8]) { bytes.append(contentsOf: utf8) }
}

extension [UInt8]: StoreArgument {
  /// Appends the bytes.
  public func append(to bytes: inout [UInt8]) { bytes += self }
}

extension Int: StoreArgument {
  /// Appends the number in decimals.
  public func append(to bytes: inout [UInt8]) { bytes.append(contentsOf: String(self).utf8) }
}

extension Double: StoreArgument {
  /// Appends the number as Swift prints it, which reads back to the same.
  public func append(to bytes: inout [UInt8]) { bytes.append(contentsOf: String(self).utf8) }
}

/// A command with its arguments, for ``StoreClient/sendAll(_:)`` and
/// ``StoreClient/transaction(_:)``.
public struct StoreCommand: Sendable {
  let words: [[UInt8]]

  /// Makes a command of its name and arguments, keys among them, in the order of the Redis command.
  public init(_ name: String, _ arguments: any StoreArgument...) {
    self.init(name, arguments: arguments)
  }

  /// Makes a command of its name and a list of arguments.
  public init(_ name: String, arguments: [any StoreArgument]) {
    var words = [Array(name.utf8)]
    words.reserveCapacity(arguments.count + 1)
    for argument in arguments {
      var word: [UInt8] = []
      argument.append(to: &word)
      words.append(word)
    }
    self.words = words
  }

  /// The command's name, as it was given.
  public var name: String { String(decoding: words[0], as: UTF8.self) }
}

/// Writes requests as RESP arrays of bulk strings.
enum RequestEncoding {
  /// The words of a request, without the head that says how many they are.
  static func words(_ words: [[UInt8]]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(words.reduce(0) { $0 + $1.count + 16 })
    for word in words { append(word, to: &bytes) }
    return bytes
  }

  static func appendHead(_ count: Int, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "*"))
    bytes.append(contentsOf: String(count).utf8)
    bytes += [13, 10]
  }

  static func append(_ word: [UInt8], to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "$"))
    bytes.append(contentsOf: String(word.count).utf8)
    bytes += [13, 10]
    bytes += word
    bytes += [13, 10]
  }

  static func append(_ word: String, to bytes: inout [UInt8]) {
    append(Array(word.utf8), to: &bytes)
  }
}
