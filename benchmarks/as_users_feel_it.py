"""How long a script takes that imports, fits and predicts, as a whole process: clearprop and its peers.

Each script is what its users would write: load two arrays, build the same network, train it for the same
epochs in the same batches with Adam at the same rate, in float32, and predict the test part. scikit-learn's
MLP, a plain PyTorch loop and clearprop run in turn, each time in a fresh process, from its start to its end;
the bare interpreter stands beside them. Data are made ready before, and are the same files for all. Accuracy
is the mean over the rounds, on the test part: a faster script that learns less would show.

    python benchmarks/as_users_feel_it.py [--data digits] [--threads 1 2] [--rounds 5] [--json]

The 1797 digits come with scikit-learn; for Adult, CLEARPROP_TEST_DATA names the folder with its two files. A
peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# epochs, batch size, hidden neurons
WORK = {"digits": (30, 64, (64,)), "adult": (5, 128, (64, 32))}
RATE = 1e-3

CLEARPROP = """
import numpy as np
import clearprop as cp
X, y, X_test = (np.load(name) for name in ("X.npy", "y.npy", "X_test.npy"))
layers = [*(cp.Dense(n, "relu") for n in HIDDEN), cp.Dense(CLASSES, "softmax")]
net = cp.Network(layers, dtype="float32", seed=SEED)
net.fit(X, y, optimizer=cp.Adam(RATE), epochs=EPOCHS, batch_size=BATCH)
np.save("found.npy", net.predict(X_test))
"""

SCIKIT_LEARN = """
import warnings
import numpy as np
from sklearn.neural_network import MLPClassifier
X, y, X_test = (np.load(name) for name in ("X.npy", "y.npy", "X_test.npy"))
model = MLPClassifier(HIDDEN, alpha=0, batch_size=BATCH, learning_rate_init=RATE, max_iter=EPOCHS,
                      n_iter_no_change=EPOCHS + 1, random_state=SEED)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it has not converged
    model.fit(X, y)
