#!/usr/bin/env python3
"""Drives a server through a Python client library as an application would, and checks every answer.

usage: python_clients.py LIBRARY PLAIN_PORT CLUSTER_PORT      (of any node of this machine)

LIBRARY is redis-py, redis-py+hiredis (its parser in C) or valkey-py. Prints a row for the table of
clients: name, version, what was done, how many answers were checked.
"""

import importlib
import sys
import threading
import time

library = sys.argv[1]
if library == "redis-py":
    sys.modules["hiredis"] = None  # Not to be found: redis-py then takes its parser in Python.
redis = importlib.import_module("valkey" if library == "valkey-py" else "redis")
Client = redis.Valkey if library == "valkey-py" else redis.Redis
ClusterClient = redis.ValkeyCluster if library == "valkey-py" else redis.RedisCluster
ClientError = redis.ValkeyError if library == "valkey-py" else redis.RedisError

checks = 0


def check(found, expected, what):
    global checks
    checks += 1
    if found != expected:
        raise SystemExit(f"{library}: {what}: found {found!r}, expected {expected!r}")


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
        raise SystemExit(f"{library}: INCR on text did not fail")
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
        except ClientError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(failures, [], "INCR from 8 threads")
    check(client.get(key), b"400", "the sum of 400 INCR")


def transactions(client, prefix):
    """Optimistic locking, as the libraries' own helpers do it."""
    key, other = prefix + "{t}balance", prefix + "{t}log"
    client.set(key, 10)

    def move(pipeline):
        balance = int(pipeline.get(key))
        pipeline.multi()
        pipeline.set(key, balance - 3)
        pipeline.append(other, "-3")

    check(client.transaction(move, key), [True, 2], "a transaction")
    check(client.get(key), b"7", "what it wrote")
    with client.pipeline() as pipeline:
        pipeline.watch(key)
        client.incr(key)
        pipeline.multi()
        pipeline.set(key, 0)
        try:
            pipeline.execute()
        except redis.WatchError:
            check(client.get(key), b"8", "a transaction whose watched key changed")
        else:
            raise SystemExit(f"{library}: EXEC went through although a watched key had changed")
        pipeline.reset()
        pipeline.set(key, "text").incr(key).get(key)
        found = pipeline.execute(raise_on_error=False)
        check(found[0::2], [True, b"text"], "the replies beside an error in EXEC")
        check(isinstance(found[1], redis.ResponseError), True, "an error in EXEC")
    client.delete(key, other)


def messages(client, prefix):
    listener = client.pubsub()
    listener.subscribe(prefix + "channel")
    listener.psubscribe(prefix + "pat*")

    def following(kind):
        limit = time.monotonic() + 10
        while time.monotonic() < limit:
            message = listener.get_message(timeout=1)
            if message and message["type"] == kind:
                return message
        raise SystemExit(f"{library}: no {kind} within 10 s")

    following("subscribe")
    following("psubscribe")
    client.publish(prefix + "channel", "one")
    check(following("message")["data"], b"one", "a message")
    client.publish(prefix + "pattern", "two")
    check(following("pmessage")["channel"], (prefix + "pattern").encode(), "a match")
    listener.unsubscribe()
    following("unsubscribe")
    listener.close()


def sharded_messages(client, prefix):
    listener = client.pubsub()
    listener.ssubscribe(prefix + "shard")
    limit = time.monotonic() + 10
    found = None
    while found is None and time.monotonic() < limit:
        client.spublish(prefix + "shard", "three")
        message = listener.get_sharded_message(timeout=0.5)
        if message and message["type"] == "smessage":
            found = message["data"]
    check(found, b"three", "a sharded message")
    listener.close()


def introspection(client, prefix):
    check(client.client_setname("smoke"), True, "CLIENT SETNAME")
    check(client.client_getname() in ("smoke", b"smoke"), True, "CLIENT GETNAME")
    check(client.client_id() > 0, True, "CLIENT ID")
    check("redis_version" in client.info(), True, "INFO")
    check(client.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"}, "CONFIG GET")
    check(client.dbsize() >= 0, True, "DBSIZE")
    check(client.ping(), True, "PING")
    check(client.echo("hello"), b"hello", "ECHO")


def cluster(client, prefix):
    """What only a client that knows the slots can do."""
    check(len(client.get_primaries()), 3, "the nodes that lead slots")
    for number in range(200):
        check(client.set(f"{prefix}c{number}", number), True, "SET over all slots")
    values = client.mget_nonatomic([f"{prefix}c{number}" for number in range(200)])
    check(values, [b"%d" % number for number in range(200)], "MGET over all slots")
    with client.pipeline() as pipeline:
        for number in range(200):
            pipeline.get(f"{prefix}c{number}")
        check(pipeline.execute(), values, "a pipeline over all slots")
    if library != "valkey-py":  # It has no transactions in a cluster.
        with client.pipeline(transaction=True) as pipeline:
            pipeline.set(prefix + "{c}1", 1).incr(prefix + "{c}1").get(prefix + "{c}1")
            check(pipeline.execute()[1:], [2, b"2"], "a transaction in one slot")
    check(client.delete(*[f"{prefix}c{number}" for number in range(200)]), 200, "DEL")
    check(client.cluster_keyslot("{c}1"), 7365, "CLUSTER KEYSLOT")


def main():
    plain, led = int(sys.argv[2]), int(sys.argv[3])
    single = [
        strings, counters, pipelines, many_keys, expiry, transactions, messages, introspection,
        concurrency,
    ]
    clustered = [strings, counters, expiry, cluster, sharded_messages, concurrency]
    for protocol in (2, 3):
        options = {"protocol": protocol, "socket_timeout": 10}
        client = Client(host="127.0.0.1", port=plain, **options)
        for part in single:
            part(client, f"smoke:{plain}:{protocol}:")
        client.close()
        client = ClusterClient(host="127.0.0.1", port=led, **options)
        for part in clustered:
            part(client, f"{{smoke}}:{led}:{protocol}:" if part is strings else f"s:{led}:{protocol}:")
        client.close()
    print(f"{library}|{redis.__version__}|plain and cluster, RESP2 and RESP3|{checks} answers")


if __name__ == "__main__":
    main()
