import Testing

@testable import CycladesMapReduce

@Suite("Word count in one process", .timeLimit(.minutes(2)))
struct WordCountTests {
  @Test("real text is counted as coreutils count it")
  func licences() throws {
    let folder = try TemporaryFolder()
    let configuration = JobConfiguration(
      job: "wordcount", inputs: ["/usr/share/common-licenses"], output: folder.file("out"))
    let summary = try MapReduce.run(configuration, jobs: .builtin, logger: quiet)
    #expect(
      try outputLines(folder.file("out")) == coreutilsWordCount("/usr/share/common-licenses/*"))
    #expect(summary.outputRecords > 1000)
  }
}
