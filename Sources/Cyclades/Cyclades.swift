// The whole of Cyclades under one import.
@_exported public import CycladesClient
@_exported public import CycladesJobs
@_exported public import CycladesMapReduce
@_exported public import CycladesPaxos
@_exported public import CycladesReplication
@_exported public import CycladesRing
@_exported public import CycladesServer
@_exported public import CycladesStore
@_exported public import CycladesTransport
