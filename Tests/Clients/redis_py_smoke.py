#!/usr/bin/env python3
"""Drives a server through redis-py as an application would, and checks every answer.

usage: redis_py_smoke.py HOST PORT      (the plain port of any node)
"""

import sys
import threading
import time

import redis


def check(found, expected, what):
    if found != expected:
        raise SystemExit(f"redis-py: {what}: found {found!r}, expected {expected!r}")


def strings(client, prefix):
    key = prefix + "string"
    check(client.set(key, "one"), True, "SET")
    check(client.get(key), b"one", "GET")
    check(client.set(key, "two", nx=True), None, "SET NX of a present key")
    check(client.set(key, "two", xx=True, get=True), b"one", "SET XX GET")
    check(client.append(key, "!"), 4, "APPEND")
    check(client.strlen(key), 4, "STRLEN")
    check(client.type(key), b"string", "TYPE")
    check(client.exists(key, prefix + "absent"), 1, "EXISTS")
    check(client.delete(key, prefix + "absent"), 1, "DEL")
    check(client.get(key), None, "GET of a deleted key")
    binary = bytes(range(256)) * 4096
    check(client.set(key, binary), True, "SET of 1 MiB of any bytes")
    check(client.get(key), binary, "GET of 1 MiB of any bytes")
    client.delete(key)


def counters(client, prefix):
    key = prefix + "counter"
    check(client.incr(key), 1, "INCR")
    check(client.incrby(key, 41), 42, "INCRBY")
    check(client.decr(key), 41, "DECR")
    client.set(key, "text")
    try:
        client.incr(key)
    except redis.ResponseError as error:
        check("not an integer" in str(error), True, "the error of INCR on text")
    else:
        raise SystemExit("redis-py: INCR on text did not fail")
    client.delete(key)


def pipelines(client, prefix):
    count = 1000
    with client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.set(f"{prefix}p{number}", number)
        check(pipeline.execute(), [True] * count, "a pipeline of SET")
        for number in range(count):
            pipeline.get(f"{prefix}p{number}")
            pipeline.incr(f"{prefix}p{number}")
            pipeline.get(f"{prefix}p{number}")
        expected = []
        for number in range(count):
            expected += [b"%d" % number, number + 1, b"%d" % (number + 1)]
        check(pipeline.execute(), expected, "a pipeline that reads its own writes")


def many_keys(client, prefix):
    values = {f"{prefix}m{number}": b"%d" % number for number in range(100)}
    check(client.mset(values), True, "MSET over many shards")
    check(client.mget(list(values) + [prefix + "absent"]), list(values.values()) + [None], "MGET")
    check(client.delete(*values), 100, "DEL over many shards")


def expiry(client, prefix):
    key = prefix + "expiry"
    client.set(key, "soon gone", px=300)
    check(0 < client.pttl(key) <= 300, True, "PTTL")
    check(client.expire(key, 100), True, "EXPIRE")
    check(98 <= client.ttl(key) <= 100, True, "TTL")
    check(client.pexpire(key, 50), True, "PEXPIRE")
    time.sleep(0.3)
    check(client.get(key), None, "GET after the deadline")
    check(client.ttl(key), -2, "TTL of an absent key")
    client.set(key, "stays")
    check(client.ttl(key), -1, "TTL of a key without a deadline")
    client.delete(key)


def concurrency(client, prefix):
    """Increments one counter from many connections: none may be lost or counted twice."""
    key = prefix + "shared"
    client.delete(key)
    failures = []

    def work():
        try:
            for _ in range(50):
                client.incr(key)
        except redis.RedisError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(failures, [], "INCR from 8 threads")
    check(client.get(key), b"400", "the sum of 400 INCR")


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    for protocol in (2, 3):
        client = redis.Redis(host=host, port=port, protocol=protocol, socket_timeout=10)
        check(client.ping(), True, "PING")
        check(client.echo("hello"), b"hello", "ECHO")
        check(client.client_setname("smoke"), True, "CLIENT SETNAME")
        check("redis_version" in client.info(), True, "INFO")
        for part in (strings, counters, pipelines, many_keys, expiry, concurrency):
            part(client, f"smoke:{port}:{protocol}:")
        client.close()
    print(f"redis-py {redis.__version__}: all as expected on {host}:{port}, RESP2 and RESP3")


if __name__ == "__main__":
    main()
