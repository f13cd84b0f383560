"""scikit-learn's multi-layer perceptrons, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import (
    DTypeError,
    MissingDependencyError,
    NotInitializedError,
    OptionError,
    UnsupportedError,
)
from clearprop.interchange.pieces import Piece, assemble, pieces_of
from clearprop.layers import ActivationOwner, Dense
from clearprop.network import Network
from clearprop.training.data import Affine
from clearprop.training.penalties import Penalty
from clearprop.training.targets import Targets

__all__ = ["ACTIVATIONS", "COSTS", "HIDDEN", "from_sklearn", "to_sklearn"]

ACTIVATIONS = {
    "identity": "identity",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exponential",
}
"""scikit-learn's names of activations, and ours."""
COSTS = {
    "softmax": "cross_entropy",
    "logistic": "binary_cross_entropy",
    "identity": "quadratic",
    "exp": "poisson",
}
"""The cost that belongs to each of scikit-learn's output activations."""
HIDDEN = ("identity", "logistic", "tanh", "relu")
"""scikit-learn's names of the activations that hidden layers may have."""
_THEIRS = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
_HIDDEN = tuple(ACTIVATIONS[name] for name in HIDDEN)
_DECIDED = ("hidden_layer_sizes", "activation", "loss")


# -- in ------------------------------------------------------------------------------------------


def from_sklearn(model: Any) -> Network:
    """Return the network that a fitted scikit-learn MLP is: the same predictions, labels and penalty.

    Parameters:
        model: an `MLPClassifier` or `MLPRegressor`, of scikit-learn or `clearprop.sklearn`, or a `Pipeline`
            of scalers (`StandardScaler`, `MinMaxScaler`, `MaxAbsScaler`) with one at its end; the scalers
            become the preprocessing.

    W is the transpose of scikit-learn's coefs_; alpha becomes ``network.penalty``; feature names are kept in
    ``network.extra``. Of several outputs scikit-learn's gradient is that of our quadratic cost.
    scikit-learn itself is not imported.

    Errors: `NotInitializedError` before fit; `DTypeError` for another kind of model; `UnsupportedError` for a
    step that is no scaling.

    >>> from sklearn.neural_network import MLPRegressor
    >>> model = MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", random_state=0)
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> network = from_sklearn(model.fit(X, [0.0, 1.0, 4.0]))
    >>> bool(np.allclose(network.predict(X), model.predict(X), rtol=1e-12)), network.cost.name
    (True, 'quadratic')
    """
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    *scalers, mlp = [step for step in steps if not (step is None or isinstance(step, str))] or [model]
    kind = _kind(mlp)
    if not hasattr(mlp, "coefs_"):
        raise NotInitializedError(f"this {kind} has not been fitted. Call its fit first.")
    network = mlp.as_network() if hasattr(mlp, "as_network") else _network_of(mlp)
    network.preprocessing = _scaling(scalers)
    network.penalty = Penalty(l2=float(mlp.alpha), divide_by="batch")
    names = getattr(steps[0], "feature_names_in_", None)
    if names is not None:
        network.extra = {"data": {"feature_names": [str(name) for name in names]}}
    return network


def _network_of(mlp: Any) -> Network:
    functions = [mlp.activation] * (len(mlp.coefs_) - 1) + [mlp.out_activation_]
    pieces = [
        Piece(Dense(W.shape[1], ACTIVATIONS[f], n_in=W.shape[0]), {"W": W.T, "b": b}, f"coefs_[{i}]")
        for i, (W, b, f) in enumerate(zip(mlp.coefs_, mlp.intercepts_, functions, strict=True))
    ]
    network = assemble(pieces, cost=COSTS[mlp.out_activation_])
    network.targets = _targets(mlp, network)
    return network


def _kind(mlp: Any) -> str:
    for cls in type(mlp).__mro__:
        known = cls.__name__ in ("MLPClassifier", "MLPRegressor")
        if known and (cls.__module__.startswith("sklearn.neural_network") or hasattr(cls, "as_network")):
            return cls.__name__
    raise DTypeError(
        f"from_sklearn reads an MLPClassifier or MLPRegressor, or a Pipeline that ends in one. "
        f"Got {type(mlp).__name__}."
    )


def _targets(mlp: Any, network: Network) -> Targets:
    n_out = network.model.n_out
    if not hasattr(mlp, "classes_"):
        return Targets("real", n_out, (), 0.0, n_out == 1, network.dtype.name)
    if mlp._label_binarizer.y_type_.startswith("multilabel"):
        return Targets("multilabel", n_out, (), 0.0, False, "int64")
    return Targets.infer(mlp.classes_, network.cost, n_out, None, "classification")


