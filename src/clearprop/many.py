"""fit_many: an array of networks trained in one call over the cores, each as if alone."""

from __future__ import annotations

import copy
import inspect
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clearprop.arrays import Array, has_masked
from clearprop.checks import as_flag, as_whole
from clearprop.compiled import threads as all_threads
from clearprop.errors import (
    ClearpropError,
    DataError,
    DTypeError,
    FitManyError,
    OptionError,
    ShapeError,
    did_you_mean,
    one_of,
)
from clearprop.fitting import FitPlan, fit, plan_fit, run_plans
from clearprop.network import Network
from clearprop.training.callbacks import EarlyStopping
from clearprop.training.data import Examples, as_features, is_stream
from clearprop.training.features import Chosen, check_values, is_mapped, is_sparse
from clearprop.training.history import History
from clearprop.training.labels import as_targets
from clearprop.training.progress import ManyBar
from clearprop.training.weights import check_weights

__all__ = ["fit_many"]

_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(fit).parameters.items()
    if name not in ("network", "X", "y", "progress")
}


def fit_many(
    networks: Sequence[Network],
    X: Any,
    y: Any,
    *,
    rows: Sequence[Any] | None = None,
    validation_rows: Sequence[Any] | None = None,
    each: Mapping[str, Sequence[Any]] | None = None,
    threads: int | None = None,
    progress: bool = False,
    **options: Any,
) -> list[History]:
    """Train several networks on the same data, side by side on the cores; return their histories.

    For seeds, folds, a grid of rates: network i gets the bits that this gives it, at any number of threads:

        networks[i].fit(X[rows[i]], y[rows[i]], X_val=X[validation_rows[i]], y_val=y[validation_rows[i]], …)

    X is checked and converted once, and its rows are read where they lie; a network with preprocessing has a
    copy of its rows, shifted and scaled, while it trains. Nothing is trained before the options of all
    networks have been checked: what is refused leaves every network as it was.

    Parameters:
        networks: different objects, of any architecture, dtype and engine.
        X, y: as `Network.fit` takes them, but for iterables of batches.
        rows, validation_rows: for each network the indices of its examples, or a mask of booleans (n,), or
            None for all (for validation: for none). sample_weight is for all of X.
        each: options that differ: name -> one value for each network, such as ``{"eta": [0.1, 0.01]}``.
            callbacks go here, each object to one network; of one `EarlyStopping` for all each gets a copy.
        threads: how many networks are trained at a time; left out, CLEARPROP_NUM_THREADS or as many as there
            are processors.
        progress: whether to show one bar for all (needs rich).
        options: those of `Network.fit`, the same for all networks.

    Callbacks, and code of your own in metrics or layers, run in the thread of their network. The native rung
    trains side by side in C++; on other rungs, which are Python, threads mostly take turns.

    Errors: those of `Network.fit`, with "networks[i]: " before them. Where one network fails in training, as
    by divergence, the others are trained to their end, then `FitManyError` names those that failed, and has
    the histories of all. Ctrl-C ends each after its step at hand, leaves alone those that have not begun, and
    raises KeyboardInterrupt; what each recorded is in its ``network.history``.

    >>> import clearprop as cp
    >>> X, y = cp.datasets.xor()
    >>> networks = [cp.Network([2, 4, 1], seed=seed) for seed in range(3)]
    >>> histories = cp.fit_many(networks, X, y, epochs=5, each={"eta": [0.1, 0.01, 0.001]})
    >>> alone = cp.Network([2, 4, 1], seed=2)
    >>> history = alone.fit(X, y, epochs=5, eta=0.001)
    >>> history["cost"] == histories[2]["cost"], alone.theta.tobytes() == networks[2].theta.tobytes()
    (True, True)
    """
    _check_networks(networks)
    chosen = _options_of(options, each, len(networks))
    workers, threads_each = _shares(threads, len(networks))
    show = ManyBar() if as_flag("progress", progress) else None
    plans = _plans(networks, X, y, chosen, rows, validation_rows)
    failures = run_plans(plans, workers, threads_each, show)
    histories = [plan.history for plan in plans]
    if failures:
        raise FitManyError(failures, histories)
    return histories


def _check_networks(networks: Any) -> None:
    if not isinstance(networks, Sequence) or not all(isinstance(network, Network) for network in networks):
        raise DTypeError(f"networks must be a list of Network objects. Got {networks!r}.")
    if not networks:
        raise OptionError("networks is empty. Give at least one Network.")
    first: dict[int, int] = {}
    for place, network in enumerate(networks):
        for thing in (network, network._state):  # copy.copy makes another object with the same parameters
            if thing is not None and first.setdefault(id(thing), place) != place:
                raise OptionError(
                    f"networks[{first[id(thing)]}] and networks[{place}] are the same, or share their "
                    "parameters; each must be one of its own. Give copies: network.copy()."
                )


