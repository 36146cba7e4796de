"""Writes the first inputs of the corpus: one or more valid files for each law, from which replay and fuzzer start.

    pip install numpy pillow safetensors scipy
    python fuzz/corpus/make.py PATH/model.safetensors     (a small trained model, made by `nearfar train`)
"""
import io
import json
import pathlib
import shutil
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import save
from scipy.io import savemat

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
paths = ["a/a_0001.pgm", "a/a_0002.pgm", "b/b_0001.pgm", "b/b_0002.pgm"]
lists = {
    "cub-images": "".join(f"{i} {path}\n" for i, path in enumerate(paths, start=1)),
    "cub-labels": "1 1\n2 1\n3 101\n4 101\n",
    "cub-classes": "1 001.Bird\n101 101.Other_Bird\n",
    "cub-boxes": "".join(f"{i} 0.0 0.0 1.5 1.0\n" for i in range(1, 5)),
    "cars": None,
    "products": "image_id class_id super_class_id path\n"
    + "".join(f"{i} {1 + i // 2} 1 images/{path}\n" for i, path in enumerate(paths)),
    "inshop": "4\nimage_name item_id evaluation_status\nimg/a/a_0001.pgm id_1 train\nimg/a/a_0002.pgm id_1 train\n"
    "img/b/b_0001.pgm id_2 query\nimg/b/b_0002.pgm id_2 gallery\n",
    "people": "2\nc\t2\nd\t2\n",
    "list": "path,label,split\na/a_0001.pgm,x,train\na/a_0002.pgm,x,train\nb/b_0001.pgm,y,test\n",
}
for kind, (name, text) in enumerate(lists.items()):
    if text is not None:
        put("layouts", name, bytes([kind]) + text.encode())
put("layouts", "pairs", bytes([7]) + b"2\t1\na\t1\t2\na\t1\tb\t1\nc\t2\t1\nd\t1\tc\t2\n")
put("layouts", "pairs-one-fold", bytes([7]) + b"1\na\t1\t2\na\t1\tb\t1\n")
fields = ["relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test"]
annotations = np.empty((1, 4), dtype=[(field, object) for field in fields])
for at, (path, number) in enumerate(zip(paths, [1, 1, 99, 99])):
    annotations[0, at] = (f"images/{path}", *(np.uint8(v) for v in [1, 1, 2, 1, number, 0]))
names = np.empty((1, 99), dtype=object)
names[0] = [f"Car {i}" for i in range(1, 100)]
for name, compressed in [("cars", False), ("cars-compressed", True)]:
    file = io.BytesIO()
    savemat(file, {"annotations": annotations, "class_names": names[:, : 99]}, do_compression=compressed)
    put("layouts", name, bytes([4]) + file.getvalue())
for format in ["png", "jpeg", "webp", "bmp", "gif", "ppm"]:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (1, 2, 3), np.uint8)).save(file, format)
    put("pictures", format, file.getvalue())
if len(sys.argv) > 1:
    shutil.copy(sys.argv[1], HERE / "model" / "small")
