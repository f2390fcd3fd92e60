import Testing

@testable import CycladesReplication

@Suite("Session table")
struct SessionTableTests {
  private func request(
    _ sequence: UInt64, session: UInt64 = 7, floor: UInt64 = 1
  ) -> RequestHeader {
    RequestHeader(
      size: 40, count: 1, session: session, sequence: sequence, floor: floor, origin: 1)
  }

  @Test("requests are applied in order, once each")
  func inOrder() {
    var table = SessionTable()
    for sequence in UInt64(1)...5 {
      #expect(table.admit(request(sequence), slot: sequence) == .apply)
      table.record(request(sequence), replies: [UInt8(sequence)])
    }
    #expect(table.admit(request(3), slot: 6) == .replay([3]))
    #expect(table.admit(request(6), slot: 7) == .apply)
  }

  @Test("a request that overtakes a lost one is turned away")
  func early() {
    var table = SessionTable()
    #expect(table.admit(request(2), slot: 1) == .early(expected: 1))
    #expect(table.admit(request(1), slot: 2) == .apply)
    table.record(request(1), replies: [])
    #expect(table.admit(request(3), slot: 3) == .early(expected: 2))
  }

  @Test("replies below the floor are forgotten, and the request still counts as applied")
  func floor() {
    var table = SessionTable()
    for sequence in UInt64(1)...3 {
      #expect(table.admit(request(sequence), slot: sequence) == .apply)
      table.record(request(sequence), replies: [UInt8(sequence)])
    }
    #expect(table.admit(request(4, floor: 3), slot: 4) == .apply)
    table.record(request(4), replies: [4])
    #expect(table.admit(request(2), slot: 5) == .forgotten)
    #expect(table.admit(request(3), slot: 6) == .replay([3]))
  }

  @Test("the session unused for the most slots goes first")
  func eviction() {
    var table = SessionTable(sessionsMax: 2)
    for (slot, session) in [(1, 10), (2, 20), (3, 10), (4, 30)] as [(UInt64, UInt64)] {
      let sequence: UInt64 = slot == 3 ? 2 : 1
      #expect(table.admit(request(sequence, session: session), slot: slot) == .apply)
      table.record(request(sequence, session: session), replies: [])
    }
    #expect(table.count == 2)
    #expect(table.admit(request(3, session: 10), slot: 5) == .apply)
    // Session 20 is gone: what it sends next looks too early, never like a new request.
    table.record(request(3, session: 10), replies: [])
    #expect(table.admit(request(2, session: 20), slot: 6) == .early(expected: 1))
  }
}
