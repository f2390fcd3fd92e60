import Glibc

/// What a person watches: colour and a moving bar in a terminal, plain lines anywhere else.
///
/// A plain log gets a progress line now and then instead of a bar, so that a long step is never
/// silent. Colour follows `NO_COLOR` and `TERM=dumb`.
final class Terminal {
  enum Style: String {
    case bold = "1"
    case faint = "2"
    case red = "31"
    case green = "32"
    case cyan = "36"
  }

  private let descriptor: Int32
  private let columns: Int?
  private let isColoured: Bool
  private var hasBar = false
  private var lastPlainProgress = monotonicNanoseconds()

  init(descriptor: Int32 = STDOUT_FILENO) {
    self.descriptor = descriptor
    columns = environmentValue("TERM") == "dumb" ? nil : terminalColumns(descriptor)
    isColoured = columns != nil && environmentValue("NO_COLOR") == nil
  }

  /// Text in a style, or just the text where colour is not wanted.
  func styled(_ text: String, _ style: Style) -> String {
    isColoured ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }

  /// Prints a line, in place of the progress bar if there is one.
  func line(_ text: String = "") {
    let erase = hasBar ? "\r\u{1B}[K" : ""
    hasBar = false
    lastPlainProgress = monotonicNanoseconds()
    writeAll(erase + text + "\n", to: descriptor)
  }

  /// Shows how far a step is: `fraction` from 0 to 1 where it is known, and a few words.
  func progress(_ fraction: Double?, _ text: String) {
    guard let columns else { return plainProgress(fraction, text) }
    let width = fraction == nil ? 0 : min(30, max(10, columns - 45))
    let filled = Int(Double(width) * min(1, max(0, fraction ?? 0)))
    let bar =
      styled(String(repeating: "━", count: filled), .cyan)
      + styled(String(repeating: "━", count: width - filled), .faint)
    let words = text.prefix(max(0, columns - width - 7))
    writeAll("\r\u{1B}[K     \(bar)\(width > 0 ? " " : "")\(words)", to: descriptor)
    hasBar = true
  }

  private func plainProgress(_ fraction: Double?, _ text: String) {
    let now = monotonicNanoseconds()
    guard now - lastPlainProgress >= 1_000_000_000 else { return }
    lastPlainProgress = now
    let share = fraction.map { "\(Int($0 * 100)) %, " } ?? ""
    writeAll("     ... \(share)\(text)\n", to: descriptor)
  }
}

extension Int {
  /// The number with its thousands grouped: 1,234,567.
  var grouped: String {
    let digits = Array(String(magnitude))
    var text = self < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return text
  }
}

extension String {
  /// The text with blanks behind it, up to a width.
  func padding(to width: Int) -> String {
    self + String(repeating: " ", count: Swift.max(0, width - count))
  }
}

/// A duration as a person reads it: three digits and a unit.
func readable(nanoseconds: UInt64) -> String {
  let (value, unit): (Double, String) =
    switch nanoseconds {
    case ..<1_000_000: (Double(nanoseconds) / 1e3, "us")
    case ..<1_000_000_000: (Double(nanoseconds) / 1e6, "ms")
    default: (Double(nanoseconds) / 1e9, "s")
    }
  return "\(decimal(value, places: value < 9.995 ? 2 : value < 99.95 ? 1 : 0)) \(unit)"
}

/// A number with a fixed count of decimal places.
func decimal(_ value: Double, places: Int) -> String {
  guard places > 0 else { return String(Int(value.rounded())) }
  let scaled = Int((value * pow(10, Double(places))).rounded())
  let digits = String(scaled.magnitude)
  let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
  return (scaled < 0 ? "-" : "") + padded.dropLast(places) + "." + padded.suffix(places)
}
