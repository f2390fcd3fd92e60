/// Sends one command to a server of this machine; `nil` when no good answer comes in time.
func ask(_ words: [String], port: UInt16, patience: Duration) -> [UInt8]? {
  var shape = LoadShape(ports: [port], lanes: 1, depth: 1)
  shape.patience = patience
  var generator = LoadGenerator(Question(words: words), shape)
  guard (try? generator.run()) != nil else { return nil }
  return generator.workload.answer
}

/// A load of one command.
private struct Question: LoadWorkload {
  let words: [String]
  private var isSent = false
  private(set) var answer: [UInt8]?

  init(words: [String]) { self.words = words }

  mutating func next(lane: Int, into output: inout [UInt8]) -> Void? {
    if isSent { return nil }
    isSent = true
    output += "*\(words.count)\r\n".utf8
    for word in words { output += "$\(word.utf8.count)\r\n\(word)\r\n".utf8 }
    return ()
  }

  mutating func answered(
    _ operation: Void, lane: Int, _ reply: borrowing LoadReply, sent: UInt64, now: UInt64
  ) -> LoadPace {
    if reply.kind != .error && reply.kind != .null { answer = reply.bytes }
    return .proceed
  }

  mutating func lost(_ operation: Void, lane: Int) {}
}
