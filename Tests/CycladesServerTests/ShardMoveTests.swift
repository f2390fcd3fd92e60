import CycladesPaxos
import Testing

@testable import CycladesServer

@Suite("Shard moves")
struct ShardMoveTests {
  private func wish(_ nodes: [NodeID]) -> [ShardMove.Wish] {
    nodes.map { ShardMove.Wish(node: $0, votes: true) }
  }

  private func voters(_ nodes: NodeID...) -> [Member] { nodes.map { Member(id: $0) } }

  @Test("where everything is in place, nothing moves")
  func inPlace() {
    #expect(ShardMove.next(voters(1, 2, 3), wanted: wish([1, 2, 3]), leader: 2) == nil)
  }

  @Test("what is missing is added before what is too much is removed")
  func addFirst() {
    let added = voters(1, 2, 3) + [Member(id: 4, kind: .learner)]
    #expect(
      ShardMove.next(voters(1, 2, 3), wanted: wish([1, 2, 4]), leader: 1) == .propose(added))
    #expect(ShardMove.next(added, wanted: wish([1, 2, 4]), leader: 1) == nil)
    #expect(
      ShardMove.next(voters(1, 2, 3, 4), wanted: wish([1, 2, 4]), leader: 1)
        == .propose(voters(1, 2, 4)))
  }

  @Test("a leader that is not wanted hands over before it goes")
  func handOver() {
    #expect(
      ShardMove.next(voters(1, 2, 3), wanted: wish([2, 3]), leader: 1) == .transfer(to: 2))
    #expect(
      ShardMove.next(voters(1, 2, 3), wanted: wish([2, 3]), leader: 2) == .propose(voters(2, 3)))
  }

  @Test("a learner that is not wanted any more is not waited for")
  func lateLearner() {
    let members = voters(1, 2, 3) + [Member(id: 9, kind: .learner)]
    #expect(
      ShardMove.next(members, wanted: wish([1, 2, 4]), leader: 1) == .propose(voters(1, 2, 3)))
  }

  @Test("from anywhere to anywhere in few steps, never with too few votes", arguments: 0..<500)
  func random(seed: UInt64) {
    var random = SplitMix(seed: seed)
    func pick(_ count: Int) -> [NodeID] {
      Array((1...7).map { NodeID(rawValue: $0) }.shuffled(using: &random).prefix(count))
    }
    var members = pick(Int.random(in: 1...5, using: &random)).map { Member(id: $0) }
    let wanted = pick(Int.random(in: 1...5, using: &random)).map {
      ShardMove.Wish(node: $0, votes: Bool.random(using: &random))
    }
    guard wanted.contains(where: \.votes) else { return }
    let votesBefore = members.count
    let votesAfter = wanted.count(where: \.votes)
    var leader = members.randomElement(using: &random)!.id
    for _ in 0..<40 {
      guard let move = ShardMove.next(members, wanted: wanted, leader: leader) else {
        // Nothing to do, or a learner catches up.
        guard let learner = members.firstIndex(where: { $0.kind == .learner }) else { break }
        members[learner].kind = .voter
        continue
      }
      switch move {
      case .transfer(let node):
        #expect(members.contains { $0.id == node && $0.kind == .voter })
        leader = node
      case .propose(let proposed):
        let changed = Set(proposed).symmetricDifference(Set(members)).map(\.id)
        #expect(Set(changed).count <= 1, "one node at a time: \(members) to \(proposed)")
        #expect(proposed.contains { $0.id == leader && $0.kind == .voter })
        members = proposed
      }
      #expect(members.count { $0.kind.votes } >= min(votesBefore, votesAfter))
    }
    #expect(members.map(\.id) == wanted.map(\.node))
    #expect(members.map(\.kind.votes) == wanted.map(\.votes))
    #expect(ShardMove.next(members, wanted: wanted, leader: leader) == nil)
  }
}
