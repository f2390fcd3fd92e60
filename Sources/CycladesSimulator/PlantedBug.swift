package import CycladesPaxos

/// A mistake that somebody could make in the protocol or its shell, made on purpose.
///
/// What the simulator does not find when it is there, it cannot be trusted to find the absence of.
package struct PlantedBug: Hashable, Sendable, CustomStringConvertible {
  /// The mistake in words.
  package let description: String
  /// Mistakes of the core.
  package var core: Mutation = []
  /// Mistakes of the simulated shell.
  var shell: ShellMutation = []

  /// Where it shows the soonest.
  package let scenario: Scenario

  /// Whether it takes more than a hundred seeds, as other rules cover up for the broken one: most of
  /// them mistakes that only matter while two leaders are in office at once.
  package var isRare: Bool {
    let rare: Mutation = [
      .ignoreNextQuorum, .skipPreparation, .ignoreLease, .ignoreDrift, .reuseReadToken,
      .indexUnconfirmed, .installForgetsAccepted,
    ]
    return !core.isDisjoint(with: rare) || !shell.isDisjoint(with: [.truncateEarly, .mixSnapshots])
  }

  private init(_ description: String, core: Mutation, in scenario: Scenario = .swarm) {
    self.description = description
    self.core = core
    self.scenario = scenario
  }

  private init(_ description: String, shell: ShellMutation, in scenario: Scenario = .swarm) {
    self.description = description
    self.shell = shell
    self.scenario = scenario
  }

  /// All of them.
  package static let all = [
    PlantedBug("acknowledge before durable", core: .acknowledgeBeforeDurable),
    PlantedBug("promise not written", core: .forgetPromise),
    PlantedBug("promise ignored on accept", core: .ignorePromise),
    PlantedBug("decided by a minority", core: .decideByMinority),
    PlantedBug("reads without confirmation", core: .readUnconfirmed, in: .reads),
    PlantedBug("decided in any ballot", core: .decideAnyBallot),
    PlantedBug("accepted values dropped", core: .dropAccepted),
    PlantedBug("reads before the own no-op", core: .readEarly, in: .reads),
    PlantedBug(
      "accepted slots forgotten behind a snapshot", core: .installForgetsAccepted, in: .snapshots),
    PlantedBug("acceptances of learners counted", core: .countLearners, in: .membership),
    PlantedBug("new members govern at once", core: .ignoreAlpha, in: .membership),
    PlantedBug("ballot without the next members", core: .ignoreNextQuorum, in: .turnover),
    PlantedBug("new members not asked for promises", core: .skipPreparation, in: .replacement),
    PlantedBug("votes of a lost disk counted", core: .ignoreIncarnation, in: .membership),
    PlantedBug("damaged slots taken for empty ones", core: .damageIsNothing, in: .damage),
    PlantedBug("promise despite a lease", core: .ignoreLease, in: .leases),
    PlantedBug("lease longer than drifting clocks allow", core: .ignoreDrift, in: .leases),
    PlantedBug("lease kept after handing over", core: .keepLeaseInTransfer, in: .leases),
    PlantedBug("token of a read index reused", core: .reuseReadToken, in: .reads),
    PlantedBug("read index without confirmation", core: .indexUnconfirmed, in: .reads),
    PlantedBug("members left out of snapshots", shell: .forgetMembers),
    PlantedBug("sessions left out of snapshots", shell: .dropSessions),
    PlantedBug("log truncated before the snapshot is durable", shell: .truncateEarly),
    PlantedBug("log compacted before the snapshot is durable", shell: .compactEarly),
    PlantedBug("an older snapshot installed over a newer state", shell: .installOlder),
    PlantedBug("parts of two snapshots mixed", shell: .mixSnapshots),
    PlantedBug("a command applied differently", shell: .applyDifferently),
    PlantedBug("a wrong state kept", core: .ignoreVerdict, in: .divergence),
    PlantedBug("promise lost in compaction", shell: .forgetPromiseOnCompaction),
  ]
}

/// Planted mistakes of the simulated shell.
struct ShellMutation: OptionSet, Hashable, Sendable {
  let rawValue: Int

  static let dropSessions = ShellMutation(rawValue: 1)
  static let truncateEarly = ShellMutation(rawValue: 2)
  static let compactEarly = ShellMutation(rawValue: 4)
  static let installOlder = ShellMutation(rawValue: 8)
  static let mixSnapshots = ShellMutation(rawValue: 16)
  static let forgetPromiseOnCompaction = ShellMutation(rawValue: 32)
  static let forgetMembers = ShellMutation(rawValue: 64)
  static let applyDifferently = ShellMutation(rawValue: 128)
}

extension Cluster {
  func has(_ mistake: ShellMutation) -> Bool {
    options.bug?.shell.contains(mistake) ?? false
  }
}
