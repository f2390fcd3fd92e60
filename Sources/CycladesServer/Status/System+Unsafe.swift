import Glibc

/// The time of day, in microseconds since 1970.
func microsecondsSinceEpoch() -> Int {
  var now = timespec()
  unsafe clock_gettime(CLOCK_REALTIME, &now)
  return now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// The memory of this process that is in RAM, in bytes; 0 where the system does not tell.
func residentBytes() -> Int {
  let file = unsafe open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { return 0 }
  defer { close(file) }
  var text = [UInt8](repeating: 0, count: 128)
  let count = unsafe read(file, &text, text.count)
  // Pages: size, resident, shared, ...
  let fields = text.prefix(max(count, 0)).split(separator: UInt8(ascii: " "))
  guard fields.count > 1, let pages = Int(String(decoding: fields[1], as: UTF8.self)) else {
    return 0
  }
  return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
}
