import CycladesPaxos
import CycladesTransport

// Bytes that the layer above passes between nodes, past every log.

extension ReplicaHost {
  /// Passes bytes to the layer above on every peer that is connected now.
  ///
  /// Each peer is told at most once, in the order of the calls; whoever is not connected, or is too far
  /// behind, is not told at all.
  public func notify(_ notice: RawSpan) {
    if isStopping { return }
    for peer in links.keys.sorted() {
      var header = header(.notice, group: 0, bodyByteCount: notice.byteCount)
      send(&header, notice, to: peer)
    }
  }

  func noticed(_ frame: Bytes, from peer: NodeID) {
    delegate?.noticed(frame.span.extracting(WireHeader.byteCount..<frame.byteCount), from: peer)
  }
}
