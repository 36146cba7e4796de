#!/usr/bin/env bash
# The core inside burn and candle: a training loop of each, and the core's gradients against those of the framework.
#
#     tests/bridges/run.sh              both
#     tests/bridges/run.sh candle       one
#
# Not part of CI, for what the frameworks cost to build: README.md beside this file.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- burn candle
for framework in "$@"; do
    printf '\n== %s\n' "$framework"
    cargo test --locked -p "bridge-$framework"
    cargo run --locked --quiet -p "bridge-$framework"
done
