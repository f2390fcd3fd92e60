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
}

extension Combiner {
  /// The value itself.
  @inlinable public static func initial(_ value: Value) -> Value { value }
}

/// Adds values up.
public enum Sum<Value: CombinableValue & AdditiveArithmetic>: Combiner {
  /// Adds; an integer overflow is a trap, as everywhere in Swift.
  @inlinable public static func combine(_ total: inout Value, _ next: Value) { total += next }
}

/// Keeps the least value.
public enum Minimum<Value: CombinableValue & Comparable>: Combiner {
  /// Keeps the lesser of the two.
  @inlinable public static func combine(_ total: inout Value, _ next: Value) {
    if next < total { total = next }
  }
}

/// Keeps the greatest value.
public enum Maximum<Value: CombinableValue & Comparable>: Combiner {
  /// Keeps the greater of the two.
  @inlinable public static func combine(_ total: inout Value, _ next: Value) {
    if total < next { total = next }
  }
}

/// Counts the pairs of a key, whatever their values are.
public enum Count: Combiner {
  /// One, for any value.
  @inlinable public static func initial(_ value: Int) -> Int { 1 }
  /// Adds two counts.
  @inlinable public static func combine(_ total: inout Int, _ next: Int) { total += next }
}
