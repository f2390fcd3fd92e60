import Foundation

/// A server of the comparison: a process beside this one, on a port of its own.
final class Server {
  /// What a server counted over its whole life; SwiftNIO counts nothing.
  struct Counts: Decodable {
    var enters: Double?
    var receivedBytes: Double?
    var copied: Double?
    var allocations: Double?
  }

  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  let port: Int
  var identifier: Int32 { process.processIdentifier }

  /// Starts `command`, which prints `port N` and serves until its standard input ends.
  init(_ command: Command) throws {
    process.executableURL = command.url
    process.arguments = command.arguments
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    let line = try output.fileHandleForReading.readLine()
    guard let port = line.split(separator: " ").last.flatMap({ Int($0) }) else {
      throw Failure("\(command.name) said '\(line)' instead of its port")
    }
    self.port = port
  }

  /// Ends the server and returns what it counted.
  func stop() throws -> Counts {
    try input.fileHandleForWriting.close()
    let rest = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Counts.self, from: rest)
  }
}

/// A program beside this one, with arguments.
struct Command {
  let name: String
  let arguments: [String]
  var url: URL {
    URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appendingPathComponent(name)
  }

  init(_ name: String, _ arguments: String...) {
    self.name = name
    self.arguments = arguments
  }
}

/// What the load generator saw in its window.
struct Sight: Decodable {
  var messages: Double
  var seconds: Double
  var cpuNs: Double?
  var userNs: Double?
  var bytes: Double?
  var skipped: Double?
  var p999Us: Double?

  /// Runs the load generator against a server.
  init(of server: Server, _ load: Load) throws {
    let process = Process()
    let output = Pipe()
    process.executableURL = Command("transport-load").url
    process.arguments =
      [load.mode, "\(server.port)", "\(server.identifier)"] + load.arguments.map { "\($0)" }
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Failure("the load generator failed") }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self = try decoder.decode(Sight.self, from: data)
  }
}

/// Runs `body` while perf records where a server spends its processor time.
func recording<R>(_ server: Server, to file: String, _ body: () throws -> R) throws -> R {
  let perf = Process()
  perf.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  perf.arguments = [
    "perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-g", "-p", "\(server.identifier)",
    "-o",
    file,
  ]
  try perf.run()
  defer {
    perf.interrupt()
    perf.waitUntilExit()
  }
  return try body()
}

/// The load generator's mode, and its arguments behind port and process.
struct Load {
  let mode: String
  let arguments: [Int]
}

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension FileHandle {
  fileprivate func readLine() throws -> String {
    var line = Data()
    while let byte = try read(upToCount: 1), byte != Data([10]), !byte.isEmpty { line += byte }
    return String(decoding: line, as: UTF8.self)
  }
}
