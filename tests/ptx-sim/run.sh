#!/usr/bin/env bash
# Runs a command with the simulator in place of the CUDA driver:
#     bash tests/ptx-sim/run.sh cargo test --locked -p nearfar-cuda
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -gt 0 ] || { echo "usage: run.sh COMMAND [ARGUMENT...]" >&2; exit 2; }

# A relative folder is one of the caller's, as cargo takes it.
target=${CARGO_TARGET_DIR:-$here/../../target}
cargo build --locked --release --manifest-path "$here/Cargo.toml" --lib --target-dir "$target"

# Under the name of a driver in a folder that is in no other program's path: a real driver stays in sight of the rest.
place=$(cd "$target" && pwd)/ptx-sim
mkdir -p "$place"
cp "$target/release/libptx_sim.so" "$place/libcuda.so.new"
mv "$place/libcuda.so.new" "$place/libcuda.so"
ln -sf libcuda.so "$place/libcuda.so.1"

export LD_LIBRARY_PATH=$place${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export REQUIRE_GPU=1
exec "$@"
