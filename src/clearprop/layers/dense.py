"""Dense: the layer of the textbooks, z = W a_prev + b, a = f(z), and Activation: a = f(a_prev)."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

from clearprop.activations import ActivationFunction, activations
from clearprop.arrays import Array, constant, matmul, namespace, sum_examples
from clearprop.checks import check_flag, check_whole
from clearprop.errors import ShapeError
from clearprop.initializers import Initializer, initializers
from clearprop.layers.base import Layer, Parameter, Tree, check_size, layers, square_sums
from clearprop.registry import description

__all__ = [
    "Activation",
    "ActivationBackward",
    "ActivationForward",
    "ActivationOwner",
    "Dense",
    "DenseBackward",
    "DenseForward",
]


class ActivationOwner(Layer):
    """A layer that ends in an activation a = f(z), so that a cost can fuse with it (BP1)."""

    activation: Any
    """An `ActivationFunction`; a constructor also takes its name or plain data."""

    def backward_from_delta(
        self,
        record: Any,
        delta: Array,
        params: Tree,
        n: int,
        inputs: bool = True,
        out: Tree | None = None,
        dC_dparams: Any = None,
    ) -> Any:
        """Return the backward record, given delta = ∂C_x/∂z. `dC_dparams`: per-example, of the activation."""
        raise NotImplementedError

    def backward(
        self, record: Any, dC_da: Array, params: Tree, n: int, inputs: bool = True, out: Tree | None = None
    ) -> Any:
        """Return the backward record; delta = dC_da * f'(z), in general the activation's own backward."""
        # BP1 and BP2: the factor f'(z)
        delta, dC_dparams = self.activation.backward(record.z, record.a, dC_da, params)
        return self.backward_from_delta(record, delta, params, n, inputs, out, dC_dparams)


def mean_over_examples(dC_dparams: dict[str, Array], n: int) -> dict[str, Array]:
    """Return (1/n) times the sum over the examples (first axis) of each per-example gradient."""
    return {name: namespace(g).sum(g, axis=0) / n for name, g in dC_dparams.items()}


class DenseForward(NamedTuple):
    """Forward record of `Dense`."""

    a_prev: Array
    """Inputs, (n, n_in)."""
    z: Array
    """Weighted inputs z = a_prev W^T + b, (n, n_out)."""
    a: Array
    """Activations a = f(z), (n, n_out)."""


class DenseBackward(NamedTuple):
    """Backward record of `Dense`."""

    delta: Array
    """Errors: row x is ∂C_x/∂z, (n, n_out). BP1 for the last layer, BP2 for the others."""
    dC_dW: Array
    """Gradient of the weights, (n_out, n_in). BP4."""
    dC_db: Array | None
    """Gradient of the biases, (n_out,); None without biases. BP3."""
    dC_da_prev: Array | None
    """Row x is ∂C_x/∂a_prev, (n, n_in): what BP2 hands to the layer before. None if not asked for."""
    dC_dparams: dict[str, Array]
    """Per-example gradients of the activation's own parameters, each (n, *shape); usually empty."""
    n: int
    """The number of examples that the mean is over."""


