"""Writes the first inputs of the corpus: one or more valid files for each law, from which replay and fuzzer start.

    pip install numpy safetensors
    python fuzz/corpus/make.py PATH/model.safetensors     (a small trained model, made by `nearfar train`)
"""
import io
import json
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
put("pairs", "indices", bytes([0]) + b"i\tj\n0\t1\n2\t3\n")
put("pairs", "pairs", bytes([1]) + b"fold\ti\tj\tsame\n0\t0\t1\t1\n1\t2\t3\t0\n")
put("pairs", "plain", bytes([1]) + b"0\t0\t1\t1\n1\t2\t3\t0\n")
put("pairs", "trials", bytes([2]) + b"run\ttest\tright\n1\t9\t3\t2\t3\t4\n1\t8\t2\t2\t3\t4\n")
put("pairs", "calibration", bytes([3]) + json.dumps({
    "format": "nearfar-calibration-1", "eer": 0.25, "threshold": 0.5, "far_wanted": None, "tar": 0.5, "far": 0.25,
    "pairs": 8, "same": 4, "blocks": [
        {"distance_from": 0.1, "distance_to": 0.5, "p_same": 0.75, "weight": 4.0},
        {"distance_from": 0.75, "distance_to": 1.5, "p_same": 0.25, "weight": 4.0}]}).encode())
draws = np.random.default_rng(1)
put("verify", "random", bytes([200]) + draws.bytes(150))
put("verify", "wild", bytes([3]) + draws.bytes(150))
if len(sys.argv) > 1:
    shutil.copy(sys.argv[1], HERE / "model" / "small")
