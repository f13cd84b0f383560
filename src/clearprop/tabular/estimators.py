"""`TabularClassifier` and `TabularRegressor`: a table in, an ensemble of networks out, scikit-learn style."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_number, as_whole
from clearprop.errors import (
    DataError,
    DTypeError,
    FileFormatError,
    MissingDependencyError,
    OptionError,
    ShapeError,
)
from clearprop.tabular.encoding import EncodingOptions, learn_encoding
from clearprop.tabular.model import TabularModel
from clearprop.tabular.reading import Table, read
from clearprop.tabular.targets import as_labels, as_numbers
from clearprop.tabular.training import (
    Recipe,
    Trained,
    best_temperature,
    fitting_dtype,
    hold_out,
    suited,
    train_members,
)
from clearprop.training.history import History

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise MissingDependencyError(
        "the estimators for tables need scikit-learn; install it: pip install 'clearprop[sklearn]'. A saved "
        "model predicts without it: clearprop.tabular.TabularModel.load(path)."
    ) from None

__all__ = ["TabularClassifier", "TabularRegressor"]

_AUTO = "auto"


class _TabularEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share."""

    model_: TabularModel
    _classes: tuple[Any, ...] | None = None

    def __init__(
        self,
        *,
        members: int | str = _AUTO,
        hidden: Sequence[int] | str = _AUTO,
        activation: Any = "gelu",
        dropout: float | str = _AUTO,
        eta: float | str = _AUTO,
        weight_decay: float | str = _AUTO,
        batch_size: int | str = _AUTO,
        epochs: int | str = _AUTO,
        patience: int = 15,
        validation_fraction: float = 0.1,
        bins: int | str = _AUTO,
        waves: int | str = _AUTO,
        max_levels: int = 64,
        min_count: int = 5,
        categorical: Sequence[str | int] = (),
        random_state: Any = 0,
        dtype: str = "float32",
        engine: str = _AUTO,
        threads: int | None = None,
        progress: bool = False,
        time_limit: float | None = None,
    ) -> None:
        self.members = members
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self.eta = eta
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.bins = bins
        self.waves = waves
        self.max_levels = max_levels
        self.min_count = min_count
        self.categorical = categorical
        self.random_state = random_state
        self.dtype = dtype
        self.engine = engine
        self.threads = threads
        self.progress = progress
        self.time_limit = time_limit

    # -- training ----------------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, classes: tuple[Any, ...] | None) -> Trained:
        table = read(X, "X", _listed(self.categorical))
        _check_rows(table.n, y)
        seed = _seed(self.random_state)
        recipe = self._recipe()
        fraction = as_number("validation_fraction", self.validation_fraction, at_least=0, below=1)
        rows = hold_out(y, fraction, seed, classes is not None)
        recipe = suited(recipe, len(rows[0]))
        dtype = fitting_dtype(y[rows[0]], self.dtype, classes is not None)
        options = EncodingOptions(
            bins=recipe.bins or 0,
            max_levels=self.max_levels,
            min_count=self.min_count,
            waves=recipe.waves or 0,
        )
        encoding = learn_encoding(table.rows(rows[0]), options)
        inputs = encoding.encode(table, dtype=dtype)
        given = {"threads": self.threads, "progress": self.progress, "time_limit": self.time_limit}
        if sample_weight is not None:
            given["sample_weight"] = sample_weight
        trained = train_members(
            inputs,
            y,
            recipe,
            classes=classes,
            rows=rows,
            seed=seed,
            dtype=dtype,
            engine=self.engine,
            options=given,
        )
        limits = _limits(y[rows[0]]) if classes is None else ()
        model = TabularModel(encoding, trained.networks, 1.0, limits)
        temperature = 1.0
        if classes is not None and len(trained.held_out):
            p = model.outputs_of_inputs(inputs[trained.held_out])
            indices = np.searchsorted(np.asarray(classes), y[trained.held_out])
            temperature = best_temperature(p, indices)
        self.model_ = TabularModel(encoding, trained.networks, temperature, limits)
        self.recipe_ = recipe
        self.histories_: tuple[History, ...] = trained.histories
        self.held_out_ = trained.held_out
        self._learned(table)
        return trained

    def _learned(self, table: Table) -> None:
        """Set the attributes that scikit-learn's tools look for."""
        self.n_features_in_ = len(table.columns)
        if table.named:
            self.feature_names_in_ = np.array(table.names, object)

    def _recipe(self) -> Recipe:
        return Recipe(
            members=_whole_or_auto("members", self.members),
            hidden=_sizes_or_auto(self.hidden),
            activation=self.activation,
            dropout=_share_or_auto("dropout", self.dropout),
            eta=None if _is_auto("eta", self.eta, "a rate") else as_number("eta", self.eta, above=0),
            weight_decay=None
            if _is_auto("weight_decay", self.weight_decay, "a number")
            else as_number("weight_decay", self.weight_decay, at_least=0),
            batch_size=_whole_or_auto("batch_size", self.batch_size),
            epochs=_whole_or_auto("epochs", self.epochs),
            patience=as_whole("patience", self.patience, at_least=1),
            bins=_whole_or_auto("bins", self.bins, 0),
            waves=_whole_or_auto("waves", self.waves, 0),
        )

    # -- use ---------------------------------------------------------------------------------------

    def predict(self, X: Any) -> Array:
        """Return the most probable label of each row, or its number."""
        check_is_fitted(self, "model_")
        return self.model_.predict(X)

    @property
    def encoding_(self) -> Any:
        """How the columns are encoded: a `TableEncoding`; print it."""
        return self.model_.encoding

    @property
    def engine_(self) -> str:
        """Which rung trained the networks, and why."""
        return self.histories_[0].engine

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write encoding, networks and temperature to one safetensors file and return its path.

        `TabularModel.load` reads it with NumPy alone, and predicts the same bits.
        """
        check_is_fitted(self, "model_")
        parameters = {name: value for name, value in self.get_params().items() if _is_plain(value)}
        extra = {"estimator": {"class": type(self).__name__, "parameters": parameters}}
        return self.model_.save(path, overwrite=overwrite, extra=extra)

    @classmethod
    def load(cls, path: str | Path, *, custom: Sequence[Any] = ()) -> Self:
        """Return the estimator that `save` wrote, fitted; the histories are not in the file."""
        model = TabularModel.load(path, custom=custom)
        if model.is_classifier != issubclass(cls, ClassifierMixin):
            other = "TabularClassifier" if model.is_classifier else "TabularRegressor"
            raise FileFormatError(f"{path} holds a model for {other}. Load it with {other}.load.")
        said = model.extra.get("estimator")
        given = said.get("parameters") if isinstance(said, dict) else None
        known = cls._get_param_names()
        parameters = (
            {k: _tuples(v) for k, v in given.items() if k in known} if isinstance(given, dict) else {}
        )
        found = cls(**parameters)
        found.model_ = model
        found.histories_ = ()
        found.n_features_in_ = len(model.encoding.columns)
        if model.encoding.named:
            found.feature_names_in_ = np.array(model.encoding.names, object)
        found._loaded()
        return found

    def _loaded(self) -> None:
        """Set what only one of the estimators has."""


class TabularClassifier(ClassifierMixin, _TabularEstimator):  # type: ignore[misc]
    """Classify the rows of a table as it is, with calibrated probabilities.

    X is what `clearprop.tabular.read` takes: a pandas or polars frame, an Arrow table, a dictionary of
    columns, or rows. Its columns are encoded as `clearprop.tabular.learn_encoding` says, an ensemble of
    networks is trained, each keeps its best epoch on held-out rows, and the mean of their probabilities is
    brought to the temperature at which these rows cost the least. "auto" means what suits the number of rows;
    ``recipe_`` says what that was.

    Parameters:
        members: how many networks.
        hidden, activation, dropout: sizes of the hidden layers; their activation, by name or an object; the
            share of dropout after each.
        eta, weight_decay, batch_size, epochs: of AdamW on one cycle of the rate.
        patience: epochs without improvement on the held-out rows that are borne.
        validation_fraction: share of the rows to hold out; of fewer than 50 rows none is.
        bins, waves, max_levels, min_count, categorical: see `EncodingOptions`.
        random_state: a seed, None for another each time, or a NumPy generator.
        dtype, engine, threads, progress, time_limit: see `Network` and `fit_many`; ``engine_`` says which
            rung trained, and why.

    Fitted: `classes_`, `model_` (a `TabularModel`), `encoding_`, `recipe_`, `histories_`, `held_out_`
    (indices of the rows), `temperature_`, `engine_`, `n_features_in_`; `feature_names_in_` where X has names.

    Errors: `OptionError` and `DTypeError` for parameters, when fit is called; those of `read`; `DataError`
    for labels that are missing or all the same; `MissingDependencyError` without scikit-learn.

    >>> from clearprop.tabular import TabularClassifier
    >>> table = {"size": [1.0, 2.0, None, 4.0] * 20, "colour": ["red", "red", "blue", "blue"] * 20}
    >>> model = TabularClassifier(members=2, epochs=20).fit(table, ["a", "a", "b", "b"] * 20)
    >>> model.predict({"size": [3.5, None], "colour": ["blue", "red"]}).tolist()
    ['b', 'a']
    """

    classes_: Array

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the encoding of X and train the members. y: labels (n,) of any type."""
        labels = as_labels(y)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise DataError(f"y holds one class only, {classes.tolist()[0]!r}: there is nothing to learn.")
        self._fit(X, labels, sample_weight, tuple(classes.tolist()))
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, (rows, classes), in the order of `classes_`."""
        check_is_fitted(self, "model_")
        return self.model_.predict_proba(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows whose label is predicted, or of their weight. y: labels of any type."""
        predicted, labels = self.predict(X), as_labels(y)
        _check_rows(len(predicted), labels)
        return float(np.average(predicted == labels, weights=sample_weight))

    @property
    def temperature_(self) -> float:
        """By what log p is divided to fit the held-out rows; see `TabularModel`."""
        return self.model_.temperature

    def _loaded(self) -> None:
        targets = self.model_.targets
        self.classes_ = np.array(targets.classes, targets.dtype)


