import Glibc
import Testing

@testable import CycladesMapReduce

@Suite("Clusters", .timeLimit(.minutes(5)), .serialized)
struct ClusterTests {
  /// Text of a few megabytes, and what its words count to.
  private func text(_ folder: TemporaryFolder, copies: Int = 10) throws -> [UInt8] {
    let list = (1...copies).map(String.init).joined(separator: " ")
    _ = try shell(
      "for i in \(list); do cat /usr/share/common-licenses/*; done > '\(folder.file("text"))'")
    return try coreutilsWordCount("'\(folder.file("text"))'")
  }

  private func wordcount(_ folder: TemporaryFolder, _ more: String = "") -> String {
    "wordcount --input '\(folder.file("text"))' --output '\(folder.file("out"))' --split 1 --json "
      + more
  }

  /// A figure of a summary in JSON.
  private func figure(_ name: String, _ json: String) throws -> Int {
    let rest = try #require(json.split(separator: "\"\(name)\":").dropFirst().first)
    return try #require(Int(rest.prefix { $0.isNumber }))
  }

  @Test("workers that have no files give the bytes that one process does")
  func sameBytes() throws {
    let folder = try TemporaryFolder()
    let expected = try text(folder)
    let cluster = try TestCluster()
    let output = try cluster.run(wordcount(folder))
    #expect(output.hasSuffix("}\n0\n"), "\(output)")
    #expect(try outputLines(folder.file("out")) == expected)
    _ = try shell(
      "'\(program)' mapreduce \(wordcount(folder)) --workers 0 --overwrite "
        + "--output '\(folder.file("one"))'")
    #expect(
      try shell("cd '\(folder.file("out"))' && cat MANIFEST part-*")
        == shell("cd '\(folder.file("one"))' && cat MANIFEST part-*"))
    #expect(
      try shell("ls -A '\(folder.file("out"))' | grep -c -v -E '^(part-[0-9]+|MANIFEST|_SUCCESS)$'")
        == Array("0\n".utf8))
    // Another job on the same workers; and compressed input, which is one task.
    _ = try shell("gzip -k '\(folder.file("text"))'")
    let zipped = try cluster.run(
      "wordcount --input '\(folder.file("text")).gz' --output '\(folder.file("zipped"))'"
        + " --compress zstd --json")
    if InputCoding.isCompressionBuilt {
      #expect(zipped.hasSuffix("}\n0\n"), "\(zipped)")
      #expect(try shell("zstd -dcq '\(folder.file("zipped"))'/part-* | sort") == expected)
    }
  }

  /// Every map, every part and the end is a decision: seven here.
  @Test("the leader killed at any decision is followed by one that repeats nothing")
  func everyTransition() throws {
    let folder = try TemporaryFolder()
    let expected = try text(folder, copies: 12)
    for decision in 1...7 {
      let cluster = try TestCluster(nodeArguments: "--die-at-decision \(decision)")
      let output = try cluster.run(wordcount(folder, "--partitions 2 --overwrite"))
      #expect(output.hasSuffix("}\n0\n"), "decision \(decision): \(output)")
      guard output.hasSuffix("}\n0\n") else { return }
      #expect(try outputLines(folder.file("out")) == expected)
      let maps = try figure("mapTasks", output)
      #expect(maps == 4)
      // What the second coordinator began: nothing that was decided before.
      let (mapAttempts, reduceAttempts) = (
        try figure("mapAttempts", output), try figure("reduceAttempts", output)
      )
      #expect(mapAttempts <= maps - min(decision, maps), "decision \(decision)")
      #expect(reduceAttempts <= max(0, 2 - max(0, decision - maps)), "decision \(decision)")
      #expect(cluster.runningNodes.count == 2)
      let list = try cluster.run("list --json")
      #expect(list.contains("\"state\":\"complete\"") && list.contains("\"coordinators\":2"))
    }
  }

  @Test("a worker killed in the middle costs its tasks and nothing else")
  func killedWorker() throws {
    let folder = try TemporaryFolder()
    let expected = try text(folder, copies: 200)
    let cluster = try TestCluster(workers: 3)
    let victim = cluster.workers[1]
    let output = try shell(
      "(sleep 0.7; kill -9 \(victim)) & timeout 60 '\(program)' mapreduce \(wordcount(folder))"
        + " --cluster \(cluster.addresses) 2>&1; echo $?; wait")
    let text = String(decoding: output, as: UTF8.self)
    #expect(text.hasSuffix("}\n0\n"), "\(text)")
    #expect(try figure("workersLost", text) == 1)
    #expect(try outputLines(folder.file("out")) == expected)
  }

  @Test("a stopped leader is left for another, and can do no harm when it goes on")
  func stoppedLeader() throws {
    let folder = try TemporaryFolder()
    let expected = try text(folder, copies: 60)
    let cluster = try TestCluster()
    // Whichever node leads: all are stopped for a while, one after the other.
    let stops = cluster.nodes.map { "sleep 0.4; kill -STOP \($0); sleep 2.5; kill -CONT \($0); " }
    let output = try shell(
      "(\(stops.joined())) & timeout 60 '\(program)' mapreduce \(wordcount(folder))"
        + " --cluster \(cluster.addresses) 2>&1; echo $?; wait")
    let text = String(decoding: output, as: UTF8.self)
    #expect(text.hasSuffix("}\n0\n"), "\(text)")
    #expect(try outputLines(folder.file("out")) == expected)
  }

  @Test("a stopped worker is worked around")
  func stoppedWorker() throws {
    let folder = try TemporaryFolder()
    let expected = try text(folder, copies: 30)
    let cluster = try TestCluster(workers: 2)
    kill(cluster.workers[0], SIGSTOP)
    let output = try cluster.run(wordcount(folder))
    #expect(output.hasSuffix("}\n0\n"), "\(output)")
    #expect(try outputLines(folder.file("out")) == expected)
    kill(cluster.workers[0], SIGCONT)
    // It is of use again.
    kill(cluster.workers[1], SIGKILL)
    let again = try cluster.run(wordcount(folder, "--overwrite"))
    #expect(again.hasSuffix("}\n0\n"), "\(again)")
    #expect(try outputLines(folder.file("out")) == expected)
  }

  /// Starts a job in the background; its process, which writes to the file "log".
  private func startJob(_ folder: TemporaryFolder, _ cluster: TestCluster) throws -> pid_t {
    let log = folder.file("log")
    let output = try shell(
      "('\(program)' mapreduce \(wordcount(folder)) --cluster \(cluster.addresses) & echo $!; "
        + "wait $!; echo exit $? >> '\(log)') > '\(log)' 2>&1 & sleep 0.1; head -n 1 '\(log)'")
    return try #require(pid_t(String(decoding: output, as: UTF8.self).filter(\.isNumber)))
  }

  @Test("the home killed, whoever runs the same job again goes on with it")
  func killedHome() throws {
    let folder = try TemporaryFolder()
    let expected = try text(folder, copies: 150)
    let cluster = try TestCluster()
    let home = try startJob(folder, cluster)
    var tries = 0
    while try !cluster.run("list").contains("running  map "), tries < 100 { tries += 1 }
    kill(home, SIGKILL)
    #expect(try shell("ls '\(folder.file("out"))' | grep -c _SUCCESS") == Array("0\n".utf8))
    let output = try cluster.run(wordcount(folder))
    #expect(output.hasSuffix("}\n0\n"), "\(output)")
    #expect(try outputLines(folder.file("out")) == expected)
    #expect(try cluster.run("list").contains("2 coordinators"))
  }

  @Test("a job is cancelled from anywhere, and leaves nothing")
  func cancelled() throws {
    let folder = try TemporaryFolder()
    _ = try text(folder, copies: 100)
    let cluster = try TestCluster(workers: 1)
    _ = try startJob(folder, cluster)
    var job = ""
    for _ in 0..<100 where job.isEmpty {
      usleep(50_000)
      let list = try cluster.run("list")
      if list.contains("running") { job = String(list.prefix { $0 != " " }) }
    }
    #expect(try cluster.run("cancel \(job)") == "0\n")
    #expect(try cluster.run("cancel 123").contains("there is no job '123'"))
    var log = ""
    for _ in 0..<100 where !log.hasSuffix("exit 1\n") {
      usleep(50_000)
      log = String(decoding: try shell("cat '\(folder.file("log"))'"), as: UTF8.self)
    }
    #expect(log.contains("cancelled") && log.hasSuffix("exit 1\n"), "\(log)")
    #expect(try cluster.run("status \(job)").contains("cancelled"))
    #expect(Files.names(in: folder.file("out")) == nil)
  }

  @Test("another build is refused, as a worker and as one that asks")
  func otherBuild() throws {
    let folder = try TemporaryFolder()
    let cluster = try TestCluster()
    let other = folder.file("other")
    _ = try shell("cp '\(program)' '\(other)' && echo >> '\(other)'")
    for command in [
      "worker", "wordcount --input /etc/passwd --output '\(folder.file("out"))'",
    ] {
      let output = try shell(
        "timeout 20 '\(other)' mapreduce \(command) --cluster \(cluster.addresses) 2>&1; echo $?")
      let text = String(decoding: output, as: UTF8.self)
      #expect(text.contains("another build") && text.hasSuffix("1\n"), "\(text)")
    }
    #expect(Files.names(in: folder.file("out")) == nil)
  }

  @Test("input that vanishes, or is damaged, is named")
  func badInput() throws {
    let folder = try TemporaryFolder()
    let cluster = try TestCluster()
    let path = try folder.write("bad.gz", Array(repeating: 7, count: 3000))
    let output = try cluster.run("wordcount --input '\(path)' --output '\(folder.file("out"))'")
    #expect(output.contains("bad.gz") && output.hasSuffix("1\n"), "\(output)")
    #expect(Files.names(in: folder.file("out")) == nil)
  }

  @Test("nobody there is one line and an exit code")
  func nobody() throws {
    let output = try shell(
      "timeout 30 '\(program)' mapreduce list --cluster 127.0.0.1:1 2>&1; echo $?")
    let text = String(decoding: output, as: UTF8.self)
    #expect(text.contains("no node of the cluster leads") && text.hasSuffix("1\n"), "\(text)")
  }
}
