#!/usr/bin/env bash
# Drives a three-node cluster with the clients that people have: redis-cli, redis-benchmark, redis-py.
#
# usage: run.sh [CYCLADES]       the built executable, .build/release/cyclades by default
#
# REQUESTS         requests of each benchmark (100000)
# CYCLADES_PYTHON  a Python with redis-py (python3)
set -euo pipefail

cyclades=${1:-.build/release/cyclades}
requests=${REQUESTS:-100000}
python=${CYCLADES_PYTHON:-python3}
clients=$(cd "$(dirname "$0")" && pwd)
data=$(mktemp -d)
log=$data/cluster.log
cluster=

finish() {
  local code=$?
  if [ -n "$cluster" ]; then
    kill -TERM "$cluster" 2>/dev/null || true
    wait "$cluster" 2>/dev/null || true
  fi
  if [ "$code" -ne 0 ] && [ -s "$log" ]; then
    echo "--- the cluster said:" >&2
    tail -n 20 "$log" >&2
  fi
  rm -rf "$data"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
  echo "error: $*" >&2
  exit 1
}

# Expects a reply of redis-cli, word by word.
expect() {
  local port=$1 expected=$2 found
  shift 2
  found=$(redis-cli -p "$port" "$@" 2>&1) || fail "redis-cli -p $port $*: $found"
  [ "$found" = "$expected" ] || fail "redis-cli -p $port $*: '$found' instead of '$expected'"
}

is_up() { [ "$(redis-cli -p "$1" ping 2>/dev/null)" = PONG ]; }

port=$((20000 + RANDOM % 10000))
"$cyclades" cluster --nodes 3 --port "$port" --data "$data/nodes" >"$log" 2>&1 &
cluster=$!
plain=($((port + 101)) $((port + 102)) $((port + 103)))
for ((tries = 0; ; tries++)); do
  kill -0 "$cluster" 2>/dev/null || fail "the cluster did not start"
  if is_up "${plain[0]}" && is_up "${plain[1]}" && is_up "${plain[2]}" \
    && [ "$(redis-cli -p "${plain[0]}" set ready yes 2>/dev/null)" = OK ]; then
    break
  fi
  [ "$tries" -lt 100 ] || fail "no answer from the cluster within 20 s"
  sleep 0.2
done

echo "redis-cli: plain port of every node, cluster port with redirects"
for node in 0 1 2; do
  expect "${plain[node]}" OK set "cli:$node" "from node $node"
  expect "${plain[(node + 1) % 3]}" "from node $node" get "cli:$node"
  expect $((port + 1 + node)) "from node $node" -c get "cli:$node"
  expect "${plain[node]}" $((node + 1)) incr cli:counter
done

for node in 0 1 2; do
  for depth in 1 16; do
    echo "redis-benchmark: node $((node + 1)), pipeline $depth, $requests requests"
    redis-benchmark -p "${plain[node]}" -t set,get -n "$requests" -c 50 -P "$depth" -q \
      >"$data/benchmark" 2>&1 || fail "redis-benchmark: $(tail -n 1 "$data/benchmark")"
    if grep -qi error "$data/benchmark"; then fail "redis-benchmark: $(cat "$data/benchmark")"; fi
    tr '\r' '\n' <"$data/benchmark" | grep 'requests per second' | sed 's/^/  /'
  done
done

for node in 0 1 2; do
  "$python" "$clients/redis_py_smoke.py" 127.0.0.1 "${plain[node]}"
done

kill -TERM "$cluster"
wait "$cluster" || fail "the cluster ended with exit code $? after SIGTERM"
cluster=
echo "All clients are content."
