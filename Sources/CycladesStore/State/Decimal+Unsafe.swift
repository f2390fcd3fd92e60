internal import CCycladesRESP

/// Why two texts have no sum as floats.
enum DecimalError: Error {
  case notFloat
  case notFinite
}

/// The sum of two floats in text, as INCRBYFLOAT forms it.
func addDecimals(_ a: RawSpan, _ b: RawSpan) -> Result<[UInt8], DecimalError> {
  var status = CYC_DECIMAL_OK
  let digits = unsafe [UInt8](unsafeUninitializedCapacity: CYC_DECIMAL_MAX_BYTES) { out, count in
    unsafe a.withUnsafeBytes { a in
      unsafe b.withUnsafeBytes { b in
        unsafe status = cyc_decimal_add(
          a.baseAddress?.assumingMemoryBound(to: UInt8.self), a.count,
          b.baseAddress?.assumingMemoryBound(to: UInt8.self), b.count, out.baseAddress, &count)
      }
    }
  }
  switch status {
  case CYC_DECIMAL_OK: return .success(digits)
  case CYC_DECIMAL_INVALID: return .failure(.notFloat)
  default: return .failure(.notFinite)
  }
}

/// Calls `body` with the decimal digits of a number, in memory on the stack.
func withDecimal<R>(_ value: Int64, _ body: (RawSpan) -> R) -> R {
  unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: CYC_INTEGER_MAX_BYTES) { digits in
    let count = unsafe cyc_integer_format(value, digits.baseAddress)
    return unsafe body(RawSpan(_unsafeStart: digits.baseAddress!, byteCount: count))
  }
}

extension RawSpan {
  /// How strictly a score is read.
  enum DoubleNotation { case strict, lenient }

  /// The bytes as a double that is not NaN; `nil` when they are none.
  func parsedDouble(_ notation: DoubleNotation) -> Double? {
    var value = 0.0
    let isValid = unsafe withUnsafeBytes { raw in
      unsafe cyc_double_parse(
        raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count, notation == .lenient,
        &value)
    }
    return isValid ? value : nil
  }
}
