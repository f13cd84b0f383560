"""The mathematics of what stands in an order: running sums, and the cut points of ordered classes.

Activations and costs share it: `Ordinal` and its pair with cross-entropy are two readings of one model.
"""

from __future__ import annotations

from clearprop.arrays import Array, clip, expit, namespace, softplus

__all__ = [
    "held_for_sums",
    "log_class_probabilities",
    "margins",
    "running_sum",
    "sum_from",
    "through_margins",
]


def held_for_sums(z: Array) -> Array:
    """Return z with infinities as numbers so large that no sum of a row overflows; NaN stays NaN.

    >>> import numpy as np
    >>> bool(np.isfinite(held_for_sums(np.array([np.inf, np.inf])).sum()))
    True
    """
    big = float(namespace(z).finfo(z.dtype).max) / (4.0 * max(z.shape[-1], 1))
    return clip(z, -big, big)


def running_sum(x: Array) -> Array:
    """Return x_0 + … + x_j for every j, over the last axis, added from the first to the last.

    >>> import numpy as np
    >>> running_sum(np.array([1.0, 2.0, 3.0]))
    array([1., 3., 6.])
    """
    xp = namespace(x)
    total = getattr(xp, "cumulative_sum", None) or xp.cumsum  # NumPy has the standard's name from 2.1 on
    return total(x, axis=-1)  # type: ignore[no-any-return]


def sum_from(x: Array) -> Array:
    """Return x_j + … + x_{n-1} for every j, over the last axis.

    >>> import numpy as np
    >>> sum_from(np.array([1.0, 2.0, 3.0]))
    array([6., 5., 3.])
    """
    xp = namespace(x)
    return xp.flip(running_sum(xp.flip(x, axis=-1)), axis=-1)  # type: ignore[no-any-return]


def margins(z: Array) -> Array:
    """Return u_j = c_j - s for j = 1 … k - 1: cut points c_j that rise, minus the score s. (…, k - 1).

    s = z_0, c_1 = z_1, c_j = c_{j-1} + ln(1 + exp(z_j)). Infinite z count as large finite numbers.

    >>> import numpy as np
    >>> margins(np.array([0.5, -1.0, 0.0]))
    array([-1.5       , -0.80685282])
    """
    xp, z = namespace(z), held_for_sums(z)
    first = z[..., 1:2] - z[..., :1]
    return xp.concat([first, first + running_sum(softplus(z[..., 2:]))], axis=-1)  # type: ignore[no-any-return]


def log_class_probabilities(z: Array) -> Array:
    """Return ln(sigmoid(u_{j+1}) - sigmoid(u_j)) of every class j, without cancellation. z, result: (…, k).

    The difference is sigmoid(u_{j+1}) sigmoid(-u_j) sigmoid(z_{j+1}), as 1 - exp(-softplus(z)) = sigmoid(z);
    the first class lacks the last two factors, the last class the first and the third.

    >>> import numpy as np
    >>> log_class_probabilities(np.array([0.0, -1000.0, -1000.0]))
    array([-1000., -2000.,     0.])
    """
    xp, u = namespace(z), margins(z)
    none = xp.zeros_like(z[..., :1])
    below, above = xp.concat([softplus(-u), none], axis=-1), xp.concat([none, softplus(u)], axis=-1)
    gap = xp.concat([none, softplus(-held_for_sums(z)[..., 2:]), none], axis=-1)
    return 0.0 - (below + above + gap)  # type: ignore[no-any-return]


def through_margins(z: Array, G: Array) -> Array:
    """Return ∂C/∂z, given G_j = ∂C/∂(ln a_j), a_j the probability of class j. All (…, k).

    Of a_j = sigmoid(u_{j+1}) sigmoid(-u_j) sigmoid(z_{j+1}): H_j = G_{j-1} sigmoid(-u_j) - G_j sigmoid(u_j)
    is the derivative by u_j with the third factors held fixed, although they follow from u; what they add
    is sigmoid(-z_j) G_{j-1}. With R_j = sum_{i>=j} H_i: ∂C/∂z_0 = -R_1, ∂C/∂z_1 = R_1, and
    ∂C/∂z_j = sigmoid(z_j) R_j + sigmoid(-z_j) G_{j-1} for j > 1.

    >>> import numpy as np
    >>> through_margins(np.array([0.0, 0.0]), np.array([-1.0, 0.0]))
    array([ 0.5, -0.5])
    """
    xp, u = namespace(z), margins(z)
    R = sum_from(G[..., :-1] * expit(-u) - G[..., 1:] * expit(u))
    gaps = z[..., 2:]
    widths = expit(gaps) * R[..., 1:] + expit(-gaps) * G[..., 1:-1]
    return xp.concat([-R[..., :1], R[..., :1], widths], axis=-1)  # type: ignore[no-any-return]