class TabularRegressor(RegressorMixin, _TabularEstimator):  # type: ignore[misc]
    """Predict a number, or several, for each row of a table as it is.

    Parameters, attributes and errors are those of `TabularClassifier`, but for classes and temperature. The
    cost is the squared error; the mean of the members is given, kept within what training saw. Where float32
    cannot tell the numbers apart, as those of 1e9 ± 1, or not hold their squares, the networks are float64;
    ``model_.networks[0].dtype`` says which they are.

    >>> from clearprop.tabular import TabularRegressor
    >>> table = {"size": [1.0, 2.0, 3.0, 4.0] * 20, "garden": [True, False, None, True] * 20}
    >>> model = TabularRegressor(members=2, epochs=60, eta=0.01).fit(table, [10.0, 20.0, 30.0, 40.0] * 20)
    >>> model.predict({"size": [2.0, 1e9], "garden": [False, True]}).round().tolist()
    [20.0, 40.0]
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the encoding of X and train the members. y: numbers (n,) or (n, k)."""
        self._fit(X, as_numbers(y), sample_weight, None)
        return self


def _listed(categorical: Any) -> tuple[str | int, ...]:
    return EncodingOptions(categorical=categorical).categorical


def _check_rows(n: int, y: Array) -> None:
    if n != len(y):
        raise ShapeError(f"X has {n} rows and y {len(y)}. They must agree.")


