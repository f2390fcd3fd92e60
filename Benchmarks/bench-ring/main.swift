// bench-ring [--json] [--rounds N]: what a lookup costs, beside what it costs elsewhere.
//
// Every row is a ring of nodes of weight 1 at 256 points, every column is measured in the same run
// over the same 2^20 random positions, and every figure is the least of several rounds. Hashing is not
// included, except in "hash+batch": 2^16 keys of 24 bytes, hashed with XXH3 through the public API.

import CycladesRing
import Glibc
import Measure

struct Options {
  var asJSON = false
  var rounds = 7

  init(_ arguments: [String]) {
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      if argument == "--json" {
        asJSON = true
      } else if argument == "--rounds", let count = rest.popFirst().flatMap({ Int($0) }), count > 0
      {
        rounds = count
      } else {
        note("error: unknown argument '\(argument)'; usage: bench-ring [--json] [--rounds N]")
        exit(64)
      }
    }
  }
}

let options = Options(Array(CommandLine.arguments.dropFirst()))
let keys = Keys()
var rows: [Row] = []
for nodes in [10, 1000, 10_000] {
  if !options.asJSON { note("measuring \(nodes) nodes x 256 points ...") }
  rows.append(try Row(nodes: nodes, keys: keys, rounds: options.rounds))
}
if options.asJSON {
  printJSON(rows)
} else {
  print(rows)
  printBars(rows)
}
