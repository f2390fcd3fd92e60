/// Columns of text, each as wide as its widest cell.
struct TextTable {
  private var rows: [[String]]
  private let numeric: Set<Int>

  /// A table with these headings; the columns in `numeric` are aligned to the right.
  init(_ headings: [String], numeric: Set<Int> = []) {
    rows = [headings]
    self.numeric = numeric
  }

  mutating func append(_ cells: [String]) { rows.append(cells) }

  /// The lines, two blanks between columns, without blanks at their ends.
  var lines: [String] {
    var widths: [Int] = []
    for row in rows {
      for (column, cell) in row.enumerated() {
        if column == widths.count { widths.append(0) }
        widths[column] = max(widths[column], cell.count)
      }
    }
    return rows.map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        line +=
          (column > 0 ? "  " : "") + (numeric.contains(column) ? padding + cell : cell + padding)
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
