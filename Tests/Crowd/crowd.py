#!/usr/bin/env python3
"""10,000 clients of one server, half of which do not read what they asked for.

usage: crowd.py CYCLADES

5,000 clients of redis-benchmark get small values, one at a time each: first alone, then beside 5,000
that each ask for 64 large values at once, 5 GB together, and take a few bytes of them now and then.
Prints the server's resident memory and what the good clients got; fails when the server grows by more
than MEMORY_MAX, when the good clients get less than SHARE_MIN of what they had alone or their p99 is
more than P99_MAX times as high, or when a slow client, let to read at last, does not get everything.
"""

import csv
import io
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

GOOD = 5000
SLOW = 5000
REQUESTS = 200_000
LARGE = bytes(16000)
DEPTH = 64
# A quarter of the server's 1 GiB of buffers, and one reply for everybody.
MEMORY_MAX = 768 << 20
SHARE_MIN = 0.7
P99_MAX = 2.0
GET = b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n"
REPLY = b"$%d\r\n%s\r\n" % (len(LARGE), LARGE)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for found in sockets:
        found.bind(("127.0.0.1", 0))
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def ask(port, request, byte_count):
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(request)
        reply = b""
        while len(reply) < byte_count:
            part = client.recv(1 << 20)
            if not part:
                break
            reply += part
        return reply


def start(cyclades, folder):
    cluster, plain, peer = free_ports(3)
    address = f"127.0.0.1:{peer}"
    server = subprocess.Popen([
        cyclades, "serve", "--id", "1", "--listen", f"127.0.0.1:{cluster}",
        "--plain", f"127.0.0.1:{plain}", "--peer-listen", address, "--peers", f"1={address}",
        "--data", f"{folder}/node", "--max-clients", "12000"],
        stdout=open(f"{folder}/log", "w"), stderr=subprocess.STDOUT)
    setting = b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n" + REPLY
    for _ in range(100):
        try:
            if ask(plain, setting, 5) == b"+OK\r\n":
                return server, plain
        except OSError:
            pass
        time.sleep(0.1)
    server.kill()
    sys.exit("error: the server does not serve: " + pathlib.Path(f"{folder}/log").read_text())


def resident(server):
    for line in pathlib.Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


class SlowClients:
    """Clients that ask for much and take a few bytes of it now and then."""

    def __init__(self, port):
        self.clients = []
        self.taken = [0] * SLOW
        for _ in range(SLOW):
            client = socket.socket()
            # So that the replies wait at the server, not in this machine's sockets.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(GET * DEPTH)
            client.setblocking(False)
            self.clients.append(client)

    def sip(self):
        for place, client in enumerate(self.clients):
            try:
                self.taken[place] += len(client.recv(16))
            except BlockingIOError:
                pass

    def finish(self, place):
        """Reads the rest; whether it is all that was asked for."""
        client = self.clients[place]
        client.settimeout(20)
        expected = REPLY * DEPTH
        got = self.taken[place]
        while got < len(expected):
            part = client.recv(1 << 20)
            if not part or part != expected[got:got + len(part)]:
                return False
            got += len(part)
        return True

    def close(self):
        for client in self.clients:
            client.close()


def good_clients(port, server, slow=None):
    """What redis-benchmark measures, in requests/s and milliseconds, and the most memory seen."""
    client = subprocess.Popen(
        ["redis-benchmark", "-p", str(port), "-c", str(GOOD), "-n", str(REQUESTS), "-t", "get",
         "-r", "1000", "-d", "64", "--csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True)
    most = 0
    while client.poll() is None:
        if slow:
            slow.sip()
        most = max(most, resident(server))
        time.sleep(0.5)
    rows = list(csv.DictReader(io.StringIO(client.stdout.read())))
    if not rows:
        sys.exit("error: redis-benchmark: " + client.stderr.read()[-300:])
    return float(rows[0]["rps"]), float(rows[0]["p99_latency_ms"]), most


def measure(port, server):
    failures = []
    empty = resident(server)
    good_clients(port, server)
    rate, p99, memory = good_clients(port, server)
    print(f"{GOOD} clients alone: {rate:,.0f} GET/s, p99 {p99:.1f} ms; "
          f"server {memory >> 20} MiB, {empty >> 20} before", flush=True)
    slow = SlowClients(port)
    time.sleep(1)
    slow_rate, slow_p99, slow_memory = good_clients(port, server, slow)
    print(f"beside {SLOW} that do not read {SLOW * DEPTH * len(LARGE) >> 20:,} MiB: "
          f"{slow_rate:,.0f} GET/s, p99 {slow_p99:.1f} ms; server {slow_memory >> 20} MiB",
          flush=True)
    if slow_memory - memory > MEMORY_MAX:
        failures.append(f"the server grew by more than {MEMORY_MAX >> 20} MiB")
    if slow_rate < SHARE_MIN * rate:
        failures.append(f"the good clients got less than {SHARE_MIN:.0%} of what they had alone")
    if slow_p99 > P99_MAX * p99:
        failures.append(f"the good clients' p99 is more than {P99_MAX} times as high")
    sample = range(0, SLOW, SLOW // 50)
    whole = sum(slow.finish(place) for place in sample)
    print(f"{whole} of {len(sample)} slow clients got everything once they read", flush=True)
    if whole < len(sample):
        failures.append("slow clients did not get what they asked for")
    slow.close()
    return failures


def main():
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        server, port = start(sys.argv[1], folder)
        try:
            failures = measure(port, server)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                failures = ["the server did not stop"]
    if failures:
        sys.exit("error: " + "; ".join(failures))


main()
