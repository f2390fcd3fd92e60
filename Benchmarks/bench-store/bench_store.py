#!/usr/bin/env python3
"""bench-store: the store beside redis-server and etcd, all in one run on this machine.

usage: bench_store.py CYCLADES [--json] [--rounds N] [--requests N] [--only COLUMN,COLUMN...]

Every column is a server that is started for its turn and stopped after it, so that none works while
another is measured. All columns take turns within one round, so that a slow moment of the machine
meets all alike; every figure is the median over the rounds. Before it is measured, each server
serves a tenth of the requests. The client is redis-benchmark with 50
connections, 100,000 keys of 16 bytes and values of 64 bytes, with pipelines of 1 and 16. As a client
of a cluster it looks only every quarter of a second whether it is done, so it gets more to do there.

etcd speaks another protocol: it is asked through its HTTP gateway by a client in Python, one request
at a time per connection, which costs it something. Read its column as a lower bound.

Where a server is not installed, its column is left out, and a line on stderr says so.
"""

import argparse
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

CONNECTIONS = 50
KEYS = 100_000
MEMORY_KEYS = 200_000
LOADS = [("set", 1), ("get", 1), ("set", 16), ("get", 16)]


def note(line):
    print(line, file=sys.stderr, flush=True)


class Failure(Exception):
    pass


def free_ports(count, spread=1):
    """The first of `count` ports in a row that nobody listens on."""
    for base in range(21_000 + os.getpid() % 5000, 32_000, 7 * spread):
        try:
            for offset in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
    raise Failure("no free ports")


