/// One thread's share of a process's memory budget, and what it is spent on.
///
///   pairs    table or log of the running task, with what sorting it takes     3/8
///   blocks   map outputs that are kept in memory; the others are spilled      3/8
///   pieces   blocks read back from disk or from other workers for a merge     1/8
///
/// The rest is windows, text on its way out, and the steps in which memory grows.
struct MemoryShare: Hashable, Sendable {
  let byteCount: Int

  init(budget: Int, threads: Int) { byteCount = budget / max(1, threads) }

  var pairBytes: Int { byteCount / 8 * 3 }
  var blockBytes: Int { byteCount / 8 * 3 }
  var pieceBytes: Int { byteCount / 8 }
  /// The size of a block: a merge holds one per run, so it is smaller where there is less memory.
  var blockSize: Int { min(256 << 10, max(16 << 10, byteCount / 512)) }
}
