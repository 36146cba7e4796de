#!/bin/sh
# Assembles every committed PTX with the pinned ptxas for every chip, and fails on spills: what no test without an
# assembler can see. Needs python3 and, the first time, the network (28 MB). No GPU, no driver, no toolkit.
set -eu
cd "$(dirname "$0")/../.."
wheel=nvidia-cuda-nvcc-cu12==12.0.140
place=.cuda12
ptxas() { find "$place" -path '*/nvidia/cuda_nvcc/bin/ptxas' 2>/dev/null | head -n 1; }
fail() { printf 'cuda/kernels/gate.sh: %s\n' "$*" >&2; exit 1; }

command -v python3 >/dev/null || fail "python3 is not here: it fetches and runs the assembler"
if [ -z "$(ptxas)" ]; then
    # A venv where Python can make one; else any pip, into a folder.
    if [ -x "$place/bin/pip" ] || python3 -m venv "$place" 2>/dev/null; then
        "$place/bin/pip" install -q --disable-pip-version-check "$wheel" || fail "pip could not install $wheel"
    elif python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip install -q --disable-pip-version-check --no-deps --target "$place/wheels" "$wheel" ||
            fail "pip could not install $wheel"
    else
        fail "python3 has neither venv nor pip: install them (Debian: python3-venv, python3-pip)"
    fi
fi
ptxas=$(ptxas)
[ -n "$ptxas" ] || fail "$wheel holds no ptxas"
chmod +x "$ptxas"
python3 cuda/kernels/assemble.py "$ptxas" --planted
python3 cuda/kernels/assemble.py "$ptxas"
