import Testing

@testable import CycladesServer

@Suite("Status report")
struct StatusReportTests {
  private let report = StatusReport(
    cluster: "a \"quoted\" name", node: 2, version: "0.1.0", uptimeSeconds: 5, clients: 1,
    founders: [1, 2, 3],
    nodes: [
      StatusReport.Node(
        id: 1, peerAddress: "127.0.0.1:7201", weight: 100, isDraining: false, clusterAddress: nil,
        plainAddress: nil, isConnected: false)
    ],
    shards: [
      StatusReport.Shard(
        id: 0, firstSlot: 0, lastSlot: 16_383, members: [1, 2, 3], planned: nil, leader: nil,
        role: "follower", ballot: "3.1", commit: 10, applied: 9, lag: 1, keys: 4)
    ],
    log: StatusReport.Log(bytes: 4096, segments: 1, syncs: 7))

  @Test("a report survives JSON")
  func roundTrip() throws {
    #expect(try StatusReport(json: report.json()) == report)
  }

  @Test("a shard without a leader is seen")
  func leaderless() {
    var led = report
    led.shards[0].leader = 1
    #expect(!report.isEveryShardLed)
    #expect(led.isEveryShardLed)
  }

  @Test("what is not a report is a typed error", arguments: ["", "{}", "-ERR no", "[1]"])
  func malformed(text: String) {
    do {
      _ = try StatusReport(json: Array(text.utf8))
      Issue.record("\(text) was read as a report")
    } catch {
      #expect(error.code == .badStatus)
    }
  }
}
