extension Command {
  /// The commands of sets.
  static let sets: [Command] = [
    Command(
      200, "sadd", -3, [.write, .denyOOM, .fast], keys: .one("RW insert"), .set,
      since: "1.0.0", "Adds members to a set, which is created when missing",
      complexity: "O(M log N) where M is the number of members given"
    ) { $0.setAdd($1, &$2) },
    Command(
      201, "scard", 2, [.readOnly, .fast], keys: .one("RO"), .set,
      since: "1.0.0", "Returns the number of members of a set",
      complexity: "O(1)"
    ) { $0.setCount($1, &$2) },
    Command(
      202, "sdiff", -2, [.readOnly], keys: .toEnd("RO access"), .set,
      since: "1.0.0", "Returns the members of the first set that no other has",
      complexity: "O(N K log N) where N is the members of the first of K sets",
      tips: ["nondeterministic_output_order"]
    ) { $0.combineSets($1, .difference, &$2) },
    Command(
      203, "sdiffstore", -3, [.write, .denyOOM], keys: .storing("OW update", "RO access"), .set,
      since: "1.0.0", "Stores the members of the first set that no other has",
      complexity: "O(N K log N) where N is the members of the first of K sets"
    ) { $0.storeSets($1, .difference, &$2) },
    Command(
      204, "sinter", -2, [.readOnly], keys: .toEnd("RO access"), .set,
      since: "1.0.0", "Returns the members that all sets have",
      complexity: "O(N K log N) where N is the members of the smallest of K sets",
      tips: ["nondeterministic_output_order"]
    ) { $0.combineSets($1, .intersection, &$2) },
    Command(
      205, "sintercard", -3, [.readOnly, .movableKeys], keys: .counted(at: 1, "RO access"), .set,
      since: "7.0.0", "Counts the members that all sets have",
      complexity: "O(N K log N) where N is the members of the smallest of K sets"
    ) { $0.countIntersection($1, &$2) },
    Command(
      206, "sinterstore", -3, [.write, .denyOOM], keys: .storing("RW update", "RO access"), .set,
      since: "1.0.0", "Stores the members that all sets have",
      complexity: "O(N K log N) where N is the members of the smallest of K sets"
    ) { $0.storeSets($1, .intersection, &$2) },
    Command(
      207, "sismember", 3, [.readOnly, .fast], keys: .one("RO"), .set,
      since: "1.0.0", "Tells whether a set has a member",
      complexity: "O(log N)"
    ) { $0.setContains($1, &$2) },
    Command(
      208, "smembers", 2, [.readOnly], keys: .one("RO access"), .set,
      since: "1.0.0", "Returns all members of a set",
      complexity: "O(N) where N is the number of members",
      tips: ["nondeterministic_output_order"]
    ) { $0.setMembers($1, &$2) },
    Command(
      209, "smismember", -3, [.readOnly, .fast], keys: .one("RO access"), .set,
      since: "6.2.0", "Tells which members a set has",
      complexity: "O(M log N) where M is the number of members given"
    ) { $0.setContainsMany($1, &$2) },
    Command(
      210, "smove", 4, [.write, .fast], keys: .two("RW access delete", "RW insert"), .set,
      since: "1.0.0", "Moves a member from one set to another",
      complexity: "O(log N)"
    ) { $0.setMove($1, &$2) },
    Command(
      211, "spop", -2, [.write, .fast], keys: .one("RW access delete"), .set,
      since: "1.0.0", "Returns and removes random members of a set",
      complexity: "O(M log N) where M is the number of members returned",
      tips: ["nondeterministic_output"]
    ) { $0.setPop($1, &$2) },
    Command(
      212, "srandmember", -2, [.readOnly], keys: .one("RO access"), .set,
      since: "1.0.0", "Returns random members of a set",
      complexity: "O(M log N) where M is the number of members returned",
      tips: ["nondeterministic_output"]
    ) { $0.setRandom($1, &$2) },
    Command(
      213, "srem", -3, [.write, .fast], keys: .one("RW delete"), .set,
      since: "1.0.0", "Removes members of a set, and the set with its last member",
      complexity: "O(M log N) where M is the number of members given"
    ) { $0.setRemove($1, &$2) },
    Command(
      214, "sscan", -3, [.readOnly], keys: .one("RO access"), .set,
      since: "2.8.0", "Goes through the members of a set in steps",
      complexity: "O(1) for a step, O(N) for all N members",
      tips: ["nondeterministic_output"]
    ) { $0.scanSet($1, &$2) },
    Command(
      215, "sunion", -2, [.readOnly], keys: .toEnd("RO access"), .set,
      since: "1.0.0", "Returns the members that any set has",
      complexity: "O(N K log N) where N is the members of all K sets",
      tips: ["nondeterministic_output_order"]
    ) { $0.combineSets($1, .union, &$2) },
    Command(
      216, "sunionstore", -3, [.write, .denyOOM], keys: .storing("OW update", "RO access"), .set,
      since: "1.0.0", "Stores the members that any set has",
      complexity: "O(N K log N) where N is the members of all K sets"
    ) { $0.storeSets($1, .union, &$2) },
  ]
}
