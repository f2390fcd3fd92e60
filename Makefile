# Everything a clone needs, from one command. `make` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Warnings are errors here and in CI, never for those who depend on the package.
export CYCLADES_STRICT := 1

SWIFT_SOURCES := Package.swift Sources Tests Examples Benchmarks
TOOLS := .build/tools
# What users of the library choose for themselves: MapReduce with gzip and zstd.
TRAITS := --traits Compression
# The Python that has redis-py and xxhash.
export CYCLADES_PYTHON := $(abspath $(TOOLS)/python/bin/python3)

# To be overridden, as in make demo ARGS="--input FILE" or make soak KILLS=100.
REQUESTS ?= 100000
SEEDS ?= 200
BUG_SEEDS ?= 3000
NIGHTLY_SEEDS ?= 10000
JOBS ?= $(shell nproc)
KILLS ?= 20
IO ?= $(CYCLADES_IO)
FUZZ_SECONDS ?= 600
COMMANDS ?= 200000
OPERATIONS ?= 1000000

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Install the system libraries that are missing (apt, with sudo when not root).
	@.ci/setup libraries

.PHONY: tools
tools: ## Install what only tests use: redis-cli, redis-benchmark, redis-py, xxhash for Python.
	@.ci/setup libraries redis
	@.ci/setup python "$(TOOLS)/python"

.PHONY: build
build: setup ## Build the libraries and the `cyclades` command, optimised.
	swift build -c release --product cyclades $(TRAITS)

.PHONY: demo
demo: build ## Run three nodes, kill one, count words: the whole idea in a minute.
	.build/release/cyclades demo $(ARGS)

.PHONY: test
test: setup ## Build and run all tests, or those of ARGS="--filter NAME"; IO=epoll: without io_uring.
	timeout 1200 swift build --build-tests $(TRAITS)
	@# One at a time: tests with real clocks and processes must not starve each other of two cores.
	CYCLADES_IO=$(IO) timeout 900 swift test --skip-build --no-parallel $(TRAITS) $(ARGS)

.PHONY: lint
lint: ## Check the format of Swift and C.
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)
	@! grep -rnP '\t|.{101,}| +$$' CSources --include='*.[ch]' \
	  || { echo 'error: tab, trailing space or a line above 100 columns in C' >&2; exit 1; }
	@echo 'Format is clean.'

.PHONY: format
format: ## Format all Swift files in place.
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

.PHONY: examples
examples: setup ## Build every example; talk to those that serve a port, run one in all its roles.
	swift build --package-path Examples --scratch-path .build/examples
	python3 Tests/Examples/network_examples.py .build/examples/debug
	python3 Tests/Examples/job_program.py .build/examples/debug/WordCount

.PHONY: vectors
vectors: tools ## Check the golden vectors of placement against PyPI's xxhash and uhashring.
	"$(CYCLADES_PYTHON)" Tests/Golden/ring_vectors.py --check
	"$(CYCLADES_PYTHON)" Tests/Golden/ring_others_vectors.py --check

.PHONY: crash-states
crash-states: setup ## Recover a recorded log from every state a power cut can leave it in: over 10,000.
	CYCLADES_CRASH_STATES=4096 timeout 1200 \
	  swift test --no-parallel $(TRAITS) --filter CycladesReplicationTests.CrashStateTests

.PHONY: fuzz-ring
fuzz-ring: setup ## Fuzz the decoder of ring snapshots for FUZZ_SECONDS.
	Tests/Fuzz/ring.sh $(FUZZ_SECONDS)

.PHONY: fuzz-shuffle
fuzz-shuffle: setup ## Fuzz what MapReduce reads from files and other workers for FUZZ_SECONDS.
	Tests/Fuzz/shuffle.sh $(FUZZ_SECONDS)

.PHONY: simulate
simulate: build ## Run SEEDS simulated clusters with faults.
	.build/release/cyclades simulate --seeds $(SEEDS) --jobs $(JOBS) $(ARGS)

.PHONY: simulate-nodes
simulate-nodes: build ## Run SEEDS simulated clusters of whole nodes with faults; and one seed twice.
	.build/release/cyclades simulate --nodes --seeds $(SEEDS) --jobs $(JOBS) $(ARGS)
	cmp <(.build/release/cyclades simulate --nodes --seed 5) \
	  <(.build/release/cyclades simulate --nodes --seed 5) && echo 'The same seed did the same.'

.PHONY: bugs
bugs: build ## Plant one bug after the other in the protocol; print how many seeds find each.
	.build/release/cyclades simulate --bugs --seeds $(BUG_SEEDS) --jobs $(JOBS)

