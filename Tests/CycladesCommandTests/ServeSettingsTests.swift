import ArgumentParser
import CycladesPaxos
import CycladesServer
import CycladesTransport
import Testing

@testable import CycladesCommand

@Suite("Settings of serve")
struct ServeSettingsTests {
  @Test("a configuration file becomes flags, with comments, blanks and quotes taken off")
  func file() throws {
    let text = """
      # a comment
      id 1

        listen\t10.0.0.1:7001
      data "/var/lib/with blank"  \r
      cluster  my name
      """
    let file = try ConfigurationFile(text: text, path: "f", names: ServeSettings.names)
    #expect(
      file.arguments == [
        "--id", "1", "--listen", "10.0.0.1:7001", "--data", "/var/lib/with blank", "--cluster",
        "my name",
      ])
  }

  @Test(
    "a line that is no setting is named with its file and number",
    arguments: [
      ("id 1\nfrob 2", "f, line 2: there is no setting 'frob'"),
      ("\n\nid", "f, line 3: 'id' needs a value"),
      ("id 1\nid 2", "f, line 2: 'id' is set twice"),
    ])
  func badFile(text: String, message: String) {
    #expect {
      try ConfigurationFile(text: text, path: "f", names: ServeSettings.names)
    } throws: {
      "\($0)" == message
    }
  }

  @Test("a file that is not there is named")
  func missingFile() {
    #expect {
      try ConfigurationFile(path: "/nonexistent/c", names: ServeSettings.names)
    } throws: {
      "\($0)" == "cannot read the configuration file /nonexistent/c"
    }
  }

  @Test("every setting has a flag of its name, and flags win over the file")
  func flagsWin() throws {
    let values = [
      "id": "2", "listen": "a:1", "plain": "a:2", "peer-listen": "a:3", "peers": "2=127.0.0.1:4",
      "data": "d", "shards": "8", "cluster": "c", "max-value": "1MB", "max-clients": "5",
      "reactors": "1", "io": "uring", "log-level": "debug", "join": "127.0.0.1:5",
      "max-memory": "2GB", "zone": "east", "evict-after": "60",
      "lease": "200",
    ]
    #expect(Set(values.keys) == ServeSettings.names)
    let file = try ServeSettings.parse(values.flatMap { ["--\($0.key)", $0.value] })
    var settings = try ServeSettings.parse(["--id", "7", "--cluster", "mine"])
    settings.fill(from: file)
    #expect(settings.id == 7 && settings.cluster == "mine")
    #expect(settings.shards == 8 && settings.maxClients == 5 && settings.logLevel == "debug")
    #expect(settings.reactors == 1 && settings.io == "uring")
    #expect(settings.maxMemory == "2GB" && settings.zone == "east" && settings.evictAfter == 60)
    #expect(settings.listen == "a:1" && settings.plain == "a:2" && settings.peerListen == "a:3")
  }

  @Test("settings become a configuration, or an error that names the flag")
  func configuration() throws {
    let base = [
      "--id", "2", "--listen", "127.0.0.1:1", "--plain", "127.0.0.1:2", "--peers",
      "1=127.0.0.1:3,2=127.0.0.1:4", "--data", "d",
    ]
    let settings = try ServeSettings.parse(
      base + ["--max-value", "128MB", "--shards", "4", "--io", "epoll", "--lease", "200"])
    let configuration = try settings.serverConfiguration()
    #expect(configuration.node == NodeID(2))
    #expect(configuration.peers[NodeID(1)] == .loopback(port: 3))
    #expect(configuration.maximumValueBytes == 128 << 20)
    #expect(configuration.shards == 4)
    #expect(configuration.lease == Lease(duration: 200_000_000))
    #expect(configuration.reactor.io == .epoll)
    #expect(configuration.peerListen == nil)
    let wrong = [
      (["--plain", "nowhere"], "--plain"), (["--peers", "1"], "--peers"),
      (["--peers", "1=127.0.0.1:1,1=127.0.0.1:2"], "listed twice"),
      (["--max-value", "much"], "--max-value"), (["--reactors", "2"], "one reactor"),
      (["--io", "smoke"], "none of"), (["--lease", "5000"], "--lease"),
    ]
    for (flags, words) in wrong {
      // Of a flag given twice the last one counts.
      let settings = try ServeSettings.parse(base + flags)
      #expect {
        try settings.serverConfiguration()
      } throws: {
        "\($0)".contains(words)
      }
    }
    #expect(throws: (any Error).self) { try ServeSettings.parse([]).serverConfiguration() }
  }

  @Test(
    "sizes are read as in redis.conf",
    arguments: [
      ("1048576", 1 << 20), ("64MB", 64 << 20), ("64mb", 64 << 20), ("512M", 512 << 20),
      ("1k", 1024), ("1GB", 1 << 30), ("7b", 7),
    ])
  func sizes(text: String, bytes: Int) {
    #expect(ServeSettings.parseByteCount(text) == bytes)
  }

  @Test(
    "what is no size is refused", arguments: ["", "MB", "-1", "1TB", "9999999999999999999", "1 MB"])
  func badSizes(text: String) {
    #expect(ServeSettings.parseByteCount(text) == nil)
  }
}
