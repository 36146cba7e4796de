"""onnxruntime on the graphs of check.sh against what `nearfar embed` wrote; raw inputs are read here on their own."""
import gzip
import pathlib

import numpy as np
import onnxruntime

KANA = pathlib.Path(__file__).parents[3] / "cli/assets/kana/kana-142x15-28x28-1bpp.bin.gz"


def hiragana():
    """The second half of the embedded set, ink 255, as `embed` reads it."""
    bits = np.unpackbits(np.frombuffer(gzip.decompress(KANA.read_bytes()), np.uint8).reshape(-1, 98), axis=1)
    return 255 * bits.reshape(-1, 28, 28, 1)[1065:].astype(np.float32)


def worst(run, raw, wanted):
    session = onnxruntime.InferenceSession(f"{run}.onnx", providers=["CPUExecutionProvider"])
    most = 0.0
    for batch in (1, 7, len(raw)):
        got = np.concatenate([session.run(["embedding"], {"input": raw[i:i + batch]})[0]
                              for i in range(0, len(raw), batch)])
        most = max(most, np.abs(got - wanted).max())
    return most


print(f"onnxruntime {onnxruntime.__version__}")
for run in ("mlp", "cnn", "turned", "vectors"):
    wanted = np.load(f"{run}.npy")
    raw = np.load("vectors.npz")["x"] if run == "vectors" else hiragana()
    most = worst(run, raw, wanted)
    print(f"{run}: {len(wanted)} inputs of {raw.shape[1:]}, largest difference {most:.2e}")
    assert most < 1e-5, "more than rounding"
