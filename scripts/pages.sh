#!/usr/bin/env bash
# Every page and picture that the program makes, as PNG, for people to look at: what is readable no test knows.
#     scripts/pages.sh FOLDER
# NEARFAR=path takes a program that was built before, BROWSER another than chromium. That they load without a fault, and
# that no text is cut or hidden by another, is tested in tests/suite/browser.rs.
set -euo pipefail
[ $# = 1 ] || { echo "usage: pages.sh FOLDER" >&2; exit 2; }
browser=${BROWSER:-chromium}
command -v "$browser" >/dev/null || { echo "skipped: no chromium" >&2; exit 0; }
mkdir -p "$1"
out=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${NEARFAR:-}" ]; then
    cargo build --quiet --locked -p nearfar
    NEARFAR=${CARGO_TARGET_DIR:-$PWD/target}/debug/nearfar
fi
nearfar=$(realpath "$NEARFAR")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >small.toml <<'TOML'
data.validation = 0.2
model = { kind = "mlp", dim = 32, hidden = [64] }
batch = { classes = 16, per_class = 5 }
train = { steps = 60, every = 5 }
TOML
"$nearfar" train --config small.toml --out margin >/dev/null 2>&1
"$nearfar" train --config small.toml --loss triplet --sampler semihard --out triplet >/dev/null 2>&1
"$nearfar" ablate --config small.toml --preset paper --steps 12 --seeds 2 --out grid >/dev/null 2>&1
"$nearfar" embed --run margin --data kana --out E.npy --labels-out L.npy >/dev/null
# Of every hiragana the next font of its class, and the same font of the next class.
printf 'fold\ti\tj\tsame\n' >P.tsv
for i in $(seq 0 1034); do
    printf '%d\t%d\t%d\t%d\n' $((i % 5)) "$i" $((i / 15 * 15 + (i + 1) % 15)) 1 $((i % 5)) "$i" $((i + 15)) 0
done >>P.tsv
"$nearfar" calibrate --embeddings E.npy --pairs P.tsv --far 0.05 --out C.json --plot calibration.svg >/dev/null
"$nearfar" density --n 128 --plot density-of-one.svg >/dev/null
"$nearfar" figures --run margin --run triplet --out figures >/dev/null

# PAGE NAME WIDTH HEIGHT
shot() {
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
        --window-size="$3,$4" --screenshot="$out/$2.png" "file://$work/$1" >/dev/null 2>&1
    echo "$out/$2.png"
}
shot margin/report.html report 1240 3400
shot margin/report.html report-narrow 420 5200
shot grid/index.html grid 1240 2600
shot figures/index.html figures 1240 5200
for svg in figures/*.svg calibration.svg density-of-one.svg grid/table.svg; do
    read -r width height < <(sed -n '1s/.*width="\([0-9]*\)" height="\([0-9]*\)".*/\1 \2/p' "$svg")
    shot "$svg" "$(basename "$svg" .svg)" "$width" "$height"
done
