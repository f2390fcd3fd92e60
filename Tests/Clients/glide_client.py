#!/usr/bin/env python3
"""Drives a server through valkey-glide, whose core is Rust, and checks every answer.

usage: glide_client.py PLAIN_PORT CLUSTER_PORT      (of any node of this machine)
"""

import importlib.metadata
import sys

import glide_sync as glide

checks = 0


def check(found, expected, what):
    global checks
    checks += 1
    if found != expected:
        raise SystemExit(f"valkey-glide: {what}: found {found!r}, expected {expected!r}")


def commands(client, prefix):
    for number in range(100):
        check(client.set(f"{prefix}{number}", str(number)), "OK", "SET")
    for number in range(100):
        check(client.get(f"{prefix}{number}"), b"%d" % number, "GET")
    check(client.incr(f"{prefix}7"), 8, "INCR")
    check(client.expire(f"{prefix}7", 100), True, "EXPIRE")
    check(0 < client.ttl(f"{prefix}7") <= 100, True, "TTL")
    keys = [f"{prefix}{number}" for number in range(100)]
    check(client.mget(keys)[:3], [b"0", b"1", b"2"], "MGET")
    check(client.delete(keys), 100, "DEL")
    check(client.ping(), b"PONG", "PING")


def main():
    plain, led = int(sys.argv[1]), int(sys.argv[2])
    client = glide.GlideClient.create(
        glide.GlideClientConfiguration([glide.NodeAddress("127.0.0.1", plain)]))
    commands(client, "glide:")
    batch = glide.Batch(is_atomic=True)
    batch.set("glide:{t}a", "1")
    batch.incr("glide:{t}a")
    check(client.exec(batch, raise_on_error=True), ["OK", 2], "a transaction")
    client.close()
    client = glide.GlideClusterClient.create(
        glide.GlideClusterClientConfiguration([glide.NodeAddress("127.0.0.1", led)]))
    commands(client, "glide-cluster:")
    client.close()
    version = importlib.metadata.version("valkey-glide-sync")
    print(f"valkey-glide|{version}|plain and cluster, RESP3|{checks} answers")


if __name__ == "__main__":
    main()
