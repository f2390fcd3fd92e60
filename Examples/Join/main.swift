import CycladesMapReduce
import Logging

/// Joins customers, "id,name", with orders, "order,id,amount": for every order the customer's name.
///
/// The order of the key puts the customer before the orders of a group, so a reducer keeps one name and
/// no list.
struct Join: ReducingJob {
  static let name = "join"
  static let unknown = JobCounter(0, "orders without customer")
  static let counters = [unknown]
  init(arguments: [String]) {}

  func map(
    _ line: RawSpan, into output: inout Emitter<OrderedKey<ByteString, Int>, ByteString>
  ) {
    let isCustomer = output.path.hasSuffix("customers.csv")
    line.withFields(separatedBy: UInt8(ascii: ","), quote: UInt8(ascii: "\"")) { fields in
      let id = ByteString(fields[isCustomer ? 0 : 1].copied())
      let rest = isCustomer ? fields.text(1) : "\(fields.text(0))\t\(fields.text(2))"
      output.emit(OrderedKey(id, isCustomer ? 0 : 1), ByteString(Array(rest.utf8)))
    }
  }

  func reduce(
    _ key: OrderedKey<ByteString, Int>, _ values: inout Values<ByteString>,
    into output: inout ReduceOutput
  ) throws {
    var name = ""
    if key.order == 0, let first = try values.next() {
      name = String(decoding: first.bytes, as: UTF8.self)
    }
    while let order = try values.next() {
      if key.order != 0 { output.count(Self.unknown) }
      output.emit("\(name)\t\(String(decoding: order.bytes, as: UTF8.self))")
    }
  }
}

var jobs = JobRegistry()
jobs.register(Join.self)
let job = JobConfiguration(
  job: "join", inputs: ["customers.csv", "orders.csv"], output: "joined")
let summary = try MapReduce.run(job, jobs: jobs, logger: Logger(label: "join"))
print("\(summary.outputRecords) orders, \(summary.counters)")
