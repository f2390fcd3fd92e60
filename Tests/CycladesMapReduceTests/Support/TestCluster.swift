import CycladesTransport
import Glibc

@testable import CycladesMapReduce

/// Three nodes and some workers, processes of the `cyclades` executable; all killed with its last reference.
final class TestCluster {
  private let folder: TemporaryFolder
  private(set) var nodes: [pid_t] = []
  private(set) var workers: [pid_t] = []
  private let peers: String
  /// The nodes, as `--cluster` takes them.
  let addresses: String

  init(
    workers count: Int = 2, nodeArguments: String = "", workerArguments: String = "--no-local-files"
  ) throws {
    folder = try TemporaryFolder()
    let ports = try freePorts(6)
    peers = (0..<3).map { "\($0 + 1)=127.0.0.1:\(ports[$0])" }.joined(separator: ",")
    addresses = (3..<6).map { "127.0.0.1:\(ports[$0])" }.joined(separator: ",")
    for node in 1...3 {
      nodes.append(
        try start(
          "node --ledger '\(folder.file("ledger\(node)"))' --node \(node) --peers \(peers) "
            + "--listen 127.0.0.1:\(ports[node + 2]) \(nodeArguments)", log: "node\(node)"))
    }
    for _ in 0..<count { try addWorker(workerArguments) }
  }

  deinit {
    for process in nodes + workers {
      kill(process, SIGKILL)
      var status: Int32 = 0
      unsafe waitpid(process, &status, 0)
    }
  }

  @discardableResult func addWorker(_ arguments: String = "--no-local-files") throws -> pid_t {
    workers.append(
      try start("worker --cluster \(addresses) \(arguments)", log: "worker\(workers.count)"))
    return workers[workers.count - 1]
  }

  private func start(_ arguments: String, log: String) throws -> pid_t {
    let command = "exec '\(program)' mapreduce \(arguments) > '\(folder.file(log))' 2>&1"
    let words: [UnsafeMutablePointer<CChar>?] =
      unsafe ["/bin/sh", "-c", command].map { (word: String) in unsafe strdup(word) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var process: pid_t = 0
    guard unsafe posix_spawn(&process, "/bin/sh", nil, nil, words, environ) == 0 else {
      throw TestFailure("cannot start \(arguments)")
    }
    return process
  }

  func log(_ name: String) throws -> String {
    String(decoding: try Files.contents(folder.file(name)), as: UTF8.self)
  }

  /// Which nodes run, from 0.
  var runningNodes: [Int] {
    nodes.indices.filter { index in
      var status: Int32 = 0
      return unsafe waitpid(nodes[index], &status, WNOHANG) == 0
    }
  }

  /// Runs a command of the cluster and returns what it printed, with its exit code behind.
  func run(_ arguments: String) throws -> String {
    let output = try shell(
      "timeout 60 '\(program)' mapreduce \(arguments) --cluster \(addresses) 2>&1; echo $?")
    return String(decoding: output, as: UTF8.self)
  }
}
