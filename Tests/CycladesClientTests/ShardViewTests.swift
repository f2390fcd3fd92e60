import Testing

@testable import CycladesClient

@Suite("What a client knows of the cluster")
struct ShardViewTests {
  private func range(_ first: Int64, _ last: Int64, _ port: Int64) -> StoreReply {
    .array([
      .integer(first), .integer(last),
      .array([.bytes(Array("127.0.0.1".utf8)), .integer(port), .bytes([]), .array([])]),
    ])
  }

  @Test("numbers go up, the floor is the least without an answer, and the window ends")
  func numbers() throws {
    let shard = ShardView(slots: 0...99, leader: NodeAddress(host: "a", port: 1))
    #expect(shard.number() == nil)
    shard.begin(7)
    let first = try #require(shard.number())
    let second = try #require(shard.number())
    #expect(first.sequence == 1 && second.sequence == 2 && shard.floor == 1)
    shard.complete(second)
    #expect(shard.floor == 1)
    shard.complete(first)
    #expect(shard.floor == 3)
    for _ in 0..<ShardView.windowMax { #expect(shard.number() != nil) }
    #expect(shard.number() == nil)
    shard.begin(8)
    #expect(shard.number()?.sequence == 1)
    // What belongs to the session before is of no account.
    shard.complete(first)
    #expect(shard.floor == 1)
  }

  @Test("a new list of shards keeps the sessions of those that are still there")
  func update() throws {
    var topology = Topology()
    let isTaken = topology.update(.array([range(0, 8191, 1), range(8192, 16383, 2)]))
    #expect(isTaken)
    let shard = try #require(topology.shard(of: 8191))
    shard.begin(5)
    let isTakenAgain = topology.update(.array([range(0, 8191, 3), range(8192, 16383, 2)]))
    #expect(isTakenAgain)
    #expect(topology.shard(of: 0) === shard)
    #expect(shard.leader.port == 3)
    #expect(topology.nodes.count == 3)
    for reply: StoreReply in [
      .null, .array([]), .array([.integer(1)]), .array([range(5, 4, 1)]),
      .array([range(0, 16384, 1)]), .array([range(-1, 3, 1)]),
    ] {
      let isTaken = topology.update(reply)
      #expect(!isTaken, "\(reply)")
    }
    #expect(topology.shard(of: 0) === shard)
  }

  @Test("addresses are read as servers write them")
  func addresses() {
    #expect(NodeAddress("10.0.0.1:7001")?.port == 7001)
    #expect(NodeAddress("[::1]:7001")?.host == "::1")
    #expect(NodeAddress("::1:7001")?.host == "::1")
    #expect(NodeAddress("::1:7001")?.description == "[::1]:7001")
    for text in ["", "host", ":1", "host:", "host:0", "host:65536", "host:x"] {
      #expect(NodeAddress(text[...]) == nil, "\(text)")
    }
  }

  @Test("COMMAND tells where keys are and what a command does")
  func commands() {
    func flags(_ names: String...) -> StoreReply { .array(names.map { .status($0) }) }
    let counted = StoreReply.array([
      .map([
        .init(
          key: .status("begin_search"),
          value: .map([
            .init(
              key: .status("spec"), value: .map([.init(key: .status("index"), value: .integer(1))]))
          ])),
        .init(
          key: .status("find_keys"),
          value: .map([.init(key: .status("type"), value: .status("keynum"))])),
      ])
    ])
    func command(
      _ name: String, _ flags: StoreReply, _ first: Int64, _ last: Int64, _ step: Int64,
      _ specification: StoreReply = .array([])
    ) -> StoreReply {
      .array([
        .status(name), .integer(-2), flags, .integer(first), .integer(last), .integer(step),
        .array([]), .array([]), specification,
      ])
    }
    let table = CommandTable(
      .array([
        command("get", flags("readonly"), 1, 1, 1), command("mset", flags("write"), 1, -1, 2),
        command("zunion", flags("readonly", "movablekeys"), 0, 0, 0, counted),
        command("blpop", flags("write", "blocking"), 1, -2, 1), command("multi", flags(), 0, 0, 0),
      ]))
    func words(_ line: String) -> [[UInt8]] { line.split(separator: " ").map { Array($0.utf8) } }
    #expect(table[Array("GET".utf8)]?.isReadOnly == true)
    #expect(table[Array("GET".utf8)]?.keys(words("get a")) == [1])
    #expect(table[Array("mset".utf8)]?.keys(words("mset a 1 b 2")) == [1, 3])
    #expect(table[Array("zunion".utf8)]?.keys(words("zunion 2 a b WEIGHTS 1 2")) == [2, 3])
    #expect(table[Array("zunion".utf8)]?.keys(words("zunion 9 a b")) == [2, 3])
    #expect(table[Array("zunion".utf8)]?.keys(words("zunion x a b")) == [])
    #expect(table[Array("blpop".utf8)]?.reservation != nil)
    #expect(table[Array("multi".utf8)]?.reservation != nil)
    #expect(table[Array("nosuch".utf8)] == nil)
    #expect(CommandTable(.null).isEmpty)
  }

  @Test("slots are those of the Redis cluster specification")
  func slots() {
    #expect(KeySlot.of(Array("123456789".utf8)) == 0x31c3)
    #expect(KeySlot.of(Array("{user1000}.following".utf8)) == KeySlot.of(Array("user1000".utf8)))
    #expect(KeySlot.of([]) == 0)
  }
}