.PHONY: nightly
nightly: build crash-states ## What takes longer than CI may: crash states, seeds, planted bugs, fuzzers.
	@# Fails when a recovery case or a kind of message was not met: their tests demand each.
	$(MAKE) test ARGS="--filter CycladesReplicationTests --filter CycladesPaxosTests"
	for scenario in swarm lossy partitions crashes disks membership turnover replacement reads \
	  leases snapshots damage divergence; do \
	  .build/release/cyclades simulate --scenario $$scenario --seeds $(NIGHTLY_SEEDS) \
	    --jobs $(JOBS); \
	done
	$(MAKE) bugs fuzz-wire

.PHONY: clients
clients: tools build ## Drive a cluster with the Redis clients that people have; print the table of them.
	REQUESTS=$(REQUESTS) Tests/Clients/run.sh .build/release/cyclades

.PHONY: soak
soak: build ## Kill a node KILLS times under load and look for lost writes.
	timeout 7200 .build/release/cyclades soak --kills $(KILLS) $(ARGS)

.PHONY: backup
backup: tools build ## Back a cluster up while it is written to, restore it into another, compare.
	Tests/Backup/run.sh .build/release/cyclades

.PHONY: histories
histories: build ## Check OPERATIONS of clients of a cluster in trouble to be linearizable.
	timeout 7200 .build/release/cyclades histories --operations $(OPERATIONS) $(ARGS)

.PHONY: elasticity
elasticity: build ## Let a fourth node join under load; measure what clients see of it.
	timeout 600 .build/release/cyclades elasticity $(ARGS)

.PHONY: crowd
crowd: tools build ## 10,000 clients, half of which do not read: memory, and what the others get.
	timeout 300 python3 Tests/Crowd/crowd.py .build/release/cyclades

.PHONY: differential
differential: setup ## Compare COMMANDS random commands with redis-server 7.0, reply by reply.
	CYCLADES_DIFFERENTIAL=$(COMMANDS) timeout 1800 \
	  swift test --no-parallel --filter CycladesStoreTests.DifferentialTests

.PHONY: fuzz-wire
fuzz-wire: setup ## Fuzz what reads frames and logs, with sanitizers, for FUZZ_SECONDS.
	Tests/Fuzz/run.sh $(FUZZ_SECONDS) wire

.PHONY: fuzz-store
fuzz-store: setup ## Fuzz request parser and table, with sanitizers, FUZZ_SECONDS each.
	Tests/Fuzz/run.sh $(FUZZ_SECONDS)

.PHONY: sanitize
sanitize: setup ## Run the transport's tests under the address and the thread sanitizer.
	Tests/Sanitizers/run.sh .build/sanitize

.PHONY: bench-ring
bench-ring: setup ## Measure the ring against other searches, all in one run.
	swift run -c release --package-path Benchmarks --scratch-path .build/benchmarks \
	  bench-ring $(ARGS)

.PHONY: bench-store
bench-store: build ## Measure the store beside redis-server and etcd, all in one run.
	@.ci/setup redis redis_server
	python3 Benchmarks/bench-store/bench_store.py .build/release/cyclades $(ARGS)

.PHONY: bench-paxos
bench-paxos: setup ## Measure one replicated group beside etcd and Redis, all in one run.
	@.ci/setup redis redis_server
	swift build -c release --package-path Benchmarks --scratch-path .build/benchmarks \
	  --product paxos-replica
	python3 Benchmarks/bench-paxos/bench_paxos.py .build/benchmarks/release/paxos-replica $(ARGS)

.PHONY: bench-transport
bench-transport: setup ## Measure the transport beside raw C and SwiftNIO, all in one run.
	swift build -c release --package-path Benchmarks --scratch-path .build/benchmarks \
	  --product bench-transport
	.build/benchmarks/release/bench-transport $(ARGS)

.PHONY: bench-mapreduce
bench-mapreduce: setup ## Measure MapReduce beside DuckDB, Polars, Spark, GNU sort and C; ARGS="--only sort --json".
	@.ci/setup bench_mapreduce "$(TOOLS)/bench"
	swift build -c release --package-path Benchmarks --scratch-path .build/benchmarks \
	  --product mapreduce-jobs
	swift build -c release --product cyclades
	Benchmarks/bench-mapreduce/run.py --tools "$(TOOLS)" \
	  --jobs .build/benchmarks/release/mapreduce-jobs --cyclades .build/release/cyclades $(ARGS)

.PHONY: clean
clean: ## Remove everything that was built or installed into the clone.
	rm -rf .build
