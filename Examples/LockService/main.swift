import CycladesPaxos
import CycladesReplication
import CycladesTransport
import FoundationEssentials
import Logging

/// A client of the lock service, beside any replica.
struct Locks {
  let replica: Replica

  func acquire(_ lock: String, _ owner: String, _ milliseconds: UInt64) async throws -> Holder? {
    try await decide(.acquire(lock: lock, owner: owner, milliseconds: milliseconds))
  }

  func release(_ lock: String, _ owner: String) async throws {
    _ = try await decide(.release(lock: lock, owner: owner))
  }

  func holder(_ lock: String) async throws -> Holder? {
    let query = try JSONEncoder().encode(LockRequest.holder(lock: lock))
    return try await decode(replica.read(Array(query)))
  }

  private func decide(_ request: LockRequest) async throws -> Holder? {
    try await decode(replica.propose(Array(JSONEncoder().encode(request))))
  }

  private func decode(_ reply: [UInt8]) throws -> Holder? {
    try JSONDecoder().decode(Holder?.self, from: Data(reply))
  }
}

// Three replicas in one process, for a look; in an app each runs on a machine of its own.
let folder = FileManager.default.temporaryDirectory.appending(path: "locks-\(UUID())")
let peers: [NodeID: SocketAddress] = [
  NodeID(1): .loopback(port: 17311), NodeID(2): .loopback(port: 17312),
  NodeID(3): .loopback(port: 17313),
]
var logger = Logger(label: "locks")
logger.logLevel = .warning
var replicas: [Replica] = []
for node in peers.keys.sorted() {
  let configuration = ReplicaConfiguration(
    cluster: "locks", node: node, peers: peers, directory: "\(folder.path)/\(node)")
  replicas.append(try await Replica.start(configuration, logger: logger) { LockTable() })
}

let (first, second) = (Locks(replica: replicas[0]), Locks(replica: replicas[1]))
let alice = try await first.acquire("printer", "alice", 300)
print("alice asks, \(alice?.owner ?? "nobody") has it with token \(alice?.token ?? 0)")
let refused = try await second.acquire("printer", "bob", 300)
print("bob asks, \(refused?.owner ?? "nobody") has it")
while try await second.holder("printer") != nil { try await Task.sleep(for: .milliseconds(50)) }
print("alice fell asleep, and the lock ran out")
let bob = try await second.acquire("printer", "bob", 60_000)
print("bob asks, \(bob?.owner ?? "nobody") has it with token \(bob?.token ?? 0)")
precondition(bob?.owner == "bob" && bob!.token > alice!.token, "tokens must grow")
try await first.release("printer", "alice")
print("alice wakes up and gives back what is not hers: \(try await first.holder("printer")!.owner)")

for replica in replicas { await replica.stop() }
try FileManager.default.removeItem(at: folder)
