#!/usr/bin/env bash
# Fuzzes the shuffle's C core for SECONDS (default 30) with libFuzzer, ASan and UBSan.
#
#   Tests/Fuzz/shuffle.sh [SECONDS]      inputs that were worth keeping stay in .build/fuzz/shuffle
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-30}
corpus=.build/fuzz/shuffle
mkdir -p "$corpus"
compiler=$(dirname "$(readlink -f "$(command -v swiftc)")")/clang
"$compiler" -g -O1 -std=gnu17 -D_GNU_SOURCE -fno-omit-frame-pointer \
  -fsanitize=address,undefined,fuzzer -fno-sanitize-recover=undefined \
  -ICSources/Shuffle/include CSources/Shuffle/*.c Tests/Fuzz/shuffle.c -lxxhash \
  -o .build/fuzz/fuzz-shuffle
.build/fuzz/fuzz-shuffle -max_total_time="$seconds" -print_final_stats=0 -verbosity=0 "$corpus"
