/// The jobs a program offers, by name.
///
/// Register each type where it is known, so that its code is specialised there:
///
/// ```swift
/// var jobs = JobRegistry()
/// jobs.register(WordCount.self)
/// ```
public struct JobRegistry: Sendable {
  private(set) var jobs: [String: JobCode] = [:]

  /// Makes an empty registry.
  public init() {}

  /// The jobs that ship: `wordcount`, `grep`, `index`, `sort`, `topk`, `groupby`, `join`, `kmeans`
  /// and `pagerank`.
  public static var builtin: JobRegistry {
    var jobs = JobRegistry()
    jobs.register(WordCount.self)
    jobs.register(Grep.self)
    jobs.register(InvertedIndex.self)
    jobs.register(Sort.self)
    jobs.register(TopK.self)
    jobs.register(GroupBy.self)
    jobs.register(StoreJoin.self)
    jobs.register(KMeans.self)
    jobs.register(PageRank.self)
    return jobs
  }

  /// The names, sorted.
  public var names: [String] { jobs.keys.sorted() }

  /// Adds a job that combines; replaces one of the same name.
  @inlinable public mutating func register<Job: CombiningJob>(_ job: Job.Type) {
    add(JobCode(combining: job))
  }

  /// Adds a job that reduces; replaces one of the same name.
  @inlinable public mutating func register<Job: ReducingJob>(_ job: Job.Type) {
    add(JobCode(reducing: job))
  }

  /// Adds a job that sorts; replaces one of the same name.
  @inlinable public mutating func register<Job: SortingJob>(_ job: Job.Type) {
    add(JobCode(sorting: job))
  }

  /// What a record of a job is; throws with the names that there are.
  package func records(of job: String) throws -> RecordFormat { try code(job).format }

  @usableFromInline mutating func add(_ code: JobCode) { jobs[code.name] = code }

  /// The job of a name; throws with the names that there are.
  func code(_ name: String) throws -> JobCode {
    guard let code = jobs[name] else {
      throw MapReduceError(
        .usage, "there is no job '\(name)'; there are: \(names.joined(separator: ", "))")
    }
    return code
  }
}
