"""Raw inputs for check.sh: feature vectors of ten scales with classes, as `vectors.npz`."""
import numpy as np

rng = np.random.default_rng(1)
labels = np.repeat(np.arange(20), 8)
x = rng.normal(size=(20, 24))[labels] + 0.5 * rng.normal(size=(160, 24))
np.savez("vectors.npz", x=(x * np.logspace(-2, 3, 24) + 7).astype(np.float32), y=labels)
