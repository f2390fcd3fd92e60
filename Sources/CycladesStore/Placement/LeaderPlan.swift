/// Chooses a leader for every shard among its replicas, so that leaders are spread evenly.
///
/// The ring's first preferences alone are uneven: with few shards, chance gives one node twice the
/// share of another. Starting from them, the plan moves leaderships along *cost-reducing paths*
/// (Harvey, Ladner, Lovász, Tamir: Semi-matchings for bipartite graphs and load balancing, 2003):
/// while some node *a* carries more than another node *b* would after taking one more, and a chain
/// of shards leads from *a* to *b* - each one led by a node of the chain and replicated on the next -
/// every shard of the chain changes its leader to the next node. When no such chain is left the
/// spread is optimal: sixteen shards on three nodes are led 6, 5, 5.
///
/// Load is leaderships per weight. Every choice among equals goes to the lower index, hence nodes
/// with the same input agree.
enum LeaderPlan {
  /// Puts the chosen leader first in each list and leaves the order of the others alone.
  ///
  /// - Parameters:
  ///   - preferences: per shard, its replicas as indices into `weights`, the most preferred first.
  ///   - weights: of all nodes; those of the replicas are above zero.
  static func balanced(_ preferences: [[Int]], weights: [Double]) -> [[Int]] {
    var plan = Plan(preferences: preferences, weights: weights)
    while plan.improve() {}
    return zip(preferences, plan.leaders).map { replicas, leader in
      [leader] + replicas.filter { $0 != leader }
    }
  }

  private struct Plan {
    let preferences: [[Int]]
    let weights: [Double]
    var leaders: [Int]
    var loads: [Int]

    init(preferences: [[Int]], weights: [Double]) {
      self.preferences = preferences
      self.weights = weights
      leaders = preferences.map { $0[0] }
      loads = Array(repeating: 0, count: weights.count)
      for leader in leaders { loads[leader] += 1 }
    }

    /// Applies one cost-reducing path, from the most loaded node that has any; false when none has.
    mutating func improve() -> Bool {
      let nodes = loads.indices.filter { loads[$0] > 0 }.sorted { a, b in
        let (loadA, loadB) = (Double(loads[a]) * weights[b], Double(loads[b]) * weights[a])
        return loadA == loadB ? a < b : loadA > loadB
      }
      for start in nodes {
        let cameBy = reach(from: start)
        let goals = loads.indices.filter { cameBy[$0] != nil && gains(from: start, to: $0) }
        // The least loaded goal, were it to take one more.
        guard
          let goal = goals.min(by: { a, b in
            let (loadA, loadB) = (
              Double(loads[a] + 1) * weights[b], Double(loads[b] + 1) * weights[a]
            )
            return loadA == loadB ? a < b : loadA < loadB
          })
        else { continue }
        var node = goal
        while node != start, let shard = cameBy[node] {
          let previous = leaders[shard]
          leaders[shard] = node
          node = previous
        }
        loads[start] -= 1
        loads[goal] += 1
        return true
      }
      return false
    }

    /// Whether handing one leadership from a node to another makes the greater of the two loads
    /// smaller.
    private func gains(from a: Int, to b: Int) -> Bool {
      Double(loads[a]) * weights[b] > Double(loads[b] + 1) * weights[a]
    }

    /// Breadth first: for every node that a chain from `start` reaches, the shard that the node
    /// would take over at the chain's end.
    private func reach(from start: Int) -> [Int?] {
      var cameBy = [Int?](repeating: nil, count: loads.count)
      var frontier = [start]
      while !frontier.isEmpty {
        var next: [Int] = []
        for shard in leaders.indices where frontier.contains(leaders[shard]) {
          for node in preferences[shard] where node != start && cameBy[node] == nil {
            cameBy[node] = shard
            next.append(node)
          }
        }
        frontier = next
      }
      return cameBy
    }
  }
}
