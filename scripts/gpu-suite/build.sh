#!/usr/bin/env bash
# Builds what run.sh runs on a machine with an NVIDIA GPU, into a folder to be carried there:
#     scripts/gpu-suite/build.sh .gpu && tar czf gpu.tgz .gpu
# There: .gpu/run.sh RECORD [OMNIGLOT]. That machine needs a driver, bash and a C library as new as this one's; Rust and
# CUDA toolkits it does not need.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# = 1 ] || { echo "usage: build.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$here/../.."

# The last executable that cargo names is the one asked for.
built() {
    cargo "$@" --locked --message-format=json | python3 -c '
import json, sys
found = [m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")]
print(found[-1])'
}
cp "$(built test --release --no-run -p nearfar-cuda --test parity)" "$out/parity"
cp "$(built build --release -p nearfar-cuda --example rates)" "$out/rates"
cp "$(built build --release -p nearfar --bin nearfar)" "$out/nearfar"
cp "$here/run.sh" "$here/torch_step.py" "$out/"
git rev-parse HEAD >"$out/commit"
echo "$out: parity, rates, nearfar; run.sh starts them"
