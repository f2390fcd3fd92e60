#!/usr/bin/env bash
# run.sh SCRATCH [FILTER]: the transport's tests under AddressSanitizer (with LeakSanitizer) and
# under ThreadSanitizer, each in a build of its own below SCRATCH.
set -euo pipefail
scratch=$(mkdir -p "$1" && realpath "$1")
filter=${2:-CycladesTransportTests}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

tests() {
  swift build --build-tests --sanitize="$1" --scratch-path "$scratch/$1"
  # Without randomised addresses: ThreadSanitizer finds no room for its shadow on some kernels.
  timeout 900 setarch -R swift test --skip-build --no-parallel --sanitize="$1" \
    --scratch-path "$scratch/$1" --filter "$filter"
}

export LSAN_OPTIONS="suppressions=$here/leak.supp:print_suppressions=0"
export TSAN_OPTIONS="suppressions=$here/thread.supp:halt_on_error=1"
tests address
tests thread

# Are the suppressions still needed?
for reason in continuation mutex; do
  swiftc -sanitize=thread -parse-as-library "$here/$reason.swift" -o "$scratch/$reason"
  if TSAN_OPTIONS= setarch -R "$scratch/$reason" 2>&1 | grep -q 'WARNING: ThreadSanitizer'; then
    echo "ThreadSanitizer still takes a $reason for a race: thread.supp is needed."
  else
    echo "ThreadSanitizer understands a $reason now: try without it in thread.supp."
  fi
done
