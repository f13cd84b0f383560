"""Values that nobody should give to a function, and plausible ones by the name of the parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

import clearprop as cp

__all__ = ["hostile", "plausible", "text"]


class _Rude:
    """An object whose every question is answered by an error."""

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __repr__(self) -> str:
        return "<rude>"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no array")


def _circular() -> list[Any]:
    found: list[Any] = [1.0]
    found.append(found)
    return found


def _deep() -> list[Any]:
    found: list[Any] = [1.0]
    for _ in range(500):
        found = [found]
    return found


TEXTS = (
    "",
    " ",
    "é\u0301",
    "日本語",
    "\x00",
    "\n",
    "a" * 5000,
    "\ud800",
    "nan",
    "-1",
    "relu",
    "sgd",
    "1e999",
    "None",
    "../x",
    "/dev/null/x",
    "{}",
    "[",
    "%s%n",
    "--",
    "0",
    "1",
    "0.5",
    "2,3",
    "xor",
    "1.W",
    "*.b",
    "9" * 400,
)

_VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: True,
    lambda: False,
    lambda: -1,
    lambda: 0,
    lambda: 1,
    lambda: 2,
    lambda: 1.5,
    lambda: -0.0,
    lambda: np.nan,
    lambda: np.inf,
    lambda: -np.inf,
    lambda: 10**30,
    lambda: -(10**30),
    lambda: 2**31,
    lambda: 2**63,
    lambda: 1e308,
    lambda: 5e-324,
    lambda: 1j,
    lambda: b"bytes",
    list,
    dict,
    lambda: (),
    set,
    object,
    lambda: int,
    lambda: len,
    _Rude,
    _circular,
    _deep,
    lambda: ...,
    lambda: iter([]),
    lambda: (x for x in "ab"),
    lambda: [None],
    lambda: [[]],
    lambda: [[1], [2, 3]],
    lambda: [np.nan],
    lambda: ["a", 1],
    lambda: {"a": 1},
    lambda: {1: None},
    lambda: range(3),
    lambda: slice(2),
    lambda: np.float64("nan"),
    lambda: np.int64(3),
    lambda: np.array(2.0),
    lambda: np.zeros(0),
    lambda: np.zeros((0, 3)),
    lambda: np.zeros((3, 0)),
    lambda: np.zeros((2, 3, 4)),
    lambda: np.ones(3),
    lambda: np.ones((12, 3)),
    lambda: np.full((12, 3), np.nan),
    lambda: np.full((12, 3), np.inf),
    lambda: np.full((12, 3), 1e308),
    lambda: np.full((12, 3), 1e-310),
    lambda: np.ones((12, 3), complex),
    lambda: np.ones((12, 3), object),
    lambda: np.array([[None] * 3] * 12),
    lambda: np.array([["a"] * 3] * 12),
    lambda: np.ones((12, 3), ">f8"),
    lambda: np.ones((12, 3), np.float16),
    lambda: np.ones((12, 3), bool),
    lambda: np.ones((12, 3), np.longdouble),
    lambda: np.ones((24, 6))[::2, ::2],
    lambda: np.ones((12, 3))[::-1],
    lambda: np.broadcast_to(0.0, (10**12, 3)),
    lambda: np.zeros(12, [("a", float), ("b", int)]),
    lambda: np.full((12, 3), np.datetime64("2020-01-01")),
    lambda: np.ma.masked_all((12, 3)),
    lambda: scipy.sparse.random(12, 3, 0.5, format="coo"),
    lambda: np.ones((12, 3)).view(np.matrix),
    lambda: np.random.default_rng(0),
    lambda: np.zeros(12, int),
    lambda: np.arange(12) % 2,
    lambda: np.array(["a", "b"] * 6),
    lambda: np.zeros(12),
    lambda: np.full(12, np.nan),
    lambda: -np.ones(12),
    lambda: cp.Dense(2),
    lambda: [cp.Dense(2)],
    lambda: cp.Dense,
    lambda: cp.Network([3, 2, 1]),
    lambda: cp.Network([cp.Dense(2)]),
    lambda: cp.Adam(),
    lambda: cp.Constant(),
    lambda: cp.Penalty(),
)


def text(rng: np.random.Generator) -> str:
    """Return some text."""
    return TEXTS[rng.integers(len(TEXTS))]


def hostile(rng: np.random.Generator) -> Any:
    """Return a value of no particular use."""
    k = int(rng.integers(len(_VALUES) + 10))
    return _VALUES[k]() if k < len(_VALUES) else text(rng)


def _data(rng: np.random.Generator) -> Any:
    return rng.normal(size=(12, 3))


def _labels(rng: np.random.Generator) -> Any:
    return np.arange(12) % 2


def network(rng: np.random.Generator) -> cp.Network:
    """Return one of a few small networks for the data of `plausible`."""
    kind = int(rng.integers(4))
    if kind == 0:
        return cp.Network([3, 2, 2], seed=1)
    if kind == 1:
        return cp.Network([cp.Dense(4, "relu"), cp.Dropout(0.2), cp.Dense(2, "softmax")], seed=1)
    if kind == 2:
        parts = [cp.Dense(4, "tanh"), cp.BatchNorm(), cp.Residual([cp.Dense(4)]), cp.Dense(2, "softmax")]
        return cp.Network(parts, n_in=3, seed=1)
    net = cp.Network([cp.Dense(4, "tanh"), cp.Dense(2, "softmax")], n_in=3, seed=1)
    net.fit(_data(rng), _labels(rng), epochs=1)
    return net


_BY_NAME: dict[str, Callable[[np.random.Generator], Any]] = {
    "X": _data,
    "x": lambda rng: rng.normal(size=3),
    "z": _data,
    "a": _data,
    "y": _labels,
    "network": network,
    "net": network,
    "networks": lambda rng: [network(rng), network(rng)],
    "layers": lambda rng: [cp.Dense(3), cp.Dense(2, "softmax")],
    "layer": lambda rng: int(rng.integers(1, 3)),
    "neuron": lambda rng: 0,
    "weight": lambda rng: (0, 1),
    "n_in": lambda rng: 3,
    "n_out": lambda rng: 2,
    "n": lambda rng: 12,
    "cost": lambda rng: "cross_entropy",
    "activation": lambda rng: "tanh",
    "epochs": lambda rng: 2,
    "batch_size": lambda rng: 4,
    "eta": lambda rng: 0.1,
    "optimizer": lambda rng: "adam",
    "seed": lambda rng: 3,
    "engine": lambda rng: "batch",
    "body": lambda rng: [cp.Dense()],
    "branches": lambda rng: [cp.Dense(2), []],
    "rate": lambda rng: 0.3,
    "choices": lambda rng: ["relu", "tanh"],
    "path": lambda rng: "file.safetensors",
    "function": lambda rng: np.sum,
    "f": lambda rng: lambda x: float(np.sum(x**2)),
    "grad": lambda rng: lambda x: 2 * x,
    "gradient": lambda rng: lambda x: 2 * x,
    "at": lambda rng: rng.normal(size=3),
    "sample_weight": lambda rng: np.ones(12),
    "noise": lambda rng: 0.1,
    "name": lambda rng: "sigmoid",
}


def plausible(name: str, rng: np.random.Generator) -> Any:
    """Return a value that a parameter of this name may well be given; a hostile one for a name not known."""
    known = _BY_NAME.get(name)
    return hostile(rng) if known is None else known(rng)
