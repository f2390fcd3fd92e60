import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Hostile input")
  struct HostileInputTests {
    @Test(
      "bytes that are not RESP get an error and a closed connection, others nothing",
      arguments: [
        "*1\r\n$4\r\nPING\r\n*x\r\n", "*3\r\n+SET\r\n", "*1\r\n$-5\r\n", "*99999999999\r\n",
        "*1\r\n$1073741824\r\n", "GET \"unbalanced\r\n",
      ])
    func protocolError(input: String) throws {
      let server = try FakeServer()
      defer { server.stop() }
      let (client, other) = (try server.client(), try server.client())
      #expect(try other.ask("SET", "a", "1") == .ok)
      try client.send(raw: Array(input.utf8))
      var reply = try client.read()
      if reply == .simple("PONG") { reply = try client.read() }
      #expect(reply.text?.hasPrefix("ERR Protocol error") == true, "\(reply)")
      #expect(client.isClosed())
      #expect(try other.ask("GET", "a") == .bulk("1"))
    }

    @Test("random bytes never disturb other clients", arguments: 0..<20)
    func garbage(seed: Int) throws {
      let server = try FakeServer()
      defer { server.stop() }
      var generator = Generator(seed: UInt64(seed))
      let other = try server.client()
      for _ in 0..<10 {
        let client = try server.client()
        let bytes = (0..<2000).map { _ in
          Bool.random(using: &generator)
            ? UInt8.random(in: 0...255, using: &generator)
            : Array("*$\r\n0123+-GETSET".utf8).randomElement(using: &generator)!
        }
        // The server may close while this is being sent.
        try? client.send(raw: bytes)
      }
      #expect(try other.ask("PING") == .simple("PONG"))
    }

    @Test("a value above the limit is refused, one at the limit is stored whole")
    func valueLimit() throws {
      let server = try FakeServer { $0.maximumValueBytes = 1000 }
      defer { server.stop() }
      let client = try server.client()
      let value = String(repeating: "v", count: 1000)
      #expect(try client.ask("SET", "a", value) == .ok)
      #expect(try client.ask("GET", "a") == .bulk(value))
      try client.send(["SET", "a", value + "v"])
      #expect(
        try client.read().text == "ERR Protocol error: invalid bulk length")
      #expect(client.isClosed())
      #expect(try server.client().ask("GET", "a") == .bulk(value))
    }

    @Test("a client too many is told so, and a place becomes free again")
    func clientLimit() throws {
      let server = try FakeServer { $0.maximumClients = 2 }
      defer { server.stop() }
      var clients = [try server.client(), try server.client()]
      for client in clients { #expect(try client.ask("PING") == .simple("PONG")) }
      let third = try server.client()
      #expect(try third.read() == .error("ERR max number of clients reached"))
      #expect(third.isClosed())
      #expect(try clients[0].ask("QUIT") == .ok)
      #expect(clients[0].isClosed())
      // The server learns of the end a moment after the client.
      var reply = Value.null
      for _ in 0..<100 where reply != .simple("PONG") {
        third.pause(milliseconds: 10)
        clients[0] = try server.client()
        reply = (try? clients[0].ask("PING")) ?? .null
      }
      #expect(reply == .simple("PONG"))
    }

    @Test("a request that comes byte by byte is served")
    func byteByByte() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      for byte in "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\nGET a\r\n".utf8 {
        try client.send(raw: [byte])
      }
      #expect(try client.read() == .ok)
      #expect(try client.read() == .bulk("\r\n"))
    }

    @Test("a client that leaves in the middle of its commands leaves nothing behind")
    func leaves() throws {
      let server = try FakeServer()
      defer { server.stop() }
      for _ in 0..<20 {
        let client = try server.client()
        try client.send(["GET", "a"], ["SET", "a", "1"], ["DBSIZE"], ["GET", "a"])
      }
      let client = try server.client()
      #expect(try client.ask("PING") == .simple("PONG"))
      var listing = ""
      for _ in 0..<100 {
        listing = try client.ask("CLIENT", "LIST").text ?? ""
        if listing.split(separator: "\n").count == 1 { break }
        client.pause(milliseconds: 10)
      }
      #expect(listing.split(separator: "\n").count == 1)
    }
  }
}
