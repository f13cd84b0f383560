"""clearprop, through its public API."""

from __future__ import annotations

from typing import Any

import clearprop as cp
from clearprop.engines import engines
from peer_engines.workloads import Data, Workload


def engine_name() -> str:
    """The fastest rung there is here."""
    return "native" if "native" in engines() else "batch"


def make_network(w: Workload, engine: str, dtype: str = "float32") -> cp.Network:
    """Return the network of a workload."""
    softmax = w.output == "softmax"
    layers = [cp.Dense(n, w.hidden) for n in w.sizes[1:-1]]
    layers.append(cp.Dense(w.sizes[-1], "softmax" if softmax else "sigmoid"))
    cost = "cross_entropy" if softmax else "quadratic"
    return cp.Network(layers, cost, n_in=w.sizes[0], dtype=dtype, engine=engine)


class Clearprop:
    """One call of fit for all the epochs of a turn, so that what fit checks and prepares is in the time.

    It draws its own order of the examples, measures cost and accuracy of every batch, keeps the history and
    watches for divergence and Ctrl-C, as for any user.
    """

    def __init__(self, w: Workload, data: Data, threads: int) -> None:
        self.w, self.data = w, data
        self.note = engine_name()
        self.net = make_network(w, self.note)
        self.optimizer = cp.SGD(w.eta) if w.optimizer == "sgd" else cp.Adam(w.eta)
        self.reset()

    def reset(self) -> None:
        for i, (W, b) in enumerate(self.data.start, start=1):
            self.net.W[i][:] = W
            self.net.b[i][:] = b

    def _fit(self, epochs: int, order: Any) -> None:
        self.net.fit(
            self.data.X,
            self.data.Y,
            optimizer=self.optimizer,
            epochs=epochs,
            batch_size=self.w.batch,
            order=order,
        )

    def epochs(self, k: int) -> None:
        self._fit(k, None)

    def in_order(self, order: Any) -> None:
        self._fit(1, [order])

    def weights(self) -> list[tuple[Any, Any]]:
        return [(self.net.W[i].copy(), self.net.b[i].copy()) for i in range(1, len(self.w.sizes))]
