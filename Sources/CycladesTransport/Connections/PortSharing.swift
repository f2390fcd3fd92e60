internal import CCycladesReactor

/// Who else may listen on a listener's port.
///
/// Where several listeners share a port, the kernel spreads connections over them. It lets a
/// listener join whoever shares the port, also a server that has nothing to do with this one; so the
/// first of a group has to find the port free.
public enum PortSharing: Sendable, Hashable {
  /// Nobody.
  case none
  /// Nobody when it begins to listen: a port in use is refused. Others may join afterwards.
  case first
  /// Those that share the port already.
  case joined

  var raw: cyc_sharing {
    switch self {
    case .none: CYC_SHARING_NONE
    case .first: CYC_SHARING_FIRST
    case .joined: CYC_SHARING_JOINED
    }
  }
}
