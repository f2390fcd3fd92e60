import CycladesStore

/// What a client chose for its connection; RESET puts it back.
struct ClientSession {
  /// The protocol version of replies, chosen by HELLO.
  var version = RESPVersion.v2
  /// The name given by CLIENT SETNAME or HELLO SETNAME.
  var name = ""
  /// The name of the client library, given by CLIENT SETINFO.
  var libraryName = ""
  /// The version of the client library, given by CLIENT SETINFO.
  var libraryVersion = ""
  /// True after READONLY: reads on the cluster port are answered by any node.
  var isReadOnly = false
  /// True after CLIENT NO-EVICT ON, which is only reported: nothing is ever evicted.
  var isNoEvict = false
  /// True after CLIENT NO-TOUCH ON, which is only reported: there is no LRU to touch.
  var isNoTouch = false
}
