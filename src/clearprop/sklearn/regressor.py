"""MLPRegressor: scikit-learn's, by clearprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from clearprop.arrays import Array
from clearprop.costs import Cost, Pinball
from clearprop.errors import OptionError, ShapeError
from clearprop.sklearn.base import BaseMLP, has_partial_fit
from clearprop.sklearn.building import cost_named
from clearprop.sklearn.parameters import loss_constraints
from clearprop.sklearn.running import Asked
from clearprop.training.batches import Order
from clearprop.training.callbacks import Callback

__all__ = ["MLPRegressor"]

_OWN_LOSSES = {"squared_error": "quadratic", "poisson": "poisson"}


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """scikit-learn's multi-layer perceptron for numbers, trained by clearprop.

    The last layer is linear with the quadratic cost, exponential with the Poisson cost, or what another cost
    asks for; with `quantiles` its outputs rise, so that they cannot cross. With the same
    `random_state` the loss curve is scikit-learn's; with several outputs its squared loss is the one whose
    gradient is followed, the sum over the outputs (docs/adr/0012-the-squared-loss-of-several-outputs.md).

    Parameters:
        loss: "squared_error", 1/2 (a - y)², "poisson", half the deviance, for counts y >= 0, or any cost by
            name or as an object, your own too: "huber", "mean_absolute_error", `Pinball(0.9)`….
        hidden_layer_sizes: the number of neurons of each hidden layer; one number for one layer, () for none.
        activation: of the hidden layers, "identity", "logistic", "tanh", "relu" or any other of clearprop, by
            name or as an object; or a list, one for each hidden layer (`clearprop.per_neuron` too).
        solver: "adam", "sgd" (with `momentum`), or "lbfgs", which takes all examples in every step;
            "adamw", "rmsprop", "nesterov", "momentum", "sgdw", or an `Optimizer` with its own options.
        alpha: strength of the L2 penalty on weights, alpha / 2 Σ w², divided by the examples of the batch.
        batch_size: examples per step; "auto" is min(200, n).
        learning_rate: "constant", "invscaling" or "adaptive"; "adam" has "constant" only.
        learning_rate_init: the first rate; an `Optimizer` has its own.
        power_t: exponent of "invscaling". max_iter: epochs, or iterations of "lbfgs".
        shuffle: whether each epoch has its own random order. random_state: of weights, split and order.
        tol, n_iter_no_change: training stops when more than so many epochs in a row did not improve by tol.
        verbose: whether to print each epoch's loss. warm_start: whether fit goes on from the last fit.
        momentum, nesterovs_momentum: of "sgd". beta_1, beta_2, epsilon: of "adam".
        early_stopping, validation_fraction: whether a part is held out, whose score tells when to stop; the
            parameters with the best score are kept.
        max_fun: evaluations of "lbfgs" at most.
        engine: the rung of the ladder; "auto" takes "native" where it is installed, else "batch".
        quantiles: numbers in (0, 1) that rise, to predict these quantiles of y (n,) at once, (n, quantiles),
            with the pinball loss; the score is then the mean of their D².
        n_layers, width: so many hidden layers of so many neurons, in the place of hidden_layer_sizes: plain
            numbers that a search can vary. Of the two the one left out is 1 layer, or 100 neurons.
        dropout: rate of every hidden layer, or one for each. normalization: "batch" or "layer", between z and
            the activation. residual: whether every hidden layer has a way around it; where its size differs
            from what comes before, that way is a linear layer.
        schedule: of the rate, by name or as an object, such as "cosine"; in the place of learning_rate.
        dtype: "float32" or "float64" to compute in; None takes that of X.

    Attributes: `coefs_` (n_in, n_out) and `intercepts_` (n_out,) of each layer, views of the parameters of
    `network_`, the `clearprop.Network` that does the work (``network_.trace``, ``explain``, ``save``);
    `loss_`, `best_loss_`, `loss_curve_`, `validation_scores_`, `best_validation_score_`, `n_iter_`, `t_`,
    `n_layers_`, `n_outputs_`, `out_activation_`, `n_features_in_`, `feature_names_in_`.

    float32 rows give a float32 network; "lbfgs" always computes in float64, as in scikit-learn.
    Errors: scikit-learn's own. Source: scikit-learn 1.9, `sklearn.neural_network.MLPRegressor`.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 4.0, 9.0]
    >>> model = MLPRegressor(activation="tanh", solver="lbfgs", tol=0.01, random_state=0).fit(X, y)
    >>> print(round(model.score(X, y), 3), model.predict([[1.5]]).shape)
    1.0 (1,)
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012  # scikit-learn reads it from the class
        **BaseMLP._parameter_constraints,
        "loss": loss_constraints(_OWN_LOSSES),
        "quantiles": ["array-like", None],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        engine: str = "auto",
        quantiles: Any = None,
        n_layers: int | None = None,
        width: int | None = None,
        dropout: Any = 0.0,
        normalization: str | None = None,
        residual: bool = False,
        schedule: Any = None,
        dtype: Any = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.engine = engine
        self.quantiles = quantiles
        self.n_layers = n_layers
        self.width = width
        self.dropout = dropout
        self.normalization = normalization
        self.residual = residual
        self.schedule = schedule
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        callbacks: Callback | Sequence[Callback] = (),
        order: Order | None = None,
    ) -> MLPRegressor:
        """Train on X (n, d) and numbers y (n,) or (n, n_out); return self.

        sample_weight: (n,). X_val, y_val: what early stopping looks at, in place of a part that is split off.
        callbacks: see `clearprop.Callback`; ``run.network`` is `network_`. order: the order of the examples
        in place of the random one, as `Network.fit` takes it: a function of the epoch (from 1), or an
        iterable with one array of indices per epoch.
        """
        self._fit(X, y, sample_weight, Asked(order, callbacks, X_val, y_val), incremental=False)
        return self

    @available_if(has_partial_fit)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> MLPRegressor:
        """Do one more epoch on these examples; return self. The optimiser goes on from where it was.

        X_val, y_val: what early stopping looks at after each call. When the score has not improved for
        `n_iter_no_change` calls the best parameters are restored, `stopped_early_` is True, and further calls
        change nothing.
        """
        self._fit(X, y, sample_weight, Asked(X_val=X_val, y_val=y_val), incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers, (n,), or (n, n_out) for several outputs or quantiles."""
        check_is_fitted(self)
        return self._decode(self._outputs(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R²; with `quantiles` the mean of their D², the share of pinball loss explained."""
        return self._agreement(y, self.predict(X), sample_weight)

    # -- for the course of a fit -----------------------------------------------------------------------

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _cost(self) -> Cost:
        if self.quantiles is None:
            return cost_named(self.loss, _OWN_LOSSES)
        if self.loss != "squared_error":
            raise OptionError(f"quantiles have the pinball loss. Got loss={self.loss!r} too; leave it out.")
        return Pinball(tuple(np.asarray(self.quantiles).tolist()))

    def _out_activation(self) -> str:
        cost = self._cost()
        if cost.outputs_per_target == 1:
            name = cost.default_output_activation
            return "exp" if name == "exponential" else name
        cost.check_activation("increasing")
        return "increasing"

    def _labels(self) -> tuple[None, str]:
        return None, ""

    def _rows(self, y: Array) -> Array:
        several = self._cost().outputs_per_target
        if several > 1 and y.shape[1] > 1:
            raise ShapeError(f"quantiles are those of one target: y must be (n,). Got {y.shape[1]} columns.")
        return np.repeat(y, several, axis=1) if several > 1 else y

    def _held_targets(self, y: Array) -> Array:
        return y[:, 0] if self.quantiles is not None else y

    def _decode(self, outputs: Array) -> Array:
        return outputs.ravel() if outputs.shape[1] == 1 and self.quantiles is None else outputs

    def _score(self, X: Any, y: Array, sample_weight: Array | None) -> float:
        predicted = self._decode(self._outputs(X, check_input=False))
        return self._agreement(y, predicted, sample_weight) if np.isfinite(predicted).all() else np.nan

    def _agreement(self, y: Any, predicted: Array, sample_weight: Any) -> float:
        if self.quantiles is None:
            return r2_score(y, predicted, sample_weight=sample_weight)  # type: ignore[no-any-return]
        each = [
            d2_pinball_score(y, predicted[:, k], sample_weight=sample_weight, alpha=q)
            for k, q in enumerate(np.asarray(self.quantiles).tolist())
        ]
        return float(np.mean(each))
