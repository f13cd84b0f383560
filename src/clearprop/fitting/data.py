"""The data of one fit: training examples or a stream of batches, and validation examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array, distinct
from clearprop.checks import as_number
from clearprop.errors import DataError, OptionError
from clearprop.fitting.reading import build_for, read_examples, read_features, targets_of
from clearprop.random import Purpose, stream
from clearprop.training.batches import (
    Batch,
    Batches,
    Order,
    Orders,
    example_batch,
    example_batches,
    example_orders,
)
from clearprop.training.data import Affine, Examples, is_stream
from clearprop.training.features import check_values
from clearprop.training.options import FitOptions
from clearprop.training.targets import Targets
from clearprop.training.weights import check_weights, class_weights, mean_one

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["TrainingData", "check_fraction", "read_training_data", "read_validation"]


@dataclass(frozen=True)
class TrainingData:
    """Training data and what its targets mean: `examples`, or `source` for an iterable of batches."""

    targets: Targets
    examples: Examples | None = None
    source: Batches | None = None
    once: bool = False
    """Whether the iterable of batches can be iterated one time only."""
    weighted_stream: bool = False
    """Whether the batches of an iterable carry weights."""

    @property
    def n_examples(self) -> int | None:
        """Number of examples, None for an iterable of batches."""
        return None if self.examples is None else len(self.examples)

    def steps_per_epoch(self, options: FitOptions, order: Order | None) -> int | None:
        """Return the number of steps in an epoch, None if it is not known beforehand."""
        if self.examples is None or order is not None:
            return None
        n, size = len(self.examples), options.batch_size
        return n // size if options.drop_last else -(-n // size)

    def orders(
        self, options: FitOptions, seed: int, order: Order | None, epochs_before: int = 0
    ) -> Orders | None:
        """Return the order of the examples in each epoch; None for an iterable of batches."""
        if self.examples is None:
            return None
        return example_orders(len(self.examples), options, seed, order, epochs_before)

    def batches(self, orders: Orders | None) -> Batches:
        """Return the batches of each epoch."""
        if self.examples is None or orders is None:
            assert self.source is not None
            return self.source
        return example_batches(self.examples, orders)

    @property
    def fetch(self) -> Any:
        """What returns the batch of some examples again; None for an iterable of batches."""
        return None if self.examples is None else partial(example_batch, self.examples)


def read_training_data(
    network: Network, X: Any, y: Any, sample_weight: Any, class_weight: Any, order: Any, fraction: float
) -> TrainingData:
    """Return the training data, and give the network its sizes, targets and preprocessing.

    fraction: the share that will be split off for validation, of which the preprocessing must know nothing.
    """
    if not is_stream(X, y):
        return _from_arrays(network, X, y, sample_weight, class_weight, fraction)
    given = {"y": y, "sample_weight": sample_weight, "class_weight": class_weight, "order": order}
    for name, value in given.items():
        if value is not None:
            raise OptionError(
                f"{name} does not go with an iterable of batches: each batch carries its own (X, y, weights)."
            )
    return _from_stream(network, X)


def _from_arrays(
    network: Network, X: Any, y: Any, sample_weight: Any, class_weight: Any, fraction: float
) -> TrainingData:
    if y is None:
        raise DataError("fit needs y, one target per example (only an iterable of batches carries its own).")
    features = read_features(network, X)
    check_values(features, "X", network.dtype)
    first_fit = network.targets is None and network.classes is None
    build_for(network, features, y)
    targets = targets_of(network, y)
    if network.preprocessing == "standardize":
        kept = _kept(network, targets, y, features.shape[0], fraction) if fraction else None
        network.preprocessing = Affine.standardize(features, kept)
    examples = read_examples(network, features, y, targets, checked=True)
    if first_fit and targets.kind in ("classes", "onehot", "binary"):
        _check_several_classes(examples.y)
    weights = _weights(targets, examples.y, sample_weight, class_weight)
    network.targets = targets
    return TrainingData(targets, examples if weights is None else replace(examples, weights=weights))


def _check_several_classes(encoded: Array) -> None:
    if bool(np.all(encoded == encoded[0])):
        raise DataError(
            f"y holds one class only, in all {len(encoded)} examples: there is nothing to learn. "
            "Give examples of two or more classes, or list all labels in Network(…, classes=[…])."
        )


def _weights(targets: Targets, encoded: Array, sample_weight: Any, class_weight: Any) -> Array | None:
    n, dtype = len(encoded), encoded.dtype
    if class_weight is None:
        return None if sample_weight is None else mean_one(sample_weight, n, dtype)
    if targets.kind not in ("classes", "binary", "onehot"):
        raise OptionError(
            f"class_weight needs one class per example; these targets are {targets.kind!r}. Use "
            "sample_weight."
        )
    weights = class_weights(class_weight, targets.class_indices(encoded), targets.classes)
    if sample_weight is not None:
        weights = weights * check_weights(sample_weight, n)
    return mean_one(weights, n, dtype, "class_weight" if sample_weight is None else "sample_weight")


# Streams -----------------------------------------------------------------------------------------


_NOTHING = object()  # None may be what a broken source yields


def _from_stream(network: Network, source: Any) -> TrainingData:
    """Return data whose batches come from an iterable; the first batch tells sizes and targets."""
    if network.preprocessing == "standardize":
        raise OptionError(
            "preprocessing='standardize' needs all data at once. Give an Affine(shift, factor)."
        )
    iterator = iter(source)
    first = next(iterator, _NOTHING)
    if first is _NOTHING:
        raise DataError("the iterable of batches is empty.")
    X, y, weights = _unpack(first, 1)
    build_for(network, read_features(network, X, "X of batch 1"), y, "y of batch 1")
    targets = targets_of(network, y, "y of batch 1")
    reader = _BatchReader(network, targets, weights is not None)
    reader.batch(first, 1, 0)  # so that a bad first batch is refused before anything has changed
    network.targets = targets
    if iterator is source:
        source = partial(_rest, reader, first, iterator)
        return TrainingData(targets, source=source, once=True, weighted_stream=reader.weighted)
    if hasattr(iterator, "close"):
        iterator.close()
    return TrainingData(targets, source=partial(_anew, reader, source), weighted_stream=reader.weighted)


def _anew(reader: _BatchReader, source: Any, epoch: int) -> Iterator[Batch]:
    return reader.batches(source)


def _rest(reader: _BatchReader, first: Any, iterator: Iterator[Any], epoch: int) -> Iterator[Batch]:
    return reader.batches(chain([first], iterator))


@dataclass(frozen=True)
class _BatchReader:
    """Turns the items of an iterable into batches for a network; messages count the batches from 1."""

    network: Network
    targets: Targets
    weighted: bool

    def batches(self, items: Iterable[Any]) -> Iterator[Batch]:
        """Yield the items as batches, whose examples are counted from 0 in every epoch."""
        seen = 0
        for number, item in enumerate(items, 1):
            batch = self.batch(item, number, seen)
            seen += len(batch.y)
            yield batch

    def batch(self, item: Any, number: int, seen: int) -> Batch:
        """Return one item, (X, y) or (X, y, weights), as a batch of its own memory."""
        X, y, weights = _unpack(item, number)
        what, where = f"X of batch {number}", f"y of batch {number}"
        examples = read_examples(self.network, X, y, self.targets, None, what, where)
        if (weights is not None) != self.weighted:
            raise DataError(
                f"batch {number} of the iterable has {'' if weights is not None else 'no '}weights, unlike "
                "the first. "
                "Give weights with every batch or with none."
            )
        n = len(examples)
        rows, encoded, _ = examples.take(np.arange(n))
        if weights is not None:
            weights = check_weights(weights, n, f"weights of batch {number}").astype(encoded.dtype)
        return Batch(rows, encoded, weights, np.arange(seen, seen + n))


def _unpack(item: Any, number: int) -> tuple[Any, Any, Any]:
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise DataError(
            f"batch {number} of the iterable is malformed: a batch must be (X, y) or (X, y, weights). "
            f"Batch {number} is a {type(item).__name__}"
            + (f" of {len(item)}." if isinstance(item, tuple | list) else ".")
        )
    return item[0], item[1], item[2] if len(item) == 3 else None


# Validation --------------------------------------------------------------------------------------


def check_fraction(fraction: float) -> float:
    """Return the share of examples to split off for validation, in [0, 1). Errors: `OptionError`."""
    return as_number("validation_fraction", fraction, at_least=0, below=1)


def read_validation(
    network: Network, data: TrainingData, X_val: Any, y_val: Any, fraction: float
) -> tuple[TrainingData, Examples | None]:
    """Return the training data that remain, and the validation data: given, split off, or None.

    Weights are for training: examples split off lose theirs, as those that are given have none.
    """
    if (X_val is None) != (y_val is None):
        missing = "y_val" if y_val is None else "X_val"
        raise OptionError(f"X_val and y_val go together; {missing} is missing.")
    if X_val is not None:
        if fraction:
            raise OptionError("give X_val and y_val, or validation_fraction, not both.")
        return data, read_examples(network, X_val, y_val, data.targets, None, "X_val", "y_val")
    if not fraction:
        return data, None
    if data.examples is None:
        raise OptionError("validation_fraction needs all data at once. Give X_val and y_val.")
    kept, held = _split(data.examples.y, data.targets, fraction, network.seed)
    unweighted = replace(data.examples, weights=None)
    return replace(data, examples=data.examples.part(kept)), unweighted.part(held)


def _kept(network: Network, targets: Targets, y: Any, n: int, fraction: float) -> Array | None:
    """Return which examples stay for training; None where X and y disagree, which is refused later."""
    encoded = targets.encode(y, network.dtype)
    return _split(encoded, targets, fraction, network.seed)[0] if len(encoded) == n else None


def _split(encoded: Array, targets: Targets, fraction: float, seed: int) -> tuple[Array, Array]:
    """Return the indices that stay for training and those held back; of each class the same share."""
    n = len(encoded)
    order = stream(seed, Purpose.SPLIT, 0).permutation(n)
    groups = [order]
    if targets.kind in ("classes", "onehot", "binary"):
        labels = targets.class_indices(encoded)[order]
        groups = [order[labels == label] for label in distinct(labels)]
    held = np.sort(np.concatenate([g[: min(round(fraction * len(g)), len(g) - 1)] for g in groups]))
    if len(held) == 0:
        raise OptionError(
            f"validation_fraction={fraction:g} of {n} examples leaves none for validation. Give X_val and "
            "y_val."
        )
    return np.setdiff1d(np.arange(n), held), held
