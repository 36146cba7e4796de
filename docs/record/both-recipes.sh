#!/usr/bin/env bash
# Makes runs.csv: kana with the recipe and with the paper's numbers, and Omniglot if its folder is given.
#     docs/record/both-recipes.sh OUT [OMNIGLOT] >runs.csv
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
omniglot=${2:-}
cargo build --release --quiet -p nearfar
nearfar=${CARGO_TARGET_DIR:-target}/release/nearfar
mkdir -p "$out"

row() { # name, seed, options of train
    local name=$1 seed=$2
    shift 2
    "$nearfar" train --seed "$seed" --threads 1 --out "$out/$name-$seed" --json "$@" >"$out/$name-$seed.json" 2>/dev/null
    python3 - "$name" "$seed" "$out/$name-$seed.json" <<'P'
import json, sys
name, seed, path = sys.argv[1:]
run = json.load(open(path))
for who, s in [("trained", run["test"]), ("raw", run["baselines"]["raw"]), ("untrained", run["baselines"]["untrained"])]:
    print(name, seed, who, *(f"{s['recall'][k]:.4f}" for k in "1248"), f"{s['map_at_r']:.4f}",
          run["steps"], f"{run['cpu_seconds']:.1f}" if who == "trained" else "", sep=",")
P
}

kana() {
    for seed in 0 1 2; do row kana "$seed"; done
    for seed in 0 1 2; do row kana-paper "$seed" --recipe paper; done
}

# Both sets side by side, a thread each.
echo "run,seed,embedding,recall_1,recall_2,recall_4,recall_8,map_at_r,steps,cpu_seconds"
kana >"$out/kana.csv" &
if [ -n "$omniglot" ]; then
    for seed in 0 1 2; do row omniglot "$seed" --data "$omniglot"; done >"$out/omniglot.csv"
fi
wait
cat "$out/kana.csv"
if [ -n "$omniglot" ]; then cat "$out/omniglot.csv"; fi
