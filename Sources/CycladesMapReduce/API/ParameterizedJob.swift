internal import FoundationEssentials

/// A job with typed arguments.
///
/// ```swift
/// struct Nearest: CombiningJob, ParameterizedJob {
///   struct Parameters: Codable, Sendable { var centroids: [Point] }
///   init(_ parameters: Parameters) throws { … }
/// ```
///
/// They travel as one argument, in JSON, so a command line can give them too.
public protocol ParameterizedJob: MapReduceJob {
  /// The arguments.
  associatedtype Parameters: Codable & Sendable

  /// Makes the job; throws, with one clear line, when the arguments make no sense.
  init(_ parameters: Parameters) throws
}

extension ParameterizedJob {
  /// Takes one argument, the parameters in JSON.
  public init(arguments: [String]) throws { try self.init(Self.decodeParameters(arguments)) }

  /// The parameters that arguments are; throws when they are none.
  public static func decodeParameters(_ arguments: [String]) throws -> Parameters {
    guard arguments.count == 1 else {
      throw MapReduceError(.usage, "\(name) takes one argument, its parameters in JSON")
    }
    do {
      return try JSONDecoder().decode(Parameters.self, from: Data(arguments[0].utf8))
    } catch {
      throw MapReduceError(.usage, "the parameters of \(name) are malformed", cause: error)
    }
  }

  /// The arguments that parameters are.
  public static func encode(_ parameters: Parameters) throws -> [String] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return [String(decoding: try encoder.encode(parameters), as: UTF8.self)]
  }
}

extension JobConfiguration {
  /// Makes a configuration for a job with typed arguments.
  public init<Job: ParameterizedJob>(
    _ job: Job.Type, _ parameters: Job.Parameters, inputs: [String], output: String
  ) throws {
    self.init(job: Job.name, inputs: inputs, output: output)
    try set(parameters, of: job)
  }

  /// Replaces the arguments by typed ones.
  public mutating func set<Job: ParameterizedJob>(
    _ parameters: Job.Parameters, of job: Job.Type
  ) throws {
    arguments = try Job.encode(parameters)
  }
}
