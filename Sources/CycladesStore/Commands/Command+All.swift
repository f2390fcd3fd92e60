extension Command {
  /// Every command, by group and name.
  ///
  /// Codes from 128 to 149 and from 256 on are the server's commands; the others are handled in `State`.
  public static let all: [Command] =
    strings + keyspace + iteration + hashes + lists + sets + sortedSets + connection
    + transactions + pubsub

  private static let strings: [Command] = [
    Command(
      1, "append", 3, [.write, .denyOOM, .fast], keys: .one("RW insert"), .string,
      since: "2.0.0", "Appends bytes to the value of a key, which is created when missing"
    ) { $0.append($1, &$2) },
    Command(
      2, "decr", 2, [.write, .denyOOM, .fast], keys: .one("RW access update"), .string,
      since: "1.0.0", "Subtracts one from the integer value of a key"
    ) { $0.decrement($1, &$2) },
    Command(
      3, "decrby", 3, [.write, .denyOOM, .fast], keys: .one("RW access update"), .string,
      since: "1.0.0", "Subtracts a number from the integer value of a key"
    ) { $0.decrementBy($1, &$2) },
    Command(
      4, "get", 2, [.readOnly, .fast], keys: .one("RO access"), .string,
      since: "1.0.0", "Returns the value of a key"
    ) { $0.get($1, &$2) },
    Command(
      5, "getdel", 2, [.write, .fast], keys: .one("RW access delete"), .string,
      since: "6.2.0", "Returns the value of a key and deletes the key"
    ) { $0.getAndDelete($1, &$2) },
    Command(
      6, "getex", -2, [.write, .fast], keys: .one("RW access update"), .string,
      since: "6.2.0", "Returns the value of a key and sets or removes its expiry"
    ) { $0.getAndExpire($1, &$2) },
    Command(
      7, "getrange", 4, [.readOnly], keys: .one("RO access"), .string,
      since: "2.4.0", "Returns a part of the value of a key",
      complexity: "O(N) where N is the length of the returned part"
    ) { $0.getRange($1, &$2) },
    Command(
      8, "getset", 3, [.write, .denyOOM, .fast], keys: .one("RW access update"), .string,
      since: "1.0.0", "Sets the value of a key and returns the old one",
      replacement: ("`SET` with the `!GET` argument", "6.2.0")
    ) { $0.getAndSet($1, &$2) },
    Command(
      9, "incr", 2, [.write, .denyOOM, .fast], keys: .one("RW access update"), .string,
      since: "1.0.0", "Adds one to the integer value of a key"
    ) { $0.increment($1, &$2) },
    Command(
      10, "incrby", 3, [.write, .denyOOM, .fast], keys: .one("RW access update"), .string,
      since: "1.0.0", "Adds a number to the integer value of a key"
    ) { $0.incrementBy($1, &$2) },
    Command(
      11, "incrbyfloat", 3, [.write, .denyOOM, .fast], keys: .one("RW access update"), .string,
      since: "2.6.0", "Adds a number to the floating point value of a key"
    ) { $0.incrementByFloat($1, &$2) },
    Command(
      12, "mget", -2, [.readOnly, .fast], keys: .toEnd("RO access"), scope: .keys(.gather), .string,
      since: "1.0.0", "Returns the values of keys",
      complexity: "O(N) where N is the number of keys"
    ) { $0.getMany($1, &$2) },
    Command(
      13, "mset", -3, [.write, .denyOOM], keys: .toEnd("OW update", step: 2), scope: .keys(.allOK),
      .string, since: "1.0.1", "Sets the values of keys",
      complexity: "O(N) where N is the number of keys"
    ) { $0.setMany($1, &$2) },
    Command(
      14, "msetnx", -3, [.write, .denyOOM], keys: .toEnd("OW insert", step: 2), .string,
      since: "1.0.1", "Sets the values of keys if none of the keys exists",
      complexity: "O(N) where N is the number of keys"
    ) { $0.setManyIfNoneExists($1, &$2) },
    Command(
      15, "psetex", 4, [.write, .denyOOM], keys: .one("OW update"), .string,
      since: "2.6.0", "Sets the value of a key and its time to live in milliseconds"
    ) { $0.setWithExpiry($1, .milliseconds, &$2) },
    Command(
      16, "set", -3, [.write, .denyOOM], keys: .one("RW access update variable_flags"), .string,
      since: "1.0.0", "Sets the value of a key, and with options its expiry"
    ) { $0.set($1, &$2) },
    Command(
      17, "setex", 4, [.write, .denyOOM], keys: .one("OW update"), .string,
      since: "2.0.0", "Sets the value of a key and its time to live in seconds"
    ) { $0.setWithExpiry($1, .seconds, &$2) },
    Command(
      18, "setnx", 3, [.write, .denyOOM, .fast], keys: .one("OW insert"), .string,
      since: "1.0.0", "Sets the value of a key if the key does not exist"
    ) { $0.setIfMissing($1, &$2) },
    Command(
      19, "setrange", 4, [.write, .denyOOM], keys: .one("RW update"), .string,
      since: "2.2.0", "Overwrites a part of the value of a key, from an offset on",
      complexity: "O(N) where N is the length of the part and of any gap before it"
    ) { $0.setRange($1, &$2) },
    Command(
      20, "strlen", 2, [.readOnly, .fast], keys: .one("RO"), .string,
      since: "2.2.0", "Returns the length of the value of a key"
    ) { $0.length($1, &$2) },
    Command(
      21, "substr", 4, [.readOnly], keys: .one("RO access"), .string,
      since: "1.0.0", "Returns a part of the value of a key",
      complexity: "O(N) where N is the length of the returned part",
      replacement: ("`GETRANGE`", "2.0.0")
    ) { $0.getRange($1, &$2) },
  ]

  private static let keyspace: [Command] = [
    Command(
      40, "copy", -3, [.write, .denyOOM], keys: .two("RO access", "OW update"), .generic,
      since: "6.2.0", "Copies the value and expiry of a key to another key",
      complexity: "O(N) where N is the length of the value"
    ) { $0.copy($1, &$2) },
    Command(
      41, "del", -2, [.write], keys: .toEnd("RM delete"), scope: .keys(.sum), .generic,
      since: "1.0.0", "Deletes keys", complexity: "O(N) where N is the number of keys"
    ) { $0.delete($1, &$2) },
    Command(
      42, "exists", -2, [.readOnly, .fast], keys: .toEnd("RO"), scope: .keys(.sum), .generic,
      since: "1.0.0", "Counts which of the keys exist",
      complexity: "O(N) where N is the number of keys"
    ) { $0.count($1, &$2) },
    Command(
      43, "expire", -3, [.write, .fast], keys: .one("RW update"), .generic,
      since: "1.0.0", "Sets the time to live of a key in seconds"
    ) { $0.expire($1, .seconds, .relative, &$2) },
    Command(
      44, "expireat", -3, [.write, .fast], keys: .one("RW update"), .generic,
      since: "1.2.0", "Sets the expiry of a key as Unix time in seconds"
    ) { $0.expire($1, .seconds, .absolute, &$2) },
    Command(
      45, "expiretime", 2, [.readOnly, .fast], keys: .one("RO access"), .generic,
      since: "7.0.0", "Returns the expiry of a key as Unix time in seconds"
    ) { $0.expiry($1, .seconds, .absolute, &$2) },
    Command(
      46, "persist", 2, [.write, .fast], keys: .one("RW update"), .generic,
      since: "2.2.0", "Removes the expiry of a key"
    ) { $0.persist($1, &$2) },
    Command(
      47, "pexpire", -3, [.write, .fast], keys: .one("RW update"), .generic,
      since: "2.6.0", "Sets the time to live of a key in milliseconds"
    ) { $0.expire($1, .milliseconds, .relative, &$2) },
    Command(
      48, "pexpireat", -3, [.write, .fast], keys: .one("RW update"), .generic,
      since: "2.6.0", "Sets the expiry of a key as Unix time in milliseconds"
    ) { $0.expire($1, .milliseconds, .absolute, &$2) },
    Command(
      49, "pexpiretime", 2, [.readOnly, .fast], keys: .one("RO access"), .generic,
      since: "7.0.0", "Returns the expiry of a key as Unix time in milliseconds"
    ) { $0.expiry($1, .milliseconds, .absolute, &$2) },
    Command(
      50, "pttl", 2, [.readOnly, .fast], keys: .one("RO access"), .generic,
      since: "2.6.0", "Returns the time to live of a key in milliseconds",
      tips: ["nondeterministic_output"]
    ) { $0.expiry($1, .milliseconds, .relative, &$2) },
    Command(
      51, "rename", 3, [.write], keys: .two("RW access delete", "OW update"), .generic,
      since: "1.0.0", "Gives a key another name"
    ) { $0.rename($1, &$2) },
    Command(
      52, "renamenx", 3, [.write, .fast], keys: .two("RW access delete", "OW insert"), .generic,
      since: "1.0.0", "Gives a key another name if no key has that name"
    ) { $0.renameIfFree($1, &$2) },
    Command(
      53, "touch", -2, [.readOnly, .fast], keys: .toEnd("RO"), scope: .keys(.sum), .generic,
      since: "3.2.1", "Counts which of the keys exist",
      complexity: "O(N) where N is the number of keys"
    ) { $0.count($1, &$2) },
    Command(
      54, "ttl", 2, [.readOnly, .fast], keys: .one("RO access"), .generic,
      since: "1.0.0", "Returns the time to live of a key in seconds",
      tips: ["nondeterministic_output"]
    ) { $0.expiry($1, .seconds, .relative, &$2) },
    Command(
      55, "type", 2, [.readOnly, .fast], keys: .one("RO"), .generic,
      since: "1.0.0", "Returns the type of the value of a key"
    ) { $0.type($1, &$2) },
    Command(
      56, "unlink", -2, [.write, .fast], keys: .toEnd("RM delete"), scope: .keys(.sum), .generic,
      since: "4.0.0", "Deletes keys", complexity: "O(N) where N is the number of keys"
    ) { $0.delete($1, &$2) },
    Command(
      57, "dbsize", 1, [.readOnly, .fast], scope: .everyShard(.sum), .server,
      since: "1.0.0", "Returns the number of keys", complexity: "O(S) where S is the shards",
      categories: ["keyspace"]
    ) { $0.size($1, &$2) },
    Command(
      58, "flushall", -1, [.write], scope: .everyShard(.allOK), .server,
      since: "1.0.0", "Deletes all keys", complexity: "O(N) where N is the number of keys",
      categories: ["keyspace", "dangerous"]
    ) { $0.flush($1, &$2) },
    Command(
      59, "flushdb", -1, [.write], scope: .everyShard(.allOK), .server,
      since: "1.0.0", "Deletes all keys", complexity: "O(N) where N is the number of keys",
      categories: ["keyspace", "dangerous"]
    ) { $0.flush($1, &$2) },
  ]

  private static let iteration: [Command] = [
    Command(
      60, "keys", 2, [.readOnly], scope: .everyShard(.concatenate), .generic,
      since: "1.0.0", "Returns all keys that match a pattern",
      complexity: "O(N) where N is the number of keys", categories: ["dangerous"],
      tips: ["nondeterministic_output_order"]
    ) { $0.keys($1, &$2) },
    Command(
      61, "randomkey", 1, [.readOnly], scope: .everyShard(.anyOne), .generic,
      since: "1.0.0", "Returns a random key",
      tips: ["nondeterministic_output"]
    ) { $0.randomKey($1, &$2) },
    Command(
      62, "scan", -2, [.readOnly], scope: .scan, .generic,
      since: "2.8.0", "Goes through the keys in steps",
      complexity: "O(1) for a step, O(N) for all N keys",
      tips: ["nondeterministic_output", "request_policy:special"]
    ) { $0.scan($1, &$2) },
    Command(
      63, "object", -2, [.readOnly], keys: .object, .generic,
      since: "2.2.3", "Tells how the value of a key is stored"
    ) { $0.object($1, &$2) },
  ]

  private static let handshake: Flags = [
    .noScript, .loading, .stale, .fast, .noAuth, .allowBusy,
  ]

  private static let connection: [Command] = [
    Command(
      128, "asking", 1, [.fast], scope: .server, .cluster,
      since: "3.0.0", "Accepted for cluster clients; has no effect", categories: ["connection"]),
    Command(
      129, "auth", -2, handshake, scope: .server, .connection,
      since: "1.0.0", "Authenticates the connection"),
    Command(
      130, "client", -2, [], scope: .server, .connection,
      since: "2.4.0", "Commands about client connections"),
    Command(
      131, "cluster", -2, [], scope: .server, .cluster,
      since: "3.0.0", "Commands about the cluster"),
    Command(
      132, "command", -1, [.loading, .stale], scope: .server, .server,
      since: "2.8.13", "Describes the commands",
      complexity: "O(N) where N is the number of commands", categories: ["connection"]),
    Command(
      133, "config", -2, [], scope: .server, .server,
      since: "2.0.0", "Commands about the configuration"),
    Command(
      134, "echo", 2, [.loading, .stale, .fast], scope: .server, .connection,
      since: "1.0.0", "Returns its argument"),
    Command(
      135, "hello", -1, handshake, scope: .server, .connection,
      since: "6.0.0", "Chooses the protocol version and describes the server"),
    Command(
      136, "info", -1, [.loading, .stale], scope: .server, .server,
      since: "1.0.0", "Returns statistics about the server", categories: ["dangerous"]),
    Command(
      137, "ping", -1, [.fast], scope: .server, .connection,
      since: "1.0.0", "Returns PONG or its argument"),
    Command(
      138, "quit", -1, handshake, scope: .server, .connection,
      since: "1.0.0", "Closes the connection"),
    Command(
      139, "readonly", 1, [.loading, .stale, .fast], scope: .server, .cluster,
      since: "3.0.0", "Lets a cluster connection read from followers",
      categories: ["connection"]),
    Command(
      140, "readwrite", 1, [.loading, .stale, .fast], scope: .server, .cluster,
      since: "3.0.0", "Ends READONLY", categories: ["connection"]),
    Command(
      141, "reset", 1, handshake, scope: .server, .connection,
      since: "6.2.0", "Returns the connection to its initial state"),
    Command(
      142, "select", 2, [.loading, .stale, .fast], scope: .server, .connection,
      since: "1.0.0", "Selects the database; there is one, number 0"),
    Command(
      143, "time", 1, [.loading, .stale, .fast], scope: .server, .server,
      since: "2.6.0", "Returns the server's clock"),
    Command(
      144, "wait", 3, [.noScript], scope: .server, .generic,
      since: "3.0.0", "Returns on how many replicas every acknowledged write is durable",
      categories: ["connection"]),
    Command(
      145, "cyclades", -2, [], scope: .server, .server,
      since: "7.0.0", "Commands about the Cyclades cluster"),
  ]
}

extension Command.KeySpec {
  static func one(_ use: String) -> Self {
    Self(first: 1, last: 1, step: 1, uses: [use])
  }

  static func two(_ first: String, _ second: String) -> Self {
    Self(first: 1, last: 2, step: 1, uses: [first, second])
  }

  static func toEnd(_ use: String, last: Int = -1, step: Int = 1) -> Self {
    Self(first: 1, last: last, step: step, uses: [use])
  }

  /// A key to store at, then keys to the end.
  static func storing(_ target: String, _ sources: String) -> Self {
    Self(first: 1, last: -1, step: 1, uses: [target, sources])
  }

  /// As many keys as the argument at a position says.
  static func counted(at count: Int, _ uses: String..., storing: Bool = false) -> Self {
    let first = storing ? 1 : 0
    return Self(first: first, last: first, step: first, count: count, uses: uses)
  }

  /// The key behind a subcommand.
  static let object = Self(first: 2, last: 2, step: 1, uses: ["RO"])
}
