"""One C99 file that predicts: constants, static work arrays, and no library but math.h."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clearprop._version import __version__
from clearprop.activations import ActivationFunction
from clearprop.errors import OptionError
from clearprop.export.c_template import HELPERS, MAIN, PREDICT_CLASS
from clearprop.export.digits import columns
from clearprop.export.formulas import C_FORMULAS
from clearprop.export.program_text import ProgramText, options_of
from clearprop.export.steps import Program, fold_factor
from clearprop.export.writing import require_formulas

__all__ = ["CProgram", "c_program", "check_c_name", "in_float"]

_LONGEST = 23  # C99 tells the first 31 characters of external names apart, and "_predict" has 8
_COMMENT = 92  # characters in a line of the comment
_FUNCTIONS = re.compile(r"(?<![\w@])(erfc|exp|expm1|fabs|log1p|sqrt|tanh)\(")
_LITERAL = re.compile(r"(?<![\w.])(\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+)(?![\w.])")


@dataclass(frozen=True)
class CProgram:
    """A network as C, and what it needs."""

    source: str
    """The file."""
    constants: int
    """Numbers in read-only memory."""
    work: int
    """Numbers in the static work arrays, beside x and out, which are the caller's."""


def c_program(program: Program, name: str = "clearprop") -> CProgram:
    """Return a program as one C99 file, and what it needs.

    Errors: `OptionError` for a name that is no C identifier; `UnsupportedError` for an activation without a
    formula.

    >>> from clearprop import Dense, Network
    >>> from clearprop.export import inference_program
    >>> net = Network([Dense(3, "relu"), Dense(1)], n_in=2, seed=0)
    >>> found = c_program(inference_program(net), name="tiny")
    >>> found.constants, found.work, "void tiny_predict(const double *x, double *out)" in found.source
    (13, 3, True)
    """
    check_c_name(name)
    require_formulas(program, C_FORMULAS, "C")
    return _CText(fold_factor(program), f"{name}_").write()


