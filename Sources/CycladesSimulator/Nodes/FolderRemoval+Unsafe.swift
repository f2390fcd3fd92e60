import Glibc

/// Removes what a simulation left on the real file system.
enum FolderRemoval {
  /// Removes a folder with all it holds.
  static func remove(_ path: String) {
    guard let folder = unsafe opendir(path) else { return }
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe String(cString: $0)
        }
      }
      if name == "." || name == ".." { continue }
      if unsafe entry.pointee.d_type == 4 {  // DT_DIR
        remove("\(path)/\(name)")
      } else {
        _ = unsafe unlink("\(path)/\(name)")
      }
    }
    _ = unsafe closedir(folder)
    _ = unsafe rmdir(path)
  }
}
