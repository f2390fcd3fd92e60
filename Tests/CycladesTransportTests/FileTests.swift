import CycladesTransport
import Glibc
import Testing

extension TransportTests {
  @Suite("files", .serialized)
  struct FileTests {
    /// Collects the results of operations.
    final class Results: FileCompletion {
      let results = Shared<[UInt64: Int]>([:])
      func completed(_ token: UInt64, result: Int) { results.update { $0[token] = result } }
    }

    @Test("slices are written one after the other at the offset", arguments: [false, true])
    func write(durable: Bool) async throws {
      let file = ScratchFile()
      let descriptor = file.descriptor
      let pieces = (0..<50).map { pattern(100 + $0 * 331, seed: UInt64($0 + 1)) }
      let end = try await withReactor { reactor in
        let results = Results()
        let slices = try pieces.map { try Bytes(copying: $0, in: reactor.pool) }
        reactor.write(
          slices, to: descriptor, at: 4096, durable: durable, completion: results, token: 7)
        return results.results
      } body: { results, _ in
        #expect(await results.wait { $0 == [7: pieces.map(\.count).reduce(0, +)] })
        let expected = [UInt8](repeating: 0, count: 4096) + pieces.flatMap { $0 }
        #expect(Blob(contents(of: descriptor)) == Blob(expected))
      }
      #expect(end.fileWrites == 1)
      #expect(end.fileBytes == UInt64(pieces.map(\.count).reduce(0, +)))
    }

    @Test("more slices than one system call takes are still one operation")
    func manySlices() async throws {
      let file = ScratchFile()
      let descriptor = file.descriptor
      let end = try await withReactor { reactor in
        let results = Results()
        let block = try Bytes(copying: pattern(5000), in: reactor.pool)
        let slices = (0..<5000).map { block.slice($0..<$0 + 1) }
        reactor.write(
          slices, to: descriptor, at: 0, durable: false, completion: results, token: 1)
        return results.results
      } body: { results, _ in
        #expect(await results.wait { $0 == [1: 5000] })
        #expect(Blob(contents(of: descriptor)) == Blob(pattern(5000)))
      }
      #expect(end.fileWrites == 5)
    }

    @Test("a sync succeeds, and many operations may be under way")
    func sync() async throws {
      let file = ScratchFile()
      let descriptor = file.descriptor
      _ = try await withReactor { reactor in
        let results = Results()
        for token in 0..<3000 as Range<UInt64> {
          let bytes = try Bytes(copying: [UInt8(token & 0xff)], in: reactor.pool)
          reactor.write(
            [bytes], to: descriptor, at: Int64(token), durable: false, completion: results,
            token: token)
        }
        reactor.sync(descriptor, completion: results, token: 9999)
        return results.results
      } body: { results, _ in
        #expect(await results.wait { $0.count == 3001 })
        #expect(results.value[9999] == 0)
        #expect(results.value.filter { $0.key != 9999 }.allSatisfy { $0.value == 1 })
        #expect(Blob(contents(of: descriptor)) == Blob((0..<3000).map { UInt8($0 & 0xff) }))
      }
    }

    @Test("errors come back as results")
    func errors() async throws {
      let file = ScratchFile(O_RDONLY)
      let descriptor = file.descriptor
      _ = try await withReactor { reactor in
        let results = Results()
        let bytes = try Bytes(copying: [1], in: reactor.pool)
        reactor.write([bytes], to: -1, at: 0, durable: true, completion: results, token: 1)
        reactor.write([bytes], to: descriptor, at: 0, durable: false, completion: results, token: 2)
        reactor.sync(-1, completion: results, token: 3)
        reactor.write([], to: descriptor, at: 0, durable: false, completion: results, token: 4)
        return results.results
      } body: { results, _ in
        #expect(await results.wait { $0.count == 4 })
        #expect(results.value[1] == Int(-EBADF))
        #expect(results.value[2] == Int(-EBADF))
        #expect(results.value[3] == Int(-EBADF))
      }
    }

    @Test("stopping waits for operations under way")
    func stopWaits() async throws {
      let file = ScratchFile()
      let descriptor = file.descriptor
      let results = Shared<Shared<[UInt64: Int]>?>(nil)
      _ = try await withReactor { reactor in
        let completion = Results()
        results.set(completion.results)
        let bytes = try Bytes(copying: pattern(1 << 20), in: reactor.pool)
        reactor.write(
          [bytes], to: descriptor, at: 0, durable: true, completion: completion, token: 1)
        reactor.stop()
        return 0
      } body: { _, _ in
      }
      #expect(results.value?.value == [1: 1 << 20])
    }
  }
}
