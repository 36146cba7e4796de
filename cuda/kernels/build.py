"""Compiles the kernels of this folder with NVRTC, assembles them with ptxas, and writes MANIFEST.toml.

Called by build.sh, which pins the compiler. NVRTC is called through ctypes: its wheel holds no program.
A kernel that spills registers to memory is an error.
"""

import ctypes
import hashlib
import pathlib
import re
import site
import sys

from assemble import CHIPS, Refused, assemble

HERE = pathlib.Path(__file__).resolve().parent
NVIDIA = pathlib.Path(site.getsitepackages()[0]) / "nvidia"
RELEASE = "12.0.140"
OPTIONS = ["--gpu-architecture=compute_80", "--std=c++17", "--fmad=false"]
PTXAS = NVIDIA / "cuda_nvcc" / "bin" / "ptxas"


def nvrtc():
    folder = NVIDIA / "cuda_nvrtc" / "lib"
    # The compiler opens its built-in declarations by name: they must be loaded before.
    ctypes.CDLL(str(folder / "libnvrtc-builtins.so.12.0"), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(folder / "libnvrtc.so.12"))


def text_of(library, program, size_name, get_name):
    size = ctypes.c_size_t()
    getattr(library, size_name)(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, get_name)(program, text)
    return text.value.decode()


def compile_ptx(library, source):
    program = ctypes.c_void_p()
    headers = sorted(HERE.glob("*.cuh"))
    texts = (ctypes.c_char_p * len(headers))(*[h.read_bytes() for h in headers])
    names = (ctypes.c_char_p * len(headers))(*[h.name.encode() for h in headers])
    library.nvrtcCreateProgram(
        ctypes.byref(program), source.read_bytes(), source.name.encode(), len(headers), texts, names
    )
    options = (ctypes.c_char_p * len(OPTIONS))(*[o.encode() for o in OPTIONS])
    failed = library.nvrtcCompileProgram(program, len(OPTIONS), options)
    log = text_of(library, program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
    if failed or "warning" in log:
        sys.exit(f"{source.name}:\n{log}")
    return text_of(library, program, "nvrtcGetPTXSize", "nvrtcGetPTX")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def headers_of(path, seen):
    for name in re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8")):
        if name not in seen:
            seen.add(name)
            headers_of(HERE / name, seen)
    return seen


def main():
    library = nvrtc()
    lines = [
        "# Written by build.sh: what each PTX file was made from, and what the assembler says of it.",
        "",
        f'compiler = "NVRTC {RELEASE}"',
        f'assembler = "ptxas {RELEASE}"',
        "options = [" + ", ".join(f'"{o}"' for o in OPTIONS) + "]",
        "chips = [" + ", ".join(f'"{c}"' for c in CHIPS) + "]",
    ]
    for source in sorted(HERE.glob("*.cu")):
        target = source.with_suffix(".ptx")
        target.write_text(compile_ptx(library, source), encoding="utf-8")
        lines += ["", f"[{source.stem}]", f'ptx = "{sha256(target)}"']
        sources = [source.name, *sorted(headers_of(source, set()))]
        lines.append("sources = { " + ", ".join(f'"{s}" = "{sha256(HERE / s)}"' for s in sources) + " }")
        by_chip = {chip: assemble(PTXAS, target, chip) for chip in CHIPS}
        lines += [f"[{source.stem}.kernels] # registers on each chip, bytes of shared memory"]
        for name in sorted(by_chip[CHIPS[0]]):
            registers = [by_chip[chip][name][0] for chip in CHIPS]
            lines.append(f"{name} = {{ registers = {registers}, shared = {by_chip[CHIPS[0]][name][1]} }}")
    (HERE / "MANIFEST.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except Refused as refusal:
        sys.exit(str(refusal))
