internal import CycladesTransport

/// What went wrong in a job, in one line.
public struct MapReduceError: Error, CustomStringConvertible {
  /// The kind of failure, for code; `message` is for people.
  public struct Code: Hashable, Sendable {
    private enum Kind: Int {
      case usage, input, output, memory, job, worker, protocolViolation, cancelled, spill, ledger
    }
    private let kind: Kind

    private init(kind: Kind) { self.kind = kind }

    /// The code as it travels between processes.
    init?(number: Int) {
      guard let kind = Kind(rawValue: number) else { return nil }
      self.kind = kind
    }
    var number: Int { kind.rawValue }

    /// The call or its arguments make no sense: unknown job, malformed argument, missing input.
    public static let usage = Code(kind: .usage)
    /// An input cannot be read, or changed while the job ran.
    public static let input = Code(kind: .input)
    /// The output folder cannot be used or written.
    public static let output = Code(kind: .output)
    /// A bound on memory, or on the size of one record or pair, was met.
    public static let memory = Code(kind: .memory)
    /// The job's own code failed: too many bad records, undecodable values, different results of
    /// the same task.
    public static let job = Code(kind: .job)
    /// Workers could not be started, or too many of them were lost.
    public static let worker = Code(kind: .worker)
    /// A peer sent what the protocol does not allow, or is another program.
    public static let protocolViolation = Code(kind: .protocolViolation)
    /// What does not fit into memory cannot be written to disk, or read back.
    public static let spill = Code(kind: .spill)
    /// The job's ledger does not answer, or another coordinator goes on with the job. The output
    /// folder is left as it is, for whoever does.
    public static let ledger = Code(kind: .ledger)
    /// The job was cancelled.
    public static let cancelled = Code(kind: .cancelled)
  }

  /// The kind of failure.
  public let code: Code
  /// One line: what failed, on which input, what to do.
  public let message: String
  /// The error that caused it, when another layer reported one.
  public let cause: (any Error)?

  /// Makes an error.
  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  /// Any error as one of this type, for the user of a job.
  init(wrapping error: any Error) {
    switch error {
    case let error as MapReduceError: self = error
    case is TransportError:
      self.init(.memory, "the job's intermediate data does not fit into memory", cause: error)
    default: self.init(.job, "the job failed", cause: error)
    }
  }

  /// The message, with its cause.
  public var description: String {
    guard let cause else { return message }
    return "\(message): \(cause)"
  }
}
