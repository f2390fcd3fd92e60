import CycladesPaxos
import CycladesReplication
import CycladesTransport
import FoundationEssentials
import Logging

struct Counter: StateMachine {
  var value = 0

  mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    value &+= Int(String(decoding: [UInt8](copying: command), as: UTF8.self)) ?? 0
    read(command, context, reply: &reply)
  }

  func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    reply.append(contentsOf: String(value).utf8)
  }

  func snapshot() -> any SnapshotSource { WholeSnapshot(Array(String(value).utf8)) }

  mutating func restore(_ part: RawSpan) throws {
    value = Int(String(decoding: [UInt8](copying: part), as: UTF8.self)) ?? 0
  }
}

// Three replicas in one process, for a look; in an app each runs on a machine of its own.
let folder = FileManager.default.temporaryDirectory.appending(path: "counter-\(UUID())")
let peers: [NodeID: SocketAddress] = [
  NodeID(1): .loopback(port: 17301), NodeID(2): .loopback(port: 17302),
  NodeID(3): .loopback(port: 17303),
]
var logger = Logger(label: "counter")
logger.logLevel = .warning
var replicas: [Replica] = []
for node in peers.keys.sorted() {
  let configuration = ReplicaConfiguration(
    cluster: "counter", node: node, peers: peers, directory: "\(folder.path)/\(node)")
  replicas.append(try await Replica.start(configuration, logger: logger) { Counter() })
}

for replica in replicas {
  let reply = try await replica.propose(Array("5".utf8))
  print("after one more 5:", String(decoding: reply, as: UTF8.self))
}
let reply = try await replicas[0].read([])
print("read through replica 1:", String(decoding: reply, as: UTF8.self))

for replica in replicas { await replica.stop() }
try FileManager.default.removeItem(at: folder)
