#!/usr/bin/env bash
# The core on the bare kernel; see Cargo.toml. Linux on x86-64 or AArch64.
set -euo pipefail
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet
"$target/debug/nearfar-no-std"
if [ -n "$(nm -u "$target/debug/nearfar-no-std")" ]; then
    echo "the freestanding program has undefined symbols" >&2
    exit 1
fi
# The negative control: a gate that cannot close proves nothing. The compiler refuses before it makes any code.
if cargo check --quiet --features leak 2>leak.log; then
    echo "the gate is open: a program with std inside went through" >&2
    exit 1
fi
if ! grep -q "duplicate lang item\|found duplicate" leak.log; then
    cat leak.log >&2
    echo "the program with std failed for another reason" >&2
    exit 1
fi
rm leak.log
echo "no_std: the numbers agree, and the gate closes"
