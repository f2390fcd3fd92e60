import Testing

/// Parent of the suites that run a reactor: one at a time, so that small machines and their locked
/// memory suffice, and none for long.
@Suite("Server", .serialized, .timeLimit(.minutes(3)))
enum ServerTests {}
