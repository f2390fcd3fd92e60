import Testing

@testable import CycladesServer

@Suite("Node announcements")
struct NodeAnnouncementTests {
  @Test(
    "what a node announces is what its peers read",
    arguments: ["127.0.0.1", "::1", "a host with blanks"])
  func roundTrip(host: String) {
    let announcement = NodeAnnouncement(host: host, clusterPort: 7001, plainPort: 65_535)
    #expect(NodeAnnouncement(announcement.bytes) == announcement)
  }

  @Test(
    "bytes that are no announcement are not taken for one",
    arguments: ["", "7001", "7001 7101", "7001 7101 ", "70000 1 h", "-1 1 h", "a b c"])
  func malformed(text: String) {
    #expect(NodeAnnouncement(Array(text.utf8)) == nil)
  }

  @Test("each port of a node has its own address, IPv6 in brackets")
  func addresses() {
    let announcement = NodeAnnouncement(host: "::1", clusterPort: 1, plainPort: 2)
    #expect(announcement.address(for: .cluster).description == "[::1]:1")
    #expect(announcement.address(for: .plain).description == "[::1]:2")
    #expect(ClientAddress(host: "h", port: 3).description == "h:3")
  }
}