def _scaling(scalers: list[Any]) -> Affine | None:
    """Return the scalers, one after the other, as one affine map."""
    shift, factor, found = 0.0, 1.0, False
    for scaler in scalers:
        s, f = _as_affine(scaler)
        # ((x - shift) * factor - s) * f
        shift, factor, found = shift + s / factor, factor * f, True
    return Affine(shift, factor) if found else None


def _as_affine(scaler: Any) -> tuple[Any, Any]:
    name = type(scaler).__name__
    if name == "StandardScaler" and hasattr(scaler, "n_features_in_"):
        mean = scaler.mean_ if scaler.with_mean else 0.0
        return mean, 1.0 if scaler.scale_ is None else 1 / scaler.scale_
    if name == "MinMaxScaler" and hasattr(scaler, "scale_") and not scaler.clip:
        return -scaler.min_ / scaler.scale_, scaler.scale_
    if name == "MaxAbsScaler" and hasattr(scaler, "scale_") and not getattr(scaler, "clip", False):
        return 0.0, 1 / scaler.scale_
    raise UnsupportedError(
        f"the pipeline's step {name} cannot be carried over: it is no fitted StandardScaler, MaxAbsScaler or "
        "MinMaxScaler without clipping. Transform the data yourself and give the MLP alone."
    )


# -- out -----------------------------------------------------------------------------------------


def to_sklearn(network: Network, **parameters: Any) -> Any:
    """Return a fitted scikit-learn `MLPClassifier` or `MLPRegressor` with the network's weights.

    Its predict, predict_proba and score give what the network's do, and partial_fit trains on from there.

    Parameters:
        network: Dense layers with one hidden activation for all, of identity, sigmoid, tanh and relu; an
            output of softmax or sigmoid (classes), identity (numbers) or exponential (Poisson).
        parameters: those of scikit-learn's constructor for training on, such as ``solver="sgd"``; alpha is
            taken from ``network.penalty`` where that is scikit-learn's (divide_by="batch"), else 0.

    What differs: preprocessing goes into the first layer's weights; a softmax over two classes becomes one
    logistic output; labels are sorted; missing biases are zeros; one-hot targets become labels 0, 1, …;
    Dropout, which does nothing in prediction, is left out.

    Errors: `UnsupportedError` naming what scikit-learn's MLP does not have; `MissingDependencyError`.

    >>> network = Network([Dense(2, "tanh"), Dense(3, "softmax")], n_in=2, seed=0)
    >>> model = to_sklearn(network)
    >>> model.out_activation_, model.hidden_layer_sizes, model.coefs_[0].shape
    ('softmax', (2,), (2, 2))
    >>> X = np.array([[1.0, -1.0]])
    >>> bool(np.allclose(model.predict_proba(X), network.predict_proba(X), rtol=1e-12))
    True
    """
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.preprocessing import LabelBinarizer
        from sklearn.utils import check_random_state
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "to_sklearn needs scikit-learn, which is not installed. Run: pip install 'clearprop[sklearn]'"
        ) from None
    for name in _DECIDED:
        if name in parameters:
            raise OptionError(f"to_sklearn takes {name} from the network. Leave it out.")
    W, b = _weights(network)
    hidden, output = _functions(network)
    labels = _labels(network, output)
    W[-1], b[-1], output, labels = _as_theirs(W[-1], b[-1], output, labels)
    penalty = network.penalty
    alpha = penalty.l2 if penalty.divide_by == "batch" and not penalty.l1 else 0.0
    chosen: dict[str, Any] = {
        "hidden_layer_sizes": tuple(len(rows) for rows in W[:-1]),
        "activation": _THEIRS[hidden],
        "alpha": alpha,
        **parameters,
    }
    if labels is None:
        model = MLPRegressor(loss="poisson" if output == "exponential" else "squared_error", **chosen)
    else:
        model = MLPClassifier(**chosen)
        model._label_binarizer = LabelBinarizer().fit(labels)
        model.classes_ = model._label_binarizer.classes_
    _fitted(model, network, W, b, _THEIRS[output])
    model._random_state = check_random_state(model.random_state)
    return model


