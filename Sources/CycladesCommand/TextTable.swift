/// A table for the terminal: columns as wide as they must be, numbers to the right.
struct TextTable {
  /// Which edge the cells of a column keep to.
  enum Alignment { case left, right }

  private let columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  init(_ columns: (title: String, alignment: Alignment)...) {
    self.columns = columns
  }

  /// Adds a row; it has a cell for every column.
  mutating func add(_ cells: String...) {
    precondition(cells.count == columns.count, "a cell for every column")
    rows.append(cells)
  }

  /// The lines of the table, titles first.
  var lines: [String] {
    let all = [columns.map(\.title)] + rows
    let widths = columns.indices.map { column in all.map { $0[column].count }.max()! }
    return all.map { row in
      let cells = row.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - row[column].count)
        return switch columns[column].alignment {
        case .left: row[column] + padding
        case .right: padding + row[column]
        }
      }
      return String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
    }
  }
}
