/// Ranks pages, lines of "page TAB rank TAB link link …": a round gives each page's rank to those that it
/// links to, in equal shares (Page and Brin 1998). Its output is the next round's input.
public struct PageRank: ReducingJob {
  /// `pagerank`
  public static let name = "pagerank"
  /// How much of a rank comes through links.
  private static let damping = 0.85

  /// Takes no arguments.
  public init(arguments: [String]) throws {
    guard arguments.isEmpty else {
      throw MapReduceError(.usage, "pagerank takes no arguments, not '\(arguments[0])'")
    }
  }

  /// Emits the page's links under itself, and a share of its rank under every page it links to.
  public func map(_ line: RawSpan, into output: inout Emitter<ByteString, String>) throws {
    try line.withFields(separatedBy: UInt8(ascii: "\t")) { page in
      guard let rank = Double(page.text(1)) else { throw MapReduceError(.job, "no rank") }
      let links = page.text(2).split(separator: " ")
      output.emit(page[0], "=" + page.text(2))
      for link in links {
        output.emit(ByteString(Array(link.utf8)), "\(rank / Double(links.count))")
      }
    }
  }

  /// Adds up the shares.
  public func reduce(
    _ page: ByteString, _ values: inout Values<String>, into output: inout ReduceOutput
  ) throws {
    var (shares, links) = (0.0, "")
    while let value = try values.next() {
      if value.hasPrefix("=") {
        links = String(value.dropFirst())
      } else {
        shares += Double(value) ?? 0
      }
    }
    output.emit("\(1 - PageRank.damping + PageRank.damping * shares)\t\(links)")
  }
}
