#!/usr/bin/env python3
"""bench-paxos: one Paxos group of three replicas beside etcd and Redis, all in one run.

usage: bench_paxos.py PAXOS-REPLICA [--json] [--rounds N] [--requests N] [--no-etcd]

Three replicas run as processes on loopback, each with a log on the disk of the clone. A command is a
value of 64 bytes. The client is redis-benchmark for the replicas and for Redis alike: a replica
speaks as much of the protocol as that needs (SET is a command, GET a read). Redis is a single node
with appendfsync always. etcd, three nodes, is driven by its own `etcdctl check perf`, which has
hundreds of clients: its column is what it does with many more than 64. All take turns within a
round; figures are medians over the rounds, except etcd's, which is measured once.

The latency of one client is taken inside the process of the leader, as an app sees it that embeds a
replica, and is compared with what it cannot do without: one write and sync of a command, through the
same reactor and on the same disk, and one round trip, which redis-benchmark takes of a read that a
replica answers by itself. The three replicas of this benchmark share a disk, which takes their syncs
one after the other: how long one takes among three is measured, too.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "bench-store"))
import bench_store
from bench_store import Failure, RedisAlways, ask, free_ports, note

CLIENTS, DEPTH = 64, 64
SMALL, LARGE = 64, 65_536


class Replicas:
    """Three replicas; `ports` are those of the leader, for linearizable and for stale reads."""

    def __init__(self, program, folder, latencies=0):
        base = free_ports(9)
        peers = ",".join(str(base + index) for index in range(3))
        self.outputs = [open(os.path.join(folder, f"output-{index}"), "w+") for index in range(3)]
        extra = ["latency", str(latencies)] if latencies else []
        self.processes = [
            subprocess.Popen(
                [program, "serve", str(index + 1), os.path.join(folder, f"data-{index}"), peers,
                 str(base + 3 + index), str(base + 6 + index)] + extra,
                stdin=subprocess.PIPE, stdout=self.outputs[index])
            for index in range(3)]
        # The first member leads when it can.
        self.port, self.stale_port = base + 3, base + 6
        deadline = time.monotonic() + 30
        while True:
            try:
                if ask(self.port, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n").startswith(b"+OK"):
                    break
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise Failure("the replicas elect no leader")
            time.sleep(0.1)
        time.sleep(1)

    def latency(self):
        """What the leader measured, once it has."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for output in self.outputs:
                output.seek(0)
                for line in output:
                    found = json.loads(line)
                    if found["name"] == "latency":
                        return found
            time.sleep(0.2)
        raise Failure("no replica measured its latency")

    def stop(self):
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def benchmark(port, command, clients, depth, requests, size=64):
    """Requests per second, and the median and 99th percentile in microseconds."""
    run = subprocess.run(
        ["redis-benchmark", "-p", str(port), "-t", command, "-n", str(requests), "-c", str(clients),
         "-P", str(depth), "-d", str(size), "--precision", "3"],
        capture_output=True, text=True, timeout=300)
    text = run.stdout.replace("\r", "\n")
    rates = re.findall(r"throughput summary: ([\d.]+)", text)
    if run.returncode != 0 or not rates:
        raise Failure(f"redis-benchmark: {(run.stdout + run.stderr)[-300:]}")
    summary = re.findall(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s*\n\s*([\d. ]+)", text)[-1].split()
    return {"rate": float(rates[-1]), "p50": 1000 * float(summary[2]),
            "p99": 1000 * float(summary[4])}


def lines(program, *arguments):
    run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    if run.returncode != 0:
        raise Failure(f"{program} {' '.join(arguments)}: {run.stderr[-300:]}")
    return json.loads(run.stdout.splitlines()[-1])


def copies(replicas, size, requests):
    """Bytes that the leader copies for a command of a size: of the command, gathering what it
    received, and of what it sends."""
    def count():
        answer = ask(replicas.stale_port, b"*1\r\n$6\r\nCOPIES\r\n")
        return [int(number) for number in answer[1:].split()]

    before = count()
    benchmark(replicas.port, "set", CLIENTS, 1, requests, size)
    return [(after - start) / requests for start, after in zip(before, count())]


def crowded_sync(program, folder):
    """How long a sync takes while two others are under way, as the replicas' are on one disk."""
    runs = [subprocess.Popen([program, "sync", os.path.join(folder, f"sync-{index}"), "2000"],
                             stdout=subprocess.PIPE, text=True) for index in range(3)]
    means = [json.loads(run.communicate(timeout=60)[0].splitlines()[-1])["mean"] for run in runs]
    return statistics.mean(means)


def measure_replicas(program, folder, requests):
    figures = {}
    sync = lines(program, "sync", os.path.join(folder, "sync"), "1000")
    figures["sync"] = sync["mean"]
    figures["crowded sync"] = crowded_sync(program, folder)
    replicas = Replicas(program, folder, latencies=1000)
    try:
        figures["inside"] = replicas.latency()["mean"]
        alone = benchmark(replicas.stale_port, "get", 1, 1, 10_000)
        figures["trip"] = 1e6 / alone["rate"]
        figures["one"] = 1e6 / benchmark(replicas.port, "set", 1, 1, 5000)["rate"]
        many = benchmark(replicas.port, "set", CLIENTS, 1, requests)
        figures["many"], figures["many p50"], figures["many p99"] = many.values()
        figures["deep"] = benchmark(replicas.port, "set", CLIENTS, DEPTH, 20 * requests)["rate"]
        for name, port in (("reads", replicas.port), ("stale", replicas.stale_port)):
            figures[name] = benchmark(port, "get", CLIENTS, 1, requests)["rate"]
            figures[f"deep {name}"] = benchmark(port, "get", CLIENTS, DEPTH, 20 * requests)["rate"]
        for name, size, count in (("small", SMALL, requests), ("large", LARGE, requests // 25)):
            command, received, sent = copies(replicas, size, count)
            figures[f"{name} copies"] = (command + received) / size
            figures[f"{name} gathered"], figures[f"{name} sent"] = received, sent
    finally:
        replicas.stop()
    return figures


def measure_redis(folder, requests):
    server = RedisAlways(folder)
    server.start()
    try:
        one = benchmark(server.port, "set", 1, 1, 5000)
        many = benchmark(server.port, "set", CLIENTS, 1, requests)
        deep = benchmark(server.port, "set", CLIENTS, DEPTH, 20 * requests)
        return {"one": 1e6 / one["rate"], "many": many["rate"], "many p50": many["p50"],
                "many p99": many["p99"], "deep": deep["rate"]}
    finally:
        server.stop()


def measure_etcd(folder):
    """Writes per second of three nodes, by etcd's own load generator, which takes a minute."""
    base = free_ports(6)
    names = [f"n{index}" for index in range(3)]
    cluster = ",".join(f"{name}=http://127.0.0.1:{base + 3 + i}" for i, name in enumerate(names))
    processes = []
    with open(os.path.join(folder, "log"), "w") as log:
        for index, name in enumerate(names):
            client, peer = (f"http://127.0.0.1:{base + offset + index}" for offset in (0, 3))
            processes.append(subprocess.Popen(
                ["etcd", "--name", name, "--data-dir", os.path.join(folder, name),
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", cluster, "--log-level", "error"],
                stdout=log, stderr=log))
        try:
            time.sleep(4)
            run = subprocess.run(
                ["etcdctl", "--endpoints", ",".join(f"127.0.0.1:{base + i}" for i in range(3)),
                 "check", "perf", "--load", "xl"],
                capture_output=True, text=True, timeout=150, env={**os.environ, "ETCDCTL_API": "3"})
            found = re.findall(r"[Tt]hroughput.*?(\d+) writes/s", run.stdout + run.stderr)
            if not found:
                raise Failure(f"etcdctl: {(run.stdout + run.stderr)[-300:]}")
            return {"many": float(found[-1])}
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(15)


def show(results):
    replicas, redis = results["three replicas"], results["redis, AOF always"]
    etcd = results.get("etcd, three nodes", {})
    rows = [
        ("one client inside the leader, us", "inside"), ("  of which: one sync", "sync"),
        ("  one sync while two others sync", "crowded sync"),
        ("  of which: one round trip", "trip"), ("one client over the network, us", "one"),
        (f"{CLIENTS} clients, commands/s", "many"), ("  p50, us", "many p50"),
        ("  p99, us", "many p99"), (f"{CLIENTS} clients, {DEPTH} deep, commands/s", "deep"),
        ("linearizable reads/s", "reads"), ("stale reads/s", "stale"),
        (f"linearizable reads/s, {DEPTH} deep", "deep reads"),
        (f"stale reads/s, {DEPTH} deep", "deep stale"),
        ("core: heap allocations per command", "allocations")]
    for name, title in (("small", "64 B"), ("large", "64 KiB")):
        rows += [(f"user-space copies per command of {title}", f"{name} copies"),
                 ("  of which to gather what was received, B", f"{name} gathered"),
                 ("  besides, of replies and message heads, B", f"{name} sent")]
    print("".ljust(40) + "".join(f"{name:>20}" for name in results))
    for title, key in rows:
        cells = [f"{f[key]:,.2f}" if f.get(key, 1000) < 1000 else f"{f[key]:,.0f}"
                 if key in f else "-" for f in results.values()]
        print(title.ljust(40) + "".join(f"{cell:>20}" for cell in cells))
    print()
    bars = [
        ("one client / (sync + round trip)", replicas["inside"] / (replicas["sync"] + replicas["trip"]),
         1.3, False),
        ("  with the sync as three on one disk take it",
         replicas["inside"] / (replicas["crowded sync"] + replicas["trip"]), 1.3, False),
        (f"{CLIENTS} clients / Redis AOF always", replicas["many"] / redis["many"], 1.0, True),
        (f"{DEPTH} deep / Redis AOF always", replicas["deep"] / redis["deep"], 0.8, True),
        (f"{DEPTH} deep, commands/s", replicas["deep"], 400_000, True),
        ("heap allocations per command in the core", replicas["allocations"], 0, False),
        ("user-space copies per command of 64 B", replicas["small copies"], 1, False),
        ("user-space copies per command of 64 KiB", replicas["large copies"], 0, False),
        ("linearizable / stale reads", replicas["reads"] / replicas["stale"], 0.9, True),
        (f"linearizable / stale reads, {DEPTH} deep",
         replicas["deep reads"] / replicas["deep stale"], 0.9, True)]
    if etcd:
        bars.insert(2, (f"{CLIENTS} clients / etcd", replicas["many"] / etcd["many"], 10, True))
    print("bar".ljust(44) + f"{'measured':>12}{'asked':>12}")
    for text, value, asked, is_least in bars:
        holds = value >= asked if is_least else value <= asked
        print(f"{text.ljust(44)}{value:12,.2f}{('>= ' if is_least else '<= ') + f'{asked:,}':>12}"
              f"  {'holds' if holds else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("replica")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--no-etcd", action="store_true")
    options = parser.parse_args()
    program = os.path.abspath(options.replica)
    # On the disk of the clone: /tmp may be memory, where a sync costs nothing.
    folder = tempfile.mkdtemp(prefix="bench-paxos-", dir=os.getcwd())
    seen = {"three replicas": [], "redis, AOF always": []}
    try:
        core = lines(program, "core", "10000")
        for number in range(options.rounds):
            note(f"round {number + 1} ...")
            for name, measure in (
                    ("three replicas", lambda f: measure_replicas(program, f, options.requests)),
                    ("redis, AOF always", lambda f: measure_redis(f, options.requests))):
                turn = tempfile.mkdtemp(dir=folder)
                seen[name].append(measure(turn))
                shutil.rmtree(turn)
        if not options.no_etcd and shutil.which("etcd") and shutil.which("etcdctl"):
            note("etcd, for a minute ...")
            turn = tempfile.mkdtemp(dir=folder)
            seen["etcd, three nodes"] = [measure_etcd(turn)]
        else:
            note("etcd is left out: it or etcdctl is not installed, or it was not asked for")
    except Failure as failure:
        note(f"error: {failure}")
        raise SystemExit(1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results = {name: {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
               for name, turns in seen.items()}
    results["three replicas"]["allocations"] = core["allocations"] / core["decided"]
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)


if __name__ == "__main__":
    main()
