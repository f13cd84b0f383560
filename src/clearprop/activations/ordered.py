"""Activations whose neurons stand in an order: outputs that rise, and classes from lowest to highest."""

from __future__ import annotations

from typing import ClassVar

from clearprop.activations.base import NO_PARAMS, ActivationFunction, Params, activations
from clearprop.arrays import Array, expit, namespace, softplus
from clearprop.errors import ShapeError
from clearprop.ordering import held_for_sums, margins, running_sum, sum_from, through_margins
from clearprop.registry import description

__all__ = ["Increasing", "Ordinal"]


@activations.register()
@description
class Increasing(ActivationFunction):
    """a_0 = z_0 and a_j = a_{j-1} + ln(1 + exp(z_j)): outputs that never fall from neuron to neuron.

    For several quantiles of one target: with the pinball cost, neuron j gives quantile j, and since every
    increment is positive the quantiles cannot cross, whatever the input. Sorting outputs afterwards would
    also order them, but then the network trained is not the one that answers; a penalty on crossings only
    makes them rarer.

    Each a_j depends on z_0 … z_j, so with g_j = sum_{i>=j} dC_da_i: dC_dz_0 = g_0, and
    dC_dz_j = g_j sigmoid(z_j) for j > 0. An infinite z counts as a large finite number.
    Source: the idea of quantiles as sums of increments that are not negative, Park et al. (2022), Learning
    quantile functions without quantile crossing.

    >>> import numpy as np
    >>> z = np.array([-1.0, 0.0, 0.0])
    >>> Increasing().f(z)
    array([-1.        , -0.30685282,  0.38629436])
    >>> Increasing().backward(z, Increasing().f(z), dC_da=np.array([0.0, 0.0, 1.0]))[0]
    array([1. , 0.5, 0.5])
    """

    name: ClassVar[str] = "increasing"
    formula: ClassVar[str] = "z_0 + sum_{0<i<=j} ln(1 + exp(z_i))"
    derivative: ClassVar[str] = "da_j/dz_i = 1 if i = 0, sigmoid(z_i) if 0 < i <= j, else 0"
    elementwise: ClassVar[bool] = False

    def f(self, z: Array) -> Array:
        """Return z_0 and the running sums of the increments on top of it. z, result: (…, n)."""
        xp, z = namespace(z), held_for_sums(z)
        first = z[..., :1]
        return xp.concat([first, first + running_sum(softplus(z[..., 1:]))], axis=-1)  # type: ignore[no-any-return]

    def backward(
        self, z: Array, a: Array, dC_da: Array, params: Params = NO_PARAMS
    ) -> tuple[Array, dict[str, Array]]:
        """Return g_0 and g_j sigmoid(z_j), g_j the sum of dC_da from neuron j on; no parameters."""
        xp, g = namespace(z), sum_from(dC_da)
        return xp.concat([g[..., :1], g[..., 1:] * expit(z[..., 1:])], axis=-1), {}


@activations.register()
@description
class Ordinal(ActivationFunction):
    """Probabilities of k classes in order, from a score and the k - 1 cut points that divide its axis.

    z_0 is the score s, z_1 the first cut point c_1, and ln(1 + exp(z_j)) the width of class j - 1, so
    c_j = c_{j-1} + ln(1 + exp(z_j)): the cut points cannot change places. Then

        P(y <= j - 1) = sigmoid(u_j), u_j = c_j - s          the cumulative logit model
        a_j = sigmoid(u_{j+1}) - sigmoid(u_j)                with sigmoid(u_0) = 0, sigmoid(u_k) = 1

    which are probabilities that sum to 1. They are computed as products, without cancellation:
    a_j = sigmoid(u_{j+1}) sigmoid(-u_j) sigmoid(z_{j+1}). A higher score makes higher classes likelier; what
    a class costs depends on how far away its neighbours are, which softmax cannot know. Two classes are
    softmax: like it, this has one neuron more than it needs. Cut points follow the input as the score does
    (a generalised ordered logit); after a layer of one neuron there is one latent score.

    The derivatives of that difference are da_j/du_{j+1} = sigmoid(u_{j+1}) sigmoid(-u_{j+1}) and
    da_j/du_j = -sigmoid(u_j) sigmoid(-u_j). The backward pass, too, goes by the product, whose three factors
    are taken for independent: with G_j = dC_da_j a_j, H_j = G_{j-1} sigmoid(-u_j) - G_j sigmoid(u_j) is
    the derivative by u_j with the third factors held fixed, and sigmoid(-z_j) G_{j-1} that of the third
    factor by its own z_j. With R_j = sum_{i>=j} H_i: dC_dz_0 = -R_1, dC_dz_1 = R_1, and
    dC_dz_j = sigmoid(z_j) R_j + sigmoid(-z_j) G_{j-1} for j > 1, the whole derivative.
    Errors: `ShapeError` for a layer of fewer than two neurons.
    Source: McCullagh (1980), Regression models for ordinal data, section 2.

    >>> import numpy as np
    >>> z = np.array([0.0, -1.0, 2.0])
    >>> Ordinal().f(z)
    array([0.26894142, 0.48633011, 0.24472847])
    >>> Ordinal().f(z + np.array([1.0, 0.0, 0.0]))  # a higher score
    array([0.11920292, 0.41248655, 0.46831053])
    """

    name: ClassVar[str] = "ordinal"
    formula: ClassVar[str] = (
        "sigmoid(c_{j+1} - z_0) - sigmoid(c_j - z_0), c_j = z_1 + sum_{1<i<=j} softplus(z_i)"
    )
    derivative: ClassVar[str] = (
        "da_j/du_j = -sigmoid(u_j) * sigmoid(-u_j), da_j/du_{j+1} = sigmoid(u_{j+1}) * sigmoid(-u_{j+1}), "
        "u_j = c_j - z_0"
    )
    elementwise: ClassVar[bool] = False
    distribution: ClassVar[bool] = True
    ordered: ClassVar[bool] = True
    limits = (0.0, 1.0)

    def resolved(self, n: int) -> ActivationFunction:
        """Return this activation for n neurons. Errors: `ShapeError` for fewer than two."""
        if n < 2:
            raise ShapeError(
                f"activation 'ordinal' has one neuron per class and needs two or more; the layer has {n}. "
                "Give the layer as many neurons as there are classes."
            )
        return self

    def f(self, z: Array) -> Array:
        """Return the probability of each class. z, result: (…, k)."""
        xp, u = namespace(z), margins(z)
        one = xp.ones_like(z[..., :1])
        below, above = xp.concat([expit(u), one], axis=-1), xp.concat([one, expit(-u)], axis=-1)
        return below * above * xp.concat([one, expit(z[..., 2:]), one], axis=-1)  # type: ignore[no-any-return]

    def backward(
        self, z: Array, a: Array, dC_da: Array, params: Params = NO_PARAMS
    ) -> tuple[Array, dict[str, Array]]:
        """Return dC_dz as derived above, and no gradients of parameters."""
        return through_margins(z, dC_da * a), {}
