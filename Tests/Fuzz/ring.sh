#!/usr/bin/env bash
# Fuzzes the decoder of ring snapshots for SECONDS (default 30) with libFuzzer, ASan and UBSan.
#
#   Tests/Fuzz/ring.sh [SECONDS]      inputs that were worth keeping stay in .build/fuzz/ring
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-30}
built=.build/fuzz
corpus=$built/ring
mkdir -p "$corpus"

# The compiler's own libFuzzer: no package to install. SwiftPM cannot build a fuzzer without
# flags that it calls unsafe, and one module of C and one of Swift do not need it.
compiler=$(dirname "$(readlink -f "$(command -v swiftc)")")/clang
objects=()
for source in CSources/Ring/*.c; do
  object=$built/$(basename "$source" .c).o
  "$compiler" -c -g -O1 -std=gnu17 -D_GNU_SOURCE -fno-omit-frame-pointer \
    -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined \
    -ICSources/Ring/include "$source" -o "$object"
  objects+=("$object")
done
cat >"$built/module.modulemap" <<MAP
module CCycladesRing { header "$PWD/CSources/Ring/include/CCycladesRing.h" export * }
MAP
swiftc -g -O -module-name CycladesRing -package-name cyclades -parse-as-library -swift-version 6 \
  -sanitize=fuzzer,address \
  -enable-upcoming-feature MemberImportVisibility \
  -enable-upcoming-feature InternalImportsByDefault -enable-experimental-feature Lifetimes \
  -Xcc -fmodule-map-file="$built/module.modulemap" \
  $(find Sources/CycladesRing -name '*.swift') Tests/Fuzz/FuzzRing.swift "${objects[@]}" \
  -o "$built/fuzz-ring"
"$built/fuzz-ring" -max_total_time="$seconds" -max_len=512 -timeout=20 -rss_limit_mb=2048 \
  -artifact_prefix="$built/" -print_final_stats=1 "$corpus"
