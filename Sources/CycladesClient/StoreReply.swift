/// What a server answers, in the types of RESP3.
public enum StoreReply: Sendable, Hashable {
  /// Nothing: no such key, no such member.
  case null
  /// A short text such as OK.
  case status(String)
  /// A whole number.
  case integer(Int64)
  /// A floating point number.
  case double(Double)
  /// True or false.
  case boolean(Bool)
  /// A string of bytes.
  case bytes([UInt8])
  /// Several replies.
  case array([StoreReply])
  /// Pairs, in the order in which they were sent.
  case map([Pair])
  /// An error inside of an array: of one command of a transaction.
  case error(StoreServerError)

  /// A key of a map and its value.
  public struct Pair: Sendable, Hashable {
    /// The key.
    public var key: StoreReply
    /// The value.
    public var value: StoreReply
  }

  /// The bytes of a string or a status; `nil` for anything else.
  public var bytes: [UInt8]? {
    switch self {
    case .bytes(let bytes): bytes
    case .status(let text): Array(text.utf8)
    default: nil
    }
  }

  /// A string or status as UTF-8, repaired where it is not; `nil` for anything else.
  public var string: String? {
    switch self {
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    case .status(let text): text
    default: nil
    }
  }

  /// An integer, also one sent as a string; `nil` for anything else.
  public var integer: Int? {
    switch self {
    case .integer(let number): Int(exactly: number)
    case .bytes, .status: string.flatMap { Int($0) }
    default: nil
    }
  }

  /// A number, also one sent as a string; `nil` for anything else.
  public var double: Double? {
    switch self {
    case .double(let number): number
    case .integer(let number): Double(number)
    case .bytes, .status: string.flatMap { Double($0) }
    default: nil
    }
  }

  /// The elements of an array or set; `nil` for anything else.
  public var array: [StoreReply]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  /// Whether there is nothing.
  public var isNull: Bool { self == .null }

  /// The value of a map's key, given as text; also of an array that holds keys and values by turns.
  public subscript(_ key: String) -> StoreReply? {
    switch self {
    case .map(let pairs):
      return pairs.first { $0.key.string == key }?.value
    case .array(let elements):
      var index = 0
      while index + 1 < elements.count {
        if elements[index].string == key { return elements[index + 1] }
        index += 2
      }
      return nil
    default: return nil
    }
  }
}

/// An error that a server answered, such as `WRONGTYPE Operation against a key ...`.
public struct StoreServerError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The first word of the text, such as `WRONGTYPE`; by it errors are told apart.
  public let kind: String
  /// The whole text.
  public let description: String

  package init(_ text: String) {
    description = text
    kind = String(text.prefix { $0 != " " })
  }
}
