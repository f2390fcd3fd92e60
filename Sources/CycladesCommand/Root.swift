import ArgumentParser
import Glibc

/// The `cyclades` command: everything the package can do, from a shell.
struct RootCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cyclades",
    abstract: "A ring, Paxos and TCP in one binary.",
    discussion: """
      Start with 'cyclades demo': three nodes on this machine, real reads and writes, one node \
      killed, a word count over real files.
      """,
    version: version,
    subcommands: [
      DemoCommand.self, ClusterCommand.self, ServeCommand.self, StatusCommand.self,
      NodesCommand.self, BackupCommand.self, RestoreCommand.self, RecoverCommand.self,
      MapReduceCommand.self, RingCommand.self, SimulateCommand.self, SoakCommand.self,
      HistoriesCommand.self, ElasticityCommand.self, VersionCommand.self,
    ])

  static let version = "0.1.0"
}

/// Prints the version: the same as `--version`, for those who type a word.
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Print the version.")

  func run() { print(RootCommand.version) }
}

/// Parses, runs, and turns every failure into one line on standard error and an exit code.
///
/// Exit codes: 0 done, 64 (`EX_USAGE`) for bad usage, 1 for everything else. A command fails by
/// throwing any error; its description is the line, so it says what failed, on which input, and
/// what to do.
@main
@MainActor
enum EntryPoint {
  static func main() async {
    dieWithParentIfAsked()
    // A peer that closes early is an error of one write, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    do {
      var command = try RootCommand.parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      finish(error)
    }
  }

  private static func finish(_ error: any Error) -> Never {
    let code = RootCommand.exitCode(for: error)
    // Help, version and explicit exit codes print themselves.
    if code.isSuccess || error is ExitCode { RootCommand.exit(withError: error) }
    let isUsage = code == .validationFailure
    let message = RootCommand.message(for: error).split(separator: "\n").joined(separator: " ")
    writeAll(
      "cyclades: \(message)\(isUsage ? " (see 'cyclades --help')" : "")\n", to: STDERR_FILENO)
    exit(isUsage ? code.rawValue : EXIT_FAILURE)
  }
}

/// A failure of a command, described by the one line that the user reads.
struct CommandFailure: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}
