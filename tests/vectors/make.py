"""Values of other libraries, kept beside this script as JSON: SciPy, scikit-learn, PyTorch, all in double precision.

    pip install torch numpy scipy scikit-learn
    python tests/vectors/make.py

Nothing here is called by the tests; they read the files. Each file names the versions that made it.
"""
import json
import pathlib

import numpy as np
import scipy
import sklearn
import torch
from scipy import stats
from scipy.special import gammaln, hyp1f1
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

HERE = pathlib.Path(__file__).parent
torch.set_default_dtype(torch.float64)


def save(name, made_by, **values):
    text = json.dumps({"made_by": made_by, **values}, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n")
    print(name, len(text))


def flat(tensor):
    return torch.as_tensor(tensor).detach().reshape(-1).tolist()


def density():
    rows = []
    for n in [2, 2.5, 3, 4, 8, 64, 128, 512, 2048]:
        a = (n - 1) / 2
        law = stats.beta(a, a)
        for d in [0.05, 0.3, 0.7, 1.0, 1.2, 1.4, 1.5, 1.7, 1.95]:
            # t = d^2/4 is Beta(a, a); dt/dd = d/2
            rows.append([n, d, law.logpdf(d * d / 4) + np.log(d / 2), law.cdf(d * d / 4)])
    quantiles = [[n, p, 2 * np.sqrt(stats.beta((n - 1) / 2, (n - 1) / 2).ppf(p))]
                 for n in [2, 3, 16, 128, 2048] for p in [1e-6, 0.01, 0.3, 0.5, 0.9, 0.999]]
    noise = []
    for n in [2, 3, 16, 128, 512]:
        for k in [0.1, 1, 3, 10, 30]:
            rho = k / np.sqrt(2) * np.exp(gammaln((n + 1) / 2) - gammaln(n / 2 + 1)) * hyp1f1(0.5, n / 2 + 1, -k * k / 2)
            noise.append([n, k, 1 - rho * rho])
    save("density", f"scipy {scipy.__version__}", rows=rows, quantiles=quantiles, noise=noise)


def isotonic():
    rng = np.random.default_rng(1)
    cases = []
    for increasing in [True, False]:
        for size in [1, 2, 5, 40]:
            x = rng.integers(0, max(2, size // 2), size).astype(float)
            y = rng.normal(size=size) + (x if increasing else -x) * 0.3
            w = rng.uniform(0.1, 2, size)
            model = IsotonicRegression(increasing=increasing, out_of_bounds="clip").fit(x, y, sample_weight=w)
            queries = np.linspace(-1, max(2, size // 2) + 1, 23)
            cases.append({"increasing": increasing, "x": x.tolist(), "y": y.tolist(), "w": w.tolist(),
                          "queries": queries.tolist(), "fit": model.predict(queries).tolist()})
    save("isotonic", f"scikit-learn {sklearn.__version__}", cases=cases)


def metrics():
    rng = np.random.default_rng(2)
    cases = []
    for size, k, l in [(60, 3, 4), (60, 10, 10), (30, 1, 3), (30, 1, 1), (20, 20, 20), (40, 20, 2)]:
        one, other = rng.integers(0, k, size), rng.integers(0, l, size)
        if k == 20 and l == 20:
            one, other = np.arange(size), np.arange(size)[::-1]
        cases.append({"one": one.tolist(), "other": other.tolist(),
                      "nmi": normalized_mutual_info_score(one, other),
                      "nmi_geometric": normalized_mutual_info_score(one, other, average_method="geometric"),
                      "ami": adjusted_mutual_info_score(one, other)})
    save("metrics", f"scikit-learn {sklearn.__version__}", cases=cases)


def losses():
    torch.manual_seed(3)
    n, dim = 12, 5
    labels = torch.arange(n) // 3
    z0 = torch.randn(n, dim)
    alpha, alpha2, scale, beta = 0.25, 0.1, 16.0, 1.1 + 0.1 * torch.rand(n)
    tuples = []
    for a in range(n):
        for p in range(n):
            if a != p and labels[a] == labels[p]:
                others = [j for j in range(n) if labels[j] != labels[a]]
                negative = others[int(torch.randint(len(others), ()))]
                thirds = [j for j in others if labels[j] != labels[negative]]
                tuples.append([a, p, negative, thirds[int(torch.randint(len(thirds), ()))]])

    def dist(x, i, j):
        return (x[i] - x[j]).norm()

    def relu(v):
        return torch.clamp(v, min=0)

    def negatives(a):
        return [j for j in range(n) if labels[j] != labels[a]]

    def positives(a):
        return [j for j in range(n) if labels[j] == labels[a] and j != a]

    def weights(x, a):
        # n = D, cap at distance 0.5, no far cut; held constant
        others = negatives(a)
        d = torch.stack([dist(x, a, j) for j in others]).detach()
        def ln(d):
            return -((dim - 2) * torch.log(d) + (dim - 3) / 2 * torch.log(1 - d * d / 4))
        ln_w = torch.minimum(ln(d), ln(torch.tensor(0.5)))
        return others, torch.softmax(ln_w, 0)

    def terms(name, x, b):
        out = []  # (weight, term)
        if name in ("contrastive", "margin", "margin-nu", "triplet", "triplet-l2", "quadruplet"):
            for a, p, q, m in tuples:
                near, far = dist(x, a, p), dist(x, a, q)
                if name == "contrastive":
                    out += [(1, near**2), (1, relu(alpha + 1 - far) ** 2)]
                elif name.startswith("margin"):
                    out += [(1, relu(alpha + near - b[a])), (1, relu(alpha - far + b[a]))]
                elif name == "triplet":
                    out += [(1, relu(near**2 - far**2 + alpha))]
                elif name == "triplet-l2":
                    out += [(1, relu(near - far + alpha))]
                else:
                    out += [(1, relu(near**2 - far**2 + alpha)), (1, relu(near**2 - dist(x, q, m) ** 2 + alpha2))]
        elif name == "npair":
            for a in range(n):
                for p in positives(a):
                    s = torch.stack([x[a] @ x[j] - x[a] @ x[p] for j in negatives(a)])
                    out += [(1, torch.log1p(torch.exp(scale * s).sum()))]
        elif name == "lifted":
            for i in range(n):
                for j in positives(i):
                    if i < j:
                        s = sum(torch.exp(alpha - dist(x, i, k)) for k in negatives(i))
                        s = s + sum(torch.exp(alpha - dist(x, j, k)) for k in negatives(j))
                        out += [(1, relu(torch.log(s) + dist(x, i, j)) ** 2 / 2)]
        elif name == "multi-similarity":
            for a in range(n):
                near = sum(torch.exp(-2 * (x[a] @ x[p] - 0.5)) for p in positives(a))
                far = sum(torch.exp(50 * (x[a] @ x[j] - 0.5)) for j in negatives(a))
                out += [(1, torch.log1p(near) / 2 + torch.log1p(far) / 50)]
        elif name == "margin-expected":
            for a in range(n):
                others, w = weights(x, a)
                m = len(positives(a))
                out += [(1, relu(alpha + dist(x, a, p) - b[a])) for p in positives(a)]
                out += [(m * float(v), relu(alpha - dist(x, a, j) + b[a])) for j, v in zip(others, w)]
        elif name == "triplet-expected":
            for a in range(n):
                others, w = weights(x, a)
                for p in positives(a):
                    out += [(float(v), relu(dist(x, a, p) ** 2 - dist(x, a, j) ** 2 + alpha)) for j, v in zip(others, w)]
        elif name == "contrastive-all":
            for a in range(n):
                out += [(1, dist(x, a, p) ** 2) for p in positives(a)]
                out += [(1, relu(alpha + 1 - dist(x, a, j)) ** 2) for j in negatives(a)]
        return out

    names = ["contrastive", "triplet", "triplet-l2", "margin", "margin-nu", "quadruplet", "npair", "lifted",
             "multi-similarity", "margin-expected", "triplet-expected", "contrastive-all"]
    cases = []
    for name in names:
        for reduction in ["mean-active", "mean", "sum"]:
            z, b = z0.clone().requires_grad_(), beta.clone().requires_grad_()
            x = z / z.norm(dim=1, keepdim=True)
            x.retain_grad()
            found = terms(name, x, b)
            total = sum(w * t for w, t in found)
            if name == "margin-nu":
                total = total + 0.3 * sum(b[a] for a, *_ in tuples)
            active = sum(w for w, t in found if float(t) > 0)
            count = sum(w for w, t in found)
            loss = total / {"mean-active": active, "mean": count, "sum": 1}[reduction]
            loss.backward()
            cases.append({"loss": name, "reduction": reduction, "value": float(loss), "active": active, "terms": count,
                          "dx": flat(x.grad), "dz": flat(z.grad),
                          "dbeta": flat(b.grad if b.grad is not None else torch.zeros(n))})
    save("losses", f"torch {torch.__version__}", dim=dim, labels=labels.tolist(), z=flat(z0), beta=flat(beta),
         alpha=alpha, alpha2=alpha2, scale=scale, nu=0.3, tuples=tuples, cases=cases)


def network():
    """A small CNN, conv-pool-norm-relu twice, linear, normalise: forward, all gradients, running statistics,
    and three steps of AdamW and of SGD. Images are NHWC, conv weights [3, 3, in, out], linear weights [in, out]."""
    torch.manual_seed(4)
    batch, side, dim = 6, 9, 4
    x = torch.randn(batch, side, side, 2)
    out_gradient = torch.randn(batch, dim)
    shapes = {"0.conv.weight": (3, 3, 2, 5), "2.norm.affine": (2, 5), "4.conv.weight": (3, 3, 5, 3),
              "6.norm.affine": (2, 3), "8.linear.weight": (12, dim), "8.linear.bias": (dim,)}
    start = {k: torch.randn(s) * 0.4 + (1.0 if "affine" in k else 0.0) for k, s in shapes.items()}
    running = [torch.zeros(5), torch.ones(5), torch.zeros(3), torch.ones(3)]

    def forward(p, stats_of=None):
        h = x.permute(0, 3, 1, 2)
        for i, (conv, norm) in enumerate([("0.conv.weight", "2.norm.affine"), ("4.conv.weight", "6.norm.affine")]):
            h = torch.nn.functional.conv2d(h, p[conv].permute(3, 2, 0, 1), padding=1)
            h = torch.nn.functional.max_pool2d(h, 2)
            mean, var = (stats_of[2 * i], stats_of[2 * i + 1]) if stats_of else (torch.zeros(h.shape[1]), torch.ones(h.shape[1]))
            h = torch.nn.functional.batch_norm(h, mean, var, p[norm][0], p[norm][1], training=True, momentum=0.1, eps=1e-5)
            h = torch.relu(h)
        h = h.permute(0, 2, 3, 1).reshape(batch, -1) @ p["8.linear.weight"] + p["8.linear.bias"]
        return h / h.norm(dim=1, keepdim=True)

    p = {k: v.clone().requires_grad_() for k, v in start.items()}
    y = forward(p, running)
    (y * out_gradient).sum().backward()
    gradients = {k: flat(v.grad) for k, v in p.items()}
    trained = {}
    for kind in ["adam", "sgd"]:
        q = {k: v.clone().requires_grad_() for k, v in start.items()}
        decays = [v for k, v in q.items() if "weight" in k]
        plain = [v for k, v in q.items() if "weight" not in k]
        decay = 0.05
        groups = [{"params": decays, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = (torch.optim.AdamW(groups, lr=0.01) if kind == "adam" else torch.optim.SGD(groups, lr=0.01, momentum=0.9))
        for _ in range(3):
            optimizer.zero_grad()
            (forward(q) * out_gradient).sum().backward()
            optimizer.step()
        trained[kind] = {k: flat(v) for k, v in q.items()}
    save("network", f"torch {torch.__version__}", batch=batch, side=side, dim=dim, x=flat(x), out_gradient=flat(out_gradient),
         start={k: flat(v) for k, v in start.items()}, y=flat(y), gradients=gradients,
         running=[flat(torch.stack(running[0:2])), flat(torch.stack(running[2:4]))], trained=trained)


density()
isotonic()
metrics()
losses()
network()
