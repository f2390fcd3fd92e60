/// A batch of up to 64 pairs: where emitters put them and the C core takes them.
@usableFromInline @safe final class PairMemory {
  @usableFromInline static let capacity = 64

  /// The most bytes of keys, and of values, that one batch may hold; so no pair can be larger.
  static let limit = 1 << 28

  @usableFromInline let keys: UnsafeMutablePointer<UnsafePointer<UInt8>?>
  @usableFromInline let lengths: UnsafeMutablePointer<UInt32>
  @usableFromInline let valueLengths: UnsafeMutablePointer<UInt32>
  /// What the job counts in the task that runs.
  @usableFromInline let counters: UnsafeMutablePointer<Int>
  /// Where the table keeps the value of each key of the batch.
  @usableFromInline let places: UnsafeMutablePointer<UnsafeMutablePointer<UInt64>?>
  @usableFromInline let keyRegion: Region
  @usableFromInline let valueRegion: Region

  init() throws {
    keyRegion = try Region(reserving: PairMemory.limit)
    valueRegion = try Region(reserving: PairMemory.limit)
    guard keyRegion.ensure(1 << 16), valueRegion.ensure(1 << 16) else {
      throw outOfMemory(1 << 16)
    }
    unsafe keys = .allocate(capacity: PairMemory.capacity)
    unsafe lengths = .allocate(capacity: PairMemory.capacity)
    unsafe valueLengths = .allocate(capacity: PairMemory.capacity)
    unsafe places = .allocate(capacity: PairMemory.capacity)
    unsafe keys.initialize(repeating: nil, count: PairMemory.capacity)
    unsafe lengths.initialize(repeating: 0, count: PairMemory.capacity)
    unsafe valueLengths.initialize(repeating: 0, count: PairMemory.capacity)
    unsafe places.initialize(repeating: nil, count: PairMemory.capacity)
    unsafe counters = .allocate(capacity: JobCounter.limit)
    unsafe counters.initialize(repeating: 0, count: JobCounter.limit)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe lengths.deallocate()
    unsafe valueLengths.deallocate()
    unsafe places.deallocate()
    unsafe counters.deallocate()
  }

  func count(_ index: Int, _ amount: Int) { unsafe counters[index] &+= amount }

  /// The job's counters, which start again at zero.
  func takeCounters() -> [Int] {
    let taken = unsafe Array(UnsafeBufferPointer(start: counters, count: JobCounter.limit))
    unsafe counters.update(repeating: 0, count: JobCounter.limit)
    return taken
  }

  /// The values of the batch, back to back, as words.
  @usableFromInline var values: UnsafeMutablePointer<UInt64> {
    unsafe valueRegion.start.assumingMemoryBound(to: UInt64.self)
  }
}
