#!/usr/bin/env bash
# Drives a three-node cluster with the clients that people have, and prints the table of clients that
# the README shows.
#
# usage: run.sh [CYCLADES]       the built executable, .build/release/cyclades by default
#
# REQUESTS         requests of each benchmark (100000)
# CYCLADES_PYTHON  a Python with redis-py, hiredis, valkey-py and valkey-glide (python3)
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

version=$(redis-cli --version | awk '{ print $2 }')
rows=("redis-cli|$version|plain, and cluster with redirects|12 answers")

# Measures and expects no error; the rest is how redis-benchmark is called.
benchmark() {
  local name=$1
  shift
  echo "redis-benchmark: $name, $requests requests"
  redis-benchmark "$@" -t set,get,incr,lpush,rpop,sadd,hset,mset -n "$requests" -c 50 -q \
    >"$data/benchmark" 2>&1 || fail "redis-benchmark: $(tail -n 1 "$data/benchmark")"
  if grep -qi error "$data/benchmark"; then fail "redis-benchmark: $(cat "$data/benchmark")"; fi
  tr '\r' '\n' <"$data/benchmark" | grep 'requests per second' | sed 's/^/  /'
}

benchmark "node 1" -p "${plain[0]}" -P 1
for node in 0 1 2; do
  benchmark "node $((node + 1)), pipeline 16" -p "${plain[node]}" -P 16
done
benchmark "cluster" -p $((port + 1)) --cluster
benchmark "cluster, pipeline 16" -p $((port + 1)) --cluster -P 16
rows+=("redis-benchmark|$version|plain and \`--cluster\`, pipeline 1 and 16|8 tests")

for library in redis-py redis-py+hiredis valkey-py; do
  for node in 0 1 2; do
    row=$("$python" "$clients/python_clients.py" "$library" "${plain[node]}" $((port + 1 + node))) \
      || fail "$library failed on node $((node + 1))"
  done
  rows+=("$row")
done
row=$("$python" "$clients/glide_client.py" "${plain[1]}" $((port + 2))) || fail "valkey-glide failed"
rows+=("$row")

kill -TERM "$cluster"
wait "$cluster" || fail "the cluster ended with exit code $? after SIGTERM"
cluster=
echo
{
  echo 'client|version|how|checked'
  echo '---|---|---|---'
  printf '%s\n' "${rows[@]}"
} | sed 's/|/ | /g; s/^/| /; s/$/ |/'
echo
echo "All clients are content."
