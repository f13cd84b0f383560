"""What the tests of fit_many share: folds, and how a network's state is compared."""

from __future__ import annotations

import numpy as np
from tests.native_cases import N

import clearprop as cp

FOLDS = [np.flatnonzero(np.arange(N) % 3 != k) for k in range(3)]
HELD = [np.flatnonzero(np.arange(N) % 3 == k) for k in range(3)]


def bits(network: cp.Network) -> tuple[bytes, bytes]:
    return network.theta.tobytes(), network.buffers.tobytes()


def rows_without_seconds(history: cp.History) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]
