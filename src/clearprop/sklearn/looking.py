"""What a fitted estimator shows of its network: features, the chain rule, a diagnosis, a notebook's view."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted, validate_data

from clearprop.arrays import Array
from clearprop.lazy import Lazy
from clearprop.sklearn.building import optimizer_of
from clearprop.sklearn.parameters import is_stochastic
from clearprop.training.data import is_sparse

if TYPE_CHECKING:
    from clearprop import notebook
    from clearprop.diagnosis import Diagnosis
    from clearprop.explain import Explanation, LayerExplanation, NetworkExplanation
    from clearprop.network import Network
else:
    notebook = Lazy("clearprop.notebook")

__all__ = ["Looking"]


class Looking:
    """The part of the estimators that looks inside. Each method is that of `network_`, with checked input."""

    _synced: Callable[[], Network]
    _as_dtype: Callable[[Any], Any]
    predict: Callable[[Any], Array]

    def as_network(self) -> Network:
        """Return a copy of the fitted network, with what now stands in `coefs_` and `intercepts_`.

        Errors: `NotFittedError` before fit.
        """
        return self._synced_for_use().copy()

    def embed(self, X: Any, layer: int | str | None = None) -> Array:
        """Return the activations of a layer for each row of X, (n, n_out of that layer): features.

        layer: number or address in `network_`, such as 2 or "3.body.1"; left out, the last hidden layer.
        Errors: `NotFittedError` before fit; those of `Network.embed`.

        >>> from clearprop.sklearn import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 4.0, 9.0]
        >>> model = MLPRegressor(hidden_layer_sizes=(5, 2), solver="lbfgs", tol=0.1, random_state=0)
        >>> model.fit(X, y).embed(X).shape, model.embed(X, layer=1).shape
        ((4, 2), (4, 5))
        """
        return self._synced_for_use().embed(self._checked(X), layer)

    def explain(
        self, x: Any, y: Any = None, layer: int | str | None = None, **options: Any
    ) -> Explanation | LayerExplanation | NetworkExplanation:
        """Explain the gradient of a weight, bias or neuron for one row x: symbols, numbers and words.

        x: (d,) or (1, d). y: its target in the form of fit; a classifier takes its own prediction where it is
        left out. layer and options: those of `Network.explain`, such as ``weight=(j, k)``.
        Errors: `NotFittedError` before fit; those of `Network.explain`.

        >>> from clearprop.sklearn import MLPClassifier
        >>> X, y = [[0.0], [1.0]], ["no", "yes"]
        >>> model = MLPClassifier(2, solver="lbfgs", random_state=0).fit(X, y)
        >>> str(model.explain([1.0], layer=2, bias=0)).splitlines()[0]
        '∂C/∂b^2_0: bias of neuron 0 of layer 2, Dense 2 → 1, sigmoid'
        """
        network = self._synced_for_use()
        rows = np.asarray(x)
        row = self._checked(rows[None] if rows.ndim == 1 else x)
        if y is None and is_classifier(self):
            y = self.predict(row)
        return network.explain(row, _as_networks(network, y), layer, **options)

    def diagnose(self, X: Any, y: Any, **options: Any) -> Diagnosis:
        """Look for what keeps the network from learning: findings, each with evidence and one thing to try.

        Looked at are the data, one pass, the history of the last fit, and what a few steps of the estimator's
        optimiser do to copies of the network. options: those of `Network.diagnose`.
        Errors: `NotFittedError` before fit; those of `Network.diagnose`.

        >>> from clearprop.datasets import moons
        >>> from clearprop.sklearn import MLPClassifier
        >>> X, y = moons(200, noise=0.1, seed=0)
        >>> model = MLPClassifier(20, solver="lbfgs", tol=0.01, random_state=0).fit(100 * X, y)
        >>> model.diagnose(100 * X, y).kinds
        ('data_not_scaled',)
        """
        network = self._synced_for_use()
        if is_stochastic(self):
            options = {"optimizer": optimizer_of(self), **options}
        rows = self._checked(X, ensure_all_finite=False)  # NaN is a finding
        return network.diagnose(rows, _as_networks(network, y), **options)

    def _synced_for_use(self) -> Network:
        check_is_fitted(self)
        return self._synced()

    def _checked(self, X: Any, **checks: Any) -> Any:
        return self._as_dtype(validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, **checks))

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram and, after a fit, the architecture and the curves."""
        shown: str = estimator_html_repr(self)
        return shown + notebook.network_html(self._synced()) if hasattr(self, "network_") else shown


def _as_networks(network: Network, y: Any) -> Any:
    """Return targets as the network takes them: of several labels, "no" is -1 for a cost of margins."""
    targets = network.targets
    if y is None or targets is None or targets.kind != "multilabel" or targets.low == 0:
        return y
    rows = y.toarray() if is_sparse(y) else np.asarray(y)
    return np.where(rows == 1, 1.0, targets.low)
