/// How the values of a key fold into one.
///
/// `combine` must be associative. It need not be commutative: values meet in the order of the input,
/// whatever the number of workers, so that even sums of floating-point numbers come out the same.
public protocol Combiner {
  /// What is emitted and what it folds into.
  associatedtype Value: CombinableValue

  /// What a single emitted value counts for; itself, unless said otherwise.
  static func initial(_ value: Value) -> Value

  /// Folds what comes next into what came before.
  static func combine(_ total: inout Value, _ next: Value)

  /// Whether values may meet in any order and grouping with the same result to the last bit, as
  /// integers do and floating-point numbers do not. Then a thread folds the pairs of all its splits
  /// in one table. False, unless said otherwise.
  static var ignoresOrder: Bool { get }
}

extension Combiner {
  /// The value itself.
  @inlinable public static func initial(_ value: Value) -> Value { value }
  /// Values meet in order of the input.
  @inlinable public static var ignoresOrder: Bool { false }
}

/// Adds values up.
public enum Sum<Value: CombinableValue & AdditiveArithmetic>: Combiner {
  /// Adds; an integer overflow is a trap, as everywhere in Swift.
  @inlinable public static func combine(_ total: inout Value, _ next: Value) { total += next }
  /// Integers do.
  public static var ignoresOrder: Bool { Value.self is any FixedWidthInteger.Type }
}

/// Keeps the least value.
public enum Minimum<Value: CombinableValue & Comparable>: Combiner {
  /// Keeps the lesser of the two.
  @inlinable public static func combine(_ total: inout Value, _ next: Value) {
    if next < total { total = next }
  }
  /// Integers do; of equal values of other types the first is kept.
  public static var ignoresOrder: Bool { Value.self is any FixedWidthInteger.Type }
}

/// Keeps the greatest value.
public enum Maximum<Value: CombinableValue & Comparable>: Combiner {
  /// Keeps the greater of the two.
  @inlinable public static func combine(_ total: inout Value, _ next: Value) {
    if total < next { total = next }
  }
  /// Integers do; of equal values of other types the first is kept.
  public static var ignoresOrder: Bool { Value.self is any FixedWidthInteger.Type }
}

/// Counts the pairs of a key, whatever their values are.
public enum Count: Combiner {
  /// One, for any value.
  @inlinable public static func initial(_ value: Int) -> Int { 1 }
  /// Adds two counts.
  @inlinable public static func combine(_ total: inout Int, _ next: Int) { total += next }
  /// Counts do.
  @inlinable public static var ignoresOrder: Bool { true }
}
