extension Command {
  /// The commands of lists.
  static let lists: [Command] = [
    Command(
      170, "blmove", 6, [.write, .denyOOM, .noScript, .blocking],
      keys: .two("RW access delete", "RW insert"), .list,
      since: "6.2.0", "Moves an element from one list to another, and waits for one",
      complexity: "O(log N)"
    ) { $0.moveBlocking($1, &$2) },
    Command(
      171, "blmpop", -5, [.write, .blocking, .movableKeys],
      keys: .counted(at: 2, "RW access delete"), .list,
      since: "7.0.0", "Pops elements from the first list that has any, and waits for one",
      complexity: "O(K + M log N) where K is the number of keys and M of elements returned"
    ) { $0.popManyBlocking($1, &$2) },
    Command(
      172, "blpop", -3, [.write, .noScript, .blocking], keys: .toEnd("RW access delete", last: -2),
      .list,
      since: "2.0.0", "Pops the first element of the first list that has any, and waits for one",
      complexity: "O(K + log N) where K is the number of keys"
    ) { $0.popFirst($1, .left, &$2) },
    Command(
      173, "brpop", -3, [.write, .noScript, .blocking], keys: .toEnd("RW access delete", last: -2),
      .list,
      since: "2.0.0", "Pops the last element of the first list that has any, and waits for one",
      complexity: "O(K + log N) where K is the number of keys"
    ) { $0.popFirst($1, .right, &$2) },
    Command(
      174, "brpoplpush", 4, [.write, .denyOOM, .noScript, .blocking],
      keys: .two("RW access delete", "RW insert"), .list,
      since: "2.2.0",
      "Moves the last element of one list to the front of another, and waits for one",
      complexity: "O(log N)",
      replacement: ("`BLMOVE` with the `RIGHT` and `LEFT` arguments", "6.2.0")
    ) { $0.rotateBlocking($1, &$2) },
    Command(
      175, "lindex", 3, [.readOnly], keys: .one("RO access"), .list,
      since: "1.0.0", "Returns the element of a list at an index",
      complexity: "O(log N) where N is the length of the list"
    ) { $0.listIndex($1, &$2) },
    Command(
      176, "linsert", 5, [.write, .denyOOM], keys: .one("RW insert"), .list,
      since: "2.2.0", "Inserts an element before or after another",
      complexity: "O(N) where N is the length of the list"
    ) { $0.listInsert($1, &$2) },
    Command(
      177, "llen", 2, [.readOnly, .fast], keys: .one("RO"), .list,
      since: "1.0.0", "Returns the length of a list",
      complexity: "O(1)"
    ) { $0.listLength($1, &$2) },
    Command(
      178, "lmove", 5, [.write, .denyOOM], keys: .two("RW access delete", "RW insert"), .list,
      since: "6.2.0", "Moves an element from one list to another",
      complexity: "O(log N)"
    ) { $0.move($1, &$2) },
    Command(
      179, "lmpop", -4, [.write, .movableKeys], keys: .counted(at: 1, "RW access delete"), .list,
      since: "7.0.0", "Pops elements from the first list that has any",
      complexity: "O(K + M log N) where K is the number of keys and M of elements returned"
    ) { $0.popMany($1, &$2) },
    Command(
      180, "lpop", -2, [.write, .fast], keys: .one("RW access delete"), .list,
      since: "1.0.0", "Returns and removes the first elements of a list",
      complexity: "O(M log N) where M is the number of elements returned"
    ) { $0.pop($1, .left, &$2) },
    Command(
      181, "lpos", -3, [.readOnly], keys: .one("RO access"), .list,
      since: "6.0.6", "Returns the index of elements that match",
      complexity: "O(N) where N is the length of the list"
    ) { $0.listPosition($1, &$2) },
    Command(
      182, "lpush", -3, [.write, .denyOOM, .fast], keys: .one("RW insert"), .list,
      since: "1.0.0", "Puts elements in front of a list, which is created when missing",
      complexity: "O(M log N) where M is the number of elements given"
    ) { $0.push($1, .left, &$2) },
    Command(
      183, "lpushx", -3, [.write, .denyOOM, .fast], keys: .one("RW insert"), .list,
      since: "2.2.0", "Puts elements in front of a list that exists",
      complexity: "O(M log N) where M is the number of elements given"
    ) { $0.push($1, .left, ifThere: true, &$2) },
    Command(
      184, "lrange", 4, [.readOnly], keys: .one("RO access"), .list,
      since: "1.0.0", "Returns a part of a list",
      complexity: "O(log N + M) where M is the number of elements returned"
    ) { $0.listRange($1, &$2) },
    Command(
      185, "lrem", 4, [.write], keys: .one("RW delete"), .list,
      since: "1.0.0", "Removes elements that match",
      complexity: "O(N + M log N) where M is the number of elements removed"
    ) { $0.listRemove($1, &$2) },
    Command(
      186, "lset", 4, [.write, .denyOOM], keys: .one("RW update"), .list,
      since: "1.0.0", "Replaces the element of a list at an index",
      complexity: "O(N) where N is the length of the list"
    ) { $0.listSet($1, &$2) },
    Command(
      187, "ltrim", 4, [.write], keys: .one("RW delete"), .list,
      since: "1.0.0", "Removes what lies outside a part of a list",
      complexity: "O(M log N) where M is the number of elements removed"
    ) { $0.listTrim($1, &$2) },
    Command(
      188, "rpop", -2, [.write, .fast], keys: .one("RW access delete"), .list,
      since: "1.0.0", "Returns and removes the last elements of a list",
      complexity: "O(M log N) where M is the number of elements returned"
    ) { $0.pop($1, .right, &$2) },
    Command(
      189, "rpoplpush", 3, [.write, .denyOOM], keys: .two("RW access delete", "RW insert"), .list,
      since: "1.2.0", "Moves the last element of one list to the front of another",
      complexity: "O(log N)",
      replacement: ("`LMOVE` with the `RIGHT` and `LEFT` arguments", "6.2.0")
    ) { $0.rotate($1, &$2) },
    Command(
      190, "rpush", -3, [.write, .denyOOM, .fast], keys: .one("RW insert"), .list,
      since: "1.0.0", "Puts elements behind a list, which is created when missing",
      complexity: "O(M log N) where M is the number of elements given"
    ) { $0.push($1, .right, &$2) },
    Command(
      191, "rpushx", -3, [.write, .denyOOM, .fast], keys: .one("RW insert"), .list,
      since: "2.2.0", "Puts elements behind a list that exists",
      complexity: "O(M log N) where M is the number of elements given"
    ) { $0.push($1, .right, ifThere: true, &$2) },
  ]
}
