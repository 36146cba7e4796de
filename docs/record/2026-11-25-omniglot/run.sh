#!/usr/bin/env bash
# Omniglot: three runs of other seeds, their embeddings joined, judged by three protocols.
#     docs/record/2026-11-25-omniglot/run.sh OUT OMNIGLOT
set -euo pipefail
[ $# = 2 ] || { echo "usage: run.sh OUT OMNIGLOT" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(realpath "$1") omniglot=$(realpath "$2")
cd "$here/../../.."
nearfar=${NEARFAR:-${CARGO_TARGET_DIR:-target}/release/nearfar}
[ -x "$nearfar" ] || cargo build --release --quiet -p nearfar

train() {
    "$nearfar" train --data "$omniglot" --config "$here/run.toml" --seed "$1" --threads 1 --device cpu \
        --out "$out/$1" --json >"$out/$1.json" 2>"$out/$1.err"
}
# A thread each, two at once.
train 0 & first=$!
train 1
wait "$first"
train 2
"$nearfar" embed --run "$out/0" --run "$out/1" --run "$out/2" --data "$omniglot" --part test --device cpu \
    --out "$out/E.npy" --labels-out "$out/L.npy" >/dev/null
printf 'User and system time of this shell, and of its children: three runs and their embeddings\n'
times
for seed in 0 1 2; do
    python3 - "$seed" "$out/$seed.json" <<'P'
import json, sys
run = json.load(open(sys.argv[2]))
print(f"run {sys.argv[1]}: Recall@1 {run['test']['recall']['1']:.4f}, MAP@R {run['test']['map_at_r']:.4f}, "
      f"{run['steps']} steps, {run['cpu_seconds']:.0f} CPU seconds")
P
done
printf '\nJoined\n'
"$nearfar" eval --embeddings "$out/E.npy" --labels "$out/L.npy" --device cpu
printf '\nVerification, the pairs of the data folder\n'
"$nearfar" verify --embeddings "$out/E.npy" --pairs "$omniglot/evaluation-pairs.tsv"
printf '\nOne-shot, the trials of Lake et al.\n'
"$nearfar" oneshot --embeddings "$out/E.npy" --trials "$omniglot/oneshot-20way-runs.tsv"