def _weights(network: Network) -> tuple[list[Array], list[Array]]:
    W, b = [], []
    for piece in pieces_of(network, "scikit-learn's MLP", without=("dropout",)):
        if type(piece.layer) is not Dense:
            raise UnsupportedError(
                f"{piece.where} {type(piece.layer).__name__} cannot be carried over: scikit-learn's MLP has "
                "Dense layers only."
            )
        W.append(piece.numbers["W"])
        b.append(piece.numbers.get("b", np.zeros(len(W[-1]), W[-1].dtype)))
    return W, b


def _functions(network: Network) -> tuple[str, str]:
    """Return the activation of the hidden layers and that of the last, by clearprop's names."""
    names = [layer.activation.name for layer in network.layers if isinstance(layer, ActivationOwner)]
    *hidden, output = names
    other = sorted(set(hidden) - set(_HIDDEN))
    if other or len(set(hidden)) > 1:
        raise UnsupportedError(
            f"hidden layers with the activations {', '.join(dict.fromkeys(hidden))} cannot be carried over: "
            f"scikit-learn's MLP has one for all, of {', '.join(_HIDDEN)}."
        )
    if output not in ("softmax", "sigmoid", "identity", "exponential"):
        raise UnsupportedError(
            f"the output activation {output!r} cannot be carried over: scikit-learn's MLP ends in softmax or "
            "sigmoid for classes, in identity or exponential for numbers."
        )
    return hidden[0] if hidden else "relu", output


def _labels(network: Network, output: str) -> Array | None:
    """Return the label of each output, (classes,), or rows of yes and no; None for real numbers."""
    targets, n_out = network.targets, network.model.n_out
    real = targets.kind == "real" if targets is not None else output in ("identity", "exponential")
    if real != (output in ("identity", "exponential")) or (targets is not None and targets.low):
        raise UnsupportedError(
            f"a network with the output {output!r}, trained on {targets.kind if targets else 'no'} targets, "
            "cannot be carried over: scikit-learn's MLP tells classes by softmax or sigmoid, numbers by "
            "identity or exponential outputs."
        )
    if real:
        return None
    if targets is None or targets.kind == "onehot" or n_out == 1:
        several = output == "sigmoid" and n_out > 1
        if targets is not None and targets.kind == "binary":
            return targets.decode(np.array([[0.0], [1.0]]))
        return np.eye(n_out, dtype=int) if several else np.arange(max(n_out, 2))
    if targets.kind == "multilabel":
        return np.eye(n_out, dtype=int)
    if output == "sigmoid":
        raise UnsupportedError(
            "several sigmoid outputs for classes that exclude one another cannot be carried over: "
            "scikit-learn's MLP has a softmax there."
        )
    return targets.decode(np.eye(n_out))


def _as_theirs(
    W: Array, b: Array, output: str, labels: Array | None
) -> tuple[Array, Array, str, Array | None]:
    """Return the last layer with its classes in sorted order, and two of them as one logistic output."""
    if labels is None or labels.ndim == 2:
        return W, b, output, labels
    order = np.argsort(labels)
    if len(W) == 1:  # the sign says which of the two is "yes"
        sign = W.dtype.type(1 if order[0] == 0 else -1)
        return sign * W, sign * b, output, labels[order]
    W, b = W[order], b[order]
    if len(W) == 2:  # softmax(z)_1 = sigma(z_1 - z_0)
        return W[1:] - W[:1], b[1:] - b[:1], "sigmoid", labels[order]
    return W, b, output, labels[order]


def _fitted(model: Any, network: Network, W: list[Array], b: list[Array], output: str) -> None:
    """Set what scikit-learn's fit would have set."""
    curve = [float(cost) for cost in network.history["cost"]] if network.history else []
    values: Mapping[str, Any] = {
        "coefs_": [np.ascontiguousarray(rows.T) for rows in W],
        "intercepts_": [own.copy() for own in b],
        "n_layers_": len(W) + 1,
        "n_outputs_": len(W[-1]),
        "out_activation_": output,
        "n_features_in_": network.model.n_in,
        "n_iter_": network.epochs_trained,
        "t_": 0,
        "loss_": curve[-1] if curve else np.nan,
        "loss_curve_": curve,
        "best_loss_": np.inf,
        "validation_scores_": None,
        "best_validation_score_": None,
        "_no_improvement_count": 0,
    }
    for name, value in values.items():
        setattr(model, name, value)
    model._best_coefs = [coef.copy() for coef in model.coefs_]
    model._best_intercepts = [own.copy() for own in model.intercepts_]
    names = (network.extra.get("data") or {}).get("feature_names")
    if names:
        model.feature_names_in_ = np.asarray(names, dtype=object)
