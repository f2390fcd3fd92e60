/// Turns, one at a time, for a reactor that lives in a `World`: nothing else runs it.
extension Reactor {
  /// Makes ready for turns.
  package func begin() throws(TransportError) {
    precondition(configuration.residence != nil, "only a world's reactors are run turn by turn")
    try prepare()
  }

  /// Whether a turn would find something to do at this instant of the world.
  package var isDue: Bool { hasWork || core.isDue }

  /// When the world's clock reaches the earliest timer; `nil` when there is none.
  package var nextTimer: Instant? { core.nextTimer.map(Instant.init(nanoseconds:)) }

  /// Takes one turn, which never waits.
  package func turn() throws(TransportError) { try turn(park: false) }

  /// True when an orderly `stop` has come to its end.
  package var isStopped: Bool { isStopping && hasNothingLeft }

  /// Lets go of everything.
  package func end() { release() }
}
