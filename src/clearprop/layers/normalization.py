"""Normalising layers: BatchNorm over the examples of a batch, LayerNorm over the neurons of an example."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

from clearprop.arrays import Array, namespace
from clearprop.checks import check_number, check_whole
from clearprop.errors import ShapeError, UnsupportedError
from clearprop.layers.base import Layer, Parameter, Tree, check_size, layers
from clearprop.registry import description

__all__ = ["BatchNorm", "LayerNorm", "NormBackward", "NormForward"]


class NormForward(NamedTuple):
    """Forward record of `BatchNorm` and `LayerNorm`."""

    a_prev: Array
    """Inputs, (n, n_in)."""
    mean: Array
    """Mean that was subtracted: (n_in,) for BatchNorm, (n, 1) for LayerNorm."""
    variance: Array
    """Variance (over n, not n - 1), shaped like the mean."""
    x_hat: Array
    """Normalised inputs (a_prev - mean) / sqrt(variance + epsilon), (n, n_in)."""
    a: Array
    """Outputs gamma ⊙ x_hat + beta, (n, n_in)."""
    batch_statistics: bool
    """Whether mean and variance were computed from this batch."""


class NormBackward(NamedTuple):
    """Backward record of `BatchNorm` and `LayerNorm`."""

    dC_da: Array
    """Row x is ∂C_x/∂a, (n, n_in)."""
    dC_dgamma: Array
    """Gradient of the gains, (n_in,)."""
    dC_dbeta: Array
    """Gradient of the shifts, (n_in,)."""
    dC_dx_hat: Array
    """Row x is ∂C_x/∂x_hat, (n, n_in)."""
    dC_da_prev: Array
    """Row x is ∂C_x/∂a_prev, (n, n_in); n times ∂C/∂a_prev where BatchNorm couples the examples."""


@description
class _Norm(Layer):
    keeps_size: ClassVar[bool] = True
    epsilon: float = 1e-5
    size: int | None = None

    def __post_init__(self) -> None:
        check_number(self, "epsilon", above=0)
        if self.size is not None:
            check_whole(self, "size", at_least=1)

    @property
    def n_in(self) -> int | None:
        """Number of inputs, equal to the number of outputs."""
        return self.size

    @property
    def n_out(self) -> int | None:
        """Number of outputs, equal to the number of inputs."""
        return self.size

    def sized(self, n_in: int, address: str, n_out: int | None = None) -> Layer:
        """Return this layer for n_in inputs."""
        check_size(self, n_in, address)
        return dataclasses.replace(self, size=int(n_in))

    def parameters(self) -> dict[str, Parameter]:
        """Return gamma (starts at 1) and beta (starts at 0), both (n_in,)."""
        assert self.size is not None
        return {"gamma": Parameter((self.size,), 1.0), "beta": Parameter((self.size,), 0.0)}

    def normalised(
        self, a_prev: Array, mean: Array, variance: Array, params: Tree, batch: bool
    ) -> NormForward:
        """Return the forward record for this mean and variance."""
        x_hat = (a_prev - mean) / namespace(a_prev).sqrt(variance + self.epsilon)
        return NormForward(a_prev, mean, variance, x_hat, x_hat * params["gamma"] + params["beta"], batch)

    def backward_record(
        self, record: NormForward, dC_da: Array, params: Tree, n: int, axis: int | None
    ) -> Any:
        """Return the backward record; `axis` is what the mean and variance were taken over, None if fixed."""
        xp = namespace(dC_da)
        dC_dgamma = xp.sum(dC_da * record.x_hat, axis=0) / n
        dC_dbeta = xp.sum(dC_da, axis=0) / n
        dC_dx_hat = dC_da * params["gamma"]
        through = dC_dx_hat
        if axis is not None:
            through = (
                dC_dx_hat
                - xp.mean(dC_dx_hat, axis=axis, keepdims=True)
                - record.x_hat * xp.mean(dC_dx_hat * record.x_hat, axis=axis, keepdims=True)
            )
        dC_da_prev = through / xp.sqrt(record.variance + self.epsilon)
        return NormBackward(dC_da, dC_dgamma, dC_dbeta, dC_dx_hat, dC_da_prev)


@layers.register()
@description
class BatchNorm(_Norm):
    """Normalise each input over the examples of the batch; in inference with running statistics.

    Training:  mean_j = (1/n) Σ_x a_prev_xj,  variance_j = (1/n) Σ_x (a_prev_xj - mean_j)²,
               x_hat = (a_prev - mean) / sqrt(variance + epsilon),  a = gamma ⊙ x_hat + beta,
               running <- momentum · running + (1 - momentum) · batch.
    Inference: the same with the running mean and variance.

    The running variance keeps the biased (1/n) variance of the batch, which is what normalised it (PyTorch
    keeps the unbiased one). `momentum` is the share of the old value that stays, as in Keras; PyTorch's is
    1 - momentum.

    Derivation. x_hat_x depends on every row through mean and variance. With g = dC_da ⊙ gamma,
    differentiating both gives, for each column, with means over the n examples of the batch,

        dC_da_prev = (g - mean(g) - x_hat ⊙ mean(g ⊙ x_hat)) / sqrt(variance + epsilon),

    where the second term comes from the mean and the third from the variance. Rows stay on the scale of
    ∂C_x/∂a_prev (n times ∂C/∂a_prev), as the formula is linear in g. In inference the statistics are
    constants and only g / sqrt(…) remains. Gradients of gamma and beta: means over x of dC_da ⊙ x_hat and of
    dC_da.

    Errors: `ShapeError` in training with a batch of one example, whose variance is 0.
    Source: Ioffe and Szegedy, Batch Normalization (2015), section 3.

    >>> import numpy as np
    >>> layer = BatchNorm().sized(1, "1")
    >>> params = {"gamma": np.ones(1), "beta": np.zeros(1)}
    >>> layer.forward(np.array([[1.0], [3.0]]), params, {}, training=True).a.round(4)
    array([[-1.],
           [ 1.]])
    """

    name: ClassVar[str] = "batch_norm"
    couples_examples: ClassVar[bool] = True
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "momentum", at_least=0, at_most=1)

    def buffers(self) -> dict[str, Parameter]:
        """Return running_mean (starts at 0) and running_variance (starts at 1), both (n_in,)."""
        assert self.size is not None
        return {
            "running_mean": Parameter((self.size,), 0.0),
            "running_variance": Parameter((self.size,), 1.0),
        }

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> NormForward:
        """Return mean, variance, x_hat and a; running statistics in inference, the batch's in training."""
        if not training:
            mean, variance = buffers["running_mean"], buffers["running_variance"]
            return self.normalised(a_prev, mean, variance, params, batch=False)
        if a_prev.shape[0] < 2:
            raise ShapeError(
                "BatchNorm in training got a batch of 1 example, whose variance is 0. "
                "Use batches of at least 2 (drop_last=True drops a last batch of 1)."
            )
        xp = namespace(a_prev)
        mean = xp.mean(a_prev, axis=0)
        variance = xp.mean((a_prev - mean) ** 2, axis=0)
        return self.normalised(a_prev, mean, variance, params, batch=True)

    def new_buffers(self, record: Any, buffers: Tree) -> Tree:
        """Return the running statistics after a training pass."""
        if not record.batch_statistics:
            return buffers
        new, m = {"running_mean": record.mean, "running_variance": record.variance}, self.momentum
        return {name: m * buffers[name] + (1 - m) * new[name] for name in new}

    def backward(
        self, record: Any, dC_da: Array, params: Tree, n: int, inputs: bool = True, out: Tree | None = None
    ) -> NormBackward:
        """Return the backward record."""
        return self.backward_record(record, dC_da, params, n, 0 if record.batch_statistics else None)  # type: ignore[no-any-return]

    def per_example(self, forward: Any, backward: Any) -> Tree:
        """Return dC_x/dgamma = dC_da ⊙ x_hat and dC_x/dbeta = dC_da; refused for statistics of the batch."""
        if forward.batch_statistics:
            raise UnsupportedError(
                "BatchNorm in training mode couples the examples of a batch, so the gradient of one example "
                "does not exist on its own. Ask in inference mode (training=False)."
            )
        return {"gamma": backward.dC_da * forward.x_hat, "beta": backward.dC_da}