np.save("found.npy", model.predict(X_test))
"""

PYTORCH = """
import numpy as np
import torch
from torch import nn
X, y, X_test = (torch.from_numpy(np.load(name)) for name in ("X.npy", "y.npy", "X_test.npy"))
torch.set_num_threads(THREADS)
torch.manual_seed(SEED)
sizes = [X.shape[1], *HIDDEN]
hidden = [part for a, b in zip(sizes, sizes[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
model = nn.Sequential(*hidden, nn.Linear(sizes[-1], CLASSES))
optimizer, loss = torch.optim.Adam(model.parameters(), RATE), nn.CrossEntropyLoss()
for _ in range(EPOCHS):
    for rows in torch.randperm(len(X)).split(BATCH):
        optimizer.zero_grad()
        loss(model(X[rows]), y[rows]).backward()
        optimizer.step()
with torch.no_grad():
    np.save("found.npy", model(X_test).argmax(dim=1).numpy())
"""

SCRIPTS = {"clearprop": CLEARPROP, "scikit-learn": SCIKIT_LEARN, "pytorch": PYTORCH, "interpreter": "pass"}
NEEDS = {"scikit-learn": "sklearn", "pytorch": "torch"}


def digits() -> tuple[Any, ...]:
    """Return X, y, X_test, y_test of the digits, pixels from 0 to 1."""
    import numpy as np

    import clearprop as cp

    found = cp.datasets.digits()
    order = np.random.default_rng(0).permutation(len(found.X_train))
    X, y = (found.X_train[order] / 16).astype(np.float32), found.y_train[order]
    return X[:1437], y[:1437], X[1437:], y[1437:]


def adult() -> tuple[Any, ...]:
    """Return X, y, X_test, y_test of Adult: numbers standardised, categories one-hot, as in training."""
    import numpy as np
    from peer_engines.inputs import folder

    parts = []
    for part in ("train", "test"):
        with gzip.open(folder() / f"adult_{part}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            parts.append(list(csv.DictReader(file)))
    blocks: list[list[Any]] = [[], []]
    for name in list(parts[0][0])[:-1]:
        columns = [[row[name] for row in rows] for rows in parts]
        if all(cell.lstrip("-").isdigit() for cell in columns[0]):
            numbers = [np.array(column, np.float64)[:, None] for column in columns]
            encoded = [(values - numbers[0].mean()) / numbers[0].std() for values in numbers]
        else:
            levels = np.array(sorted(set(columns[0])))
            encoded = [np.array(column)[:, None] == levels for column in columns]
        for block, own in zip(blocks, encoded, strict=True):
            block.append(own)
    X, X_test = (np.concatenate(block, axis=1).astype(np.float32) for block in blocks)
    y, y_test = (np.array([">50K" in row["income"] for row in rows]).astype(np.int64) for rows in parts)
    return X, y, X_test, y_test


READ = {"digits": digits, "adult": adult}


def run(script: str, folder: Path, threads: int) -> dict[str, float]:
    """Run a script in a fresh process; return seconds by the clock, and of the processors."""
    names = ("OMP", "OPENBLAS", "MKL", "CLEARPROP")
    environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True, cwd=folder, env=environment)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall, "cpu_s": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime}


def filled(script: str, name: str, classes: int, threads: int, seed: int) -> str:
    """Return a script with its numbers."""
    epochs, batch, hidden = WORK[name]
    head = {"EPOCHS": epochs, "BATCH": batch, "HIDDEN": hidden, "CLASSES": classes, "RATE": RATE}
    lines = [f"{key} = {value!r}" for key, value in (head | {"THREADS": threads, "SEED": seed}).items()]
    return "\n".join([*lines, script])


def measure(name: str, threads: int, rounds: int) -> dict[str, Any]:
    """Return for each script the medians and bests of its rounds, and its accuracy; scripts take turns."""
    import numpy as np

    scripts = {
        peer: script
        for peer, script in SCRIPTS.items()
        if peer not in NEEDS or importlib.util.find_spec(NEEDS[peer])
    }
    X, y, X_test, y_test = READ[name]()
    times: dict[str, list[dict[str, float]]] = {peer: [] for peer in scripts}
    accuracy: dict[str, list[float]] = {peer: [] for peer in scripts}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for stem, array in (("X", X), ("y", y), ("X_test", X_test)):
            np.save(folder / f"{stem}.npy", array)
        for round_ in range(rounds + 1):
            for peer, script in scripts.items():
                taken = run(filled(script, name, int(y.max()) + 1, threads, round_), folder, threads)
                if round_ == 0:
                    continue  # it reads the files of the library from the disk
                times[peer].append(taken)
                if peer != "interpreter":
                    accuracy[peer].append(float((np.load(folder / "found.npy") == y_test).mean()))
    return {
        "data": name,
        "threads": threads,
        "examples": len(X),
        "features": int(X.shape[1]),
        "epochs": WORK[name][0],
        "batch_size": WORK[name][1],
        "hidden": WORK[name][2],
        "scripts": {peer: _summary(times[peer], accuracy[peer]) for peer in scripts},
    }


def _summary(times: list[dict[str, float]], accuracy: list[float]) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"{clock}_{which}": choose([taken[clock] for taken in times])
        for clock in ("wall_s", "cpu_s")
        for which, choose in (("median", statistics.median), ("best", min))
    }
    return found | ({"accuracy": statistics.mean(accuracy)} if accuracy else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=sorted(WORK), default=sorted(WORK))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from peer_engines.machine import describe

    machine = describe()
    cells = [measure(name, n, options.rounds) for n in options.threads for name in options.data]
    if options.json:
        whole = {"benchmark": "benchmarks/as_users_feel_it.py", "machine": machine, "rounds": options.rounds}
        print(json.dumps({**whole, "cells": cells}, indent=1))
        return
    for cell in cells:
        print(f"{cell['data']}, {cell['epochs']} epochs, {cell['threads']} thread(s); seconds, median (best)")
        for peer, own in cell["scripts"].items():
            clock, processor = ((own[f"{c}_median"], own[f"{c}_best"]) for c in ("wall_s", "cpu_s"))
            right = f", accuracy {own['accuracy']:.4f}" if "accuracy" in own else ""
            print(
                f"  {peer}: clock {clock[0]:.2f} ({clock[1]:.2f}), "
                f"processor {processor[0]:.2f} ({processor[1]:.2f}){right}"
            )


if __name__ == "__main__":
    main()
