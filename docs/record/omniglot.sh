#!/usr/bin/env bash
# Omniglot: one run, judged by three protocols.
#     docs/record/omniglot.sh RUN.toml OUT OMNIGLOT [PRECISION]
set -euo pipefail
[ $# = 3 ] || [ $# = 4 ] || { echo "usage: omniglot.sh RUN.toml OUT OMNIGLOT [PRECISION]" >&2; exit 2; }
mkdir -p "$2"
config=$(realpath "$1") out=$(realpath "$2") omniglot=$(realpath "$3") precision=${4:-single} seed=${SEED:-0}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nearfar=${NEARFAR:-${CARGO_TARGET_DIR:-target}/release/nearfar}
[ -x "$nearfar" ] || cargo build --release --quiet -p nearfar

"$nearfar" train --data "$omniglot" --config "$config" --seed "$seed" --threads 1 --device cpu --precision "$precision" \
    --out "$out/run" --json >"$out/run.json" 2>"$out/run.err"
"$nearfar" embed --run "$out/run" --data "$omniglot" --part test --device cpu --precision "$precision" \
    --out "$out/E.npy" --labels-out "$out/L.npy" >/dev/null
python3 - "$out/run.json" <<'P'
import json, sys
run = json.load(open(sys.argv[1]))
print(f"Recall@1 {run['test']['recall']['1']:.4f}, MAP@R {run['test']['map_at_r']:.4f}, {run['steps']} steps, "
      f"{run['cpu_seconds']:.0f} CPU seconds, {run['training_cpu_seconds']:.0f} of them steps and looks")
P
printf '\nRetrieval\n'
"$nearfar" eval --embeddings "$out/E.npy" --labels "$out/L.npy" --device cpu
printf '\nVerification, the pairs of the data folder\n'
"$nearfar" verify --embeddings "$out/E.npy" --pairs "$omniglot/evaluation-pairs.tsv"
printf '\nOne-shot, the trials of Lake et al.\n'
"$nearfar" oneshot --embeddings "$out/E.npy" --trials "$omniglot/oneshot-20way-runs.tsv"
