extension Command {
  /// The commands of hashes.
  static let hashes: [Command] = [
    Command(
      150, "hdel", -3, [.write, .fast], keys: .one("RW delete"), .hash,
      since: "2.0.0", "Deletes fields of a hash, and the hash with its last field",
      complexity: "O(N log F) where N is the number of fields given and F of fields there"
    ) { $0.hashDelete($1, &$2) },
    Command(
      151, "hexists", 3, [.readOnly, .fast], keys: .one("RO"), .hash,
      since: "2.0.0", "Tells whether a hash has a field",
      complexity: "O(log F) where F is the number of fields"
    ) { $0.hashExists($1, &$2) },
    Command(
      152, "hget", 3, [.readOnly, .fast], keys: .one("RO access"), .hash,
      since: "2.0.0", "Returns the value of a field of a hash",
      complexity: "O(log F) where F is the number of fields"
    ) { $0.hashGet($1, &$2) },
    Command(
      153, "hgetall", 2, [.readOnly], keys: .one("RO access"), .hash,
      since: "2.0.0", "Returns all fields of a hash and their values",
      complexity: "O(F) where F is the number of fields",
      tips: ["nondeterministic_output_order"]
    ) { $0.hashAll($1, &$2) },
    Command(
      154, "hincrby", 4, [.write, .denyOOM, .fast], keys: .one("RW access update"), .hash,
      since: "2.0.0", "Adds a number to the integer value of a field",
      complexity: "O(log F) where F is the number of fields"
    ) { $0.hashIncrement($1, &$2) },
    Command(
      155, "hincrbyfloat", 4, [.write, .denyOOM, .fast], keys: .one("RW access update"), .hash,
      since: "2.6.0", "Adds a number to the floating point value of a field",
      complexity: "O(log F) where F is the number of fields"
    ) { $0.hashIncrementByFloat($1, &$2) },
    Command(
      156, "hkeys", 2, [.readOnly], keys: .one("RO access"), .hash,
      since: "2.0.0", "Returns all fields of a hash",
      complexity: "O(F) where F is the number of fields",
      tips: ["nondeterministic_output_order"]
    ) { $0.hashFields($1, &$2) },
    Command(
      157, "hlen", 2, [.readOnly, .fast], keys: .one("RO"), .hash,
      since: "2.0.0", "Returns the number of fields of a hash",
      complexity: "O(1)"
    ) { $0.hashLength($1, &$2) },
    Command(
      158, "hmget", -3, [.readOnly, .fast], keys: .one("RO access"), .hash,
      since: "2.0.0", "Returns the values of fields of a hash",
      complexity: "O(N log F) where N is the number of fields given and F of fields there"
    ) { $0.hashGetMany($1, &$2) },
    Command(
      159, "hmset", -4, [.write, .denyOOM, .fast], keys: .one("RW update"), .hash,
      since: "2.0.0", "Sets the values of fields of a hash",
      complexity: "O(N log F) where N is the number of fields given and F of fields there",
      replacement: ("`HSET` with multiple field-value pairs", "4.0.0")
    ) { $0.hashSetMany($1, &$2) },
    Command(
      160, "hrandfield", -2, [.readOnly], keys: .one("RO access"), .hash,
      since: "6.2.0", "Returns random fields of a hash",
      complexity: "O(N log F) where N is the number of fields returned and F of fields there",
      tips: ["nondeterministic_output"]
    ) { $0.hashRandom($1, &$2) },
    Command(
      161, "hscan", -3, [.readOnly], keys: .one("RO access"), .hash,
      since: "2.8.0", "Goes through the fields of a hash in steps",
      complexity: "O(1) for a step, O(F) for all F fields",
      tips: ["nondeterministic_output"]
    ) { $0.scanHash($1, &$2) },
    Command(
      162, "hset", -4, [.write, .denyOOM, .fast], keys: .one("RW update"), .hash,
      since: "2.0.0", "Sets the values of fields of a hash and counts the new ones",
      complexity: "O(N log F) where N is the number of fields given and F of fields there"
    ) { $0.hashSet($1, &$2) },
    Command(
      163, "hsetnx", 4, [.write, .denyOOM, .fast], keys: .one("RW insert"), .hash,
      since: "2.0.0", "Sets the value of a field if the field does not exist",
      complexity: "O(log F) where F is the number of fields"
    ) { $0.hashSetIfMissing($1, &$2) },
    Command(
      164, "hstrlen", 3, [.readOnly, .fast], keys: .one("RO"), .hash,
      since: "3.2.0", "Returns the length of the value of a field",
      complexity: "O(log F) where F is the number of fields"
    ) { $0.hashFieldLength($1, &$2) },
    Command(
      165, "hvals", 2, [.readOnly], keys: .one("RO access"), .hash,
      since: "2.0.0", "Returns all values of a hash",
      complexity: "O(F) where F is the number of fields",
      tips: ["nondeterministic_output_order"]
    ) { $0.hashValues($1, &$2) },
  ]
}
