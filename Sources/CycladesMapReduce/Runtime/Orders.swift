internal import CycladesTransport

/// What a worker says first.
struct Hello {
  /// Proves that it was started by this coordinator.
  var token: UInt64
  /// Of its executable: a digest of the file.
  var build: UInt64
  var process: Int
  /// Where it serves its map outputs.
  var port: UInt16

  init(token: UInt64, build: UInt64, process: Int, port: UInt16) {
    self.token = token
    self.build = build
    self.process = process
    self.port = port
  }

  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    token = try reader.word()
    build = try reader.word()
    process = try reader.number()
    port = try reader.port()
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(token)
    writer.put(build)
    writer.put(process)
    writer.put(Int(port))
    return writer.bytes
  }
}

/// What the coordinator answers: the job.
struct Welcome {
  var worker: WorkerID
  /// Known to the workers of this job alone; they greet each other with it.
  var token: UInt64
  var setup: JobSetup
  var mapCount: Int
  var patienceMilliseconds: Int
  /// Where files are, when they may not be here.
  var home: JobHomeAddress?

  init(_ order: JobOrder, worker: WorkerID, token: UInt64, home: JobHomeAddress? = nil) {
    self.worker = worker
    self.token = token
    setup = order.setup
    mapCount = order.splits.count
    patienceMilliseconds = order.patienceMilliseconds
    self.home = home
  }

  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    worker = WorkerID(rawValue: try reader.number())
    token = try reader.word()
    setup = try JobSetup(&reader)
    mapCount = try reader.number()
    patienceMilliseconds = try reader.number()
    home = try reader.list { try JobHomeAddress(&$0) }.first
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(worker.rawValue)
    writer.put(token)
    setup.write(&writer)
    writer.put(mapCount)
    writer.put(patienceMilliseconds)
    writer.put(home.map { [$0] } ?? []) { $1.write(&$0) }
    return writer.bytes
  }
}

extension JobSetup {
  init(_ reader: inout PayloadReader) throws {
    self.init(
      name: try reader.text(), version: try reader.number(),
      arguments: try reader.list { try $0.text() }, partitions: try reader.number(),
      badRecordLimit: try reader.number())
    guard let format = OutputFormat(rawValue: try reader.text()),
      let compression = OutputCompression(rawValue: try reader.text())
    else { throw MapReduceError(.protocolViolation, "the coordinator named an unknown format") }
    self.format = format
    self.compression = compression
    syncs = try reader.number() != 0
    boundaries = try reader.list { try $0.bytes() }
  }

  func write(_ writer: inout PayloadWriter) {
    writer.put(name)
    writer.put(version)
    writer.put(arguments) { $0.put($1) }
    writer.put(partitions)
    writer.put(badRecordLimit)
    writer.put(format.rawValue)
    writer.put(compression.rawValue)
    writer.put(syncs ? 1 : 0)
    writer.put(boundaries) { $0.put($1) }
  }
}

extension InputSplit {
  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    segments = try reader.list {
      InputSegment(
        path: try $0.text(), offset: try $0.number(), byteCount: try $0.number(),
        fileByteCount: try $0.number(), identity: try $0.word())
    }
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(segments) {
      $0.put($1.path)
      $0.put($1.offset)
      $0.put($1.byteCount)
      $0.put($1.fileByteCount)
      $0.put($1.identity)
    }
    return writer.bytes
  }
}

/// Where a worker finds the output of a map.
struct PeerSource: Hashable {
  var attempt: Int
  var worker: WorkerID
  var address: SocketAddress

  init(attempt: Int, worker: WorkerID, address: SocketAddress) {
    self.attempt = attempt
    self.worker = worker
    self.address = address
  }

  init(_ reader: inout PayloadReader) throws {
    attempt = try reader.number()
    worker = WorkerID(rawValue: try reader.number())
    address = try reader.address()
  }

  func write(_ writer: inout PayloadWriter) {
    writer.put(attempt)
    writer.put(worker.rawValue)
    writer.put(address)
  }
}

/// The order to reduce: where to write, and where every map's output is.
struct ReduceOrder {
  /// Empty when the part goes to the job's home.
  var path: String
  var sources: [PeerSource]

  init(path: String, sources: [PeerSource]) {
    self.path = path
    self.sources = sources
  }

  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    path = try reader.text()
    sources = try reader.list { try PeerSource(&$0) }
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(path)
    writer.put(sources) { $1.write(&$0) }
    return writer.bytes
  }
}

extension MapReport {
  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    counters.records = try reader.number()
    counters.badRecords = try reader.number()
    counters.pairs = try reader.number()
    counters.inputBytes = try reader.number()
    counters.job = try reader.list { try $0.signed() }
    badRecords = try reader.list { try BadRecord(&$0) }
    shuffledRecords = try reader.number()
    shuffledBytes = try reader.number()
    digest = try reader.word()
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(counters.records)
    writer.put(counters.badRecords)
    writer.put(counters.pairs)
    writer.put(counters.inputBytes)
    writer.put(counters.job) { $0.put($1) }
    writer.put(badRecords) { $1.write(&$0) }
    writer.put(shuffledRecords)
    writer.put(shuffledBytes)
    writer.put(digest)
    return writer.bytes
  }
}

extension BadRecord {
  init(_ reader: inout PayloadReader) throws {
    self.init(
      path: try reader.text(), offset: try reader.number(), byteCount: try reader.number(),
      reason: try reader.text())
  }

  func write(_ writer: inout PayloadWriter) {
    writer.put(path)
    writer.put(offset)
    writer.put(byteCount)
    writer.put(reason)
  }
}

extension PartInfo {
  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    byteCount = try reader.number()
    recordCount = try reader.number()
    digest = try reader.word()
    counters = try reader.list { try $0.signed() }
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(byteCount)
    writer.put(recordCount)
    writer.put(digest)
    writer.put(counters) { $0.put($1) }
    return writer.bytes
  }
}

extension MapReduceError {
  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    let number = try reader.number()
    self.init(Code(number: number) ?? .job, try reader.text())
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(code.number)
    writer.put(description)
    return writer.bytes
  }
}
