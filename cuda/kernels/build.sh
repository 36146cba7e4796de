#!/bin/sh
# Compiles every kernel to PTX and writes MANIFEST.toml: the only place that compiles. Needs Python and the network
# once; a user of nearfar needs neither. Run it after any change to a .cu or .cuh file and commit what it writes.
set -eu
cd "$(dirname "$0")/../.."
[ -x .cuda12/bin/python ] || python3 -m venv .cuda12
.cuda12/bin/pip install -q nvidia-cuda-nvrtc-cu12==12.0.140 nvidia-cuda-nvcc-cu12==12.0.140
exec .cuda12/bin/python cuda/kernels/build.py
