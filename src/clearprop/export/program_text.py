"""How the steps of a program are written in a language with the loops of C: C itself, and JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from clearprop.activations import ActivationFunction
from clearprop.arrays import Array
from clearprop.export.digits import columns, digits
from clearprop.export.steps import (
    Add,
    Elementwise,
    Increasing,
    Join,
    Normalise,
    Ordinal,
    Product,
    Program,
    Rectify,
    Scale,
    Softmax,
    Step,
    Take,
    Value,
)
from clearprop.export.storage import place

__all__ = ["ProgramText", "options_of"]


class ProgramText:
    """Writes the steps of one program; tables and functions that they need are collected on the way.

    A language is a subclass: its class attributes, and how it writes a number and a table.
    """

    language: ClassVar[str] = ""
    counter: ClassVar[str] = ""
    """How the counter of a loop is declared."""
    nothing: ClassVar[str] = ""
    """What stands for biases that a layer does not have."""
    formulas: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, program: Program, prefix: str) -> None:
        self.program, self.prefix = program, prefix
        self.storage = place(program)
        self.single = program.dtype == np.float32
        self.tables: list[str] = []
        self.constants = 0
        self.helpers: dict[str, None] = {}

    def number(self, text: str) -> str:
        """Return a number, given its digits, as the language spells it."""
        raise NotImplementedError

    def table_text(self, name: str, items: str, size: int, index: bool) -> str:
        """Return the definition of a table of constants. index: whether they are small whole numbers."""
        raise NotImplementedError

    def function_text(self, activation: ActivationFunction) -> str:
        """Return the function of an activation."""
        raise NotImplementedError

    # -- numbers and names -------------------------------------------------------------------------

    def scalar(self, value: Any) -> str:
        """Return one number of the program's dtype."""
        return self.number(digits(np.asarray(value, dtype=self.program.dtype))[0])

    def table(self, label: str, values: Array) -> str:
        """Add a table of constants and return its name."""
        name = f"{self.prefix}{re.sub(r'[^A-Za-z0-9]', '_', label)}"
        index = values.dtype.kind != "f"
        items = digits(values) if index else [self.number(text) for text in digits(values)]
        self.constants += 0 if index else values.size
        self.tables.append(self.table_text(name, columns(items, "    "), values.size, index))
        return name

    def operand(self, label: str, values: Array) -> str:
        """Return a constant in a loop over i: a number, or an entry of a new table."""
        return self.scalar(values) if values.ndim == 0 else f"{self.table(label, values)}[i]"

    def at(self, value: Value) -> str:
        """Return the array that a value lies in."""
        place = self.storage.places[value.name]
        return place if place in ("x", "out") else f"{self.prefix}{place}"

    def functions(self) -> list[str]:
        """Return the functions of all activations in use, each once whatever its options."""
        by_name = {activation.name: activation for activation in self.program.activations}
        return [self.function_text(activation) for activation in by_name.values()]

    # -- the steps ---------------------------------------------------------------------------------

    def body(self) -> str:
        """Return the lines of all steps, which fill `out` from `x`."""
        lines = []
        for step in self.program.steps:
            lines += [f"/* {step.target.name} */", *_STEPS[type(step)](self, step)]
        return "\n".join(f"    {line}" for line in lines)

    def _loop(self, size: int, lines: list[str]) -> list[str]:
        head = f"for ({self.counter} i = 0; i < {size}; ++i) {{"
        return [head, *(f"    {line}" for line in lines), "}"]

    def _each(self, step: Step, expression: str) -> list[str]:
        return self._loop(step.target.size, [f"{self.at(step.target)}[i] = {expression};"])

    def _call_helper(self, helper: str, *arguments: Any) -> list[str]:
        self.helpers[helper] = None
        return [f"{self.prefix}{helper}({', '.join(str(argument) for argument in arguments)});"]

    def _scale(self, step: Scale) -> list[str]:
        label, text = step.target.name, f"{self.at(step.source)}[i]"
        if step.shift is not None:
            text = f"({text} - {self.operand(f'{label}_shift', step.shift)})".replace("- -", "+ ")
        text += f" * {self.operand(f'{label}_factor', step.factor)}"
        if step.offset is not None:
            text += f" + {self.operand(f'{label}_offset', step.offset)}"
        return self._each(step, text)

    def _product(self, step: Product) -> list[str]:
        address = step.target.name.removesuffix(".z")
        W = self.table(f"{address}_W", step.W)
        b = self.nothing if step.b is None else self.table(f"{address}_b", step.b)
        n_out, n_in = step.W.shape
        return self._call_helper("product", self.at(step.source), n_in, W, b, n_out, self.at(step.target))

    def _elementwise(self, step: Elementwise) -> list[str]:
        calls = [self._call(f, f"{self.at(step.source)}[i]") for f in step.functions]
        if step.choice is None:
            return self._each(step, calls[0])
        table = self.table(f"{step.target.name}_f", np.array(step.choice))
        target = f"{self.at(step.target)}[i]"
        cases = [f"case {k}: {target} = {call}; break;" for k, call in enumerate(calls[:-1])]
        default = f"default: {target} = {calls[-1]}; break;"
        return self._loop(step.target.size, [f"switch ({table}[i]) {{", *cases, default, "}"])

    def _call(self, activation: ActivationFunction, z: str) -> str:
        options = "".join(f", {self.scalar(value)}" for value in options_of(activation).values())
        return f"{self.prefix}{activation.name}({z}{options})"

    def _rectify(self, step: Rectify) -> list[str]:
        self.helpers["rectify"] = None
        alpha = self.operand(f"{step.target.name}_alpha", step.alpha)
        return self._each(step, f"{self.prefix}rectify({self.at(step.source)}[i], {alpha})")

    def _softmax(self, step: Softmax) -> list[str]:
        return self._call_helper("softmax", self.at(step.source), step.target.size, self.at(step.target))

    def _increasing(self, step: Increasing) -> list[str]:
        return self._call_ordered("increasing", step)

    def _ordinal(self, step: Ordinal) -> list[str]:
        return self._call_ordered("ordinal", step)

    def _call_ordered(self, helper: str, step: Increasing | Ordinal) -> list[str]:
        self.helpers["ordered"] = None  # which both call
        return self._call_helper(helper, self.at(step.source), step.target.size, self.at(step.target))

    def _normalise(self, step: Normalise) -> list[str]:
        gamma = self.table(f"{step.target.name}_gamma", step.gamma)
        beta = self.table(f"{step.target.name}_beta", step.beta)
        source, epsilon = self.at(step.source), self.scalar(step.epsilon)
        return self._call_helper(
            "normalise", source, step.target.size, gamma, beta, epsilon, self.at(step.target)
        )

    def _add(self, step: Add) -> list[str]:
        return self._each(step, f"{self.at(step.left)}[i] + {self.at(step.right)}[i]")

    def _take(self, step: Take) -> list[str]:
        return self._each(step, f"{self.at(step.source)}[i{_plus(step.begin)}]")

    def _join(self, step: Join) -> list[str]:
        lines, begin, target = [], 0, self.at(step.target)
        for part in step.parts:
            lines += self._loop(part.size, [f"{target}[i{_plus(begin)}] = {self.at(part)}[i];"])
            begin += part.size
        return lines


_STEPS: dict[type, Callable[[ProgramText, Any], list[str]]] = {
    Scale: ProgramText._scale,
    Product: ProgramText._product,
    Elementwise: ProgramText._elementwise,
    Rectify: ProgramText._rectify,
    Softmax: ProgramText._softmax,
    Increasing: ProgramText._increasing,
    Ordinal: ProgramText._ordinal,
    Normalise: ProgramText._normalise,
    Add: ProgramText._add,
    Take: ProgramText._take,
    Join: ProgramText._join,
}


def _plus(begin: int) -> str:
    return f" + {begin}" if begin else ""


def options_of(activation: ActivationFunction) -> dict[str, float]:
    """Return the options of an elementwise activation by name, in order.

    >>> from clearprop.activations import LeakyReLU
    >>> options_of(LeakyReLU(0.2))
    {'negative_slope': 0.2}
    """
    return {name: value for name, value in activation.config().items() if name != "name"}