class Server:
    """A server that runs for one turn. `port` is where redis-benchmark goes."""

    is_cluster = False
    speaks_redis = True

    def __init__(self, folder):
        self.folder = folder
        self.log = open(os.path.join(folder, "log"), "w")

    def spawn(self, *arguments):
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments], stdout=self.log, stderr=self.log,
            start_new_session=True, cwd=self.folder)

    def wait(self, is_ready):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if is_ready():
                    return
            except (OSError, http.client.HTTPException, Failure):
                pass
            time.sleep(0.1)
        self.stop()
        raise Failure(f"{type(self).__name__} did not start: see {self.folder}/log")

    def stop(self):
        """Ends the server and, should it not end, its whole process group."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()

    def processes(self):
        found = [self.process.pid]
        for pid in found:
            # Each thread lists the processes that it started.
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        return found

    def resident_bytes(self):
        total = 0
        for pid in self.processes():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total

    def answers(self):
        return self.answers_on(self.port)

    def answers_on(self, port):
        return ask(port, b"SET ready yes\r\n").startswith(b"+OK")


class Redis(Server):
    options = ["--save", "", "--appendonly", "no"]
    copies = 1

    def start(self):
        self.port = free_ports(1)
        self.spawn("redis-server", "--port", self.port, "--dir", self.folder, *self.options)
        self.wait(self.answers)


class RedisAlways(Redis):
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]


class Cyclades(Server):
    program = None
    copies = 1
    uses_memory = False
    lease = 0

    def start(self):
        base = free_ports(210) - 1
        data = os.path.join(self.folder, "data")
        if self.uses_memory:
            self.memory = tempfile.mkdtemp(prefix="bench-store-", dir="/dev/shm")
            data = self.memory
        self.spawn(
            self.program, "cluster", "--nodes", self.copies, "--port", base, "--data", data,
            "--lease", self.lease)
        self.port = base + (1 if self.is_cluster else 101)
        self.plain = base + 101
        # redis-benchmark ends at the first CLUSTERDOWN: every node must know every leader.
        self.wait(lambda: all(
            b"cluster_state:ok" in ask(base + 101 + node, b"CLUSTER INFO\r\n")
            for node in range(self.copies)) and self.answers_on(self.plain))

    def stop(self):
        super().stop()
        if self.uses_memory:
            shutil.rmtree(self.memory, ignore_errors=True)


class CycladesInMemory(Cyclades):
    uses_memory = True


class CycladesThree(Cyclades):
    copies = 3


class CycladesThreeCluster(CycladesThree):
    is_cluster = True


class CycladesThreeLeases(CycladesThree):
    lease = 400


class CycladesThreeLeasesCluster(CycladesThreeLeases):
    is_cluster = True


class Etcd(Server):
    speaks_redis = False
    copies = 1

    def start(self):
        self.port = free_ports(2)
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port + 1}"
        self.spawn(
            "etcd", "--data-dir", os.path.join(self.folder, "data"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}", "--quota-backend-bytes", str(2 << 30),
            "--log-level", "error")
        self.wait(lambda: etcd_request(http.client.HTTPConnection("127.0.0.1", self.port), "set", 1))


COLUMNS = [
    ("redis, memory", Redis), ("redis, AOF always", RedisAlways), ("etcd, HTTP", Etcd),
    ("1 node, memory", CycladesInMemory), ("1 node, durable", Cyclades),
    ("3 nodes, plain", CycladesThree), ("3 nodes, cluster", CycladesThreeCluster),
    ("leases, plain", CycladesThreeLeases), ("leases, cluster", CycladesThreeLeasesCluster),
]


def ask(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.settimeout(2)
        connection.sendall(request)
        return connection.recv(65_536)


def redis_benchmark(server, command, depth, requests):
    """Requests per second, and p50, p99 and p99.9 in milliseconds."""
    arguments = [
        "redis-benchmark", "-p", server.port, "-t", command, "-n", requests, "-c", CONNECTIONS,
        "-P", depth, "-d", 64, "-r", KEYS, "--precision", 3]
    if server.is_cluster:
        arguments.append("--cluster")
    run = subprocess.run(
        [str(argument) for argument in arguments], capture_output=True, text=True, timeout=300)
    text = run.stdout.replace("\r", "\n")
    if run.returncode != 0 or "error" in (run.stdout + run.stderr).lower():
        raise Failure(f"redis-benchmark: {(run.stdout + run.stderr)[-400:]}")
    rate = float(re.findall(r"throughput summary: ([\d.]+)", text)[-1])
    summary = re.findall(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s*\n\s*([\d. ]+)", text)[-1].split()
    tail = [
        float(value) for share, value in re.findall(r"([\d.]+)% <= ([\d.]+) milliseconds", text)
        if float(share) >= 99.9]
    return {
        "rate": rate, "p50": float(summary[2]), "p99": float(summary[4]),
        "p999": tail[0] if tail else float(summary[5])}


def etcd_request(connection, command, number):
    key = base64.b64encode(b"key:%012d" % number).decode()
    body = {"key": key}
    if command == "set":
        body["value"] = base64.b64encode(b"v" * 64).decode()
    path = "/v3/kv/put" if command == "set" else "/v3/kv/range"
    connection.request("POST", path, json.dumps(body))
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise Failure(f"etcd answered {response.status}")
    return True


def etcd_benchmark(server, command, requests):
    latencies = []
    share = max(requests // CONNECTIONS, 1)

    def work(first):
        own = []
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for number in range(share):
            start = time.perf_counter()
            etcd_request(connection, command, (first * share + number) % KEYS)
            own.append(time.perf_counter() - start)
        latencies.extend(own)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(CONNECTIONS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if len(latencies) != share * CONNECTIONS:
        raise Failure("requests to etcd failed")
    latencies.sort()
    return {
        "rate": len(latencies) / seconds, "p50": 1000 * latencies[len(latencies) // 2],
        "p99": 1000 * latencies[len(latencies) * 99 // 100],
        "p999": 1000 * latencies[len(latencies) * 999 // 1000]}


def fill(port, count):
    """Sets `count` keys of 16 bytes to values of 64 bytes through one pipelined connection."""
    value = b"v" * 64
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for first in range(0, count, 1000):
            last = min(first + 1000, count)
            connection.sendall(b"".join(
                b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$64\r\n%b\r\n" % (number, value)
                for number in range(first, last)))
            due = 5 * (last - first)
            replies = b""
            while len(replies) < due:
                received = connection.recv(65_536)
                if not received:
                    raise Failure("the connection closed while keys were set")
                replies += received
            if replies != b"+OK\r\n" * (last - first):
                raise Failure(f"a SET failed: {replies[:100]!r}")


def bytes_per_key(server):
    """Memory that a key costs one copy: of the processes, and as the server itself counts."""
    def counted():
        text = ask(server.port, b"INFO memory\r\n").decode()
        return int(re.search(r"used_memory:(\d+)", text).group(1))

    if not server.speaks_redis or server.is_cluster:
        return {}
    time.sleep(0.5)
    resident, used = server.resident_bytes(), counted()
    fill(server.port, MEMORY_KEYS)
    time.sleep(1)
    return {
        "resident_per_key": (server.resident_bytes() - resident) / MEMORY_KEYS / server.copies,
        "used_per_key": (counted() - used) / MEMORY_KEYS}


def measure(kind, folder, requests):
    server = kind(folder)
    server.start()
    try:
        figures = bytes_per_key(server)
        for command, depth in LOADS:
            if server.speaks_redis:
                count = requests * (4 if depth > 1 else 1) * (4 if server.is_cluster else 1)
                redis_benchmark(server, command, depth, count // 10)
                result = redis_benchmark(server, command, depth, count)
            elif depth == 1:
                result = etcd_benchmark(server, command, min(requests, 5000))
            else:
                continue
            for name, value in result.items():
                figures[f"{command} {depth} {name}"] = value
        return figures
    finally:
        server.stop()


def table(title, names, rows):
    width = max(len(title), *(len(row) for row, _ in rows))
    print(title.ljust(width) + "".join(f"  {name:>17}" for name in names))
    for row, values in rows:
        cells = ["-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
                 for value in values]
        print(row.ljust(width) + "".join(f"  {cell:>17}" for cell in cells))
    print()


BARS = [
    ("3 nodes, durable, SET, 50 clients", "set 1 rate", "3 nodes", "redis, AOF always", 1.0),
    ("3 nodes, durable, SET, pipeline 16", "set 16 rate", "3 nodes", "redis, AOF always", 0.8),
    ("3 nodes, read-index GET, 50 clients", "get 1 rate", "3 nodes", "redis, memory", 0.7),
    ("3 nodes, read-index GET, pipeline 16", "get 16 rate", "3 nodes", "redis, memory", 0.7),
    ("3 nodes, leases, GET, 50 clients", "get 1 rate", "leases", "redis, memory", 0.95),
    ("3 nodes, leases, GET, pipeline 16", "get 16 rate", "leases", "redis, memory", 0.8),
    ("1 node, memory, SET, pipeline 16", "set 16 rate", "1 node, memory", "redis, memory", 1.0),
    ("1 node, memory, GET, pipeline 16", "get 16 rate", "1 node, memory", "redis, memory", 1.0),
]


def print_bars(results):
    print("bar".ljust(40) + f"{'measured':>10}{'asked':>10}")
    for text, key, own, other, asked in BARS:
        found = [f[key] for name, f in results.items() if name.startswith(own) and key in f]
        if found and key in results.get(other, {}):
            ratio = max(found) / results[other][key]
            verdict = "holds" if ratio >= asked else "MISSED"
            print(f"{text.ljust(40)}{ratio:10.2f}{'>= ' + str(asked):>10}  {verdict}")
    own, other = results.get("1 node, memory", {}), results.get("redis, memory", {})
    for key in ("resident_per_key", "used_per_key"):
        if key in own and key in other:
            verdict = "holds" if own[key] <= other[key] else "MISSED"
            print(f"{key.replace('_', ' ').ljust(40)}{own[key]:10.0f}{f'<= {other[key]:.0f}':>10}"
                  f"  {verdict}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cyclades")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    Cyclades.program = os.path.abspath(options.cyclades)
    wanted = options.only.split(",")
    columns = [(name, kind) for name, kind in COLUMNS if any(part in name for part in wanted)]
    for program in ("redis-server", "etcd"):
        if shutil.which(program) is None:
            note(f"{program} is not installed: its columns are left out")
            columns = [c for c in columns if program.split("-")[0] not in c[0]]
    # On the disk of the clone: /tmp may be memory, where a sync costs nothing.
    folder = tempfile.mkdtemp(prefix="bench-store-", dir=os.getcwd())
    seen = {name: [] for name, _ in columns}
    try:
        for round_number in range(options.rounds):
            for name, kind in columns:
                note(f"round {round_number + 1}: {name} ...")
                turn = os.path.join(folder, f"{round_number}-{name.replace(' ', '')}")
                os.mkdir(turn)
                seen[name].append(measure(kind, turn, options.requests))
                shutil.rmtree(turn)
    except Failure as failure:
        note(f"error: {failure}")
        raise SystemExit(1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results = {
        name: {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        for name, turns in seen.items() if turns}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    names = list(results)
    for title, key in [
            ("requests per second", "rate"), ("p50, ms", "p50"), ("p99, ms", "p99"),
            ("p99.9, ms", "p999")]:
        table(title, names, [
            (f"{command.upper()}, 50 clients, pipeline {depth}",
             [results[name].get(f"{command} {depth} {key}") for name in names])
            for command, depth in LOADS])
    table("memory per key and copy, bytes", names, [
        ("of the processes", [results[name].get("resident_per_key") for name in names]),
        ("as INFO counts", [results[name].get("used_per_key") for name in names])])
    print_bars(results)


if __name__ == "__main__":
    main()