def check_c_name(name: Any) -> str:
    """Return a name that the functions may begin with. Errors: `OptionError` for what is no C identifier."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise OptionError(
            "name must be a C identifier (letters, digits and underscores, first a letter), as "
            f"the functions are called NAME_predict and so on. Got {name!r}."
        )
    if len(name) > _LONGEST:
        raise OptionError(f"name must have at most {_LONGEST} characters. Got {name!r}, {len(name)} long.")
    return name


def in_float(source: str) -> str:
    """Return C that is written in double with float in its place.

    >>> in_float("const double e = exp(z > 20.0 ? 1e-3 : z);")
    'const float e = expf(z > 20.0F ? 1e-3F : z);'
    """
    source = _LITERAL.sub(r"\1F", _FUNCTIONS.sub(r"\1f(", source))
    return re.sub(r"\bdouble\b", "float", source)


class _CText(ProgramText):
    language: ClassVar[str] = "C"
    counter: ClassVar[str] = "int"
    nothing: ClassVar[str] = "0"
    formulas = C_FORMULAS

    @property
    def real(self) -> str:
        return "float" if self.single else "double"

    def number(self, text: str) -> str:
        return f"{text}F" if self.single else text

    def table_text(self, name: str, items: str, size: int, index: bool) -> str:
        kind = "unsigned char" if index else self.real
        return f"static const {kind} {name}[{size}] = {{\n{items}\n}};"

    def function_text(self, activation: ActivationFunction) -> str:
        body = "\n".join(f"    {line}" for line in C_FORMULAS[activation.name])
        options = "".join(f", double {option}" for option in options_of(activation))
        return self._filled(f"static double @NAME@{activation.name}(double z{options})\n{{\n{body}\n}}")

    def write(self) -> CProgram:
        """Return the file."""
        body = self.body()
        work = [f"static {self.real} {self.prefix}w{k}[{n}];" for k, n in enumerate(self.storage.sizes)]
        parts = [
            self._head(),
            "#include <math.h>",
            self._declarations(),
            *self.tables,
            "\n".join(work),
            *self.functions(),
            *(self._filled(HELPERS[helper]) for helper in self.helpers),
            f"{self._signature('void', 'predict')}\n{{\n{body}\n}}",
            self._classifier(),
            self._filled(MAIN["classes" if self.program.labels else "numbers"]),
        ]
        source = "\n\n".join(part.rstrip() for part in parts if part) + "\n"
        return CProgram(source, self.constants, sum(self.storage.sizes))

    def _filled(self, template: str) -> str:
        """Return a template in this program's names, limits and real type."""
        names = {
            "NAME": self.prefix,
            "UPPER": self.prefix.upper(),
            "FORMAT": "%f" if self.single else "%lf",
            "DIGITS": "%.9g" if self.single else "%.17g",
            "WIDER": "(double)" if self.single else "",
            "BIG": self.scalar(np.finfo(self.program.dtype).max / 4),
            "THRESHOLD": self.scalar(self.program.threshold or 0.0),
        }
        text = in_float(template) if self.single else template
        return re.sub(r"@(\w+)@", lambda found: names[found[1]], text)

    def _signature(self, result: str, function: str) -> str:
        return f"{result} {self.prefix}{function}(const {self.real} *x, {self.real} *out)"

    @property
    def _labels(self) -> str:
        return f"const char *const {self.prefix}labels[{len(self.program.labels)}]"

    def _head(self) -> str:
        program, size, work = self.program, self.program.dtype.itemsize, sum(self.storage.sizes)
        calls = [f"{self._signature('void', 'predict')};"]
        if program.labels:
            calls += [f"{self._signature('int', 'class')};", f"extern {self._labels};"]
        use = (
            f"predict computes the {program.outputs.size} outputs for the {program.inputs.size} inputs x, as "
            "they were before any preprocessing; out must not overlap x. "
        )
        if program.labels:
            use += (
                "class does the same and returns the index of the predicted class, whose name is in labels. "
            )
        use += "The work arrays are shared: one call at a time."
        lines = [
            f"A neural network, written by clearprop {__version__}: C99, no library but math.h, no malloc.",
            *textwrap.wrap(f"{program.summary}.", _COMMENT),
            "",
            *(f"    {call}" for call in calls),
            "",
            *textwrap.wrap(use, _COMMENT),
            "",
            f"Read only:  {self.constants:,} constants, {self.constants * size:,} bytes",
            f"Work:       {work:,} numbers, {work * size:,} bytes (x and out are the caller's)",
            f"Time:       {program.multiplications:,} multiplications with weights",
            "",
            f"With -D{self.prefix.upper()}MAIN it is a program that reads examples from standard input.",
        ]
        return "/*\n" + "\n".join(f" * {_harmless(line)}".rstrip() for line in lines) + "\n */"

    def _declarations(self) -> str:
        upper, program = self.prefix.upper(), self.program
        lines = [f"#define {upper}N_IN {program.inputs.size}", f"#define {upper}N_OUT {program.outputs.size}"]
        lines += ["", f"{self._signature('void', 'predict')};"]
        if program.labels:
            table = columns((_string(label) for label in program.labels), "    ")
            lines += [f"{self._signature('int', 'class')};", f"extern {self._labels};", ""]
            lines += [f"{self._labels} = {{\n{table}\n}};"]
        return "\n".join(lines)

    def _classifier(self) -> str:
        if not self.program.labels:
            return ""
        return self._filled(PREDICT_CLASS["largest" if self.program.threshold is None else "threshold"])


def _string(text: str) -> str:
    """Return a C string of this text in UTF-8, spelled so that no compiler reads it otherwise."""
    special = {ord(c): f"\\{c}" for c in '"\\?'}  # a question mark could begin a trigraph
    escaped = [
        special.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in text.encode()
    ]
    return f'"{"".join(escaped)}"'


def _harmless(line: str) -> str:
    """Return a line that is ASCII and cannot end a comment."""
    return line.replace("*/", "* /").encode("ascii", "replace").decode()
