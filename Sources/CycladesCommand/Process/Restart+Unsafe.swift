import ArgumentParser
import Foundation

/// Starts this command anew, in the same process.
enum Restart {
  /// Does so when the order of Swift's dictionaries would make equal seeds differ.
  static func orderingDictionaries() throws {
    let name = "SWIFT_DETERMINISTIC_HASHING"
    guard ProcessInfo.processInfo.environment[name] == nil else { return }
    unsafe setenv(name, "1", 1)
    var arguments = unsafe CommandLine.arguments.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    unsafe execv("/proc/self/exe", arguments)
    let reason = unsafe String(cString: strerror(errno))
    throw ValidationError("cannot start this command anew: \(reason)")
  }
}