@layers.register()
@description
class Dense(ActivationOwner):
    """A fully connected layer: z = a_prev @ W.T + b, a = f(z).

    Parameters:
        n_out: number of neurons; left out (None) in the last layer, it is taken from the targets.
        activation: a name, an activation, or `per_neuron([...])`.
        n_in: number of inputs; left out, it is taken from the layer before or from the data.
        bias: whether there are biases b.
        initializer: of W; left out, the activation's own (He for relu, Glorot for sigmoid, …).
        bias_initializer: of b; left out, zeros.

    Parameters learned: W (n_out, n_in), b (n_out,), and those of the activation (PReLU's alpha).

    Derivation of the backward pass. For one example z_j = Σ_k W_jk a_prev_k + b_j and a = f(z). With
    delta_j = ∂C_x/∂z_j, the chain rule gives, as each z_j depends on W_jk through a_prev_k alone,

        delta          = dC_da ⊙ f'(z)                           BP1 (last layer), BP2 (others)
        ∂C_x/∂b_j      = delta_j                                  BP3
        ∂C_x/∂W_jk     = delta_j a_prev_k                         BP4
        ∂C_x/∂a_prev_k = Σ_j W_jk delta_j                         the rest of BP2

    and for a batch the gradients of W and b are the means over its n examples.

    Errors: `ShapeError` if n_in does not fit what comes before; `OptionError` for sizes below 1, and
        `DTypeError` for those that are no whole number.
    Source: Nielsen, Neural Networks and Deep Learning, chapter 2, equations BP1 to BP4.

    >>> import numpy as np
    >>> layer = Dense(1, "identity", n_in=2)
    >>> params = {"W": np.array([[2.0, 3.0]]), "b": np.array([1.0])}
    >>> record = layer.forward(np.array([[1.0, 10.0]]), params, {})
    >>> record.z
    array([[33.]])
    >>> layer.backward(record, np.array([[0.5]]), params, n=1).dC_dW
    array([[0.5, 5. ]])
    """

    name: ClassVar[str] = "dense"
    takes_n_out: ClassVar[bool] = True
    n_out: int | None = None  # a field where the base has a property
    activation: Any = "identity"
    n_in: int | None = None
    bias: bool = True
    initializer: Any = None
    bias_initializer: Any = None

    def __post_init__(self) -> None:
        for label in ("n_out", "n_in"):
            if getattr(self, label) is not None:
                check_whole(self, label, at_least=1)
        check_flag(self, "bias")
        set_field = object.__setattr__
        set_field(self, "activation", activations.make(self.activation))
        for label in ("initializer", "bias_initializer"):
            if getattr(self, label) is not None:
                set_field(self, label, initializers.make(getattr(self, label)))

    def sized(self, n_in: int, address: str, n_out: int | None = None) -> Dense:
        """Return this layer for n_in inputs; n_out is used if this layer's own was left out."""
        check_size(self, n_in, address)
        n_out = self.n_out if self.n_out is not None else n_out
        if n_out is None:
            raise ShapeError(
                f"layers[{address}] Dense has no n_out, and only the last layer's can be taken from the "
                "targets. Give n_out."
            )
        activation = self.activation.resolved(n_out)
        return dataclasses.replace(self, n_in=int(n_in), n_out=int(n_out), activation=activation)

    def parameters(self) -> dict[str, Parameter]:
        """Return W, b and the activation's own parameters."""
        assert self.n_in is not None
        assert self.n_out is not None
        initializer: Initializer = self.initializer or initializers.make(self.activation.initializer)
        weights = Parameter((self.n_out, self.n_in), initializer, self.activation.gain, decays=True)
        own = {"W": weights}
        if self.bias:
            own["b"] = Parameter((self.n_out,), self.bias_initializer or 0.0)
        return own | activation_parameters(self.activation, self.n_out)

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> DenseForward:
        """Return a_prev, z and a."""
        z = matmul(a_prev, params["W"].T)
        if self.bias:
            z += params["b"]  # z is our own; an array library without in-place addition makes a new one
        return DenseForward(a_prev, z, self.activation.forward(z, params))

    def backward_from_delta(
        self,
        record: Any,
        delta: Array,
        params: Tree,
        n: int,
        inputs: bool = True,
        out: Tree | None = None,
        dC_dparams: Any = None,
    ) -> DenseBackward:
        """Return the backward record, given delta."""
        mean = delta / constant(n, delta)  # the mean over examples enters here, and nowhere else
        into_W, into_b = (None, None) if out is None else (out["W"], out.get("b"))
        dC_db = sum_examples(mean, into_b) if self.bias else None  # BP3
        dC_dW = matmul(mean.T, record.a_prev, into_W)  # BP4
        dC_da_prev = matmul(delta, params["W"]) if inputs else None  # BP2: the layer before adds ⊙ f'(z)
        return DenseBackward(delta, dC_dW, dC_db, dC_da_prev, dC_dparams or {}, n)

    @property
    def places_gradients(self) -> bool:
        """Whether W and b are all there is: true without parameters of the activation's own.

        A subclass may compute its gradients in its own way, so it has to say so itself.
        """
        own = self.activation.parameters(self.n_out) if self.n_out is not None else True
        return type(self) is Dense and not own

    def gradients(self, record: Any) -> Tree:
        """Return dC_dW, dC_db and those of the activation by parameter name."""
        own = {"W": record.dC_dW}
        if self.bias:
            own["b"] = record.dC_db
        return own | mean_over_examples(record.dC_dparams, record.n) if record.dC_dparams else own

    def per_example(self, forward: Any, backward: Any) -> Tree:
        """Return dC_x/dW = delta_x a_prev_x^T (n, n_out, n_in), dC_x/db = delta_x, the activation's own."""
        own = {"W": backward.delta[:, :, None] * forward.a_prev[:, None, :]}  # without the mean
        if self.bias:
            own["b"] = backward.delta
        return {**own, **backward.dC_dparams}

    def per_example_squares(self, forward: Any, backward: Any) -> dict[str, Array]:
        """Return ‖∂C_x/∂p‖² by parameter; of W it is ‖delta_x‖² ‖a_prev_x‖²."""
        of_delta = square_sums(backward.delta)
        own = {"W": of_delta * square_sums(forward.a_prev)}
        if self.bias:
            own["b"] = of_delta
        return own | {name: square_sums(values) for name, values in backward.dC_dparams.items()}