def _limits(y: Array) -> tuple[tuple[float, float], ...]:
    rows = y.reshape(len(y), -1)
    return tuple(zip(rows.min(axis=0).tolist(), rows.max(axis=0).tolist(), strict=True))


def _seed(given: Any) -> int:
    """Return a seed of a whole number, None (another each time), or a NumPy generator."""
    if given is None:
        return int(np.random.default_rng().integers(1 << 31))
    if isinstance(given, np.random.RandomState):
        return int(given.randint(1 << 31))
    if isinstance(given, np.random.Generator):
        return int(given.integers(1 << 31))
    return as_whole("random_state", given, at_least=0)


def _is_auto(name: str, value: Any, wanted: str) -> bool:
    """Return whether a value is "auto"; raise `OptionError` for other text."""
    if isinstance(value, str) and value != _AUTO:
        raise OptionError(f"{name} must be 'auto' or {wanted}. Got {value!r}.")
    return isinstance(value, str)


def _whole_or_auto(name: str, value: Any, at_least: int = 1) -> int | None:
    return None if _is_auto(name, value, "a whole number") else as_whole(name, value, at_least=at_least)


def _share_or_auto(name: str, value: Any) -> float | None:
    return None if _is_auto(name, value, "a share") else as_number(name, value, at_least=0, below=1)


def _sizes_or_auto(value: Any) -> tuple[int, ...] | None:
    if _is_auto("hidden", value, "a list of sizes"):
        return None
    if not isinstance(value, Sequence | np.ndarray):
        raise DTypeError(f"hidden must be 'auto' or a list of sizes. Got {value!r}.")
    return tuple(as_whole("each size of hidden", size, at_least=1) for size in value)


def _tuples(value: Any) -> Any:
    """Return a parameter as it was: a file holds tuples as lists."""
    return tuple(value) if isinstance(value, list) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | str | numbers.Number)
