/// What a frame is; byte 4 of its header.
enum FrameKind: UInt8 {
  case block = 1
}
