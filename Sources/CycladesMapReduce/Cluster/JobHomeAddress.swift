internal import CycladesTransport
import Synchronization

/// Where a job's home is: the process that asked for the job, has its input and takes its output.
struct JobHomeAddress: Hashable, Sendable {
  var address: SocketAddress
  /// Its machine.
  var machine: UInt64
  /// Its process: one that is started anew has none of the unfinished parts.
  var session: UInt64

  init(address: SocketAddress, machine: UInt64, session: UInt64) {
    self.address = address
    self.machine = machine
    self.session = session
  }

  init(_ reader: inout PayloadReader) throws {
    address = try reader.address()
    machine = try reader.word()
    session = try reader.word()
  }

  func write(_ writer: inout PayloadWriter) {
    writer.put(address)
    writer.put(machine)
    writer.put(session)
  }
}

/// The machine that this process runs on.
enum Machine {
  /// The same for all processes since the machine was started; 0 when the system does not tell.
  static let identity: UInt64 = {
    guard let text = try? Files.contents("/proc/sys/kernel/random/boot_id") else { return 0 }
    return unsafe text.withUnsafeBytes { unsafe hash($0) }
  }()

  /// Whether a process of the machine so named runs on this one.
  static func isHere(_ identity: UInt64) -> Bool { identity != 0 && identity == self.identity }
}