@layers.register()
@description
class LayerNorm(_Norm):
    """Normalise each example over its neurons: the same in training and inference.

    For each row: mean and variance over the n_in inputs, x_hat = (a_prev - mean) / sqrt(variance + epsilon),
    a = gamma ⊙ x_hat + beta.

    Derivation. Within one example every x_hat_j depends on all inputs through mean and variance, exactly as
    in BatchNorm with rows and columns exchanged. With g = dC_da ⊙ gamma and means over the neurons,

        dC_da_prev = (g - mean(g) - x_hat ⊙ mean(g ⊙ x_hat)) / sqrt(variance + epsilon).

    Source: Ba, Kiros and Hinton, Layer Normalization (2016).

    >>> import numpy as np
    >>> layer = LayerNorm().sized(2, "1")
    >>> params = {"gamma": np.ones(2), "beta": np.zeros(2)}
    >>> layer.forward(np.array([[1.0, 3.0]]), params, {}).a.round(4)
    array([[-1.,  1.]])
    """

    name: ClassVar[str] = "layer_norm"

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> NormForward:
        """Return mean, variance, x_hat and a."""
        xp = namespace(a_prev)
        mean = xp.mean(a_prev, axis=-1, keepdims=True)
        variance = xp.mean((a_prev - mean) ** 2, axis=-1, keepdims=True)
        return self.normalised(a_prev, mean, variance, params, batch=True)

    def backward(
        self, record: Any, dC_da: Array, params: Tree, n: int, inputs: bool = True, out: Tree | None = None
    ) -> NormBackward:
        """Return the backward record."""
        return self.backward_record(record, dC_da, params, n, -1)  # type: ignore[no-any-return]

    def per_example(self, forward: Any, backward: Any) -> Tree:
        """Return dC_x/dgamma = dC_da ⊙ x_hat and dC_x/dbeta = dC_da."""
        return {"gamma": backward.dC_da * forward.x_hat, "beta": backward.dC_da}
