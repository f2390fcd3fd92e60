import CycladesStore
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Connection commands")
  struct ConnectionCommandTests {
    @Test("PING, ECHO, SELECT, TIME, WAIT, AUTH answer as Redis does")
    func basics() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      #expect(try client.ask("PING") == .simple("PONG"))
      #expect(try client.ask("ping", "hi") == .bulk("hi"))
      #expect(try client.ask("ECHO", "a b") == .bulk("a b"))
      #expect(try client.ask("SELECT", "0") == .ok)
      #expect(try client.ask("SELECT", "1") == .error("ERR DB index is out of range"))
      #expect(
        try client.ask("SELECT", "x") == .error("ERR value is not an integer or out of range"))
      let time = try client.ask("TIME").elements
      #expect(time.count == 2)
      #expect((time.first?.text.flatMap(Int.init) ?? 0) > 1_700_000_000)
      // Two of two nodes have every acknowledged write.
      #expect(try client.ask("WAIT", "0", "100") == .integer(2))
      #expect(try client.ask("AUTH", "secret").isError("ERR"))
      #expect(try client.ask("AUTH", "default", "any") == .ok)
      #expect(try client.ask("AUTH", "someone", "any").isError("WRONGPASS"))
      #expect(try client.ask("READONLY") == .ok)
      #expect(try client.ask("READWRITE") == .ok)
      #expect(try client.ask("ASKING") == .ok)
    }

    @Test("HELLO chooses the protocol, and RESET puts it back")
    func hello() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      #expect(try client.ask("GET", "nothing") == .null)
      guard case .map(let fields) = try client.ask("HELLO", "3", "SETNAME", "me") else {
        Issue.record("HELLO 3 answers a map")
        return
      }
      #expect(fields.contains(.bulk("redis")))
      #expect(try client.ask("CLIENT", "GETNAME") == .bulk("me"))
      #expect(try client.ask("HELLO", "4").isError("NOPROTO"))
      #expect(try client.ask("HELLO", "x").isError("ERR"))
      #expect(try client.ask("HELLO", "3", "SETNAME").isError("ERR"))
      #expect(try client.ask("HELLO", "2", "AUTH", "bad", "pw").isError("WRONGPASS"))
      #expect(try client.ask("RESET") == .simple("RESET"))
      #expect(try client.ask("CLIENT", "GETNAME") == .null)
      guard case .array = try client.ask("HELLO") else {
        Issue.record("after RESET, HELLO answers an array")
        return
      }
    }

    @Test("CLIENT describes, names, and closes connections")
    func client() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let (client, other) = (try server.client(), try server.client())
      guard case .integer(let id) = try client.ask("CLIENT", "ID"),
        case .integer(let otherID) = try other.ask("CLIENT", "ID")
      else {
        Issue.record("CLIENT ID answers a number")
        return
      }
      #expect(id != otherID)
      #expect(try client.ask("CLIENT", "SETNAME", "has blank").isError("ERR"))
      #expect(try client.ask("CLIENT", "SETNAME", "one") == .ok)
      #expect(try client.ask("CLIENT", "SETINFO", "LIB-NAME", "test") == .ok)
      #expect(try client.ask("CLIENT", "SETINFO", "lib-ver", "1.2") == .ok)
      #expect(try client.ask("CLIENT", "SETINFO", "LIB-AGE", "1").isError("ERR"))
      #expect(try client.ask("CLIENT", "CAPA", "redirect").isError("ERR"))
      #expect(try client.ask("CLIENT", "NO-EVICT", "ON") == .ok)
      #expect(try client.ask("CLIENT", "NO-TOUCH", "off") == .ok)
      #expect(try client.ask("CLIENT", "NO-TOUCH", "perhaps") == .error("ERR syntax error"))
      #expect(
        try client.ask("CLIENT", "SETNAME")
          == .error("ERR wrong number of arguments for 'client|setname' command"))
      let listing = try client.ask("CLIENT", "LIST").text ?? ""
      #expect(listing.split(separator: "\n").count == 2)
      #expect(listing.contains(" name=one ") && listing.contains("lib-name=test lib-ver=1.2"))
      #expect(
        try client.ask("CLIENT", "LIST", "ID", "\(otherID)").text?.contains("id=\(id)") == false)
      #expect(try client.ask("CLIENT", "INFO").text?.contains("cmd=client") == true)
      #expect(try client.ask("CLIENT", "KILL", "1.1.1.1:1").isError("ERR"))
      #expect(try client.ask("CLIENT", "KILL", "ID", "\(otherID)") == .integer(1))
      #expect(other.isClosed())
      #expect(try client.ask("PING") == .simple("PONG"))
    }

    @Test("CLIENT KILL takes Redis' filters, all of which must hold")
    func kill() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      let listener = try server.client()
      let plain = try server.client()
      _ = try listener.ask("SUBSCRIBE", "c")
      #expect(try plain.ask("PING") == .simple("PONG"))
      for words in [
        ["TYPE", "dog"], ["USER", "nobody"], ["SKIPME", "maybe"], ["ID", "0"], ["ID", "x"],
        ["SIZE", "1"], ["TYPE", "normal", "ID"],
      ] {
        #expect(try client.ask(all: ["CLIENT", "KILL"] + words).isError("ERR"), "\(words)")
      }
      #expect(try client.ask("CLIENT", "KILL", "TYPE", "replica") == .integer(0))
      #expect(
        try client.ask("CLIENT", "KILL", "LADDR", "1.1.1.1:1", "USER", "default") == .integer(0))
      #expect(try client.ask("CLIENT", "KILL", "TYPE", "pubsub") == .integer(1))
      #expect(listener.isClosed())
      #expect(try client.ask("CLIENT", "KILL", "TYPE", "normal") == .integer(1))
      #expect(plain.isClosed())
      #expect(try client.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") == .integer(1))
      #expect(client.isClosed())
    }

    @Test("CONFIG GET matches patterns; CONFIG SET accepts what holds")
    func config() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      #expect(try client.ask("CONFIG", "GET", "save") == .array([.bulk("save"), .bulk("")]))
      #expect(
        try client.ask("CONFIG", "GET", "APPEND*")
          == .array([
            .bulk("appendfsync"), .bulk("always"), .bulk("appendonly"), .bulk("yes"),
          ]))
      #expect(try client.ask("CONFIG", "GET", "nothing-such") == .array([]))
      #expect(try client.ask("CONFIG", "SET", "appendonly", "yes") == .ok)
      #expect(try client.ask("CONFIG", "SET", "appendonly", "no").isError("ERR"))
      #expect(try client.ask("CONFIG", "SET", "nothing-such", "1").isError("ERR"))
      #expect(try client.ask("CONFIG", "RESETSTAT") == .ok)
      #expect(
        try client.ask("CONFIG", "GET")
          == .error("ERR wrong number of arguments for 'config|get' command"))
      #expect(
        try client.ask("CONFIG", "FROB", "x")
          == .error("ERR unknown subcommand 'FROB'. Try CONFIG HELP."))
    }

    @Test("INFO has the sections that tools read")
    func info() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      let all = try client.ask("INFO").text ?? ""
      for section in ["Server", "Clients", "Memory", "Stats", "Replication", "Cluster", "Keyspace"]
      {
        #expect(all.contains("# \(section)\r\n"))
      }
      #expect(all.contains("redis_mode:standalone\r\n") && all.contains("cluster_enabled:0\r\n"))
      let part = try client.ask("INFO", "REPLICATION").text ?? ""
      #expect(part.hasPrefix("# Replication\r\nrole:master\r\n"))
      #expect(!part.contains("# Server"))
      let cluster = try server.clusterClient().ask("INFO").text ?? ""
      #expect(cluster.contains("redis_mode:cluster\r\n") && cluster.contains("cluster_enabled:1"))
    }

    @Test("COMMAND describes the table, and every command in it is served")
    func command() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      guard case .integer(let count) = try client.ask("COMMAND", "COUNT") else {
        Issue.record("COMMAND COUNT answers a number")
        return
      }
      #expect(try client.ask("COMMAND").elements.count == count)
      // With one argument more than any command has, each refuses or answers; none is unknown.
      for command in Command.all where command.scope == .server && command.name != "quit" {
        let words = Array(repeating: "x", count: max(abs(command.arity) - 1, 0))
        try client.send([command.name] + words)
        let reply = try client.read()
        #expect(!(reply.text ?? "").contains("is not served"), "\(command.name): \(reply)")
      }
      #expect(
        try client.ask("FROB", "1")
          == .error("ERR unknown command 'FROB', with args beginning with: '1' "))
      #expect(
        try client.ask("GET") == .error("ERR wrong number of arguments for 'get' command"))
    }

    @Test("QUIT says OK behind everything owed, then closes")
    func quit() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      try client.send(["GET", "a"], ["QUIT"], ["SET", "a", "never"])
      #expect(try client.read() == .null)
      #expect(try client.read() == .ok)
      #expect(client.isClosed())
      #expect(try server.client().ask("GET", "a") == .null)
    }
  }
}
