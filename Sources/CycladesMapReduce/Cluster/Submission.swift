internal import CycladesTransport

/// A job as its home asks a cluster for it.
struct Submission: Sendable {
  /// Of the program that asks; the same as that of nodes and workers.
  var build: UInt64
  var order: JobOrder
  var home: JobHomeAddress
  /// Chosen by the home; its workers know it.
  var token: UInt64

  init(build: UInt64, order: JobOrder, home: JobHomeAddress, token: UInt64) {
    self.build = build
    self.order = order
    self.home = home
    self.token = token
  }

  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    build = try reader.word()
    order = JobOrder(
      id: try reader.word(), setup: try JobSetup(&reader),
      splits: try reader.list { try InputSplit($0.bytes()) }, fileCount: try reader.number(),
      patienceMilliseconds: try reader.number(), backups: try reader.number() != 0)
    home = try JobHomeAddress(&reader)
    token = try reader.word()
    guard (1...65_536).contains(order.setup.partitions), order.id != 0 else {
      throw MapReduceError(.protocolViolation, "a job that makes no sense was asked for")
    }
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(build)
    writer.put(order.id)
    order.setup.write(&writer)
    writer.put(order.splits) { $0.put($1.payload) }
    writer.put(order.fileCount)
    writer.put(order.patienceMilliseconds)
    writer.put(order.backups ? 1 : 0)
    home.write(&writer)
    writer.put(token)
    return writer.bytes
  }
}

/// How a worker introduces itself to a cluster.
struct Enlistment: Sendable {
  var build: UInt64
  /// Chosen by the worker, for its life, so that it is the same to every node.
  var worker: WorkerID
  /// Where it serves its map outputs; the node puts the host it sees in place of "every address".
  var address: SocketAddress

  init(build: UInt64, worker: WorkerID, address: SocketAddress) {
    self.build = build
    self.worker = worker
    self.address = address
  }

  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    build = try reader.word()
    worker = WorkerID(rawValue: try reader.number())
    address = try reader.address()
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(build)
    writer.put(worker.rawValue)
    writer.put(address)
    return writer.bytes
  }
}

extension WorkerHoldings {
  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    running = try reader.list {
      let (isReduce, task) = (try $0.number() != 0, try $0.number())
      return Attempt(task: isReduce ? .reduce(task) : .map(task), number: try $0.number())
    }.first
    maps = try reader.list {
      HeldMap(
        map: try $0.number(), attempt: try $0.number(), report: try MapReport($0.bytes()))
    }
    parts = try reader.list {
      HeldPart(
        partition: try $0.number(), attempt: try $0.number(), info: try PartInfo($0.bytes()))
    }
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(running.map { [$0] } ?? []) { writer, attempt in
      switch attempt.task {
      case .map(let map):
        writer.put(0)
        writer.put(map)
      case .reduce(let partition):
        writer.put(1)
        writer.put(partition)
      }
      writer.put(attempt.number)
    }
    writer.put(maps) {
      $0.put($1.map)
      $0.put($1.attempt)
      $0.put($1.report.payload)
    }
    writer.put(parts) {
      $0.put($1.partition)
      $0.put($1.attempt)
      $0.put($1.info.payload)
    }
    return writer.bytes
  }
}

/// What the home is told when its job has ended well.
struct FinishedJob {
  var summary: JobSummary
  var parts: [PartInfo]
  var badRecords: [BadRecord]

  init(summary: JobSummary, parts: [PartInfo], badRecords: [BadRecord]) {
    self.summary = summary
    self.parts = parts
    self.badRecords = badRecords
  }

  /// The figures of a summary, in the order in which they travel.
  private static let figures: [any WritableKeyPath<JobSummary, Int> & Sendable] = [
    \.inputFiles, \.inputBytes, \.mapTasks, \.mapAttempts, \.reduceTasks, \.reduceAttempts,
    \.workersLost, \.records, \.badRecords, \.pairs, \.shuffledRecords, \.shuffledBytes,
    \.spilledBytes, \.outputRecords, \.outputBytes,
  ]

  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    summary = JobSummary()
    for figure in FinishedJob.figures { summary[keyPath: figure] = try reader.number() }
    let counters = try reader.list { (try $0.text(), try $0.signed()) }
    summary.counters = Dictionary(counters) { $1 }
    parts = try reader.list { try PartInfo($0.bytes()) }
    badRecords = try reader.list { try BadRecord(&$0) }
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    for figure in FinishedJob.figures { writer.put(summary[keyPath: figure]) }
    writer.put(summary.counters.sorted { $0.key < $1.key }) {
      $0.put($1.key)
      $0.put($1.value)
    }
    writer.put(parts) { $0.put($1.payload) }
    writer.put(badRecords) { $1.write(&$0) }
    return writer.bytes
  }
}

extension JobProgress {
  init(_ payload: [UInt8]) throws {
    self.init()
    var reader = PayloadReader(payload)
    mapsDone = try reader.number()
    maps = try reader.number()
    reducesDone = try reader.number()
    reduces = try reader.number()
    inputBytesDone = try reader.number()
    inputBytes = try reader.number()
    workers = try reader.number()
    workersLost = try reader.number()
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    for figure in [
      mapsDone, maps, reducesDone, reduces, inputBytesDone, inputBytes, workers, workersLost,
    ] { writer.put(figure) }
    return writer.bytes
  }
}
