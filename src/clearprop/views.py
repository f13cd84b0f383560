"""Views of a network: its parameters by layer, its outputs as probabilities, a table of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DTypeError, OptionError, ShapeError
from clearprop.layers import ActivationOwner, Layer
from clearprop.model import Model, State
from clearprop.training.targets import Targets

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["ParameterViews", "class_names", "class_probabilities", "numbers_like", "summary_table"]


class ParameterViews(Mapping[Any, Array]):
    """Views of the parameters of one name by layer: ``net.W[1]``, ``net.W["3.body.1"]``.

    ``net.W[1] = values`` writes into theta. Errors: `UnknownNameError` for a layer that has none.
    """

    def __init__(self, model: Model, state: State, name: str) -> None:
        self._model = model
        self._state = state
        self._name = name

    def __getitem__(self, layer: int | str) -> Array:
        entry = self._model.layout.find(f"{layer}.{self._name}")
        return self._state.theta[entry.block].reshape(entry.shape)

    def __setitem__(self, layer: int | str, values: Any) -> None:
        view = self[layer]
        view[:] = numbers_like(view, values, f"{layer}.{self._name}")

    def __contains__(self, layer: object) -> bool:
        return layer in list(self)

    def get(self, layer: Any, default: Any = None) -> Any:
        """Return the view of a layer, or `default` where there is none."""
        return dict(self).get(layer, default) if isinstance(layer, str | int | np.integer) else default

    def __iter__(self) -> Iterator[Any]:
        for entry in self._model.layout.entries:
            if entry.name == self._name:
                yield int(entry.layer) if entry.layer.isdigit() else entry.layer

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{layer!r}: {view.shape}" for layer, view in self.items())
        return f"<{self._name} by layer: {shapes}>"


def numbers_like(old: Array, values: Any, what: str) -> Array:
    """Return values that may be written over `old`. Errors: `DTypeError`, `ShapeError`."""
    new = np.asarray(values)
    if new.dtype.kind not in "biuf":
        raise DTypeError(f"{what} holds {old.dtype} numbers. Got values of type {new.dtype}.")
    if new.shape != old.shape:
        raise ShapeError(f"{what} of this network has shape {old.shape}. Got {new.shape}.")
    return new


def class_probabilities(last: Layer, targets: Targets | None, a: Array) -> Array:
    """Return outputs a (n, n_out) as the probability of each class, (n, classes); see `predict_proba`.

    Errors: `OptionError` where the outputs of this last layer are no probabilities.
    """
    name = last.activation.name if isinstance(last, ActivationOwner) else type(last).__name__
    distribution = isinstance(last, ActivationOwner) and last.activation.distribution
    real = targets is not None and not targets.is_classification
    if not distribution and (name != "sigmoid" or real):
        raise OptionError(
            f"predict_proba needs probabilities of classes; the last layer of this network is {name!r}. "
            "Use a softmax, ordinal or sigmoid output trained on labels, or call outputs(X)."
        )
    if distribution or (targets is not None and targets.kind == "multilabel"):
        return a
    if a.shape[1] == 1:
        return np.concatenate([1 - a, a], axis=1)
    shares: Array = a / a.sum(axis=1, keepdims=True)
    return shares


def class_names(network: Network) -> tuple[str, ...] | None:
    """Return what the network's classes are called, in the order of its outputs; None for numbers."""
    targets = network.targets
    if targets is None or targets.kind not in ("classes", "binary", "onehot"):
        return None
    data = network.extra.get("data")
    names = data.get("class_names") if isinstance(data, dict) else None
    if isinstance(names, list) and len(names) == len(targets.classes):
        return tuple(str(name) for name in names)
    return tuple(str(label) for label in targets.classes)


def summary_table(model: Model, dtype: Any) -> str:
    """Return a table of the layers: address, kind, outputs, activation, parameters; and the cost."""
    header = ("layer", "kind", "outputs", "activation", "parameters")
    rows = [header]
    for address, layer in model.walk():
        activation = layer.activation.name if isinstance(layer, ActivationOwner) else ""
        own = sum(e.size for e in model.layout.entries if e.layer == address)
        rows.append((address, type(layer).__name__, str(layer.n_out), activation, f"{own:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    right = (False, False, True, False, True)
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        for row in rows
    ]
    return "\n".join(
        [*lines, f"cost {model.cost.name}, {model.layout.size:,} parameters, {np.dtype(dtype).name}"]
    )
