"""MLPClassifier: scikit-learn's, by clearprop."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from clearprop.arrays import Array
from clearprop.checks import as_array, as_number
from clearprop.costs import Cost
from clearprop.errors import OptionError, ShapeError, one_of
from clearprop.sklearn.base import BaseMLP, has_partial_fit
from clearprop.sklearn.classes import (
    LOSSES,
    class_cost,
    class_order,
    class_output,
    gives_probabilities,
    gives_scores,
)
from clearprop.sklearn.parameters import loss_constraints
from clearprop.sklearn.running import Asked
from clearprop.training.batches import Order
from clearprop.training.callbacks import Callback
from clearprop.training.data import is_sparse
from clearprop.views import class_probabilities

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """scikit-learn's multi-layer perceptron for classes, trained by clearprop.

    The last layer is a softmax with cross-entropy; for two classes, or for several labels at once, sigmoids
    with binary cross-entropy. With the same `random_state` the loss curve is scikit-learn's.

    Parameters:
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
        class_weight: None, "balanced", or label -> weight: a factor on the weights of a class's examples, in
            the loss and in the score of a part that is split off.
        loss: "log_loss", or any cost by name or as an object, your own too: "focal", "hinge", "quadratic"….
            Of two classes or several labels, cross-entropy and focal cost are those of sigmoids.
        label_smoothing: s in [0, 1), of the log loss: y is replaced by (1 - s) y + s/k, k the classes.
        ordinal: whether the classes stand in an order: one score and cut points that rise (`Ordinal`).
            categories: the classes from the lowest to the highest, where they are text.
        n_layers, width: so many hidden layers of so many neurons, in the place of hidden_layer_sizes: plain
            numbers that a search can vary. Of the two the one left out is 1 layer, or 100 neurons.
        dropout: rate of every hidden layer, or one for each. normalization: "batch" or "layer", between z and
            the activation. residual: whether every hidden layer has a way around it; where its size differs
            from what comes before, that way is a linear layer.
        schedule: of the rate, by name or as an object, such as "cosine"; in the place of learning_rate.
        dtype: "float32" or "float64" to compute in; None takes that of X.

    Attributes: `coefs_` (n_in, n_out) and `intercepts_` (n_out,) of each layer, views of the parameters of
    `network_`, the `clearprop.Network` that does the work (``network_.trace``, ``explain``, ``save``);
    `classes_`, `loss_`, `best_loss_`, `loss_curve_`, `validation_scores_`, `best_validation_score_`,
    `n_iter_`, `t_`, `n_layers_`, `n_outputs_`, `out_activation_`, `n_features_in_`, `feature_names_in_`.

    float32 rows give a float32 network; "lbfgs" always computes in float64, as in scikit-learn.
    Errors: scikit-learn's own. Source: scikit-learn 1.9, `sklearn.neural_network.MLPClassifier`.

    >>> X = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> y = ["same", "differ", "differ", "same"]
    >>> model = MLPClassifier(8, "tanh", solver="lbfgs", random_state=1).fit(X, y)
    >>> model.predict(X).tolist(), model.predict_proba(X).round(2).tolist()[0]
    (['same', 'differ', 'differ', 'same'], [0.0, 1.0])
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012  # scikit-learn reads it from the class
        **BaseMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "loss": loss_constraints(LOSSES),
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "ordinal": ["boolean"],
        "categories": ["array-like", None],
    }

    def __init__(
        self,
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
        class_weight: Any = None,
        loss: Any = "log_loss",
        label_smoothing: float = 0.0,
        ordinal: bool = False,
        categories: Any = None,
        n_layers: int | None = None,
        width: int | None = None,
        dropout: Any = 0.0,
        normalization: str | None = None,
        residual: bool = False,
        schedule: Any = None,
        dtype: Any = None,
    ) -> None:
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
        self.class_weight = class_weight
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.ordinal = ordinal
        self.categories = categories
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
    ) -> MLPClassifier:
        """Train on X (n, d) and labels y (n,), or rows of 0 and 1 (n, labels); return self.

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
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> MLPClassifier:
        """Do one more epoch on these examples; return self. The optimiser goes on from where it was.

        classes: all labels there will ever be, for the first call; rows of 0 and 1 have one column for each,
        so there it may be left out. X_val, y_val: what early stopping looks at after each call. When the
        score has not improved for `n_iter_no_change` calls the best parameters are restored,
        `stopped_early_` is True, and further calls change nothing.
        """
        several = type_of_target(y).startswith("multilabel")
        if several and classes is None and not hasattr(self, "classes_"):
            classes = np.arange(np.shape(y)[1])
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if several else classes)
        self._fit(X, y, sample_weight, Asked(X_val=X_val, y_val=y_val), incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Return the class of each row of X, (n,), or rows of 0 and 1, (n, labels)."""
        check_is_fitted(self)
        return self._decode(self._outputs(X))

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, (n, classes), in the order of `classes_`."""
        check_is_fitted(self)
        outputs = self._in_order(self._outputs(X))
        return class_probabilities(self.network_.model.layers[-1], self.network_.targets, outputs)

    @available_if(gives_scores)  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Array:
        """Return the outputs of a loss whose outputs are scores, such as "hinge": (n,) or (n, classes)."""
        check_is_fitted(self)
        outputs = self._in_order(self._outputs(X))
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)  # type: ignore[no-any-return]

    # -- for the course of a fit -----------------------------------------------------------------------

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        self._places = class_order(self)
        rows = self._label_binarizer.transform(y)
        return X, (rows.toarray() if is_sparse(rows) else rows).astype(bool)

    def _check_classes(self, classes: Array) -> None:
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to "
                    f"fit. Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {classes}."
            )

    def _cost(self) -> Cost:
        return class_cost(self)

    def _out_activation(self) -> str:
        return class_output(self)

    def _labels(self) -> tuple[Sequence[Any], str]:
        known = self.classes_
        dtype = known.dtype.str if known.dtype.kind in "SU" else known.dtype.name
        return (known if self._places is None else known[self._places]).tolist(), dtype

    def _rows(self, y: Array) -> Array:
        rows = y if self._places is None else y[:, self._places]
        return np.where(rows, 1.0, -1.0) if self._cost().targets == "sign" else rows

    def _in_order(self, outputs: Array) -> Array:
        """Return outputs in the order of `classes_`."""
        return outputs if self._places is None else outputs[:, np.argsort(self._places)]

    def _decode(self, outputs: Array) -> Array:
        a = self._in_order(outputs)
        if self._cost().targets == "sign":  # the middle is 0, not 1/2
            a = (a + 1) / 2
        return self._label_binarizer.inverse_transform(a.ravel() if self.n_outputs_ == 1 else a)  # type: ignore[no-any-return]

    def _validation_targets(self, given: Any) -> Array:
        y = as_array("y_val", given)
        several = self._label_binarizer.y_type_.startswith("multilabel")
        if not several and y.ndim == 2 and y.shape[1] == 1:
            y = y.ravel()
        if y.ndim != 1 + several or (several and y.shape[1] != self.n_outputs_):
            raise ShapeError(f"y_val must have the shape of y, save for its rows. Got the shape {y.shape}.")
        known: list[Any] = [0, 1] if several else self.classes_.tolist()
        among = set(known)
        unknown = [label for label in y.ravel().tolist() if not _is_among(label, among)]
        if unknown:
            raise OptionError(f"y_val must hold classes of y, which are {one_of(known)}. Got {unknown[0]!r}.")
        return y

    def _held_targets(self, y: Array) -> Array:
        return self._label_binarizer.inverse_transform(y)  # type: ignore[no-any-return]

    def _weighed(self, y: Array, weights: Array | None, dtype: Any) -> Array | None:
        if self.class_weight is None:
            return weights
        if not isinstance(self.class_weight, str):
            for label, weight in self.class_weight.items():
                as_number(f"class_weight[{label!r}]", weight, at_least=0)
        of_class = compute_sample_weight(self.class_weight, self._label_binarizer.inverse_transform(y))
        if not of_class.any():
            raise OptionError(
                f"class_weight must leave a class of y a weight > 0. Got {self.class_weight!r}."
            )
        return (of_class if weights is None else weights * of_class).astype(dtype)  # type: ignore[no-any-return]

    def _score(self, X: Any, y: Array, sample_weight: Array | None) -> float:
        predicted = self._decode(self._outputs(X, check_input=False))
        if np.issubdtype(predicted.dtype, np.floating) and not np.isfinite(predicted).all():
            return np.nan
        return accuracy_score(y, predicted, sample_weight=sample_weight)  # type: ignore[no-any-return]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _is_among(label: Any, known: set[Any]) -> bool:
    try:
        return label in known
    except TypeError:  # a label that is a list or an array
        return False
