import CycladesRing

var builder = try RingBuilder()
for zone in ["amsterdam", "dublin", "vienna"] {
  for number in 1...2 { try builder.add(Member(id: "\(zone)-\(number)", zone: zone)) }
}
let ring = try builder.build()
print("user:1000 belongs to", ring.owner(of: "user:1000").id)
print("its copies go to", ring.preferenceList(of: "user:1000", count: 3).map(\.id))

var larger = RingBuilder(ring)
try larger.add(Member(id: "dublin-3", weight: 2, zone: "dublin"))
let diff = try larger.build().diff(from: ring)
print("dublin-3 takes over \(diff.share * 100) % of all keys, in \(diff.moves.count) ranges")
