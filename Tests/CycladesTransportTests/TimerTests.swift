import CycladesTransport
import Testing

extension TransportTests {
  @Suite("timers", .serialized)
  struct TimerTests {
    @Test("timers fire in the order of their deadlines, equal ones as scheduled")
    func order() async throws {
      let fired = Shared<[Int]>([])
      _ = try await withReactor { reactor in
        for i in 0..<500 {
          let delay = i * 7919 % 50
          reactor.schedule(after: .milliseconds(delay)) { fired.update { $0.append(i) } }
        }
      } body: { _, _ in
        #expect(await fired.wait { $0.count == 500 })
        let expected = (0..<500).sorted { ($0 * 7919 % 50, $0) < ($1 * 7919 % 50, $1) }
        #expect(fired.value == expected)
      }
    }

    @Test("a timer never fires early, and not much later when nothing else happens")
    func punctuality() async throws {
      let lateness = Shared<[Duration]>([])
      _ = try await withReactor { reactor in
        for milliseconds in [0, 1, 5, 20, 40] {
          let due = reactor.now + .milliseconds(milliseconds)
          reactor.schedule(after: .milliseconds(milliseconds)) {
            lateness.update { $0.append(Instant.current() - due) }
          }
        }
      } body: { _, _ in
        #expect(await lateness.wait { $0.count == 5 })
        #expect(lateness.value.allSatisfy { $0 >= .zero && $0 < .seconds(2) })
      }
    }

    @Test("a cancelled timer does not fire, not even when it was due in the same turn")
    func cancelling() async throws {
      let fired = Shared<[String]>([])
      _ = try await withReactor { reactor in
        let early = reactor.schedule(after: .milliseconds(10)) { fired.update { $0 += ["early"] } }
        reactor.cancel(early)
        var twin: Timer?
        reactor.schedule(after: .milliseconds(20)) {
          fired.update { $0 += ["killer"] }
          reactor.cancel(twin!)
        }
        twin = reactor.schedule(after: .milliseconds(20)) { fired.update { $0 += ["twin"] } }
        let kept = reactor.schedule(after: .milliseconds(30)) { fired.update { $0 += ["kept"] } }
        reactor.schedule(after: .milliseconds(40)) {
          reactor.cancel(kept)
          reactor.cancel(early)
          fired.update { $0 += ["last"] }
        }
      } body: { _, _ in
        #expect(await fired.wait { $0.last == "last" })
        #expect(fired.value == ["killer", "kept", "last"])
      }
    }

    @Test("timers may schedule and cancel others while they fire")
    func rescheduling() async throws {
      let count = Shared(0)
      _ = try await withReactor { reactor in
        func tick(_ left: Int) {
          count.update { $0 += 1 }
          let decoy = reactor.schedule(after: .seconds(60)) { count.set(-1000) }
          if left > 0 { reactor.schedule(after: .zero) { tick(left - 1) } }
          reactor.cancel(decoy)
        }
        reactor.schedule(after: .zero) { tick(999) }
      } body: { _, _ in
        #expect(await count.wait { $0 == 1000 })
      }
    }

    @Test("random scheduling and cancelling keeps exactly what was not cancelled")
    func randomised() async throws {
      let fired = Shared<Set<Int>>([])
      let expected = Shared<Set<Int>>([])
      _ = try await withReactor { reactor in
        var random = SystemRandomNumberGenerator()
        var pending: [(Int, Timer)] = []
        for i in 0..<2000 {
          let delay = Int.random(in: 0..<60, using: &random)
          let timer = reactor.schedule(after: .milliseconds(delay)) {
            fired.update { $0.insert(i) }
          }
          pending.append((i, timer))
          if i % 3 == 0 {
            let victim = pending.remove(at: Int.random(in: 0..<pending.count, using: &random))
            reactor.cancel(victim.1)
          }
        }
        expected.set(Set(pending.map(\.0)))
      } body: { _, _ in
        #expect(await fired.wait { $0.count == expected.value.count })
        try await Task.sleep(for: .milliseconds(80))
        #expect(fired.value == expected.value)
      }
    }
  }
}
