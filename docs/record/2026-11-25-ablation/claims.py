"""Paired differences between cells, over seeds: mean and standard error of Recall@1 and of MAP@R.

    python3 claims.py kana-runs.csv
"""
import collections, csv, math, statistics, sys

LOSSES = ["contrastive", "triplet", "triplet-l2", "margin"]
SAMPLERS = ["uniform", "hard", "semihard", "distance-weighted"]

runs = collections.defaultdict(dict)
for row in csv.DictReader(open(sys.argv[1])):
    runs[row["cell"]][row["seed"]] = (float(row["recall_1"]), float(row["map_at_r"]))


def difference(cell, other):
    """`cell` less `other`, seed by seed."""
    figures = []
    for figure in (0, 1):
        apart = [runs[cell][seed][figure] - runs[other][seed][figure] for seed in runs[cell]]
        figures.append(f"{statistics.mean(apart):+.3f} ± {statistics.stdev(apart) / math.sqrt(len(apart)):.3f}")
    return " | ".join(figures)


def mean(cells):
    """Over cells and seeds."""
    return " | ".join(f"{statistics.mean(run[figure] for cell in cells for run in runs[cell].values()):.3f}"
                      for figure in (0, 1))


print("| distance weighted less ... | Recall@1 | MAP@R |\n|---|---|---|")
for loss in LOSSES:
    for sampler in SAMPLERS[:3]:
        print(f"| {loss}: {sampler} |", difference(f"{loss}-distance-weighted", f"{loss}-{sampler}"), "|")
print("\n| margin, distance weighted, less ... | Recall@1 | MAP@R |\n|---|---|---|")
for loss in LOSSES[:3]:
    for sampler in ("semihard", "distance-weighted"):
        print(f"| {loss}-{sampler} |", difference("margin-distance-weighted", f"{loss}-{sampler}"), "|")
print("\n| mean over | Recall@1 | MAP@R |\n|---|---|---|")
for sampler in SAMPLERS:
    print(f"| losses, {sampler} |", mean([f"{loss}-{sampler}" for loss in LOSSES]), "|")
for loss in LOSSES:
    print(f"| samplers, {loss} |", mean([f"{loss}-{sampler}" for sampler in SAMPLERS]), "|")
