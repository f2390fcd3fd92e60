internal import CCycladesBuffer

/// The memory of one reactor: blocks of 16, 64 and 256 KiB and single blocks up to 1 GiB, under one
/// budget.
///
/// A pool and all that is made from it belong to one thread. Its memory is given back when the pool
/// and the last `Bytes` from it are gone.
@safe public final class BufferPool {
  let raw: OpaquePointer

  /// Makes a pool that never holds more than `budgetBytes` of memory, free blocks included.
  public init(budgetBytes: Int) {
    precondition(budgetBytes >= 0, "a budget is not negative")
    guard let raw = unsafe cyc_pool_create(UInt64(budgetBytes)) else {
      fatalError("out of memory for the header of a buffer pool")
    }
    unsafe self.raw = raw
  }

  deinit { unsafe cyc_pool_close(raw) }

  /// What the pool holds now.
  public var statistics: Statistics {
    let report = unsafe cyc_pool_report(raw)
    return Statistics(
      budgetBytes: Int(report.budget_bytes), mappedBytes: Int(report.mapped_bytes),
      takenBytes: Int(report.taken_bytes), takenBlocks: Int(report.taken_blocks),
      takes: report.takes, refusals: report.refusals)
  }

  /// Figures of a pool.
  public struct Statistics: Sendable, Hashable {
    /// The most bytes the pool may hold.
    public var budgetBytes: Int
    /// Bytes held from the system, free blocks included.
    public var mappedBytes: Int
    /// Capacity of the blocks in use, in bytes.
    public var takenBytes: Int
    /// Blocks in use.
    public var takenBlocks: Int
    /// Blocks ever taken.
    public var takes: UInt64
    /// Blocks refused because of the budget.
    public var refusals: UInt64
  }

  func takeBlock(minimumCapacity: Int) throws(TransportError) -> UnsafeMutablePointer<cyc_block> {
    guard let block = unsafe cyc_block_take(raw, minimumCapacity) else {
      let budget = statistics.budgetBytes
      throw TransportError(
        .outOfBuffers, "no block of \(minimumCapacity) bytes within a budget of \(budget) bytes")
    }
    return unsafe block
  }
}
