"""Measures of quality by other libraries, kept beside this script as JSON: scikit-learn, pytorch-metric-learning.

    pip install torch numpy scipy scikit-learn pytorch-metric-learning faiss-cpu
    python tests/vectors/make_quality.py

Nothing here is called by the tests; they read the files. Each file names the versions that made it.
"""
import json
import pathlib

import numpy as np
import pytorch_metric_learning
import sklearn
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.datasets import make_regression
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score, roc_auc_score, roc_curve

HERE = pathlib.Path(__file__).parent


def save(name, made_by, **values):
    text = json.dumps({"made_by": made_by, **values}, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n")
    print(name, len(text))


def verification():
    """AUC and EER of distances: a pair is accepted where its distance is small, so scores are negative distances."""
    rng = np.random.default_rng(4)
    cases = []
    for size, step in [(20, None), (60, None), (400, None), (60, 0.1), (400, 0.05), (40, 0.5)]:
        same = rng.integers(0, 2, size)
        same[:2] = [0, 1]
        distance = np.clip(rng.normal(np.where(same, 0.9, 1.2), 0.2), 0, 2)
        if step:  # ties, within and across kinds
            distance = np.round(distance / step) * step
        far, tar, thresholds = roc_curve(same, -distance)
        eer = brentq(lambda x: 1 - x - interp1d(far, tar)(x), 0, 1, xtol=1e-14)
        at_far = [[f, tar[far <= f].max()] for f in [0.0, 0.01, 0.1, 0.5, 1.0]]
        cases.append({"distance": distance.tolist(), "same": same.tolist(), "auc": roc_auc_score(same, -distance),
                      "eer": eer, "tar_at_far": at_far})
    save("verification", f"scikit-learn {sklearn.__version__}", cases=cases)


def accuracy():
    """Every row a query against all others; no two distances from a row are alike."""
    rng = np.random.default_rng(5)
    cases = []
    for classes, each, dim, spread in [(12, 5, 8, 1.0), (30, 4, 6, 1.6), (6, 20, 16, 1.3)]:
        centres = rng.normal(size=(classes, dim))
        labels = np.repeat(np.arange(classes), each)
        labels[-2:] = labels[0]  # classes of different sizes
        x = centres[labels] / np.linalg.norm(centres[labels], axis=1, keepdims=True)
        noise = rng.normal(size=x.shape)
        x = x + spread * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
        d = ((x[:, None] - x[None]) ** 2).sum(-1)
        gaps = np.diff(np.sort(d, axis=1), axis=1)
        assert gaps.min() > 1e-7, gaps.min()
        clustering = rng.integers(0, classes, len(labels))
        clustering[: len(labels) // 2] = labels[: len(labels) // 2]
        names = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "NMI", "AMI")
        calculator = AccuracyCalculator(include=names, k="max_bin_count", device=torch.device("cpu"),
                                        kmeans_func=lambda *_, **__: torch.as_tensor(clustering))
        got = calculator.get_accuracy(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(labels))
        cases.append({"dim": dim, "x": x.reshape(-1).tolist(), "labels": labels.tolist(),
                      "clustering": clustering.tolist(), "recall_at_1": got["precision_at_1"],
                      "r_precision": got["r_precision"], "map_at_r": got["mean_average_precision_at_r"],
                      "nmi": float(got["NMI"]), "ami": float(got["AMI"]),
                      "nmi_sklearn": normalized_mutual_info_score(labels, clustering),
                      "nmi_geometric": normalized_mutual_info_score(labels, clustering, average_method="geometric"),
                      "ami_sklearn": adjusted_mutual_info_score(labels, clustering)})
    made_by = f"pytorch-metric-learning {pytorch_metric_learning.__version__}, scikit-learn {sklearn.__version__}"
    save("accuracy", made_by, cases=cases)


def documented():
    """The examples and test cases that scikit-learn's documentation and suite of isotonic regression are made of."""
    cases = []

    def case(name, x, y, w=None, queries=None, **options):
        model = IsotonicRegression(out_of_bounds="clip", **options).fit(x, y, sample_weight=w)
        x = np.asarray(x, float).reshape(-1)
        queries = x if queries is None else np.asarray(queries, float)
        cases.append({"name": name, "increasing": bool(model.increasing_), "auto": options.get("increasing") == "auto",
                      "x": x.tolist(), "y": np.asarray(y, float).tolist(),
                      "w": np.ones(len(x)).tolist() if w is None else list(w),
                      "queries": queries.tolist(), "fit": model.predict(queries).tolist()})

    x, y = make_regression(n_samples=10, n_features=1, random_state=41)
    case("class example", x, y, queries=[0.1, 0.2])
    y = [5, 3, 1, 2, 8, 10, 7, 9, 6, 4]
    case("function example", np.arange(10), y)
    n = np.arange(100)
    case("gallery", n, np.random.RandomState(0).randint(-50, 50, size=(100,)) + 50.0 * np.log1p(n))
    case("plain", np.arange(7), [3, 7, 5, 9, 8, 7, 10])
    case("one block", np.arange(3), [10, 0, 2])
    case("ties at the least x", [1, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])
    case("ties at the greatest x", [1, 2, 3, 4, 5, 5], [1, 2, 3, 4, 5, 6])
    case("ties, Kruskal's pituitary data", [8, 8, 8, 10, 10, 10, 12, 12, 12, 14, 14],
         [21, 23.5, 23, 24, 21, 25, 21.5, 22, 19, 23.5, 25])
    case("ties in groups of different size", [0, 1, 1, 2, 3, 4], [0, 0, 1, 0, 0, 1])
    case("weights", [1, 2, 3, 4, 5, 6, 7], [41, 51, 1, 2, 5, 24, 30], [1, 2, 3, 4, 5, 6, 7])
    case("rising by itself", [0, 1, 2], [-1, 0.5, 2], increasing="auto")
    case("falling by itself", [0, 1, 2, 3, 4], [1.5, 0.77, 0.4, 0.5, -1], increasing="auto")
    case("falling", np.arange(7), [3, 7, 5, 9, 8, 7, 10], increasing=False)
    save("isotonic-documented", f"scikit-learn {sklearn.__version__}", cases=cases)


verification()
accuracy()
documented()