def _shares(threads: int | None, networks: int) -> tuple[int, int]:
    """Return how many networks are trained at a time, and how many threads each may use."""
    total = all_threads() if threads is None else as_whole("threads", threads, at_least=1)
    workers = min(total, networks)
    return workers, total // workers


# Options -----------------------------------------------------------------------------------------


def _options_of(options: dict[str, Any], each: Any, n: int) -> list[dict[str, Any]]:
    """Return the options of fit for each of n networks."""
    each = {} if each is None else each
    if not isinstance(each, Mapping):
        raise DTypeError(f'each must be a dictionary such as {{"eta": [0.1, 0.01]}}. Got {each!r}.')
    if options.get("checkpoint") is not None and n > 1:
        raise OptionError(
            "one folder of checkpoints is for one run alone. Give one for each network: "
            'each={"checkpoint": [folder, …]}.'
        )
    for name in [*options, *each]:
        if name not in _DEFAULTS:
            hint = did_you_mean(str(name), _DEFAULTS)
            raise OptionError(f"fit_many has no option {name!r}.{hint} It has: {one_of(_DEFAULTS)}.")
    for name in each:
        if name in options:
            raise OptionError(f"{name} is given for all networks and in each. Give it once.")
    each = {name: _one_for_each(f"each[{name!r}]", "value", values, n) for name, values in each.items()}
    if options.get("callbacks"):
        raise OptionError(
            "a callback belongs to one fit, and these networks are trained at the same time. Give each its "
            'own: each={"callbacks": [[…], […], …]}.'
        )
    stopper = options.get("early_stopping")
    if isinstance(stopper, EarlyStopping):
        each = {**each, "early_stopping": [copy.copy(stopper) for _ in range(n)]}
    found = [{**_DEFAULTS, **options, **{k: values[i] for k, values in each.items()}} for i in range(n)]
    _check_not_shared(found)
    return found


def _one_for_each(what: str, kind: str, given: Any, n: int) -> list[Any]:
    """Return the n items of a sequence, by place."""
    unordered = isinstance(given, str | bytes | Mapping | set | frozenset)
    try:
        items = None if unordered else list(given)
    except TypeError:
        items = None
    if items is None:
        raise DTypeError(f"{what} must be a list, one {kind} per network. Got {given!r}.")
    if len(items) != n:
        raise OptionError(f"{what} has {len(items)} items for {n} networks. Give one for each.")
    return items


def _check_not_shared(options: list[dict[str, Any]]) -> None:
    """Raise `OptionError` for what has a state of its own and is given to two networks."""
    owner: dict[int, int] = {}
    for place, of_one in enumerate(options):
        for name, thing in _with_state(of_one):
            if owner.setdefault(id(thing), place) != place:
                raise OptionError(
                    f"networks[{owner[id(thing)]}] and networks[{place}] are given the same object in "
                    f"{name} ({type(thing).__name__}), which serves one fit at a time. Give each its own."
                )


