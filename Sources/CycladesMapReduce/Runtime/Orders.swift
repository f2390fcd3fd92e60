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
  var setup: JobSetup
  var mapCount: Int
  var patienceMilliseconds: Int

  init(worker: WorkerID, setup: JobSetup, mapCount: Int, patienceMilliseconds: Int) {
    self.worker = worker
    self.setup = setup
    self.mapCount = mapCount
    self.patienceMilliseconds = patienceMilliseconds
  }

  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    worker = WorkerID(rawValue: try reader.number())
    setup = JobSetup(
      name: try reader.text(), version: try reader.number(),
      arguments: try reader.list { try $0.text() }, partitions: try reader.number(),
      badRecordLimit: try reader.number())
    guard let format = OutputFormat(rawValue: try reader.text()),
      let compression = OutputCompression(rawValue: try reader.text())
    else { throw MapReduceError(.protocolViolation, "the coordinator named an unknown format") }
    setup.format = format
    setup.compression = compression
    setup.syncs = try reader.number() != 0
    setup.boundaries = try reader.list { try $0.bytes() }
    mapCount = try reader.number()
    patienceMilliseconds = try reader.number()
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(worker.rawValue)
    writer.put(setup.name)
    writer.put(setup.version)
    writer.put(setup.arguments) { $0.put($1) }
    writer.put(setup.partitions)
    writer.put(setup.badRecordLimit)
    writer.put(setup.format.rawValue)
    writer.put(setup.compression.rawValue)
    writer.put(setup.syncs ? 1 : 0)
    writer.put(setup.boundaries) { $0.put($1) }
    writer.put(mapCount)
    writer.put(patienceMilliseconds)
    return writer.bytes
  }
}

extension InputSplit {
  init(_ payload: [UInt8]) throws {
    var reader = PayloadReader(payload)
    segments = try reader.list {
      InputSegment(
        path: try $0.text(), offset: try $0.number(), byteCount: try $0.number(),
        fileByteCount: try $0.number())
    }
  }

  var payload: [UInt8] {
    var writer = PayloadWriter()
    writer.put(segments) {
      $0.put($1.path)
      $0.put($1.offset)
      $0.put($1.byteCount)
      $0.put($1.fileByteCount)
    }
    return writer.bytes
  }
}

/// Where a worker finds the output of a map.
struct PeerSource: Hashable {
  var attempt: Int
  var worker: WorkerID
  var port: UInt16

  init(attempt: Int, worker: WorkerID, port: UInt16) {
    self.attempt = attempt
    self.worker = worker
    self.port = port
  }

  init(_ reader: inout PayloadReader) throws {
    attempt = try reader.number()
    worker = WorkerID(rawValue: try reader.number())
    port = try reader.port()
  }

  func write(_ writer: inout PayloadWriter) {
    writer.put(attempt)
    writer.put(worker.rawValue)
    writer.put(Int(port))
  }
}

/// The order to reduce: where to write, and where every map's output is.
struct ReduceOrder {
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
    badRecords = try reader.list {
      BadRecord(
        path: try $0.text(), offset: try $0.number(), byteCount: try $0.number(),
        reason: try $0.text())
    }
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
    writer.put(badRecords) {
      $0.put($1.path)
      $0.put($1.offset)
      $0.put($1.byteCount)
      $0.put($1.reason)
    }
    writer.put(shuffledRecords)
    writer.put(shuffledBytes)
    writer.put(digest)
    return writer.bytes
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
