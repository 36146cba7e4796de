#!/usr/bin/env bash
# Everything that only a GPU can show, into a record folder: parity, sanitizers, training beside the CPU's, rates beside
# their floors, and the same training step in PyTorch where it is installed. Run from the folder that build.sh fills:
#     ./run.sh RECORD [OMNIGLOT]
#     DRY_RUN=1 ./run.sh RECORD        tiny sizes: whether the suite itself works, on the simulator too
# Exit code 1 if a part failed; a part that this machine has no tool for is named as absent.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] || { echo "usage: run.sh RECORD [OMNIGLOT]" >&2; exit 2; }
record=$1 omniglot=${2:-} dry=${DRY_RUN:-}
[ ! -e "$record" ] || { echo "$record exists already" >&2; exit 2; }
mkdir -p "$record"
export REQUIRE_GPU=1
summary=() failed=0

# Runs a part: name, command. What it prints goes to NAME.txt.
part() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    if "$@" >"$record/$name.txt" 2>&1; then
        summary+=("| $name | passed | $((SECONDS - start)) s |")
    else
        summary+=("| $name | **failed** | $((SECONDS - start)) s |")
        failed=1
        tail -n 5 "$record/$name.txt"
    fi
}
absent() {
    echo "== $1: absent ($2)"
    summary+=("| $1 | absent: $2 | |")
}

part doctor "$here/nearfar" doctor --device cuda
few=()
[ -z "$dry" ] || few=(every_operation_of_the_seam rows_are_normalised)
# Without the driver's cache every kernel is compiled as on a user's first run.
part parity env CUDA_CACHE_DISABLE=1 "$here/parity" --test-threads=1 "${few[@]}"

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
for tool in memcheck racecheck; do
    if [ -n "$sanitizer" ]; then
        part "$tool" "$sanitizer" --tool "$tool" --error-exitcode 1 "$here/parity" --test-threads=1 "${few[@]}"
    else
        absent "$tool" "no compute-sanitizer"
    fi
done

# Training, beside the CPU's: name, device, seed, options.
train() {
    local name=$1 device=$2 seed=$3
    shift 3
    "$here/nearfar" train --device "$device" --seed "$seed" --out "$record/runs/$name" --json "$@" >"$record/$name.json"
}
seeds="0 1 2" kana=()
if [ -n "$dry" ]; then
    # Sixteen classes of four points each, and a few steps: kana itself takes a simulator minutes.
    seeds=0 kana=(--data "$record/dry.csv" --steps 2 --every 1 --dim 4 --classes-per-batch 3 --per-class 2)
    awk -v OFS=, 'BEGIN { for (i = 0; i < 64; i++) { c = int(i / 4)
        print sin(c) + i % 4 / 9, cos(2 * c) + i % 3 / 9, sin(3 * c) + i % 5 / 9, c } }' >"$record/dry.csv"
fi
mkdir -p "$record/runs"
for seed in $seeds; do
    for precision in tf32 bf16; do
        part "kana-$precision-$seed" train "kana-$precision-$seed" cuda "$seed" --precision "$precision" "${kana[@]}"
    done
    for device in cuda cpu; do
        part "kana-$device-$seed" train "kana-$device-$seed" "$device" "$seed" "${kana[@]}"
        [ -n "$omniglot" ] || continue
        part "omniglot-$device-$seed" train "omniglot-$device-$seed" "$device" "$seed" --data "$omniglot"
    done
done
[ -n "$omniglot" ] || absent omniglot "no path was given"

size=()
[ -z "$dry" ] || size=(small)
part rates "$here/rates" "${size[@]}"
cp "$record/rates.txt" "$record/rates.csv"
if python3 -c 'import torch' 2>/dev/null; then
    part torch python3 "$here/torch_step.py" "${size[@]}"
else
    absent torch "python3 cannot import it"
fi

{
    echo "# GPU suite"
    echo
    echo "Commit $(cat "$here/commit"), $(date -u +%Y-%m-%d)${dry:+, a dry run with tiny sizes: no figure means anything}."
    echo "Command: \`run.sh RECORD${omniglot:+ OMNIGLOT}\`."
    echo
    echo '```text'
    grep -E '^(cpu|gpu) ' "$record/doctor.txt"
    nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit --format=csv 2>/dev/null ||
        echo "no nvidia-smi"
    echo '```'
    echo
    echo "| part | result | time |"
    echo "|---|---|---|"
    printf '%s\n' "${summary[@]}"
    echo
    echo "| run | Recall@1 | MAP@R | seconds |"
    echo "|---|---|---|---|"
    for file in "$record"/*.json; do
        [ -s "$file" ] || continue
        python3 - "$file" <<'P'
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
run = json.loads(path.read_text())
print(f"| {path.stem} | {run['test']['recall']['1']:.4f} | {run['test']['map_at_r']:.4f} | {run['seconds']:.1f} |")
P
    done
    echo
    echo "Times and floors: rates.csv; the same step in PyTorch: torch.txt, where it is installed."
} >"$record/README.md"
cat "$record/README.md"
exit "$failed"
