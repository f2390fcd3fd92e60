internal import CycladesTransport

/// Pulls the blocks of one partition from all map outputs and hands them on in order of map and
/// sequence, whatever order they come in.
///
/// Memory is bounded by credit: pulls are outstanding for, and blocks wait with, at most
/// `window` bytes, except that the map whose turn it is may always be pulled; so blocks that came early
/// never keep away those that are needed first. Maps are pulled in order, many at a time.
///
/// When a source is gone the rest of its blocks is pulled from the next attempt, from where it
/// stopped: attempts of a map have the same blocks, which the coordinator makes sure of by their
/// digests before it names another source.
final class ShuffleFetch {
  let partition: Int
  private let window: Int
  private let credit: Int
  private var flows: [Flow]
  /// The map whose blocks are handed on.
  private var head = 0
  /// Every map before it is being pulled or is complete.
  private var frontier = 0
  /// Room promised to peers, and bytes that wait.
  private var promised = 0
  private var held = 0
  /// When a block last came or went, in nanoseconds.
  private(set) var lastProgress: UInt64

  private struct Flow {
    var source: PeerSource?
    var received = 0
    var waiting: [Block] = []
    var isPulling = false
    var isComplete = false
  }

  /// A pull to be sent.
  struct Pull: Equatable {
    var map: Int
    var source: PeerSource
    var sequence: Int
    var credit: Int
  }

  init(
    partition: Int, sources: [PeerSource], now: UInt64, window: Int = 16 << 20,
    credit: Int = 2 << 20
  ) {
    self.partition = partition
    self.window = window
    self.credit = credit
    flows = sources.map { Flow(source: $0) }
    lastProgress = now
  }

  /// The map whose blocks are needed next; nil when all were handed on.
  var waitingFor: Int? { head < flows.count ? head : nil }

  /// Whether the map that is needed next has a source.
  var hasSource: Bool { head < flows.count && flows[head].source != nil }

  /// The next block in order, if it is here.
  func next(now: UInt64) -> Block? {
    while head < flows.count {
      if !flows[head].waiting.isEmpty {
        let block = flows[head].waiting.removeFirst()
        held -= block.frame.byteCount
        lastProgress = now
        return block
      }
      guard flows[head].isComplete else { return nil }
      head += 1
      lastProgress = now
    }
    return nil
  }

  /// The pulls that there is room for. The caller sends them.
  func takePulls() -> [Pull] {
    var pulls: [Pull] = []
    frontier = max(frontier, head)
    while frontier < flows.count {
      let flow = flows[frontier]
      if !flow.isPulling && !flow.isComplete {
        guard let source = flow.source else { break }
        guard frontier == head || promised + held + credit <= window else { break }
        flows[frontier].isPulling = true
        promised += credit
        pulls.append(
          Pull(map: frontier, source: source, sequence: flow.received, credit: credit))
      }
      frontier += 1
    }
    return pulls
  }

  /// Takes a block; one that is not the next of its map was taken before and is dropped.
  func take(_ block: Block, now: UInt64) {
    let map = block.name.map
    guard block.partition == partition, flows.indices.contains(map),
      block.sequence == flows[map].received
    else { return }
    flows[map].received += 1
    flows[map].waiting.append(block)
    held += block.frame.byteCount
    lastProgress = now
  }

  /// The answer to a pull has ended; there are `total` blocks.
  func pulled(map: Int, attempt: Int, total: Int) {
    guard flows.indices.contains(map), flows[map].source?.attempt == attempt else { return }
    endPull(map)
    flows[map].isComplete = flows[map].received == total
  }

  /// The source of a map does not have it any more.
  func gone(map: Int, attempt: Int) {
    guard flows.indices.contains(map), flows[map].source?.attempt == attempt else { return }
    endPull(map)
    flows[map].source = nil
  }

  /// A worker is not there any more: what was to come from it has no source.
  func lost(_ worker: WorkerID) {
    for map in head..<max(head, flows.count)
    where flows[map].source?.worker == worker && !flows[map].isComplete {
      endPull(map)
      flows[map].source = nil
    }
  }

  /// Names another source, or the same one once more: the pull is sent again.
  func move(map: Int, to source: PeerSource) {
    guard flows.indices.contains(map), !flows[map].isComplete else { return }
    endPull(map)
    flows[map].source = source
  }

  private func endPull(_ map: Int) {
    if flows[map].isPulling { promised -= credit }
    flows[map].isPulling = false
    frontier = min(frontier, map)
  }
}
