import CycladesStore
import CycladesTransport

/// Since when nodes are out of reach, as the node sees that leads the cluster map.
///
/// It alone judges, and only while most nodes are in its reach: then a node that it cannot reach is
/// more likely the one with the trouble. The judgement is a change of the map, decided by a majority;
/// it costs no safety when it is wrong, only the work of moving shards.
struct Absences {
  private var since: [UInt32: Instant] = [:]
  private var lastVerdict: Instant?

  /// Between two changes, so that the first shows before the next is asked for.
  private static let pause = Duration.seconds(1)

  /// The change of the map that is due; `nil` when none is.
  mutating func verdict(
    _ map: ClusterMap, own: UInt32, connected: Set<UInt32>, now: Instant, grace: Duration
  ) -> String? {
    let others = map.nodes.filter { $0.id != own }
    since = since.filter { id, _ in others.contains { $0.id == id } && !connected.contains(id) }
    for node in others where !connected.contains(node.id) && since[node.id] == nil {
      since[node.id] = now
    }
    guard 2 * (connected.intersection(others.map(\.id)).count + 1) > map.nodes.count,
      lastVerdict.map({ now - $0 >= Self.pause }) ?? true
    else { return nil }
    for node in others {
      if node.isAway, connected.contains(node.id) {
        lastVerdict = now
        return "back \(node.id)"
      }
      if !node.isAway, let begin = since[node.id], now - begin >= grace, map.canSpare(node.id) {
        lastVerdict = now
        return "away \(node.id)"
      }
    }
    return nil
  }
}