def activation_parameters(activation: ActivationFunction, n: int) -> dict[str, Parameter]:
    """Return the activation's own parameters for n neurons as declarations."""
    return {name: Parameter(shape, initial) for name, (shape, initial) in activation.parameters(n).items()}


class ActivationForward(NamedTuple):
    """Forward record of `Activation`."""

    a_prev: Array
    """Inputs, (n, n_in)."""
    z: Array
    """The same: the inputs are the weighted inputs z."""
    a: Array
    """Activations a = f(z)."""


class ActivationBackward(NamedTuple):
    """Backward record of `Activation`."""

    delta: Array
    """Row x is ∂C_x/∂z, (n, n_out)."""
    dC_da_prev: Array
    """The same, as z = a_prev."""
    dC_dparams: dict[str, Array]
    """Per-example gradients of the activation's own parameters."""
    n: int
    """The number of examples that the mean is over."""


@layers.register()
@description
class Activation(ActivationOwner):
    """An activation as a layer of its own: z = a_prev, a = f(z), with as many outputs as inputs.

    Backward: delta = dC_da ⊙ f'(z), and dC_da_prev = delta because z = a_prev.
    Use it after a normalisation: ``Dense(64), BatchNorm(), Activation("relu")``.

    >>> import numpy as np
    >>> Activation("relu").sized(2, "1").forward(np.array([[-1.0, 2.0]]), {}, {}).a
    array([[0., 2.]])
    """

    name: ClassVar[str] = "activation"
    keeps_size: ClassVar[bool] = True
    activation: Any = "identity"
    size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activations.make(self.activation))
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

    def sized(self, n_in: int, address: str, n_out: int | None = None) -> Activation:
        """Return this layer for n_in inputs."""
        check_size(self, n_in, address)
        return dataclasses.replace(self, size=int(n_in), activation=self.activation.resolved(n_in))

    def parameters(self) -> dict[str, Parameter]:
        """Return the activation's own parameters."""
        assert self.size is not None
        return activation_parameters(self.activation, self.size)

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> ActivationForward:
        """Return z = a_prev and a = f(z)."""
        return ActivationForward(a_prev, a_prev, self.activation.forward(a_prev, params))

    def backward_from_delta(
        self,
        record: Any,
        delta: Array,
        params: Tree,
        n: int,
        inputs: bool = True,
        out: Tree | None = None,
        dC_dparams: Any = None,
    ) -> ActivationBackward:
        """Return the backward record, given delta."""
        return ActivationBackward(delta, delta, dC_dparams or {}, n)

    def gradients(self, record: Any) -> Tree:
        """Return the gradients of the activation's own parameters."""
        return mean_over_examples(record.dC_dparams, record.n)

    def per_example(self, forward: Any, backward: Any) -> Tree:
        """Return the per-example gradients of the activation's own parameters."""
        return backward.dC_dparams  # type: ignore[no-any-return]