def _with_state(options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    callbacks = options["callbacks"]
    for callback in callbacks if isinstance(callbacks, Sequence | set) else [callbacks]:
        yield "callbacks", callback
    if isinstance(options["early_stopping"], EarlyStopping):
        yield "early_stopping", options["early_stopping"]
    if isinstance(options["order"], Iterator):
        yield "order", options["order"]


# Data --------------------------------------------------------------------------------------------


class _SharedData:
    """X and y, checked once, of which networks take rows; X is converted once for each dtype."""

    def __init__(self, X: Any, y: Any, x_name: str = "X", y_name: str = "y") -> None:
        if is_stream(X, y):
            raise OptionError(
                "fit_many needs data that lies as a whole, not an iterable of batches. Call fit for each "
                "network."
            )
        if y is None:
            raise DataError(f"fit_many needs {y_name}, one target per example.")
        self._given, self._name = X, x_name
        self._features: dict[Any, Any] = {}
        self._converted: dict[Any, Any] = {}
        self.y = as_targets(y, y_name)
        self.n = len(self.y)

    def features(self, network: Network) -> Any:
        """Return all of X as this network reads it."""
        inputs = getattr(network.layers[0], "inputs", None)
        inputs = tuple(inputs) if inputs is not None and isinstance(self._given, tuple) else None
        if inputs not in self._features:
            self._features[inputs] = as_features(self._given, self._name, inputs)
        X = self._features[inputs]
        if X.shape[0] != self.n:
            raise ShapeError(
                f"{self._name} has {X.shape[0]} examples and its targets {self.n}. They must agree."
            )
        dtype, as_it_is = network.dtype, network.preprocessing is not None
        key = inputs, dtype.name, as_it_is
        if key not in self._converted:
            check_values(X, self._name, dtype)
            stays = as_it_is or is_sparse(X) or is_mapped(X)
            self._converted[key] = X if stays else np.ascontiguousarray(X, dtype)
        return self._converted[key]

    def part(self, network: Network, rows: Array | None) -> tuple[Chosen, Array]:
        """Return these rows of X, uncopied, and of y."""
        return Chosen(self.features(network), rows), self.y if rows is None else self.y[rows]


def _plans(
    networks: Sequence[Network],
    X: Any,
    y: Any,
    options: list[dict[str, Any]],
    rows: Any,
    validation_rows: Any,
) -> list[FitPlan]:
    data = _SharedData(X, y)
    training = _rows_of("rows", rows, len(networks), data.n)
    held = _rows_of("validation_rows", validation_rows, len(networks), data.n)
    validation: dict[tuple[int, int], _SharedData] = {}
    kept: dict[Any, Array] = {}
    plans: list[FitPlan] = []
    for place, network in enumerate(networks):
        try:
            own = dict(options[place])  # what is put in goes when the plan is made
            _take_validation(own, network, data, held[place], validation)
            if own["sample_weight"] is not None and training[place] is not None:
                own["sample_weight"] = check_weights(own["sample_weight"], data.n)[training[place]]
            features, targets = data.part(network, training[place])
            plan = plan_fit(network, features, targets, progress=False, **own)
        except ClearpropError as error:
            said = type(error)(f"networks[{place}]: {error}")
            raise said.with_traceback(error.__traceback__) from error.__cause__
        _share_targets(plan, kept)
        plans.append(plan)
    return plans


def _take_validation(
    own: dict[str, Any],
    network: Network,
    data: _SharedData,
    held: Array | None,
    others: dict[tuple[int, int], _SharedData],
) -> None:
    """Put a network's validation data among its options: rows of the data, or X_val and y_val, read once."""
    given = own["X_val"], own["y_val"]
    if held is not None:
        if given[0] is not None or given[1] is not None:
            raise OptionError("give validation_rows, or X_val and y_val, not both.")
        own["X_val"], own["y_val"] = data.part(network, held)
    elif given[0] is not None and given[1] is not None:
        key = id(given[0]), id(given[1])
        if key not in others:
            others[key] = _SharedData(*given, "X_val", "y_val")
        own["X_val"], own["y_val"] = others[key].part(network, None)


def _rows_of(name: str, rows: Any, networks: int, n: int) -> list[Array | None]:
    """Return the indices of each network's rows, the same object where the same was given."""
    if rows is None:
        return [None] * networks
    # The list keeps its items alive, so that no two have the same id.
    given = _one_for_each(name, "array of indices", rows, networks)
    read: dict[int, Array | None] = {id(item): None for item in given}
    for place, item in enumerate(given):
        if item is not None and read[id(item)] is None:
            read[id(item)] = _indices(f"{name}[{place}]", item, n)
    return [read[id(item)] for item in given]


def _indices(what: str, given: Any, n: int) -> Array:
    if has_masked(given):
        raise OptionError(f"{what} has masked entries. Leave them out, or fill them.")
    try:
        indices = np.asarray(given)
    except ValueError:  # lists of different lengths in it
        indices = np.empty(0)
    if indices.dtype == bool and indices.shape == (n,):
        indices = np.flatnonzero(indices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or not len(indices):
        raise OptionError(
            f"{what} must be a list of whole numbers, or of booleans for all {n} examples, with at least one "
            f"example. Got {reprlib.repr(given)}."
        )
    if indices.min() < 0 or indices.max() >= n:
        wrong = indices.max() if indices.max() >= n else indices.min()
        raise OptionError(f"{what} names the example {wrong}; there are {n}, counted from 0.")
    return indices.astype(np.intp)


def _share_targets(plan: FitPlan, kept: dict[Any, Array]) -> None:
    """Let a plan have the encoded targets of one before it, where they are the same; else keep its own."""
    if plan.data.examples is not None:
        shared = _shared(plan.data.examples, kept, "training", plan.data.targets)
        plan.data = replace(plan.data, examples=shared)
    if plan.validation is not None:
        plan.validation = _shared(plan.validation, kept, "validation", plan.data.targets)


def _shared(examples: Examples, kept: dict[Any, Array], *use: Any) -> Examples:
    place = (id(examples.X.data), id(examples.X.rows)) if isinstance(examples.X, Chosen) else ()
    y = kept.setdefault((*use, examples.y.dtype.str, *place), examples.y)
    same = y is not examples.y and np.array_equal(y, examples.y)
    return replace(examples, y=y) if same else examples
