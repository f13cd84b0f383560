"""A trained table model: the encoding, one network or several, and what makes probabilities of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_items
from clearprop.errors import DTypeError, FileFormatError, OptionError
from clearprop.network import Network, load
from clearprop.persistence import load_model, save_with
from clearprop.tabular.encoding import TableEncoding
from clearprop.tabular.reading import Table, read

__all__ = ["KEY", "TabularModel", "soften"]

KEY = "tabular"
"""Where the description lies among what a file holds besides a network: ``network.extra["tabular"]``."""

_VERSION = 1
_ROWS = 8192  # predicted at a time
_THETA, _BUFFERS = "members.theta", "members.buffers"


@dataclass(frozen=True, eq=False)
class TabularModel:
    """Networks that read encoded tables, as one model. Predicting needs NumPy alone.

    The members have one architecture. Probabilities are the mean over the members, p, sharpened or softened
    by the temperature T: p_k^(1/T) / Σ_j p_j^(1/T), which for one member is softmax(z / T).
    Source: Guo et al. (2017), On Calibration of Modern Neural Networks, equation (9).

    >>> import clearprop as cp
    >>> from clearprop.tabular import learn_encoding
    >>> table = {"size": [1.0, 2.0, 3.0, 4.0], "colour": ["red", "red", "blue", "blue"]}
    >>> encoding = learn_encoding(table, min_count=1)
    >>> net = cp.Network([cp.Dense(2, "softmax")], seed=0)
    >>> history = net.fit(encoding.encode(table), ["a", "a", "b", "b"], epochs=100, eta=0.1)
    >>> model = TabularModel(encoding, (net,))
    >>> model.predict({"colour": ["blue", "red"], "size": [3.5, None]}).tolist()
    ['b', 'a']
    """

    encoding: TableEncoding
    networks: tuple[Network, ...]
    temperature: float = 1.0
    limits: tuple[tuple[float, float], ...] = ()
    """Least and greatest value of each output in training, beyond which numbers are not predicted; or ()."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Plain data that was saved along."""

    def __post_init__(self) -> None:
        if not isinstance(self.encoding, TableEncoding):
            raise DTypeError(
                f"encoding must be a TableEncoding, as from learn_encoding. Got {self.encoding!r}."
            )
        networks = as_items("networks of a TabularModel", self.networks)
        if not networks or not all(isinstance(network, Network) for network in networks):
            raise DTypeError(f"a TabularModel needs one or more Networks. Got {networks!r}.")
        object.__setattr__(self, "networks", networks)
        if not (isinstance(self.temperature, float) and 0 < self.temperature < math.inf):
            raise OptionError(f"temperature must be a finite number > 0. Got {self.temperature!r}.")
        n_in, n_inputs = self.networks[0].model.n_in, len(self.encoding.inputs)
        if n_in != n_inputs:
            raise OptionError(f"the network has {n_in} inputs, the encoding gives {n_inputs}.")
        object.__setattr__(self, "limits", _pairs(self.limits))
        if not isinstance(self.extra, Mapping):
            raise DTypeError(f"extra must be a dict of plain data. Got {self.extra!r}.")

    @property
    def targets(self) -> Any:
        """How outputs are decoded; see `Network.targets`."""
        return self.networks[0].targets

    @property
    def is_classifier(self) -> bool:
        """Whether the model predicts classes."""
        return self.targets is not None and bool(self.targets.is_classification)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels in the order of the probabilities; () for numbers."""
        return tuple(self.targets.classes) if self.is_classifier else ()

    def outputs(self, X: Any, where: str = "X") -> Array:
        """Return probabilities (rows, classes), or numbers (rows, outputs), of a table.

        X: what `TableEncoding.encode` takes, with its errors.
        """
        table = X if isinstance(X, Table) else read(X, where)
        found = [np.zeros((0, self.networks[0].model.n_out), self.networks[0].dtype)]
        for begin in range(0, table.n, _ROWS):
            some = table.rows(slice(begin, begin + _ROWS))
            found.append(self.outputs_of_inputs(self.encoding.encode(some, where, self.networks[0].dtype)))
        return np.concatenate(found)

    def outputs_of_inputs(self, inputs: Array) -> Array:
        """Return what `outputs` does, for rows that are encoded already."""
        a = _mean([network.outputs(inputs) for network in self.networks])
        if self.is_classifier:
            return soften(a, self.temperature)
        if self.limits:
            low, high = np.array(self.limits, a.dtype).T
            a = np.clip(a, low, high)
        return a

    def predict(self, X: Any, where: str = "X") -> Array:
        """Return the most probable label of each row, or its number."""
        a = self.outputs(X, where)
        return a if self.targets is None else np.asarray(self.targets.decode(a))

    def predict_proba(self, X: Any, where: str = "X") -> Array:
        """Return the probability of each class, (rows, classes). Errors: `OptionError` for a regression."""
        if not self.is_classifier:
            raise OptionError("this model predicts numbers and has no probabilities. Call predict.")
        return self.outputs(X, where)

    def config(self) -> dict[str, Any]:
        """Return what the file says besides the networks, as plain data."""
        return {
            "version": _VERSION,
            "members": len(self.networks),
            "temperature": self.temperature,
            "limits": [list(pair) for pair in self.limits],
            "encoding": self.encoding.config(),
        }

    def save(
        self, path: str | Path, *, overwrite: bool = False, extra: Mapping[str, Any] | None = None
    ) -> Path:
        """Write all of it to one safetensors file and return its path; nothing is overwritten unasked.

        The file is that of the first network (``cp.load`` finds it), with the others' parameters besides.
        """
        first, *others = self.networks
        tensors = {}
        if others:
            tensors[_THETA] = np.stack([network.theta for network in others])
            tensors[_BUFFERS] = np.stack([network.buffers for network in others])
        content = {**self.extra, **(extra or {}), KEY: self.config()}
        save_with(first, path, tensors, overwrite=overwrite, extra=content)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, custom: Sequence[Any] = ()) -> TabularModel:
        """Return the model that `save`, an estimator or ``clearprop train`` wrote; nothing in it is run.

        custom: classes of your own activations, costs or layers that the networks use.
        Errors: those of `clearprop.load`; `FileFormatError` for a file that holds no table model.
        """
        first = load(path, custom=custom)
        if KEY not in first.extra:
            raise FileFormatError(
                f"{path} holds a network, but no description of a table's columns. clearprop.load reads it."
            )
        tensors = load_model(path, custom=custom).extra_tensors
        return cls._of(first, tensors, path)

    @classmethod
    def of_network(cls, network: Network, where: str = "the network") -> TabularModel:
        """Return the model of one network that has the description in its ``extra["tabular"]``."""
        return cls._of(network, {}, where)

    @classmethod
    def _of(cls, first: Network, tensors: Mapping[str, Array], where: str | Path) -> TabularModel:
        config = first.extra.get(KEY)
        try:
            if not isinstance(config, Mapping) or config["version"] != _VERSION:
                raise FileFormatError(f"its version is not {_VERSION}")
            networks = _members(first, int(config["members"]), tensors)
            limits = _pairs(config["limits"])
            encoding = TableEncoding.from_config(config["encoding"])
            extra = {name: value for name, value in first.extra.items() if name != KEY}
            return cls(encoding, networks, float(config["temperature"]), limits, extra)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(
                f"{where}: what it says about the table is not sound: {type(error).__name__}: {error}"
            ) from None


def _pairs(limits: Any) -> tuple[tuple[float, float], ...]:
    try:
        return tuple((float(low), float(high)) for low, high in limits)
    except (TypeError, ValueError, OverflowError):
        raise DTypeError(f"limits must be pairs (least, greatest) of numbers. Got {limits!r}.") from None


def _members(first: Network, n: int, tensors: Mapping[str, Array]) -> tuple[Network, ...]:
    """Return the first network and the others, whose parameters are rows of the tensors."""
    if n == 1:
        return (first,)
    theta, buffers = tensors[_THETA], tensors[_BUFFERS]
    shapes = theta.shape, buffers.shape
    if shapes != ((n - 1, first.n_parameters), (n - 1, len(first.buffers))):
        raise FileFormatError(f"the parameters of its {n} members have the shapes {shapes}")
    if theta.dtype != first.dtype or buffers.dtype != first.dtype:
        raise FileFormatError(f"the parameters of its members are {theta.dtype}, the network's {first.dtype}")
    others = []
    for own, running in zip(theta, buffers, strict=True):
        other = first.copy()
        other.theta[:], other.buffers[:] = own, running
        others.append(other)
    return (first, *others)


def _mean(outputs: Sequence[Array]) -> Array:
    if len(outputs) == 1:
        return outputs[0]
    total = np.zeros(outputs[0].shape, np.float64)
    for a in outputs:
        total += a
    return np.asarray(total / len(outputs), outputs[0].dtype)


def soften(p: Array, temperature: float) -> Array:
    """Return probabilities at another temperature: p_k^(1/T) / Σ_j p_j^(1/T), each row on its own.

    p: (n, classes), rows that sum to 1. T above 1 makes them more even, below 1 surer.

    >>> soften(np.array([[0.8, 0.2]]), 2.0).round(4).tolist()
    [[0.6667, 0.3333]]
    """
    if temperature == 1.0:
        return p
    top = p.max(axis=1, keepdims=True)
    raised = (p.astype(np.float64) / top) ** (1 / temperature)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), p.dtype)
