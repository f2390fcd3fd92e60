#!/usr/bin/env bash
# Builds fuzzers with AddressSanitizer and UndefinedBehaviorSanitizer and runs each for SECONDS.
#
#   Tests/Fuzz/run.sh SECONDS store|wire
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

fuzz() {
  local name=$1 sources=$2
  echo "==> $name, $seconds s"
  mkdir "$out/$name.corpus"
  clang -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=undefined "-I$sources/include" "$sources"/*.c "Tests/Fuzz/$name.c" \
    -lm -lxxhash -o "$out/$name" 2>"$out/log" || { cat "$out/log"; exit 1; }
  # A seed of random bytes: programs of the table's fuzzer are long before they are deep.
  head -c 3000 /dev/zero | tr '\0' '\125' >"$out/$name.corpus/seed"
  (cd "$out" && "./$name" -max_len=6000 -len_control=0 "-max_total_time=$seconds" \
    -print_final_stats=1 "$name.corpus" 2>log) || { tail -40 "$out/log"; exit 1; }
  grep -aE 'stat::number_of_executed_units' "$out/log"
}

case ${2:-store} in
  store)
    fuzz resp_fuzzer CSources/RESP
    fuzz table_fuzzer CSources/Table
    ;;
  wire) fuzz wire_fuzzer CSources/Wire ;;
  *) echo "error: there are no fuzzers called $2: store or wire" >&2; exit 64 ;;
esac
