"""The inference program of a network: a list of plain steps over named values, the same for every language.

A step reads values and gives one. Its numbers are constants in the program's dtype. What a language has to
know is how to write each kind of step, and the formula of each activation.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clearprop.activations import ActivationFunction
from clearprop.arrays import Array

__all__ = [
    "Add",
    "Elementwise",
    "Increasing",
    "Join",
    "Normalise",
    "Ordinal",
    "Product",
    "Program",
    "Rectify",
    "Scale",
    "Softmax",
    "Step",
    "Take",
    "Value",
    "fold_factor",
]


class Value(NamedTuple):
    """What a step gives: a vector of each example, under its textbook name ("x", "1.z", "3.body.1.a")."""

    name: str
    size: int


@dataclass(frozen=True, eq=False)
class _Unary:
    source: Value
    """What is read."""
    target: Value
    """What is given."""

    @property
    def sources(self) -> tuple[Value, ...]:
        """The values that are read."""
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Scale(_Unary):
    """target = (source - shift) * factor + offset: preprocessing, and BatchNorm in inference."""

    shift: Array | None
    """(n,), or () for one number for all; None for 0."""
    factor: Array
    """(n,) or ()."""
    offset: Array | None
    """(n,) or (); None for 0."""


@dataclass(frozen=True, eq=False)
class Product(_Unary):
    """target = W source + b: what a Dense layer does before its activation."""

    W: Array
    """(n_out, n_in)."""
    b: Array | None
    """(n_out,), or None."""


@dataclass(frozen=True, eq=False)
class Elementwise(_Unary):
    """target_j = f_j(source_j): one activation for all neurons, or one of several for each."""

    functions: tuple[ActivationFunction, ...]
    choice: tuple[int, ...] | None
    """For each neuron the index of its function; None where there is one function."""


@dataclass(frozen=True, eq=False)
class Rectify(_Unary):
    """target_j = max(source_j, 0) + alpha_j min(source_j, 0): PReLU with what it has learned."""

    alpha: Array
    """(n,), or () where all neurons share one."""


@dataclass(frozen=True, eq=False)
class Softmax(_Unary):
    """target_j = exp(source_j) / sum_k exp(source_k)."""


@dataclass(frozen=True, eq=False)
class Increasing(_Unary):
    """target_0 = source_0, target_j = target_{j-1} + ln(1 + exp(source_j)): values that never fall.

    Infinite sources count as large finite numbers (`clearprop.ordering.held_for_sums`), here and in Ordinal.
    """


@dataclass(frozen=True, eq=False)
class Ordinal(_Unary):
    """target_j = sigmoid(u_{j+1}) sigmoid(-u_j) sigmoid(source_{j+1}): the probabilities of ordered classes.

    u_1 = source_1 - source_0, u_{j+1} = u_j + ln(1 + exp(source_{j+1})). The first class has the first factor
    alone, the last the second alone. It is the difference sigmoid(u_{j+1}) - sigmoid(u_j) without its
    cancellation.
    """


@dataclass(frozen=True, eq=False)
class Normalise(_Unary):
    """target = gamma (source - mean) / sqrt(variance + epsilon) + beta over the neurons: LayerNorm."""

    gamma: Array
    """(n,)."""
    beta: Array
    """(n,)."""
    epsilon: float


@dataclass(frozen=True, eq=False)
class Add:
    """target = left + right."""

    left: Value
    right: Value
    target: Value

    @property
    def sources(self) -> tuple[Value, ...]:
        """The values that are read."""
        return (self.left, self.right)


@dataclass(frozen=True, eq=False)
class Take(_Unary):
    """target = source[begin : begin + n]: the columns that one branch reads."""

    begin: int


@dataclass(frozen=True, eq=False)
class Join:
    """target = all parts side by side."""

    parts: tuple[Value, ...]
    target: Value

    @property
    def sources(self) -> tuple[Value, ...]:
        """The values that are read."""
        return self.parts


Step = (
    Scale | Product | Elementwise | Rectify | Softmax | Increasing | Ordinal | Normalise | Add | Take | Join
)


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that a prediction needs, in the order in which it is computed."""

    inputs: Value
    """x, as the user has it, before any preprocessing."""
    outputs: Value
    """a^L."""
    steps: tuple[Step, ...]
    """At least one; the last gives the outputs."""
    dtype: np.dtype[np.floating]
    labels: tuple[str, ...] = ()
    """What the classes are called; () where the outputs stand for no single class."""
    threshold: float | None = None
    """With two labels and one output: above it the output means the second. None: the largest output wins."""
    summary: str = ""
    """The network in one line."""

    @property
    def multiplications(self) -> int:
        """Multiplications with weights in one prediction, each with an addition."""
        return sum(step.W.size for step in self.steps if isinstance(step, Product))

    @property
    def activations(self) -> tuple[ActivationFunction, ...]:
        """The elementwise activations in use, each once, in the order of their first use."""
        used = [f for step in self.steps if isinstance(step, Elementwise) for f in step.functions]
        return tuple(dict.fromkeys(used))


def fold_factor(program: Program) -> Program:
    """Return the program with a mere factor of the inputs multiplied into the weights that read them.

    It spares a work array as long as the inputs. A shift is left where it is: in the biases it would be the
    difference of large numbers.

    >>> from clearprop import Affine, Dense, Network
    >>> from clearprop.export import inference_program
    >>> net = Network([Dense(3, "relu"), Dense(1)], n_in=2, preprocessing=Affine(factor=1 / 255))
    >>> [type(step).__name__ for step in fold_factor(inference_program(net)).steps]
    ['Product', 'Elementwise', 'Product']
    """
    first, *rest = program.steps
    if not isinstance(first, Scale) or first.shift is not None or first.offset is not None:
        return program
    folded: list[Step] = []
    for step in rest:
        if first.target in step.sources:
            if not isinstance(step, Product):
                return program
            with np.errstate(over="ignore"):
                W = (step.W.astype(np.float64) * first.factor).astype(program.dtype)
            if not np.isfinite(W).all():
                return program
            step = dataclasses.replace(step, source=first.source, W=W)
        folded.append(step)
    return dataclasses.replace(program, steps=tuple(folded)) if folded else program
