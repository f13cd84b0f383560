"""Write the files that a version leaves behind, for later versions to read.

Run once, as python tests/files/make.py FOLDER, for a release; what is written is never written again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import clearprop as cp

N = 24
LABELS = ["aster", "rose", "tulip"]
OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 8, "optimizer": "adam"}


def data() -> tuple[np.ndarray, np.ndarray]:
    """Return the examples that the files are about; no random number is drawn for them."""
    rows, columns = np.mgrid[:N, :4]
    return (rows * (columns + 2) % 7) / 7 - 0.4, np.array([LABELS[i % 3] for i in range(N)])


def network() -> cp.Network:
    """Return a network with every kind of layer."""
    layers = [
        cp.Dense(5, cp.per_neuron(["relu", "tanh", "gelu", "elu", "sigmoid"])),
        cp.BatchNorm(),
        cp.Residual([cp.Dense(5, "leaky_relu"), cp.LayerNorm()]),
        cp.Concatenate([[cp.Dense(2, "tanh")], [cp.Dense(3), cp.Activation("prelu")]]),
        cp.Dropout(0.1),
        cp.AlphaDropout(0.05),
        cp.Dense(3, "softmax"),
    ]
    return cp.Network(layers, n_in=4, seed=7, dtype="float32", engine="batch", preprocessing="standardize")


def write(folder: Path) -> None:
    """Write a model, a recorded run, a checkpoint, and what they must give."""
    X, y = data()
    recorder = cp.FlightRecorder(every=4)
    net = network()
    kept = cp.Checkpoint(folder / "run", every_steps=7)
    history = net.fit(X, y, **OPTIONS, callbacks=[recorder], checkpoint=kept, validation_fraction=0.25)
    net.save(folder / "model.safetensors")
    recorder.run.save(folder / "recording.safetensors")
    checkpoints = sorted((folder / "run").iterdir())
    checkpoints[0].rename(folder / "checkpoint.safetensors")
    for path in checkpoints[1:]:
        path.unlink()
    (folder / "run").rmdir()
    found = {
        "version": cp.__version__,
        "outputs": net.outputs(X).tolist(),
        "predicted": net.predict(X).tolist(),
        "theta": net.theta.tolist(),
        "steps": len(recorder.run.steps),
        "resumed_after": 7,
        "cost": history["cost"],
    }
    (folder / "expected.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    write(target)
