#!/usr/bin/env bash
# Measures what the store's table costs in memory and in its slowest steps; see table_costs.c.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
clang -std=gnu17 -D_GNU_SOURCE -O2 -ICSources/Table/include CSources/Table/*.c \
  Tests/Fuzz/table_costs.c -o "$out/costs"
"$out/costs" "${1:-1000000}"
