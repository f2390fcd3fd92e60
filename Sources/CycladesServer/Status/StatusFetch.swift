public import CycladesTransport

extension StatusReport {
  /// Asks a node for its report, at either of its client ports.
  ///
  /// - Throws: `ServerError` with code `unreachable` when no answer came in time, `refused` when it
  ///   is an error, or `badStatus` when it is not a report.
  public static func fetch(
    from address: SocketAddress, timeout: Duration = .seconds(2)
  ) async throws(ServerError) -> StatusReport {
    try StatusReport(
      json: await NodeRequest.send(["CYCLADES", "STATUS"], to: address, timeout: timeout))
  }
}
