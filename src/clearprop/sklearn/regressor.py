"""MLPRegressor: scikit-learn's, by clearprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from clearprop.arrays import Array
from clearprop.sklearn.base import BaseMLP, is_stochastic
from clearprop.sklearn.running import Asked
from clearprop.training.batches import Order
from clearprop.training.callbacks import Callback

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """scikit-learn's multi-layer perceptron for numbers, trained by clearprop.

    The last layer is linear with the quadratic cost, or exponential with the Poisson cost. With the same
    `random_state` the loss curve is scikit-learn's; with several outputs its squared loss is the one whose
    gradient is followed, the sum over the outputs (docs/adr/0012-the-squared-loss-of-several-outputs.md).

    Parameters:
        loss: "squared_error", 1/2 (a - y)², or "poisson", half the deviance, for counts y >= 0.
        hidden_layer_sizes: the number of neurons of each hidden layer; one number for one layer, () for none.
        activation: of the hidden layers, "identity", "logistic", "tanh" or "relu".
        solver: "adam", "sgd" (with `momentum`), or "lbfgs", which takes all examples in every step.
        alpha: strength of the L2 penalty on weights, alpha / 2 Σ w², divided by the examples of the batch.
        batch_size: examples per step; "auto" is min(200, n).
        learning_rate: "constant", "invscaling" or "adaptive", for "sgd". learning_rate_init: the first rate.
        power_t: exponent of "invscaling". max_iter: epochs, or iterations of "lbfgs".
        shuffle: whether each epoch has its own random order. random_state: of weights, split and order.
        tol, n_iter_no_change: training stops when more than so many epochs in a row did not improve by tol.
        verbose: whether to print each epoch's loss. warm_start: whether fit goes on from the last fit.
        momentum, nesterovs_momentum: of "sgd". beta_1, beta_2, epsilon: of "adam".
        early_stopping, validation_fraction: whether a part is held out, whose score tells when to stop; the
            parameters with the best score are kept.
        max_fun: evaluations of "lbfgs" at most.
        engine: the rung of the ladder; "auto" takes "native" where it is installed, else "batch".

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
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
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

    @available_if(is_stochastic)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Do one more epoch on these examples; return self. The optimiser goes on from where it was."""
        self._fit(X, y, sample_weight, Asked(), incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers, (n,), or (n, n_out) for several outputs."""
        check_is_fitted(self)
        return self._decode(self._outputs(X))

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

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _labels(self) -> None:
        return None

    def _decode(self, outputs: Array) -> Array:
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def _score(self, X: Any, y: Array, sample_weight: Array | None) -> float:
        predicted = self._decode(self._outputs(X, check_input=False))
        if not np.isfinite(predicted).all():
            return np.nan
        return r2_score(y, predicted, sample_weight=sample_weight)  # type: ignore[no-any-return]
