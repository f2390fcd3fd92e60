#!/usr/bin/env bash
# Backs a cluster of three nodes up while it is written to, and restores the copy into one of another
# size. Usage: run.sh CYCLADES. Needs redis-cli.
set -euo pipefail
cyclades=$1
folder=$(mktemp -d)
pids=()
clean() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap clean EXIT

fail() { echo "error: $*" >&2; exit 1; }

# A port from which the cluster command finds its own free; see `cyclades cluster --help`.
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start() { # NODES FOLDER -> sets plain; the ports may be somebody's, then others are tried
  local first attempt
  for attempt in 1 2 3 4 5; do
    first=$(($(port) % 20000 + 20000))
    "$cyclades" cluster --nodes "$1" --port "$first" --data "$2-$attempt" >"$2.log" 2>&1 &
    pids+=($!)
    plain=$((first + 101))
    for _ in $(seq 50); do
      if redis-cli -p "$plain" SET ready 1 2>/dev/null | grep -q OK; then
        redis-cli -p "$plain" DEL ready >/dev/null
        return
      fi
      sleep 0.1
    done
  done
  fail "a cluster of $1 does not start: $(cat "$2.log")"
}

start 3 "$folder/three"
from=$plain
{
  for i in $(seq 3000); do echo "SET string:$i value-$i"; done
  for i in $(seq 50); do
    for j in $(seq 40); do
      echo "HSET hash:$i field-$j $j"; echo "RPUSH list:$i item-$j"
      echo "SADD set:$i member-$j"; echo "ZADD sorted:$i $j.5 member-$j"
    done
  done
  for i in $(seq 100); do echo "SET short:$i x PX 600000"; done
  echo "EXPIRE list:7 1000"
  for i in $(seq 3000); do echo "RPUSH long item-$i"; done
} | redis-cli -p "$from" >/dev/null
keys=$(redis-cli -p "$from" DBSIZE)

# Somebody goes on writing other keys meanwhile.
redis-cli -p "$from" -r 100000000 INCR busy >/dev/null 2>&1 &
pids+=($!)
writer=$!
"$cyclades" backup --connect "127.0.0.1:$from" --output "$folder/copy"
kill "$writer"

start 1 "$folder/one"
to=$plain
"$cyclades" restore --connect "127.0.0.1:$to" --input "$folder/copy"
redis-cli -p "$to" DEL busy >/dev/null
[ "$(redis-cli -p "$to" DBSIZE)" = "$keys" ] || fail "other keys than the $keys there were"
for command in "GET string:17" "HGETALL hash:5" "LRANGE list:9 0 -1" "LRANGE long 0 -1" \
  "SMEMBERS set:3" "ZRANGE sorted:8 0 -1 WITHSCORES" "PEXPIRETIME short:5" "PEXPIRETIME list:7"; do
  # shellcheck disable=SC2086
  [ "$(redis-cli -p "$from" $command | sort)" = "$(redis-cli -p "$to" $command | sort)" ] \
    || fail "$command differs"
done
[ "$(redis-cli -p "$from" LRANGE long 0 -1)" = "$(redis-cli -p "$to" LRANGE long 0 -1)" ] \
  || fail "a list has lost its order"
"$cyclades" restore --connect "127.0.0.1:$to" --input "$folder/copy" 2>/dev/null \
  && fail "restored into a cluster that is not empty"
printf 'x' | dd of="$folder/copy/shard-00003" bs=1 seek=99 conv=notrunc status=none
"$cyclades" restore --connect "127.0.0.1:$to" --input "$folder/copy" 2>"$folder/refusal" \
  && fail "restored what is damaged"
grep -q shard-00003 "$folder/refusal" || fail "the refusal does not name the file: $(cat "$folder/refusal")"
echo "Backed up, restored, and compared: $keys keys; damage is refused."
