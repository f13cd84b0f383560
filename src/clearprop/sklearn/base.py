"""The course of a fit: scikit-learn's checks and draws around clearprop's network, optimisers and loop."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import _check_sample_weight, validate_data

from clearprop.arrays import Array
from clearprop.checks import as_numbers
from clearprop.costs import Cost
from clearprop.errors import DivergenceError
from clearprop.network import Network
from clearprop.sklearn import building
from clearprop.sklearn.course import Course, Pace
from clearprop.sklearn.drawing import split
from clearprop.sklearn.looking import Looking
from clearprop.sklearn.minimizing import Objective, minimize
from clearprop.sklearn.outputs import network_outputs
from clearprop.sklearn.parameters import (
    CONSTRAINTS,
    SCIKIT_LEARNS_LOSSES,
    check_together,
    hidden_sizes,
    is_stochastic,
    nearest_name,
)
from clearprop.sklearn.running import Asked, Data, engine_of, start_run
from clearprop.training.data import Examples
from clearprop.training.penalties import Penalty

__all__ = ["BaseMLP", "has_partial_fit"]


def has_partial_fit(estimator: Any) -> bool:
    """Return True if an estimator has `partial_fit`. Errors: `AttributeError` if its solver has none."""
    if not is_stochastic(estimator):
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class BaseMLP(Looking, BaseEstimator, ABC):  # type: ignore[misc]
    """What the classifier and the regressor share. Use `MLPClassifier` or `MLPRegressor`."""

    coefs_: list[Array]
    intercepts_: list[Array]
    _parameter_constraints: dict[str, Any] = CONSTRAINTS  # read from the class

    # -- what the two classes say ----------------------------------------------------------------------

    @abstractmethod
    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        """Return X and y as scikit-learn validates them; y as the rows or numbers that are trained on."""

    @abstractmethod
    def _cost(self) -> Cost:
        """Return the cost for the targets at hand."""

    @abstractmethod
    def _out_activation(self) -> str:
        """Return the output activation for the targets at hand, by scikit-learn's name where it has one."""

    @abstractmethod
    def _labels(self) -> tuple[Sequence[Any] | None, str]:
        """Return the classes in the order of the outputs and their dtype; None for numbers."""

    @abstractmethod
    def _rows(self, y: Array) -> Array:
        """Return validated targets as rows (n, n_out) for the cost."""

    @abstractmethod
    def _decode(self, outputs: Array) -> Array:
        """Return what outputs (n, n_out) mean in the form of y."""

    @abstractmethod
    def _score(self, X: Any, y: Array, sample_weight: Array | None) -> float:
        """Return the score of held-out examples, NaN for predictions that are not finite."""

    # -- the course of a fit ---------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, asked: Asked, incremental: bool) -> Any:
        check_together(self)
        asked.check(self, is_stochastic(self))
        hidden_sizes(self)
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        X = self._as_dtype(X)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        weights = self._weighed(y, weights, X.dtype)
        data = Data(X, y.reshape(-1, 1) if y.ndim == 1 else y, weights)
        self.n_outputs_ = self._rows(data.y[:1]).shape[1]
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._forget()
        network = self._network_for(X, first_pass, incremental)
        network.targets = building.targets_of(self, *self._labels())
        if not isinstance(self.loss, str) or self.loss not in SCIKIT_LEARNS_LOSSES:
            network.cost.check_targets(self._rows(data.y))
        if is_stochastic(self):
            self._fit_stochastic(network, data, asked, incremental)
        else:
            self._fit_lbfgs(network, data)
        if not np.isfinite(network.theta).all():
            _raise_non_finite()
        return self

    def _as_dtype(self, X: Any) -> Any:
        return X if self.dtype is None else X.astype(self.dtype, copy=False)

    def _forget(self) -> None:
        """Forget earlier fits."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(hidden_sizes(self)) + 2
        self.out_activation_ = self._out_activation()
        if is_stochastic(self):
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            early = self.early_stopping
            self.best_loss_ = None if early else np.inf
            self.validation_scores_: list[float] | None = [] if early else None
            self.best_validation_score_ = -np.inf if early else None

    def _network_for(self, X: Any, first_pass: bool, incremental: bool) -> Network:
        """Return the network that `coefs_` and `intercepts_` are views of; made where there is none yet."""
        n_in, n_out = X.shape[1], self.n_outputs_
        if not first_pass and hasattr(self, "network_"):
            if not incremental:
                # As in scikit-learn, where the best parameters are the very arrays that a warm start changes.
                self._best: tuple[Array, Array] | None = None
            return self._synced(self.solver == "lbfgs")
        if first_pass:
            # SciPy's L-BFGS computes in float64, and so does all of this solver.
            dtype = X.dtype if is_stochastic(self) else np.dtype(np.float64)
            # Drawn in the dtype of the rows, as scikit-learn's are, whatever is computed in.
            network = building.draw_network(self, n_in, n_out, dtype, X.dtype, self._random_state)
        else:
            network = building.build_network(self, n_in, n_out, np.result_type(*self.coefs_))
            building.place_parameters(network, self.coefs_, self.intercepts_)
        self.network_ = network
        self._best = self._now()
        self._expose()
        return network

    def _now(self) -> tuple[Array, Array]:
        """Return copies of the parameters and of the running statistics as they are."""
        return self.network_.theta.copy(), self.network_.buffers.copy()

    def _expose(self) -> None:
        """Make `coefs_` and `intercepts_` views of the network's parameters."""
        network = self.network_
        self._views = [W.T for W in network.W.values()], list(network.b.values())
        self.coefs_, self.intercepts_ = list(self._views[0]), list(self._views[1])

    def _synced(self, in_float64: bool = False) -> Network:
        """Return the network, after taking over what a user has put in the place of its parameters.

        Where the estimator's parameters, or the dtype of what was put there, now ask for another network
        than the one there is, one is made that goes on from it.
        """
        network: Network = self.network_
        held = [np.asarray(array).dtype for array in (*self.coefs_, *self.intercepts_)]
        alone = not in_float64 and np.result_type(*([self.dtype] if self.dtype else held)) == np.float32
        dtype = np.dtype(np.float32 if alone else np.float64)
        if network.dtype != dtype or not building.has_activation(network, self.activation):
            self.network_ = building.rebuild(network, self.activation, dtype)
            building.place_parameters(self.network_, self.coefs_, self.intercepts_)
            self._expose()
            if self.network_.n_parameters != network.n_parameters:
                self.__dict__.pop("_optimizer", None)  # what it remembers is of other parameters
            network = self.network_
        network.engine = self.engine
        for given, views in zip((self.coefs_, self.intercepts_), self._views, strict=True):
            for i, view in enumerate(views):
                if given[i] is not view:
                    view[...] = given[i]
                    given[i] = view
        return network

    # -- stochastic solvers ----------------------------------------------------------------------------

    def _fit_stochastic(self, network: Network, data: Data, asked: Asked, incremental: bool) -> None:
        if self.early_stopping and incremental and asked.X_val is None:
            raise ValueError(
                "partial_fit does not support early_stopping=True without X_val and y_val: what comes later "
                "cannot be split off now. Give them in every call."
            )
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._pace()
            self._in_parts = False
        if incremental and self.early_stopping and self._goes_on_stopped():
            return
        held = None
        if self.early_stopping:
            data, held = self._split(data) if asked.X_val is None else (data, self._held(asked))
        course = self._course(data, held)
        run = start_run(self, network, data, asked, course, incremental)
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
        self.stopped_early_ = held is not None and run.stop_reason == "converged"
        if self._best is not None and held is not None and (self.stopped_early_ or not incremental):
            network.theta[:], network.buffers[:] = self._best

    def _goes_on_stopped(self) -> bool:
        """Return whether early stopping has ended the calls of partial_fit; the first one begins anew."""
        if not self._in_parts:
            self._in_parts, self._no_improvement_count, self.stopped_early_ = True, 0, False
            self.best_loss_, self.best_validation_score_ = None, -np.inf
            self.validation_scores_ = self.validation_scores_ or []
            self._best = self._now()
        return self.stopped_early_

    def _pace(self) -> Pace:
        """Return how fast a training that begins now learns."""
        optimizer = building.optimizer_of(self)
        rule = "constant" if self.solver == "adam" else self.learning_rate
        return Pace(optimizer, rule, self.power_t, optimizer.eta)

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
        X = self._as_dtype(X)
        check_consistent_length(X, asked.y_val)
        return Data(X, self._validation_targets(asked.y_val), None)

    def _course(self, data: Data, held: Data | None) -> Course:
        exact = self.out_activation_ == "identity" and self.network_.dtype == np.float64
        loss = "cost" if exact or building.losses_of(self) is None else "loss"
        score = None
        if held is not None:

            def score() -> float:
                return self._score(held.X, held.y, held.weights)

        return Course(self, self._optimizer, data.X.shape[0], score, loss)

    def _validation_targets(self, given: Any) -> Array:
        """Return targets that were given for validation, after a look whether they are of the kind of y."""
        return as_numbers("y_val", given)

    def _held_targets(self, y: Array) -> Array:
        """Return what rows that are trained on say in the form of y."""
        return y

    def _weighed(self, y: Array, weights: Array | None, dtype: Any) -> Array | None:
        """Return the weights of the examples, with those of their classes."""
        return weights

    # -- the solver "lbfgs" ----------------------------------------------------------------------------

    def _fit_lbfgs(self, network: Network, data: Data) -> None:
        examples, divisor = data.examples(network.dtype, self._rows), float(data.X.shape[0])
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
            X = self._as_dtype(validate_data(self, X, accept_sparse=["csr", "csc"], reset=False))
        return network_outputs(self._synced(), X)

    # -- parameters ------------------------------------------------------------------------------------

    def _validate_params(self) -> None:
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            hint = nearest_name(error, self.get_params(deep=False), self._parameter_constraints)
            raise InvalidParameterError(f"{error}{hint}") from None

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
