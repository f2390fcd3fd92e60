/// The endpoints of a reactor by the number that the C core carries with its events.
///
/// An entry is used by its listener and by each of its connections. One that is not used any more
/// is freed only when the turn is over: events of the same turn may still name it.
struct EndpointTable {
  private struct Entry {
    var endpoint: (any Endpoint)?
    var viewer: (any FrameViewer)?
    var uses = 0
  }
  private var entries: [Entry] = []
  private var free: [Int] = []
  private var unused: [Int] = []
  private var numbers: [ObjectIdentifier: Int] = [:]

  subscript(user: UInt64) -> any Endpoint { entries[Int(user)].endpoint! }

  /// The endpoint as one that looks at frames in place, when it is one.
  func viewer(_ user: UInt64) -> (any FrameViewer)? { entries[Int(user)].viewer }

  func forEach(_ body: (any Endpoint) -> Void) {
    for entry in entries { entry.endpoint.map(body) }
  }

  /// Counts one more use of an endpoint, entered when it is new.
  mutating func insert(_ endpoint: any Endpoint) -> UInt64 {
    if let known = numbers[ObjectIdentifier(endpoint)] {
      entries[known].uses += 1
      return UInt64(known)
    }
    let number = free.popLast() ?? entries.count
    if number == entries.count { entries.append(Entry()) }
    entries[number] = Entry(endpoint: endpoint, viewer: endpoint as? any FrameViewer, uses: 1)
    numbers[ObjectIdentifier(endpoint)] = number
    return UInt64(number)
  }

  mutating func retain(_ user: UInt64) { entries[Int(user)].uses += 1 }

  mutating func release(_ user: UInt64) {
    entries[Int(user)].uses -= 1
    if entries[Int(user)].uses == 0 { unused.append(Int(user)) }
  }

  /// Lets go of endpoints without uses, at the end of a turn.
  mutating func releaseUnused() {
    guard !unused.isEmpty else { return }
    for number in unused where entries[number].uses == 0 {
      guard let endpoint = entries[number].endpoint else { continue }
      numbers[ObjectIdentifier(endpoint)] = nil
      entries[number].endpoint = nil
      entries[number].viewer = nil
      free.append(number)
    }
    unused = []
  }
}

/// File operations in flight by the number that the C core carries with them.
struct FileTable {
  private var entries: [(completion: any FileCompletion, token: UInt64)?] = []
  private var free: [Int] = []

  var isEmpty: Bool { free.count == entries.count }

  mutating func insert(_ completion: any FileCompletion, _ token: UInt64) -> UInt64 {
    let number = free.popLast() ?? entries.count
    if number == entries.count { entries.append(nil) }
    entries[number] = (completion, token)
    return UInt64(number)
  }

  mutating func remove(_ user: UInt64) -> (any FileCompletion, UInt64) {
    let (completion, token) = entries[Int(user)]!
    entries[Int(user)] = nil
    free.append(Int(user))
    return (completion, token)
  }
}
