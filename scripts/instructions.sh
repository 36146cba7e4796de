#!/usr/bin/env bash
# Instructions of each hot path on one thread: a regression shows here on any machine, however noisy its clock.
#     scripts/instructions.sh             against docs/record/instructions.csv; fails where one takes 2 % more
#     scripts/instructions.sh --record    writes that file anew
# Counted by valgrind's callgrind, which has AVX2 and no AVX-512: the same path on every x86 machine. The bench harness
# is not counted; the random numbers of the inputs are, a third of `step`. Another compiler counts otherwise, so the file
# tells which one it was.
set -euo pipefail
[ $# = 0 ] || [ "$*" = --record ] || { echo "usage: instructions.sh [--record]" >&2; exit 2; }
for tool in valgrind callgrind_annotate; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: install valgrind" >&2; exit 1; }
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
record=docs/record/instructions.csv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo bench --quiet --locked -p nearfar-core --bench paths --no-run --message-format json >"$work/build.json"
bench=$(grep -o '"executable":"[^"]*paths-[^"]*"' "$work/build.json" | tail -1 | cut -d'"' -f4)

# What carries the core's name, inlined parts of libraries included, and copies of memory.
count() {
    valgrind --quiet --tool=callgrind --callgrind-out-file="$work/profile" "$bench" --test --exact "paths::$1" >/dev/null
    callgrind_annotate --auto=no --threshold=100 "$work/profile" | awk '
        /^ *[0-9,]+ \(/ && /nearfar_core|pulp::|libm::|mem(set|cpy|move)/ { gsub(",", "", $1); sum += $1 }
        END { printf "%.0f\n", sum }'
}

{
    echo "path,instructions"
    for path in step::1024 expected::1024 search::2048 mlp::128 conv::32 isotonic::100000; do
        echo "$path,$(count "$path")"
    done
} >"$work/now.csv"
compiler=$(rustc --version)

if [ $# = 1 ]; then
    { echo "# $compiler"; cat "$work/now.csv"; } >"$record"
    cat "$record"
    exit
fi
[ "# $compiler" = "$(head -1 "$record")" ] || echo "another compiler: $compiler, recorded with$(head -1 "$record" | tail -c +2)" >&2
awk -F, 'NR == FNR { if (FNR > 2) before[$1] = $2; next }
    FNR > 1 && !($1 in before) { print $1 " is not in the record"; worse = 1; next }
    FNR > 1 { ratio = $2 / before[$1]; printf "%-18s %14.0f  %.3f\n", $1, $2, ratio; if (ratio > 1.02) worse = 1 }
    END { exit worse }' "$record" "$work/now.csv"
