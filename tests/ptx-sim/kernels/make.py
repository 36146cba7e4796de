#!/usr/bin/env python3
"""Compiles the test kernels with NVRTC 12.0: make.py <libnvrtc.so.12>. Needed only when a .cu changes.

python3 -m venv .cuda12 && .cuda12/bin/pip install -q nvidia-cuda-nvrtc-cu12==12.0.140
"""
import ctypes
import pathlib
import sys

nvrtc = ctypes.CDLL(sys.argv[1])
here = pathlib.Path(__file__).parent


def text_of(program, size, get):
    length = ctypes.c_size_t()
    size(program, ctypes.byref(length))
    text = ctypes.create_string_buffer(length.value)
    get(program, text)
    return text.value.decode()


for source in sorted(here.glob("*.cu")):
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None)
    options = (ctypes.c_char_p * 1)(b"--gpu-architecture=compute_80")
    failed = nvrtc.nvrtcCompileProgram(program, len(options), options)
    print(source.name, text_of(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog))
    if failed:
        sys.exit(1)
    source.with_suffix(".ptx").write_text(text_of(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX))
