import CycladesPaxos

/// The links between the nodes: each direction of each pair for itself.
struct Network {
  private let count: Int
  private var isCut: [Bool]
  private var lastArrival: [UInt64]
  /// Nothing arrives over a clogged link before this time.
  private var cloggedUntil: [UInt64]
  var isOrdered: Bool
  var loss: UInt64
  var duplication: UInt64
  var delayMinimum: UInt64
  var delaySpread: UInt64

  init(_ swarm: Swarm) {
    count = swarm.nodes + swarm.spares
    isCut = Array(repeating: false, count: count * count)
    lastArrival = Array(repeating: 0, count: count * count)
    cloggedUntil = lastArrival
    isOrdered = swarm.isOrdered
    loss = swarm.loss
    duplication = swarm.duplication
    delayMinimum = swarm.delayMinimum
    delaySpread = swarm.delaySpread
  }

  func isOpen(from: Int, to: Int) -> Bool { !isCut[from * count + to] }

  mutating func setCut(_ cut: Bool, from: Int, to: Int) { isCut[from * count + to] = cut }

  /// When copies of a message sent now arrive: mostly one, perhaps none or two.
  ///
  /// Loss is drawn when it is sent; a link that is cut meanwhile loses it as well.
  mutating func arrivals(
    from: Int, to: Int, now: UInt64, random: inout SplitMix
  ) -> (UInt64?, UInt64?) {
    guard isOpen(from: from, to: to), !random.chance(loss) else { return (nil, nil) }
    let first = arrival(from * count + to, now: now, random: &random)
    guard random.chance(duplication) else { return (first, nil) }
    return (first, arrival(from * count + to, now: now, random: &random))
  }

  private mutating func arrival(_ link: Int, now: UInt64, random: inout SplitMix) -> UInt64 {
    var delay = delayMinimum + random.next() % (delaySpread + 1)
    // A long tail: one message in sixteen takes up to eight times as long.
    if random.next() % 16 == 0 { delay += random.next() % (8 * delaySpread + 1) }
    var time = max(now, cloggedUntil[link]) + delay
    if isOrdered {
      time = max(time, lastArrival[link] + 1)
      lastArrival[link] = time
    }
    return time
  }

  /// Holds up what is sent over the links to, or from, a node.
  mutating func clog(_ node: Int, until time: UInt64, isInbound: Bool) {
    for other in 0..<count {
      cloggedUntil[isInbound ? other * count + node : node * count + other] = time
    }
  }

  /// Opens all links between these nodes.
  mutating func heal(_ nodes: [Int]) {
    for from in nodes { for to in nodes { setCut(false, from: from, to: to) } }
  }

  /// Ends all clogs; what is sent from now on overtakes what they hold up, as on a new connection.
  mutating func unclog() {
    for link in cloggedUntil.indices {
      cloggedUntil[link] = 0
      lastArrival[link] = 0
    }
  }

  /// Cuts links after one of the patterns that consensus protocols are known to trip over.
  mutating func partition(around center: Int, random: inout SplitMix) {
    heal(Array(0..<count))
    switch random.next() % 6 {
    case 0:
      // Two sides.
      let side = (0..<count).map { _ in random.chance(500) }
      cut { side[$0] != side[$1] }
    case 1:
      // One node alone.
      cut { $0 == center || $1 == center }
    case 2:
      // One node hears nobody, or is heard by nobody.
      if random.chance(500) { cut { from, _ in from == center } } else { cut { $1 == center } }
    case 3:
      // A chain: every node hears its neighbours only.
      cut { max($0, $1) - min($0, $1) > 1 }
    case 4:
      // A star: one node hears all others, who do not hear each other.
      cut { $0 != center && $1 != center }
    default:
      // Any directed links.
      let link = (0..<count).map { _ in (0..<count).map { _ in random.chance(300) } }
      cut { link[$0][$1] }
    }
  }

  private mutating func cut(where isCut: (_ from: Int, _ to: Int) -> Bool) {
    for from in 0..<count {
      for to in 0..<count where from != to && isCut(from, to) { setCut(true, from: from, to: to) }
    }
  }
}
