internal import CCycladesRESP

/// Where the arguments of a command lie, in memory that grows and is reused; and the memory for
/// arguments that had to be unquoted.
@safe final class ArgumentList {
  private(set) var storage: UnsafeMutableBufferPointer<cyc_resp_argument>
  let scratch: UnsafeMutableBufferPointer<UInt8>
  /// How many of them are in use.
  var count = 0

  init(scratchBytes: Int = 0) {
    unsafe storage = .allocate(capacity: 16)
    unsafe storage.initialize(repeating: cyc_resp_argument())
    unsafe scratch = .allocate(capacity: scratchBytes)
    unsafe scratch.initialize(repeating: 0)
  }

  deinit {
    unsafe storage.deallocate()
    unsafe scratch.deallocate()
  }

  /// Makes room for `capacity` arguments; forgets those there are.
  func reserve(_ capacity: Int) {
    guard unsafe capacity > storage.count else { return }
    unsafe storage.deallocate()
    unsafe storage = .allocate(capacity: capacity)
    unsafe storage.initialize(repeating: cyc_resp_argument())
    count = 0
  }

  subscript(_ index: Int) -> cyc_resp_argument {
    precondition(index >= 0 && index < count, "no argument \(index) of \(count)")
    return unsafe storage[index]
  }
}

/// The arguments of one command, as views into bytes that somebody else owns.
///
/// They keep the list of their places alive, but the list's owner may fill it anew; a stale view
/// then shows other bytes or stops at a bound, and never leaves the memory it is a view of. As they come from a ``RequestParser`` the command's name is argument 0.
public struct Arguments: ~Escapable {
  let bytes: RawSpan
  let list: ArgumentList
  /// Arguments at the beginning that this view leaves out.
  private let skipped: Int
  /// Arguments at the end that it leaves out.
  private let dropped: Int

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan, _ list: ArgumentList, skipping skipped: Int = 0, dropping dropped: Int = 0)
  {
    self.bytes = bytes
    self.list = list
    self.skipped = skipped
    self.dropped = dropped
  }

  /// The arguments but for some at the beginning, of which there must be as many.
  @_lifetime(copy self)
  public func dropFirst(_ count: Int) -> Arguments {
    Arguments(bytes, list, skipping: skipped + count, dropping: dropped)
  }

  /// Some of the arguments that follow each other, of which there must be as many.
  @_lifetime(copy self)
  public func slice(_ start: Int, count: Int) -> Arguments {
    precondition(start >= 0 && count >= 0 && start + count <= self.count, "no such arguments")
    return Arguments(
      bytes, list, skipping: skipped + start, dropping: dropped + self.count - start - count)
  }

  /// Where an argument lies in the bytes.
  func place(_ index: Int) -> cyc_resp_argument { list[index + skipped] }

  /// The number of arguments.
  public var count: Int { list.count - skipped - dropped }

  /// The bytes of an argument.
  public subscript(_ index: Int) -> RawSpan {
    @_lifetime(copy self)
    get {
      precondition(index >= 0, "no argument \(index)")
      let argument = list[index + skipped]
      let start = Int(argument.offset)
      return bytes.extracting(start..<start + Int(argument.length))
    }
  }

  /// A copy of an argument as text; bytes that are not UTF-8 are replaced.
  public func string(_ index: Int) -> String {
    unsafe self[index].withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  /// An argument as an integer in Redis' strict notation; `nil` when it is none.
  public func integer(_ index: Int) -> Int64? { self[index].integer }

  /// Whether an argument is `word`, in any case. `word` must be upper case ASCII.
  public func equals(_ index: Int, _ word: StaticString) -> Bool { self[index].equals(word) }
}

extension RawSpan {
  /// The byte at an offset, which must be below the byte count.
  func byte(_ offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount, "no byte \(offset) of \(byteCount)")
    return unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  /// The bytes as an integer in Redis' strict notation (no sign but '-', no leading zero).
  var integer: Int64? {
    var value: Int64 = 0
    let isValid = unsafe withUnsafeBytes { raw in
      unsafe cyc_integer_parse(
        raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count, &value)
    }
    return isValid ? value : nil
  }

  /// Whether the bytes are the upper case ASCII `word`, in any case.
  func equals(_ word: StaticString) -> Bool {
    guard byteCount == word.utf8CodeUnitCount else { return false }
    return unsafe withUnsafeBytes { raw in
      for i in 0..<raw.count {
        let byte = unsafe raw[i]
        let upper = byte >= 0x61 && byte <= 0x7a ? byte & 0xdf : byte
        guard unsafe upper == word.utf8Start[i] else { return false }
      }
      return true
    }
  }

  /// Whether two spans hold the same bytes.
  func isEqual(to other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    return unsafe withUnsafeBytes { a in
      unsafe other.withUnsafeBytes { b in unsafe a.elementsEqual(b) }
    }
  }
}

extension [UInt8] {
  /// The array's bytes.
  package var rawSpan: RawSpan {
    @_lifetime(borrow self)
    get { unsafe _overrideLifetime(span.bytes, borrowing: self) }
  }
}
