// A store inside of a Swift program, and clients that sell tickets: none is lost, none is sold twice.

import CycladesClient
import CycladesServer
import CycladesTransport
import FoundationEssentials
import Logging
import ServiceLifecycle

let folder = FileManager.default.temporaryDirectory.appending(path: "tickets-\(UUID())")
defer { try? FileManager.default.removeItem(at: folder) }
let logger = Logger(label: "tickets") { _ in SwiftLogNoOpLogHandler() }

// One node of three in earnest; alone it shows how a program holds one.
var configuration = StoreServerConfiguration(
  node: 1, peers: [1: .loopback(port: 17391)], directory: folder.path)
configuration.cluster = "tickets"
let server = StoreServer(configuration, logger: logger)
try server.start()

let services = ServiceGroup(services: [server], logger: logger)
let serving = Task { try await services.run() }

let client = try await StoreClient.connect(
  to: ["\(server.addresses!.cluster)"], logger: logger)
try await client.set("tickets", 300)
let buyers = (1...8).map { buyer in
  Task {
    var own = 0
    // Sent again after a failure, and counted once: the store knows the number of each command.
    while try await client.increment("tickets", by: -1) >= 0 {
      _ = try await client.send("LPUSH", "buyer:\(buyer)", "ticket")
      own += 1
    }
    return own
  }
}
var sold = 0
for buyer in buyers { sold += try await buyer.value }
print("sold \(sold) tickets")
let left = try await client.transaction([
  StoreCommand("GET", "tickets"), StoreCommand("SET", "tickets", 0),
])
print(
  "the counter was at \(left[0].integer ?? 0), and is at", try await client.getString("tickets")!)
await client.close()

await services.triggerGracefulShutdown()
try await serving.value
print("the server has stopped")
