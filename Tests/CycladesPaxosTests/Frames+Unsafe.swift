import CycladesPaxos

// Arrays as frames: `Span.bytes` counts as unsafe, so it is used here alone.

extension WireHeader {
  init(verifying bytes: [UInt8], cluster: UInt64) throws(Fault) {
    unsafe try self.init(verifying: bytes.span.bytes, cluster: cluster)
  }

  init(verifyingHeaderOf bytes: [UInt8], cluster: UInt64) throws(Fault) {
    unsafe try self.init(verifyingHeaderOf: bytes.span.bytes, cluster: cluster)
  }

  static func checksum(ofBody body: [UInt8], cluster: UInt64) -> Checksum {
    unsafe checksum(ofBody: body.span.bytes, cluster: cluster)
  }

  mutating func seal(_ frame: inout [UInt8]) {
    var elements = frame.mutableSpan
    var bytes = unsafe elements.mutableBytes
    seal(&bytes)
  }
}
