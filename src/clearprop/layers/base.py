"""What a layer is: a frozen description with pure `forward` and `backward`, and open records.

Three ideas carry all layers:

* **Parameters lie beside the layers.** A layer declares its parameters (`parameters`) and gets
  their arrays as a *tree*: a dictionary name -> array, and for a combinator part -> tuple of
  trees. The arrays are views of one flat vector ``theta`` (see `clearprop.model`).
* **Records, never closures.** `forward` returns a named tuple of everything it computed,
  `backward` takes it and returns another. Every record has the fields `a_prev` and `a`
  (forward) or `dC_da_prev` (backward); each layer documents the rest.
* **One scale.** Row x of dC_da and of delta belongs to example x: it is ∂C_x/∂a, ∂C_x/∂z
  (times n where a layer couples the examples of a batch). The mean over the n examples enters
  once, in the gradients of the parameters (BP3, BP4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from clearprop.arrays import Array
from clearprop.errors import ShapeError, UnsupportedError
from clearprop.initializers import Initializer
from clearprop.registry import Described, Registry

__all__ = [
    "BackwardRecord",
    "ForwardRecord",
    "Layer",
    "NoiseSource",
    "Parameter",
    "Tree",
    "chain_backward",
    "chain_draw",
    "chain_forward",
    "layers",
    "size_chain",
]

Tree = Mapping[str, Any]
"""name -> array, or part -> tuple of trees: parameters, buffers, noise or gradients of one layer."""

layers: Registry[Layer] = Registry("layer")


class Parameter(NamedTuple):
    """A parameter or buffer that a layer declares."""

    shape: tuple[int, ...]
    initial: Initializer | float
    """How it starts: an initialiser, or one constant."""
    gain: float = 1.0
    decays: bool = False
    """Whether weight decay and penalties apply to it by default (weights yes, biases no)."""


class ForwardRecord(Protocol):
    """What every forward record has; `a_prev` (n, n_in) and `a` (n, n_out)."""

    @property
    def a_prev(self) -> Array:
        """The input of the layer, (n, n_in)."""

    @property
    def a(self) -> Array:
        """The output of the layer, (n, n_out)."""


class BackwardRecord(Protocol):
    """What every backward record has; `dC_da_prev` (n, n_in), or None where it was not asked for."""

    @property
    def dC_da_prev(self) -> Array | None:
        """The error handed back, ∂C_x/∂a_prev, (n, n_in); None where it was not asked for."""


class NoiseSource(Protocol):
    """Where a layer that is random while training gets its uniform numbers from."""

    def __call__(self, address: str, units: int) -> Array:
        """Return uniform numbers in [0, 1), shape (n, units), a function of the address and the examples."""
        ...


class Layer(Described):
    """One layer of a network: describes, creates no state, computes purely."""

    kind: ClassVar[str] = "layer"
    couples_examples: ClassVar[bool] = False
    """Whether, in training mode, the output for one example depends on the others of the batch."""
    parts_side_by_side: ClassVar[bool] = False
    """Whether no part of a combinator reads what another part gives."""
    random: ClassVar[bool] = False
    """Whether `forward` in training mode needs the uniform numbers that `draw` returns."""
    keeps_size: ClassVar[bool] = False
    """Whether it always has as many outputs as inputs."""
    takes_n_out: ClassVar[bool] = False
    """Whether `sized` can fill a number of outputs left out with the n_out that it is given."""

    @property
    def n_in(self) -> int | None:
        """Number of inputs, or None while it is not known."""
        raise NotImplementedError

    @property
    def n_out(self) -> int | None:
        """Number of outputs, or None while it is not known."""
        raise NotImplementedError

    def sized(self, n_in: int, address: str, n_out: int | None = None) -> Layer:
        """Return this layer with all sizes known, for n_in inputs; n_out fills a size left out.

        Errors: `ShapeError` naming both sizes and the layer's address.
        """
        raise NotImplementedError

    def parts(self) -> dict[str, tuple[Layer, ...]]:
        """Return the chains of layers that a combinator is made of, by name; {} for a plain layer."""
        return {}

    def parameters(self) -> dict[str, Parameter]:
        """Return this layer's own parameters (without those of its parts)."""
        return {}

    def buffers(self) -> dict[str, Parameter]:
        """Return what is kept but not learned, such as running statistics."""
        return {}

    @property
    def places_gradients(self) -> bool:
        """Whether `backward` puts the gradients of all parameters into `out` whenever it is given one."""
        return False

    def draw(self, address: str, source: NoiseSource) -> Tree:
        """Return the uniform numbers that `forward` needs in training mode; {} if none."""
        return {part: chain_draw(chain, f"{address}.{part}.", source) for part, chain in self.parts().items()}

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> Any:
        """Return the forward record. a_prev: (n, n_in). `noise` as `draw` made it, None in inference."""
        raise NotImplementedError

    def new_buffers(self, record: Any, buffers: Tree) -> Tree:
        """Return the buffers after a training pass, as a tree; {} if there are none."""
        return {
            part: tuple(
                layer.new_buffers(r, b)
                for layer, r, b in zip(chain, record.parts[part], buffers[part], strict=True)
            )
            for part, chain in self.parts().items()
        }

    def backward(
        self, record: Any, dC_da: Array, params: Tree, n: int, inputs: bool = True, out: Tree | None = None
    ) -> Any:
        """Return the backward record.

        dC_da: (n, n_out), row x is ∂C_x/∂a. n: the number of examples that the mean is over.
        inputs: whether dC_da_prev is wanted (the first layer of a network can do without).
        out: arrays shaped like the parameters in which their gradients may be put, to spare a copy; a layer
        is free to ignore them (see `places_gradients`). Nothing else that is passed in is ever written to.
        """
        raise NotImplementedError

    def part_errors(self, record: Any) -> dict[str, Array]:
        """Return the error dC_da that the end of each part received, by part; {} without parts."""
        return {}

    def gradients(self, record: Any) -> Tree:
        """Return the gradients in a backward record as a tree shaped like the parameters."""
        own = {name: getattr(record, f"dC_d{name}") for name in self.parameters()}
        return own | {
            part: tuple(layer.gradients(r) for layer, r in zip(chain, record.parts[part], strict=True))
            for part, chain in self.parts().items()
        }

    def per_example(self, forward: Any, backward: Any) -> Tree:
        """Return the gradient of C_x with respect to each parameter for every example x, as a stack.

        Every array has shape (n, *shape of the parameter); their mean over x is `gradients`.
        """
        if self.parameters():
            raise UnsupportedError(f"{type(self).__name__} gives no per-example gradients.")
        return {
            part: tuple(
                layer.per_example(f, b)
                for layer, f, b in zip(chain, forward.parts[part], backward.parts[part], strict=True)
            )
            for part, chain in self.parts().items()
        }

    def per_example_squares(self, forward: Any, backward: Any) -> dict[str, Array]:
        """Return ‖∂C_x/∂p‖² of every example x for each of the layer's own parameters p: name -> (n,)."""
        if not self.parameters():
            return {}
        gradients = self.per_example(forward, backward)
        return {name: square_sums(gradients[name]) for name in self.parameters()}

    def walk(self, address: str) -> Iterator[tuple[str, Layer]]:
        """Yield (address, layer) for this layer and all layers inside it, outermost first.

        >>> from clearprop.layers import Dense, Residual
        >>> [a for a, _ in Residual([Dense(2, "relu"), Dense(2)]).walk("3")]
        ['3', '3.body.1', '3.body.2']
        """
        yield address, self
        for part, chain in self.parts().items():
            for i, layer in enumerate(chain, 1):
                yield from layer.walk(f"{address}.{part}.{i}")


