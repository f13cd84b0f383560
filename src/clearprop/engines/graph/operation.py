"""What an operation is: a small class whose `forward` and `backward` are pure functions of arrays.

An operation knows one step of a computation and its derivative, nothing else. It doesn't know who
uses its result, which is what makes the chain rule a recursion: each step multiplies what arrives
from above by its own derivative and hands the product on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from clearprop.arrays import Array

__all__ = ["Constant", "Gradients", "Input", "Operation", "Parameter", "Role", "sum_to_shape"]

Role = Literal["input", "parameter", "constant", "intermediate"]
Gradients = tuple[Array | None, ...]
"""One gradient per input, of the input's shape; None where the operation has no derivative."""


class Operation:
    """One step of a computation, output = f(inputs), and how a gradient passes back through it.

    To make your own, subclass it and write two pure functions (a frozen dataclass if it has
    options); `apply` puts it into a graph:

    >>> import numpy as np
    >>> from clearprop.engines import graph
    >>> class Cube(graph.Operation):
    ...     def forward(self, x):
    ...         return x**3
    ...     def backward(self, inputs, output, dC_doutput):
    ...         (x,) = inputs
    ...         return (dC_doutput * 3 * x**2,)
    >>> x = graph.input("x")
    >>> trace = graph.evaluate(graph.apply(Cube(), x), {x: 2.0})
    >>> print(trace.value["cube_1"], trace.gradient["x"])
    8.0 12.0

    An operation that broadcasts its inputs sums each gradient back with `sum_to_shape`.
    """

    name: ClassVar[str] = ""
    """What the operation is called in messages and drawings; the class name in small letters if left out."""
    role: ClassVar[Role] = "intermediate"
    needs: ClassVar[str] = ""
    """What shapes `forward` accepts, in a few words, for the error when it gets others."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()

    @property
    def label(self) -> str:
        """The name with its options, as a drawing shows it: "power 2"."""
        return self.name

    def forward(self, *inputs: Any, **_: Any) -> Array:
        """Return f(inputs), written to none of its arguments."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return ∂C/∂input for every input: dC_doutput times the derivative of `forward`.

        `inputs` and `output` are those of the forward pass; `dC_doutput` has the shape of `output`.
        For complex arrays the derivative is the holomorphic one: nothing is conjugated.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")


class Input(Operation):
    """A quantity given at each evaluation: data, targets."""

    name = "input"
    role = "input"


class Parameter(Operation):
    """A quantity given at each evaluation that training changes: weights, biases."""

    name = "parameter"
    role = "parameter"


@dataclass(frozen=True, eq=False)
class Constant(Operation):
    """A fixed quantity; it gets no gradient.

    A value without a dtype of its own (a Python number, a list) takes that of the arrays which
    the graph is evaluated with, so that ``2.0 * x`` stays float32 where x is.
    """

    value: Any

    name = "constant"
    role = "constant"


def sum_to_shape(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Return `gradient` summed over the axes along which an input of `shape` was broadcast.

    An entry that broadcasting used k times gets the sum of its k gradients.

    >>> import numpy as np
    >>> sum_to_shape(np.ones((4, 3)), (3,))
    array([4., 4., 4.])
    >>> sum_to_shape(np.ones((4, 3)), (4, 1)).shape
    (4, 1)
    """
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    stretched = (extra + axis for axis, size in enumerate(shape) if size == 1)
    summed: Array = gradient.sum(axis=(*range(extra), *stretched)).reshape(shape)
    return summed
