import CycladesPaxos

/// One step that brings the members of a group closer to those wanted.
///
/// A step is a change that keeps the group able to decide at every moment: first what is missing is
/// added, one node at a time, as a learner, which the group's leader makes a voter when it has caught
/// up; only when all that are wanted vote is one of the others removed. A leader that should go
/// hands the group over first.
enum ShardMove: Equatable {
  /// Propose these members.
  case propose([Member])
  /// Hand the group over, then go on from there.
  case transfer(to: NodeID)

  /// Who is wanted, in order of preference, and whether it should vote.
  struct Wish: Equatable {
    var node: NodeID
    var votes: Bool
  }

  /// The next step of the node that leads the group; `nil` when there is nothing to do, or to wait
  /// for a learner.
  static func next(
    _ current: [Member], wanted: [Wish], leader: NodeID
  ) -> ShardMove? {
    let ids = wanted.map(\.node)
    // Whoever was to come, and is not wanted any more, need not be waited for.
    if let late = current.firstIndex(where: { !ids.contains($0.id) && !$0.kind.votes }) {
      var members = current
      members.remove(at: late)
      return .propose(members)
    }
    for wish in wanted where !current.contains(where: { $0.id == wish.node }) {
      return .propose(current + [Member(id: wish.node, kind: wish.votes ? .learner : .observer)])
    }
    // Those that should vote come first: only then may others stop.
    for wish in wanted where wish.votes {
      let index = current.firstIndex { $0.id == wish.node }!
      if current[index].kind.votes { continue }
      if current[index].kind == .learner { return nil }
      var members = current
      members[index].kind = .learner
      return .propose(members)
    }
    for wish in wanted where !wish.votes {
      let index = current.firstIndex { $0.id == wish.node }!
      if current[index].kind == .observer { continue }
      if wish.node == leader { return handOver(current, wanted, leader) }
      var members = current
      members[index].kind = .observer
      return .propose(members)
    }
    if let extra = current.first(where: { !ids.contains($0.id) && $0.id != leader }) {
      return .propose(current.filter { $0.id != extra.id })
    }
    if !ids.contains(leader) { return handOver(current, wanted, leader) }
    if current.map(\.id) != ids {
      return .propose(ids.map { id in current.first { $0.id == id }! })
    }
    return nil
  }

  private static func handOver(
    _ current: [Member], _ wanted: [Wish], _ leader: NodeID
  ) -> ShardMove? {
    wanted.first { wish in
      wish.votes && wish.node != leader
        && current.contains { $0.id == wish.node && $0.kind == .voter }
    }.map { .transfer(to: $0.node) }
  }
}
