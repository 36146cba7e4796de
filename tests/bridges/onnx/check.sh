#!/usr/bin/env bash
# The exported network in onnxruntime against `nearfar embed`: an MLP and two CNNs on kana, one of them with turned views,
# and an MLP on vectors; batches of 1, 7 and all, raw inputs. Stops at a difference above 1e-5.
#
#     pip install onnxruntime numpy
#     tests/bridges/onnx/check.sh [PYTHON]
#
# NEARFAR=path takes a program that was built before. Not part of the suite, which runs such graphs by definition
# instead (tests/suite/onnx.rs). Recorded outcome: README.md beside this file.
set -euo pipefail
cd "$(dirname "$0")/../../.."
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "${NEARFAR:-}" ]; then
    cargo build --quiet -p nearfar
    NEARFAR=${CARGO_TARGET_DIR:-$PWD/target}/debug/nearfar
fi
nearfar=$(realpath "$NEARFAR")
here=$PWD/tests/bridges/onnx
cd "$work"

"$python" "$here/inputs.py"
printf '[model]\nkind = "mlp"\nhidden = [64, 32]\ndim = 32\n[train]\nsteps = 60\n' > mlp.toml
printf '[model]\nkind = "cnn"\nchannels = [8, 16, 16]\ndim = 32\n[train]\nsteps = 60\n' > cnn.toml
printf '[model]\nchannels = [8, 16, 16]\ndim = 32\nviews = 8\n[augment]\nsymmetry = 0.5\n[train]\nsteps = 60\n' > turned.toml
# Under another name a file is no set that was split: it is embedded whole and in its own order.
cp vectors.npz whole.npz
for run in mlp cnn turned vectors; do
    data=kana config=$run embedded=kana
    if [ "$run" = vectors ]; then data=vectors.npz config=mlp embedded=whole.npz; fi
    "$nearfar" train --data "$data" --config "$config.toml" --out "$run" >/dev/null 2>&1
    "$nearfar" embed --run "$run" --data "$embedded" --part test --out "$run.npy" >/dev/null
    "$nearfar" export --run "$run" --out "$run.onnx"
done
"$python" "$here/compare.py"