def square_sums(values: Array) -> Array:
    """Return the sum of squares of each row x of values (n, …): shape (n,)."""
    flat = values.reshape(values.shape[0], -1)
    return (flat * flat).sum(axis=1)  # type: ignore[no-any-return]


def check_size(layer: Layer, n_in: int, address: str) -> None:
    """Raise `ShapeError` if the layer was made for another number of inputs than n_in."""
    if layer.n_in is not None and layer.n_in != n_in:
        raise ShapeError(
            f"layers[{address}] {type(layer).__name__} expects {layer.n_in} inputs; what comes before it "
            f"gives {n_in}. Leave its n_in out, or make the two agree."
        )


def size_chain(
    chain: Sequence[Layer], n_in: int, prefix: str = "", n_out: int | None = None
) -> tuple[Layer, ...]:
    """Return the chain with all sizes known, for n_in inputs. n_out is for a last size left out."""
    sized: list[Layer] = []
    to_fill = open_layer(chain)
    for i, layer in enumerate(chain):
        layer = layer.sized(n_in, f"{prefix}{i + 1}", n_out if i == to_fill else None)
        sized.append(layer)
        n_in = layer.n_out  # type: ignore[assignment]  # sized: known
    return tuple(sized)


def open_layer(chain: Sequence[Layer]) -> int | None:
    """Return the index of the layer whose size left out is that of the whole chain; None if there is none."""
    for i in range(len(chain) - 1, -1, -1):
        if not chain[i].keeps_size:
            return i if chain[i].takes_n_out and chain[i].n_out is None else None
    return None


def chain_draw(chain: Sequence[Layer], prefix: str, source: NoiseSource) -> tuple[Tree, ...]:
    """Return what each layer of the chain draws in training mode."""
    return tuple(layer.draw(f"{prefix}{i}", source) for i, layer in enumerate(chain, 1))


def chain_forward(
    chain: Sequence[Layer],
    a: Array,
    params: Sequence[Tree],
    buffers: Sequence[Tree],
    noise: Sequence[Tree] | None = None,
    training: bool = False,
) -> tuple[Any, ...]:
    """Return the forward records of a chain of layers, first to last."""
    records = []
    for i, layer in enumerate(chain):
        record = layer.forward(a, params[i], buffers[i], noise[i] if noise is not None else None, training)
        records.append(record)
        a = record.a
    return tuple(records)


def chain_backward(
    chain: Sequence[Layer],
    records: Sequence[Any],
    dC_da: Array,
    params: Sequence[Tree],
    n: int,
    inputs: bool = True,
    out: Sequence[Tree] | None = None,
) -> tuple[Any, ...]:
    """Return the backward records of a chain, in the order of its layers; computed last to first."""
    backward: list[Any] = []
    for i in range(len(chain) - 1, -1, -1):
        place = None if out is None else out[i]
        record = chain[i].backward(records[i], dC_da, params[i], n, inputs or i > 0, place)
        backward.append(record)
        dC_da = record.dC_da_prev
    return tuple(reversed(backward))
