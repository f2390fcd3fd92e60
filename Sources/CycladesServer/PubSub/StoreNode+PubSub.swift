import CycladesReplication
import CycladesStore
import CycladesTransport

extension StoreNode {
  /// Delivers a message to this node's clients, and has the other nodes do so.
  ///
  /// - Returns: how many clients of this node it was delivered to, as in a Redis cluster.
  func publish(_ message: PublishedMessage) -> Int {
    statistics.messages += 1
    host.notify(message.bytes.rawSpan)
    return deliver(message)
  }

  /// Another node's client published a message.
  func noticed(_ notice: RawSpan) {
    if let message = PublishedMessage(notice) { _ = deliver(message) }
  }

  private func deliver(_ message: PublishedMessage) -> Int {
    var count = 0
    let word = message.kind == .shardChannel ? "smessage" : "message"
    var push = Push { reply, version in
      reply.appendPush(3, version)
      reply.appendBulk(word)
      reply.appendBulk(message.channel)
      reply.appendBulk(message.payload)
    }
    subscriptions.forEach(message.kind, message.channel) { connection in
      count += deliver(&push, to: connection)
    }
    guard message.kind == .channel else { return count }
    subscriptions.forEachMatch(of: message.channel) { pattern, connections in
      var push = Push { reply, version in
        reply.appendPush(4, version)
        reply.appendBulk("pmessage")
        reply.appendBulk(pattern)
        reply.appendBulk(message.channel)
        reply.appendBulk(message.payload)
      }
      for connection in connections { count += deliver(&push, to: connection) }
    }
    return count
  }

  private func deliver(_ push: inout Push, to connection: ConnectionID) -> Int {
    guard let client = clients[connection] else { return 0 }
    client.push(push.bytes(client.session.version))
    return 1
  }
}

/// A message in the protocol versions that its listeners speak, each put together once.
private struct Push {
  private let write: (inout Reply, RESPVersion) -> Void
  private var forms: [RESPVersion: [UInt8]] = [:]

  init(_ write: @escaping (inout Reply, RESPVersion) -> Void) { self.write = write }

  mutating func bytes(_ version: RESPVersion) -> [UInt8] {
    if let form = forms[version] { return form }
    var reply = Reply()
    write(&reply, version)
    forms[version] = reply.bytes
    return reply.bytes
  }
}
