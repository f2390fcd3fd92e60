/// Everything a demo run found out, as `--json` prints it.
struct DemoReport: Codable, Sendable {
  struct Load: Codable, Sendable {
    var keys: Int
    var seconds: Double
    var operationsPerSecond: Int
    var p50Microseconds: Int
    var p99Microseconds: Int
  }

  struct Failover: Codable, Sendable {
    var killedNode: UInt32
    var shardsLed: Int
    var shards: Int
    /// The longest time without any acknowledged write.
    var refusedMilliseconds: Int
    /// The longest time that a write took which was acknowledged.
    var slowestWriteMilliseconds: Int
    var acknowledgedWrites: Int
    /// Writes that were answered with an error that says: not done.
    var refusedWrites: Int
    /// Writes that were never answered, or with an error that leaves the outcome open.
    var uncertainWrites: Int
  }

  struct Verification: Codable, Sendable {
    var keys: Int
    var lost: Int
    /// Keys that hold an uncertain write, which turned out to have happened.
    var uncertainThatHappened: Int
  }

  struct WordCount: Codable, Sendable {
    var files: Int
    var bytes: Int
    var words: Int
    var distinctWords: Int
    var seconds: Double
    var equalsSequentialCount: Bool
    /// The ten most frequent words, most frequent first.
    var top: [Word]

    struct Word: Codable, Sendable {
      var word: String
      var count: Int
    }
  }

  /// One promise of the demo, and whether it held.
  struct Check: Codable, Sendable {
    var name: String
    var held: Bool
    var detail: String
  }

  var load: Load?
  var failover: Failover?
  var afterKill: Verification?
  var afterRestart: Verification?
  var catchUpSeconds: Double?
  var wordCount: WordCount?
  var checks: [Check] = []
  /// Whether every check held, and the run came to its end.
  var held = false
  var seconds = 0.0
}
