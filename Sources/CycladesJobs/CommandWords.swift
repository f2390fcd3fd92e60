internal import CycladesMapReduce

/// The words of a command line, sorted into options and the rest.
///
/// Written `--name VALUE`; an option that takes several takes all words up to the next option.
struct CommandWords {
  /// How many words an option takes.
  enum Arity { case flag, one, several }

  /// The words that belong to no option, in order.
  private(set) var rest: [String] = []
  private var options: [String: [String]] = [:]

  /// Sorts words; throws when an option is unknown or lacks its value.
  init(_ words: some Sequence<String>, _ known: [String: Arity]) throws {
    var open: (name: String, arity: Arity)?
    for word in words {
      if word.hasPrefix("--") {
        try CommandWords.demandValue(open, in: options)
        let name = String(word.dropFirst(2))
        guard let arity = known[name] else {
          let names = known.keys.sorted().map { "--\($0)" }.joined(separator: ", ")
          throw MapReduceError(.usage, "there is no option '\(word)' here; there are: \(names)")
        }
        options[name] = options[name] ?? []
        open = arity == .flag ? nil : (name, arity)
      } else if let taking = open {
        options[taking.name, default: []].append(word)
        if taking.arity == .one { open = nil }
      } else {
        rest.append(word)
      }
    }
    try CommandWords.demandValue(open, in: options)
  }

  private static func demandValue(
    _ open: (name: String, arity: Arity)?, in options: [String: [String]]
  ) throws {
    guard let open, options[open.name]?.isEmpty ?? true else { return }
    throw MapReduceError(.usage, "--\(open.name) needs a value")
  }

  /// Whether an option was given.
  func has(_ name: String) -> Bool { options[name] != nil }

  /// All values of an option.
  func all(_ name: String) -> [String] { options[name] ?? [] }

  /// The value of an option that was given; the last one, if it was given twice.
  func value(_ name: String) -> String? { options[name]?.last }

  /// The value of an option that must be given.
  func required(_ name: String) throws -> String {
    guard let value = value(name) else { throw MapReduceError(.usage, "--\(name) is missing") }
    return value
  }

  /// A number, or what it is without the option.
  func number(_ name: String, or fallback: Int) throws -> Int {
    guard let text = value(name) else { return fallback }
    guard let number = Int(text), number >= 0 else {
      throw MapReduceError(.usage, "--\(name): '\(text)' is not a number")
    }
    return number
  }
}
