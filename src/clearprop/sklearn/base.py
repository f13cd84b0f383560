"""The course of a fit: scikit-learn's checks and draws around clearprop's network, optimisers and loop."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NoReturn

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from clearprop.arrays import Array
from clearprop.engines import engine_names
from clearprop.errors import DivergenceError
from clearprop.interchange.scikit import HIDDEN
from clearprop.network import Network
from clearprop.sklearn import building
from clearprop.sklearn.course import Course, Pace
from clearprop.sklearn.drawing import initial_parameters, split
from clearprop.sklearn.minimizing import Objective, minimize
from clearprop.sklearn.outputs import network_outputs
from clearprop.sklearn.running import Asked, Data, engine_of, start_run
from clearprop.training.data import Examples
from clearprop.training.penalties import Penalty

__all__ = ["STOCHASTIC", "BaseMLP", "is_stochastic"]

STOCHASTIC = ("sgd", "adam")
"""The solvers that take one batch after the other."""


def is_stochastic(estimator: Any) -> bool:
    """Return True if an estimator has `partial_fit`. Errors: `AttributeError` if its solver has none."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class BaseMLP(BaseEstimator, ABC):  # type: ignore[misc]
    """What the classifier and the regressor share. Use `MLPClassifier` or `MLPRegressor`."""

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012  # scikit-learn reads it from the class
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(HIDDEN))],
        "solver": [StrOptions({"lbfgs", *STOCHASTIC})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "engine": [StrOptions({"auto", *engine_names()})],
    }

    # -- what the two classes say ----------------------------------------------------------------------

    @abstractmethod
    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        """Return X and y as scikit-learn validates them; y as the rows or numbers that are trained on."""

    @abstractmethod
    def _out_activation(self) -> str:
        """Return scikit-learn's name of the output activation for the targets at hand."""

    @abstractmethod
    def _labels(self) -> Array | None:
        """Return the classes, None for numbers."""

    @abstractmethod
    def _decode(self, outputs: Array) -> Array:
        """Return what outputs (n, n_out) mean in the form of y."""

    @abstractmethod
    def _score(self, X: Any, y: Array, sample_weight: Array | None) -> float:
        """Return the score of held-out examples, NaN for predictions that are not finite."""

    # -- the course of a fit ---------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, asked: Asked, incremental: bool) -> Any:
        asked.check(self, self.solver in STOCHASTIC)
        hidden = self._hidden_sizes()
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        weights = self._weighed(y, weights, X.dtype)
        data = Data(X, y.reshape(-1, 1) if y.ndim == 1 else y, weights)
        self.n_outputs_ = data.y.shape[1]
        self._random_state = check_random_state(self.random_state)
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        if first_pass:
            self._initialize(sizes, X.dtype)
        network = self._network_for(sizes, first_pass)
        network.targets = building.targets_of(self, self._labels())
        if self.solver in STOCHASTIC:
            self._fit_stochastic(network, data, asked, incremental)
        else:
            self._fit_lbfgs(network, data)
        if not np.isfinite(network.theta).all():
            _raise_non_finite()
        return self

    def _hidden_sizes(self) -> list[int]:
        given = self.hidden_layer_sizes
        sizes = list(given) if hasattr(given, "__iter__") else [given]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _initialize(self, sizes: Sequence[int], dtype: Any) -> None:
        """Draw the initial parameters, and forget earlier fits."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._out_activation()
        factor = building.init_factor(self)
        self.coefs_, self.intercepts_ = initial_parameters(self._random_state, sizes, factor, dtype)
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            early = self.early_stopping
            self.best_loss_ = None if early else np.inf
            self.validation_scores_: list[float] | None = [] if early else None
            self.best_validation_score_ = -np.inf if early else None

    def _network_for(self, sizes: Sequence[int], first_pass: bool) -> Network:
        """Return the network that `coefs_` and `intercepts_` are views of; made where there is none yet."""
        if not first_pass and hasattr(self, "network_"):
            # As in scikit-learn, where the best parameters are the very arrays that a warm start changes.
            self._best_theta: Array | None = None
            return self._synced(self.solver == "lbfgs")
        # SciPy's L-BFGS computes in float64, and so does all of this solver.
        dtype = np.float64 if self.solver == "lbfgs" else np.result_type(*self.coefs_)
        network = self._build(sizes, dtype)
        self._best_theta = network.theta.copy()
        return network

    def _build(self, sizes: Sequence[int], dtype: Any) -> Network:
        """Make the network that computes with `coefs_` and `intercepts_`, and make these its views."""
        network = building.build_network(self, sizes, dtype)
        building.place_parameters(network, self.coefs_, self.intercepts_)
        self.network_ = network
        self._expose()
        return network

    def _expose(self) -> None:
        """Make `coefs_` and `intercepts_` views of the network's parameters."""
        network = self.network_
        layers = range(1, len(network.layers) + 1)
        self._views = [network.W[i].T for i in layers], [network.b[i] for i in layers]
        self.coefs_, self.intercepts_ = list(self._views[0]), list(self._views[1])

    def _synced(self, in_float64: bool = False) -> Network:
        """Return the network, after taking over what a user has put in the place of its parameters.

        Where the estimator's parameters, or the dtype of what was put there, now ask for another network
        than the one there is, one is made that goes on from it.
        """
        network: Network = self.network_
        held = [np.asarray(array).dtype for array in (*self.coefs_, *self.intercepts_)]
        alone = not in_float64 and np.result_type(*held) == np.float32
        dtype = np.dtype(np.float32 if alone else np.float64)
        if network.dtype != dtype or not building.has_activation(network, self.activation):
            sizes = [network.model.n_in, *(len(network.b[i]) for i in range(1, len(network.layers) + 1))]
            building.carry_over(network, self._build(sizes, dtype))
            return self.network_
        network.engine = self.engine
        for given, views in zip((self.coefs_, self.intercepts_), self._views, strict=True):
            for i, view in enumerate(views):
                if given[i] is not view:
                    view[...] = given[i]
                    given[i] = view
        return network

    # -- stochastic solvers ----------------------------------------------------------------------------

    def _fit_stochastic(self, network: Network, data: Data, asked: Asked, incremental: bool) -> None:
        if not incremental or not hasattr(self, "_optimizer"):
            rule = self.learning_rate if self.solver == "sgd" else "constant"
            optimizer = building.optimizer_of(self)
            self._optimizer = Pace(optimizer, rule, self.power_t, optimizer.eta)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        held = None
        if self.early_stopping:
            data, held = self._split(data) if asked.X_val is None else (data, self._held(asked))
        course = self._course(data, held)
        run = start_run(self, network, data, asked, course, epochs=1 if incremental else self.max_iter)
        self.n_iter_ = 0
        try:
            run.run()
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        except DivergenceError as error:
            if held is None:
                _raise_non_finite(error)
            course.after_divergence(run)
        if not incremental and self.n_iter_ == self.max_iter and run.stop_reason != "converged":
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                "hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )
        if self._best_theta is not None and held is not None:
            network.theta[:] = self._best_theta

    def _split(self, data: Data) -> tuple[Data, Data]:
        """Return the examples to train on and those held out. Errors: `ValueError` for fewer than two."""
        kept, held = split(
            data.X,
            data.y,
            data.weights,
            self.validation_fraction,
            is_classifier(self) and self.n_outputs_ == 1,
            self._random_state,
        )
        if held[0].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return Data(*kept), Data(held[0], self._held_targets(held[1]), held[2])

    def _held(self, asked: Asked) -> Data:
        """Return the validation data that fit was given."""
        X = validate_data(
            self, asked.X_val, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False
        )
        check_consistent_length(X, asked.y_val)
        return Data(X, np.asarray(asked.y_val), None)

    def _course(self, data: Data, held: Data | None) -> Course:
        exact = self.out_activation_ == "identity" and self.network_.dtype == np.float64
        loss = "cost" if exact else "loss"
        score = None
        if held is not None:

            def score() -> float:
                return self._score(held.X, held.y, held.weights)

        return Course(self, self._optimizer, data.X.shape[0], score, loss)

    def _held_targets(self, y: Array) -> Array:
        """Return what rows that are trained on say in the form of y."""
        return y

    def _weighed(self, y: Array, weights: Array | None, dtype: Any) -> Array | None:
        """Return the weights of the examples, with those of their classes."""
        return weights

    # -- the solver "lbfgs" ----------------------------------------------------------------------------

    def _fit_lbfgs(self, network: Network, data: Data) -> None:
        examples, divisor = data.examples(network.dtype), float(data.X.shape[0])
        if data.weights is not None:
            divisor = float(data.weights.sum(dtype=np.float64))
            examples = Examples(examples.X, examples.y, data.mean_weights(network.dtype), examples.dtype)
        targets = network.targets
        assert targets is not None
        network.penalty = Penalty(l2=self.alpha, divide_by="batch")
        objective = Objective(
            engine_of(self, network, "lbfgs"),
            network.model,
            network.state,
            targets,
            examples,
            building.losses_of(self),
            network.penalty,
            divisor,
        )
        minimum = minimize(self, network, objective)
        self.n_iter_, self.loss_ = min(minimum.iterations, self.max_iter), minimum.cost

    # -- predictions -----------------------------------------------------------------------------------

    def _outputs(self, X: Any, check_input: bool = True) -> Array:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return network_outputs(self._synced(), X)

    # -- copies ----------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if "network_" in state:
            self._synced()
            state = {name: value for name, value in state.items() if name not in _VIEWS}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "network_"):
            self._expose()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


_VIEWS = ("coefs_", "intercepts_", "_views")  # pickled, they would come back as arrays of their own


def _raise_non_finite(error: DivergenceError | None = None) -> NoReturn:
    message = (
        "Solver produced non-finite parameter weights. The input data may contain large values and need to "
        "be preprocessed."
    )
    raise ValueError(message if error is None else f"{message} In detail: {error}") from error
