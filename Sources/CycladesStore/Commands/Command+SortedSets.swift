extension Command {
  /// The commands of sorted sets.
  static let sortedSets: [Command] = [
    Command(
      220, "bzmpop", -5, [.write, .blocking, .movableKeys],
      keys: .counted(at: 2, "RW access delete"), .sortedSet,
      since: "7.0.0", "Pops members from the first sorted set that has any, and waits for one",
      complexity: "O(K + M log N) where K is the number of keys and M of members returned"
    ) { $0.sortedPopManyBlocking($1, &$2) },
    Command(
      221, "bzpopmax", -3, [.write, .noScript, .fast, .blocking],
      keys: .toEnd("RW access delete", last: -2), .sortedSet,
      since: "5.0.0", "Pops the member of the highest score, and waits for one",
      complexity: "O(log N)"
    ) { $0.sortedPopFirst($1, isMax: true, &$2) },
    Command(
      222, "bzpopmin", -3, [.write, .noScript, .fast, .blocking],
      keys: .toEnd("RW access delete", last: -2), .sortedSet,
      since: "5.0.0", "Pops the member of the lowest score, and waits for one",
      complexity: "O(log N)"
    ) { $0.sortedPopFirst($1, isMax: false, &$2) },
    Command(
      223, "zadd", -4, [.write, .denyOOM, .fast], keys: .one("RW update"), .sortedSet,
      since: "1.2.0", "Adds members to a sorted set, or changes their scores",
      complexity: "O(M log N) where M is the number of members given"
    ) { $0.sortedAdd($1, &$2) },
    Command(
      224, "zcard", 2, [.readOnly, .fast], keys: .one("RO"), .sortedSet,
      since: "1.2.0", "Returns the number of members of a sorted set",
      complexity: "O(1)"
    ) { $0.sortedCount($1, &$2) },
    Command(
      225, "zcount", 4, [.readOnly, .fast], keys: .one("RO access"), .sortedSet,
      since: "2.0.0", "Counts the members in a range of scores",
      complexity: "O(log N)"
    ) { $0.sortedCountRange($1, .score, &$2) },
    Command(
      226, "zdiff", -3, [.readOnly, .movableKeys], keys: .counted(at: 1, "RO access"), .sortedSet,
      since: "6.2.0", "Returns the members of the first sorted set that no other has",
      complexity: "O(N K log N) where N is the members of the first of K sets"
    ) { $0.combineSorted($1, .difference, &$2) },
    Command(
      227, "zdiffstore", -4, [.write, .denyOOM, .movableKeys],
      keys: .counted(at: 2, "OW update", "RO access", storing: true), .sortedSet,
      since: "6.2.0", "Stores the members of the first sorted set that no other has",
      complexity: "O(N K log N) where N is the members of the first of K sets"
    ) { $0.storeSorted($1, .difference, &$2) },
    Command(
      228, "zincrby", 4, [.write, .denyOOM, .fast], keys: .one("RW access update"), .sortedSet,
      since: "1.2.0", "Adds a number to the score of a member",
      complexity: "O(log N)"
    ) { $0.sortedAdd($1, increments: true, &$2) },
    Command(
      229, "zinter", -3, [.readOnly, .movableKeys], keys: .counted(at: 1, "RO access"), .sortedSet,
      since: "6.2.0", "Returns the members that all sorted sets have",
      complexity: "O(N K log N) where N is the members of the smallest of K sets"
    ) { $0.combineSorted($1, .intersection, &$2) },
    Command(
      230, "zintercard", -3, [.readOnly, .movableKeys], keys: .counted(at: 1, "RO access"),
      .sortedSet,
      since: "7.0.0", "Counts the members that all sorted sets have",
      complexity: "O(N K log N) where N is the members of the smallest of K sets"
    ) { $0.countSortedIntersection($1, &$2) },
    Command(
      231, "zinterstore", -4, [.write, .denyOOM, .movableKeys],
      keys: .counted(at: 2, "OW update", "RO access", storing: true), .sortedSet,
      since: "2.0.0", "Stores the members that all sorted sets have",
      complexity: "O(N K log N) where N is the members of the smallest of K sets"
    ) { $0.storeSorted($1, .intersection, &$2) },
    Command(
      232, "zlexcount", 4, [.readOnly, .fast], keys: .one("RO access"), .sortedSet,
      since: "2.8.9", "Counts the members in a range of bytes",
      complexity: "O(log N)"
    ) { $0.sortedCountRange($1, .bytes, &$2) },
    Command(
      233, "zmpop", -4, [.write, .movableKeys], keys: .counted(at: 1, "RW access delete"),
      .sortedSet,
      since: "7.0.0", "Pops members from the first sorted set that has any",
      complexity: "O(K + M log N) where K is the number of keys and M of members returned"
    ) { $0.sortedPopMany($1, &$2) },
    Command(
      234, "zmscore", -3, [.readOnly, .fast], keys: .one("RO access"), .sortedSet,
      since: "6.2.0", "Returns the scores of members",
      complexity: "O(M log N) where M is the number of members given"
    ) { $0.sortedScores($1, &$2) },
    Command(
      235, "zpopmax", -2, [.write, .fast], keys: .one("RW access delete"), .sortedSet,
      since: "5.0.0", "Returns and removes the members of the highest scores",
      complexity: "O(M log N) where M is the number of members returned"
    ) { $0.sortedPop($1, isMax: true, &$2) },
    Command(
      236, "zpopmin", -2, [.write, .fast], keys: .one("RW access delete"), .sortedSet,
      since: "5.0.0", "Returns and removes the members of the lowest scores",
      complexity: "O(M log N) where M is the number of members returned"
    ) { $0.sortedPop($1, isMax: false, &$2) },
    Command(
      237, "zrandmember", -2, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "6.2.0", "Returns random members of a sorted set",
      complexity: "O(M log N) where M is the number of members returned",
      tips: ["nondeterministic_output"]
    ) { $0.sortedRandom($1, &$2) },
    Command(
      238, "zrange", -4, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "1.2.0", "Returns a part of a sorted set",
      complexity: "O(log N + M) where M is the number of members returned"
    ) { $0.sortedRange($1, nil, isReversed: nil, &$2) },
    Command(
      239, "zrangebylex", -4, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "2.8.9", "Returns the members in a range of bytes",
      complexity: "O(log N + M) where M is the number of members returned",
      replacement: ("`ZRANGE` with the `BYLEX` argument", "6.2.0")
    ) { $0.sortedRange($1, .bytes, isReversed: false, &$2) },
    Command(
      240, "zrangebyscore", -4, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "1.0.5", "Returns the members in a range of scores",
      complexity: "O(log N + M) where M is the number of members returned",
      replacement: ("`ZRANGE` with the `BYSCORE` argument", "6.2.0")
    ) { $0.sortedRange($1, .score, isReversed: false, &$2) },
    Command(
      241, "zrangestore", -5, [.write, .denyOOM], keys: .two("OW update", "RO access"), .sortedSet,
      since: "6.2.0", "Stores a part of a sorted set",
      complexity: "O(M log N) where M is the number of members stored"
    ) { $0.sortedRangeStore($1, &$2) },
    Command(
      242, "zrank", 3, [.readOnly, .fast], keys: .one("RO access"), .sortedSet,
      since: "2.0.0", "Returns the place of a member in the order of scores",
      complexity: "O(log N)"
    ) { $0.sortedRank($1, isReversed: false, &$2) },
    Command(
      243, "zrem", -3, [.write, .fast], keys: .one("RW delete"), .sortedSet,
      since: "1.2.0", "Removes members of a sorted set, and the set with its last member",
      complexity: "O(M log N) where M is the number of members given"
    ) { $0.sortedRemove($1, &$2) },
    Command(
      244, "zremrangebylex", 4, [.write], keys: .one("RW delete"), .sortedSet,
      since: "2.8.9", "Removes the members in a range of bytes",
      complexity: "O(M log N) where M is the number of members removed"
    ) { $0.sortedRemoveRange($1, .bytes, &$2) },
    Command(
      245, "zremrangebyrank", 4, [.write], keys: .one("RW delete"), .sortedSet,
      since: "2.0.0", "Removes the members in a range of places",
      complexity: "O(M log N) where M is the number of members removed"
    ) { $0.sortedRemoveRange($1, .rank, &$2) },
    Command(
      246, "zremrangebyscore", 4, [.write], keys: .one("RW delete"), .sortedSet,
      since: "1.2.0", "Removes the members in a range of scores",
      complexity: "O(M log N) where M is the number of members removed"
    ) { $0.sortedRemoveRange($1, .score, &$2) },
    Command(
      247, "zrevrange", -4, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "1.2.0", "Returns a part of a sorted set, highest scores first",
      complexity: "O(log N + M) where M is the number of members returned",
      replacement: ("`ZRANGE` with the `REV` argument", "6.2.0")
    ) { $0.sortedRange($1, .rank, isReversed: true, &$2) },
    Command(
      248, "zrevrangebylex", -4, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "2.8.9", "Returns the members in a range of bytes, last ones first",
      complexity: "O(log N + M) where M is the number of members returned",
      replacement: ("`ZRANGE` with the `REV` and `BYLEX` arguments", "6.2.0")
    ) { $0.sortedRange($1, .bytes, isReversed: true, &$2) },
    Command(
      249, "zrevrangebyscore", -4, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "2.2.0", "Returns the members in a range of scores, highest first",
      complexity: "O(log N + M) where M is the number of members returned",
      replacement: ("`ZRANGE` with the `REV` and `BYSCORE` arguments", "6.2.0")
    ) { $0.sortedRange($1, .score, isReversed: true, &$2) },
    Command(
      250, "zrevrank", 3, [.readOnly, .fast], keys: .one("RO access"), .sortedSet,
      since: "2.0.0",
      "Returns the place of a member in the order of scores, counted from the highest",
      complexity: "O(log N)"
    ) { $0.sortedRank($1, isReversed: true, &$2) },
    Command(
      251, "zscan", -3, [.readOnly], keys: .one("RO access"), .sortedSet,
      since: "2.8.0", "Goes through the members of a sorted set in steps",
      complexity: "O(1) for a step, O(N) for all N members",
      tips: ["nondeterministic_output"]
    ) { $0.scanSortedSet($1, &$2) },
    Command(
      252, "zscore", 3, [.readOnly, .fast], keys: .one("RO access"), .sortedSet,
      since: "1.2.0", "Returns the score of a member",
      complexity: "O(log N)"
    ) { $0.sortedScore($1, &$2) },
    Command(
      253, "zunion", -3, [.readOnly, .movableKeys], keys: .counted(at: 1, "RO access"), .sortedSet,
      since: "6.2.0", "Returns the members that any sorted set has",
      complexity: "O(N K log N) where N is the members of all K sets"
    ) { $0.combineSorted($1, .union, &$2) },
    Command(
      254, "zunionstore", -4, [.write, .denyOOM, .movableKeys],
      keys: .counted(at: 2, "OW update", "RO access", storing: true), .sortedSet,
      since: "2.0.0", "Stores the members that any sorted set has",
      complexity: "O(N K log N) where N is the members of all K sets"
    ) { $0.storeSorted($1, .union, &$2) },
  ]
}
