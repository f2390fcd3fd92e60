// bench-transport [--json] [--rounds N] [--seconds S] [--only ROW] [--perf FILE]: what a message
// costs a server. With --perf, the handler column runs once more under `perf record`.
//
// Every row is a load, every column a server in a process of its own; the load generator is a third
// process. All columns of a row are measured in turns within one round, so that a slow moment of
// the machine meets all alike, and every figure is the median over the rounds. Processor time is
// that of the server's process, by its own clock.

import Foundation
import Measure

struct Options {
  var asJSON = false
  var rounds = 3
  var milliseconds = 1500
  var only: String?
  var perfFile: String?

  init?(_ arguments: [String]) {
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      switch argument {
      case "--json": asJSON = true
      case "--rounds":
        guard let count = rest.popFirst().flatMap({ Int($0) }), count > 0 else { return nil }
        rounds = count
      case "--seconds":
        guard let seconds = rest.popFirst().flatMap({ Double($0) }), seconds > 0 else { return nil }
        milliseconds = Int(seconds * 1000)
      case "--only":
        guard let name = rest.popFirst() else { return nil }
        only = name
      case "--perf":
        guard let file = rest.popFirst() else { return nil }
        perfFile = file
      default: return nil
      }
    }
  }
}

guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
  note("usage: bench-transport [--json] [--rounds N] [--seconds S] [--only ROW] [--perf FILE]")
  exit(64)
}
var rows = Row.all.filter { row in options.only.map { row.name == $0 } ?? true }
if rows.isEmpty { rows = Row.all.filter { $0.name.contains(options.only ?? "") } }
guard !rows.isEmpty else {
  note("error: no row is called that; rows: \(Row.all.map(\.name).joined(separator: "; "))")
  exit(64)
}

func measure(_ row: Row, _ options: Options, halfRate: Int) throws -> [String: Cell] {
  var sights: [String: [Sight]] = [:]
  var counts: [String: [Server.Counts]] = [:]
  for _ in 0..<(row.isOnce ? 1 : options.rounds) {
    for column in columns {
      guard let command = row.command(column) else { continue }
      let server = try Server(command)
      let load = row.load(windowMilliseconds: options.milliseconds, rate: halfRate)
      sights[column.title, default: []].append(try Sight(of: server, load))
      counts[column.title, default: []].append(try server.stop())
    }
  }
  return sights.reduce(into: [:]) { cells, column in
    cells[column.key] = Cell(column.value, counts[column.key]!, row)
  }
}

// The half load follows from what the slowest server did in the first row.
var halfRate = 10_000
var results: [String: [String: Cell]] = [:]
do {
  for row in rows {
    note("measuring \(row.name) ...")
    let cells = try measure(row, options, halfRate: halfRate)
    results[row.name] = cells
    if let file = options.perfFile, let command = row.command(columns[1]) {
      let server = try Server(command)
      let load = row.load(windowMilliseconds: options.milliseconds, rate: halfRate)
      _ = try recording(server, to: file) { try Sight(of: server, load) }
      _ = try server.stop()
    }
    if row.name == Row.all[0].name {
      halfRate = Int((cells.values.compactMap(\.messagesPerSecond).min() ?? 2000) / 2)
    }
  }
} catch {
  note("error: \(error)")
  exit(1)
}
options.asJSON ? printJSON(results, rows: rows) : printTables(results, rows: rows)
