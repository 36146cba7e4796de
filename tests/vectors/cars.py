"""Writes cars_annos.mat: eight annotations in the form of the Cars196 set, by scipy.

    pip install numpy scipy
    python tests/vectors/cars.py
"""
import pathlib

import numpy as np
from scipy.io import savemat

fields = ["relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test"]
rows = [
    (f"car_ims/{i:06}.jpg", 2, 1, 15, 11, c, i % 2) for i, c in enumerate([1, 1, 98, 98, 99, 99, 196, 196], start=1)
]
annotations = np.empty((1, len(rows)), dtype=[(f, object) for f in fields])
for at, row in enumerate(rows):
    annotations[0, at] = tuple(np.uint8(v) if isinstance(v, int) else v for v in row)
names = np.empty((1, 196), dtype=object)
names[0] = [f"Car {i}" for i in range(1, 197)]
names[0, 0], names[0, 195] = "AM General Hummer SUV 2000", "smart fortwo Convertible 2012"
path = pathlib.Path(__file__).parent / "cars_annos.mat"
savemat(path, {"annotations": annotations, "class_names": names}, do_compression=True)
