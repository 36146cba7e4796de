"""Assembles PTX files with ptxas for every chip, and says what each kernel uses. A kernel that spills is an error.

    python3 assemble.py PTXAS              every file of this folder, held against MANIFEST.toml
    python3 assemble.py PTXAS --planted    two files that must not pass: is the gate able to fail?

gate.sh calls it; so does build.py, for the manifest.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
CHIPS = ["sm_80", "sm_86", "sm_89", "sm_90"]


class Refused(Exception):
    """A file that does not assemble, or a kernel that spills."""


def assemble(ptxas, ptx, chip):
    """Registers and shared bytes of each kernel."""
    run = subprocess.run(
        [ptxas, f"-arch={chip}", "-v", "-o", "/dev/null", ptx], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise Refused(f"{ptx.name} for {chip}:\n{run.stderr}")
    found = {}
    for part in run.stderr.split("Compiling entry function '")[1:]:
        name = part.split("'")[0]
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        if spills.group(1) != "0" or spills.group(2) != "0":
            raise Refused(f"{name} spills on {chip}: {spills.group(0)}")
        shared = re.search(r"(\d+) bytes smem", part)
        found[name] = (int(re.search(r"Used (\d+) registers", part).group(1)), int(shared.group(1)) if shared else 0)
    if not found:
        raise Refused(f"{ptx.name} for {chip}: no kernel in what ptxas says:\n{run.stderr}")
    return found


def recorded():
    """Registers by chip and shared bytes of each kernel, as the manifest has them."""
    line = re.compile(r"^(\w+) = \{ registers = \[([\d, ]+)\], shared = (\d+) \}$", re.MULTILINE)
    text = (HERE / "MANIFEST.toml").read_text(encoding="utf-8")
    return {name: ([int(r) for r in many.split(",")], int(shared)) for name, many, shared in line.findall(text)}


def gate(ptxas):
    record, seen = recorded(), {}
    files = sorted(HERE.glob("*.ptx"))
    # A thread waits for a ptxas of its own.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        all_found = list(pool.map(lambda job: assemble(ptxas, *job), [(f, c) for f in files for c in CHIPS]))
    for at in range(0, len(all_found), len(CHIPS)):
        by_chip = all_found[at : at + len(CHIPS)]
        for name in by_chip[0]:
            seen[name] = ([found[name][0] for found in by_chip], by_chip[0][name][1])
    if seen != record:
        wrong = sorted(name for name in seen.keys() | record.keys() if seen.get(name) != record.get(name))
        raise Refused(f"MANIFEST.toml says otherwise of {', '.join(wrong)}: run build.sh")
    print(f"{len(seen)} kernels for {', '.join(CHIPS)}: all assemble, none spills")


# 48 numbers alive at once in 24 registers, and a word that is no instruction.
SPILLS = """.version 8.0
.target sm_80
.address_size 64
.visible .entry spills(.param .u64 from) .maxnreg 24 {
  .reg .u64 %p; .reg .f32 %f<49>;
  ld.param.u64 %p, [from];
""" + "".join(f"  ld.volatile.global.f32 %f{i}, [%p+{4 * i}];\n" for i in range(48)) + "".join(
    f"  st.volatile.global.f32 [%p+{4 * i}], %f{47 - i};\n" for i in range(48)
) + "  ret;\n}\n"
GARBLED = SPILLS.replace("  ret;", "  retire;").replace(" .maxnreg 24", "")


def planted(ptxas):
    with tempfile.TemporaryDirectory() as folder:
        for text, sign in [(SPILLS, "spills spills on"), (GARBLED, "retire")]:
            ptx = pathlib.Path(folder) / "planted.ptx"
            ptx.write_text(text, encoding="utf-8")
            for chip in CHIPS:
                try:
                    assemble(ptxas, ptx, chip)
                except Refused as refusal:
                    if sign in str(refusal):
                        continue
                    raise
                sys.exit(f"a planted fault passed on {chip}: the gate cannot fail")
    print("both planted faults are refused")


if __name__ == "__main__":
    try:
        (planted if sys.argv[2:] == ["--planted"] else gate)(sys.argv[1])
    except Refused as refusal:
        sys.exit(str(refusal))
