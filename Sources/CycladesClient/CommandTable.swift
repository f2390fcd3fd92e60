/// What the cluster says about its commands: which of them change data, and where their keys are.
struct CommandTable {
  struct Entry: Equatable {
    var isReadOnly = false
    var isWrite = false
    /// Keys at `first`, `first + step` ... up to `last`, which counts from the end when negative;
    /// none when `first` is 0.
    var first = 0
    var last = 0
    var step = 0
    /// The word that says how many keys follow behind it.
    var count: Int?
    /// Why the command cannot be sent over a connection that is shared with others.
    var reservation: String?

    /// The positions of the keys among a command's words.
    func keys(_ words: [[UInt8]]) -> [Int] {
      var keys: [Int] = []
      if first > 0 {
        let end = last < 0 ? words.count + last : min(last, words.count - 1)
        keys += stride(from: first, through: end, by: max(step, 1))
      }
      if let count, count < words.count,
        let number = Int(String(decoding: words[count], as: UTF8.self)),
        number > 0
      {
        keys += count + 1..<count + 1 + min(number, words.count - count - 1)
      }
      return keys
    }
  }

  private var entries: [String: Entry] = [:]

  /// Commands that change what their connection is, or would hold up what others sent behind them.
  private static let reserved: Set<String> = [
    "multi", "exec", "discard", "watch", "unwatch", "select", "hello", "auth", "reset", "quit",
    "client", "readonly", "readwrite", "asking", "subscribe", "unsubscribe", "psubscribe",
    "punsubscribe", "ssubscribe", "sunsubscribe", "monitor",
  ]

  /// Reads the reply to COMMAND.
  init(_ reply: StoreReply) {
    for element in reply.array ?? [] {
      guard let fields = element.array, fields.count >= 6, let name = fields[0].string else {
        continue
      }
      let flags = Set((fields[2].array ?? []).compactMap(\.string))
      var entry = Entry()
      entry.isReadOnly = flags.contains("readonly")
      entry.isWrite = flags.contains("write")
      entry.first = fields[3].integer ?? 0
      entry.last = fields[4].integer ?? 0
      entry.step = fields[5].integer ?? 0
      if flags.contains("blocking") {
        entry.reservation = "it may wait, and everything behind it with it"
      } else if Self.reserved.contains(name) {
        entry.reservation = "it concerns a connection, which here is shared"
      }
      if fields.count > 8 { entry.count = Self.count(fields[8]) }
      entries[name] = entry
    }
  }

  /// Where the number of keys stands, by the key specifications.
  private static func count(_ specifications: StoreReply) -> Int? {
    for specification in specifications.array ?? [] {
      guard specification["find_keys"]?["type"]?.string == "keynum",
        let index = specification["begin_search"]?["spec"]?["index"]?.integer
      else { continue }
      return index
    }
    return nil
  }

  var isEmpty: Bool { entries.isEmpty }

  /// A command by its name in any case.
  subscript(_ name: [UInt8]) -> Entry? {
    entries[String(decoding: name, as: UTF8.self).lowercased()]
  }
}
