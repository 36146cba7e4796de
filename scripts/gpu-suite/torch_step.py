"""The training step of `rates` in PyTorch, eager and compiled: the same networks, batch, draws, loss and optimiser.

    python3 torch_step.py          on the GPU
    python3 torch_step.py small    tiny sizes, on the CPU where there is no GPU: does it run?

Prints `name,microseconds`, the smallest of several batches of steps, as `rates` does. The inputs come from ordinary
memory of the host in every step, there as here.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

SMALL = "small" in sys.argv
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COUNT, PER_CLASS, DIM, SIDE = (8, 4, 5, 6) if SMALL else (120, 5, 128, 28)
STEPS, BATCHES = (1, 1) if SMALL else (20, 10)


def mlp():
    sizes = [SIDE * SIDE] + ([9] if SMALL else [512, 256])
    layers = [nn.Flatten()]
    for inputs, outputs in zip(sizes, sizes[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], DIM))


def cnn():
    channels, side, layers = [1] + ([4] if SMALL else [32, 64, 128]), SIDE, []
    for inputs, outputs in zip(channels, channels[1:]):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        if side >= 4:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * side * side, DIM))


def loss_of(z, labels, pairs, alpha=0.2, beta=1.2, near=0.5, far=1.4):
    """Margin loss on one distance weighted negative for each (anchor, positive) pair; mean over active terms."""
    x = F.normalize(z)
    distances = (2 - 2 * x @ x.T).clamp(min=1e-8).sqrt()
    same = labels[:, None] == labels[None, :]
    with torch.no_grad():
        d = distances.clamp(near, 1.999)
        weights = -((DIM - 2.0) * d.log() + (DIM - 3.0) / 2 * (1 - d * d / 4).log())
        weights = weights.masked_fill(same | (distances >= far), -torch.inf)
        top = weights.amax(1, keepdim=True)
        some = torch.isfinite(top)
        p = torch.where(some, (weights - torch.where(some, top, 0.0)).exp(), (~same).float())
        negatives = torch.multinomial(p, PER_CLASS - 1, replacement=True)
    rows, positives = pairs
    near_terms = F.relu(alpha + distances[rows, positives] - beta)
    far_terms = F.relu(alpha - distances.gather(1, negatives) + beta) * some
    active = (near_terms > 0).sum() + (far_terms > 0).sum()
    return (near_terms.sum() + far_terms.sum()) / active.clamp(min=1)


def main():
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    labels = torch.arange(COUNT) // PER_CLASS
    # Places of the positive pairs, worked out once: a shape that depends on values would stop the compiler.
    pairs = (labels[:, None] == labels[None, :]) & ~torch.eye(COUNT, dtype=torch.bool)
    pairs = tuple(place.to(DEVICE) for place in pairs.nonzero(as_tuple=True))
    labels = labels.to(DEVICE)
    images = torch.randn(COUNT, 1, SIDE, SIDE)
    print(f"# PyTorch {torch.__version__} on {torch.cuda.get_device_name() if DEVICE == 'cuda' else 'cpu'}, no TF32")
    print("step,microseconds")
    for name, build in [("mlp", mlp), ("cnn", cnn)]:
        for kind in ["eager", "compiled"]:
            network = build().to(DEVICE)
            optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=DEVICE == "cuda")
            forward = lambda x: loss_of(network(x), labels, pairs)
            if kind == "compiled":
                forward = torch.compile(forward)

            def step():
                loss = forward(images.to(DEVICE))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                return loss

            def wait():
                if DEVICE == "cuda":
                    torch.cuda.synchronize()

            for _ in range(1 if SMALL else 20):
                loss = step()
            wait()
            best = float("inf")
            for _ in range(BATCHES):
                start = time.perf_counter()
                for _ in range(STEPS):
                    loss = step()
                wait()
                best = min(best, (time.perf_counter() - start) / STEPS)
            assert torch.isfinite(loss), loss
            print(f"{name} step {COUNT} {kind},{best * 1e6:.1f}", flush=True)


if __name__ == "__main__":
    main()
