/// How worker processes are started.
public struct WorkerLaunch: Sendable, Hashable {
  /// The program, by default the one that is running.
  public var program: String
  /// Its arguments, which must lead it to `MapReduceWorker.run`.
  public var arguments: [String]

  /// Makes a way to start workers.
  public init(program: String, arguments: [String]) {
    self.program = program
    self.arguments = arguments
  }

  /// This program again, without arguments: right for those that call
  /// `MapReduceWorker.runIfAsked` first.
  public static let thisProgram = WorkerLaunch(program: "/proc/self/exe", arguments: [])
}
