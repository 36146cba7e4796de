"""Writes the first inputs of the corpus: one or more valid files for each law, from which replay and fuzzer start.

    pip install numpy safetensors
    python fuzz/corpus/make.py PATH/model.safetensors     (a small trained model, made by `nearfar train`)
"""
import io
import pathlib
import shutil
import sys

import numpy as np
from safetensors.numpy import save

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)


def put(law, name, content):
    (HERE / law).mkdir(exist_ok=True)
    (HERE / law / name).write_bytes(content)


for i in range(3):
    put("density", f"random-{i}", rng.bytes(40))
    put("draw", f"random-{i}", rng.bytes(120 + 200 * i))
    put("isotonic", f"random-{i}", bytes([200]) + rng.bytes(150))
put("isotonic", "wild", bytes([3]) + np.array([1.0, 2.0, 1.0, 1e308, -1e308, 1.0]).tobytes())

images, labels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.array([3, 4])
put("readers", "idx", bytes([0, 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2]) + images.tobytes())
for name, array in [("npy-f8", np.eye(3)), ("npy-f4", np.ones((2, 4), np.float32)), ("npy-i8", labels)]:
    file = io.BytesIO()
    np.save(file, array)
    put("readers", name, bytes([1]) + file.getvalue())
file = io.BytesIO()
np.savez(file, images=images, labels=labels)
put("readers", "npz", bytes([2]) + file.getvalue())
file = io.BytesIO()
np.savez_compressed(file, x=images, y=labels)
put("readers", "npz-compressed", bytes([2]) + file.getvalue())
put("readers", "csv", bytes([3]) + b"a,b,label\n1,2,x\n3,4,y\n")
put("readers", "safetensors", bytes([4]) + save({"images": images, "labels": labels}))
put("readers", "labels", bytes([5, 0, 0, 11, 1, 0, 0, 0, 1, 0, 7]))
put("readers", "csv-gz", bytes([6]) + b"1,2,x\n3,4,y\n")
put("config", "whole", b'seed = 3\n[loss]\nkind = "triplet"\nalpha = 1\n[sampler]\nkind = "hard"\nfar = "none"\n')
put("config", "dimension", b'[sampler]\ndimension = 12.5\nnear = 0.3\n[boundary]\nmode = "exact"\n')
if len(sys.argv) > 1:
    shutil.copy(sys.argv[1], HERE / "model" / "small")
