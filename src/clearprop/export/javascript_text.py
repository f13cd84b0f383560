"""One JavaScript module that predicts, for browsers and Node, without dependencies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from clearprop._version import __version__
from clearprop.activations import ActivationFunction
from clearprop.export.formulas import JAVASCRIPT_FORMULAS, JAVASCRIPT_HELPERS
from clearprop.export.program_text import ProgramText, options_of
from clearprop.export.steps import Program
from clearprop.export.writing import require_formulas

__all__ = ["javascript_source"]

_HELPERS: dict[str, str] = {
    "product": """\
// z = W x + b, W row by row; b may be null for none
function product(x, nIn, W, b, nOut, z) {
    for (let j = 0, at = 0; j < nOut; ++j) {
        let sum = 0;
        for (let k = 0; k < nIn; ++k) {
            sum += W[at++] * x[k];
        }
        z[j] = b === null ? sum : sum + b[j];
    }
}""",
    "rectify": """\
function rectify(z, alpha) {
    return z < 0 ? (alpha === 0 ? 0 : alpha * z) : z;
}""",
    "softmax": """\
// the largest z is subtracted first, so that no exp overflows
function softmax(z, n, a) {
    const bounded = (value) => Math.min(Math.max(value, -@BIG@), @BIG@);
    let largest = bounded(z[0]), sum = 0;
    for (let j = 1; j < n; ++j) {
        largest = Math.max(largest, bounded(z[j]));
    }
    for (let j = 0; j < n; ++j) {
        a[j] = Math.exp(bounded(z[j]) - largest);
        sum += a[j];
    }
    for (let j = 0; j < n; ++j) {
        a[j] /= sum;
    }
}""",
    "ordered": """\
// an infinite z counts as a large number, so that no sum overflows
function held(z, n) {
    return Math.min(Math.max(z, -@BIG@ / n), @BIG@ / n);
}

function width(z, n) {
    const near = held(z, n);
    return Math.max(near, 0) + Math.log1p(Math.exp(-Math.abs(near)));
}""",
    "increasing": """\
// each is the one before it and a positive increment
function increasing(z, n, a) {
    const first = held(z[0], n);
    let sum = 0;
    a[0] = first;
    for (let j = 1; j < n; ++j) {
        sum += width(z[j], n);
        a[j] = first + sum;
    }
}""",
    "ordinal": """\
function chance(u) {
    return 1 / (1 + Math.exp(-u));
}

// sigmoid(u_{j+1}) - sigmoid(u_j) as a product, which loses no digits; u is a cut point minus the score
function ordinal(z, n, a) {
    const first = held(z[1], n) - held(z[0], n);
    let sum = 0, u = first;
    a[0] = chance(u);
    for (let j = 1; j < n - 1; ++j) {
        const above = chance(-u) * chance(z[j + 1]);
        sum += width(z[j + 1], n);
        u = first + sum;
        a[j] = chance(u) * above;
    }
    a[n - 1] = chance(-u);
}""",
    "normalise": """\
// each example over its own neurons
function normalise(x, n, gamma, beta, epsilon, a) {
    let mean = 0, variance = 0;
    for (let j = 0; j < n; ++j) {
        mean += x[j] / n;
    }
    for (let j = 0; j < n; ++j) {
        variance += (x[j] - mean) ** 2 / n;
    }
    const deviation = Math.sqrt(variance + epsilon);
    for (let j = 0; j < n; ++j) {
        a[j] = (x[j] - mean) / deviation * gamma[j] + beta[j];
    }
}""",
}

_PREDICT = """\
/** Return the @N_OUT@ outputs for the @N_IN@ inputs x, as they were before any preprocessing. */
export function predict(x) {
    if (x === null || x === undefined || x.length !== nIn) {
        const got = x === null || x === undefined ? x : `${x.length} of them`;
        throw new RangeError(`predict takes an array of @N_IN@ numbers. Got ${got}.`);
    }
    const out = new Float64Array(nOut);
@BODY@
    return out;
}"""

_CLASSIFY = """\
/** Return the index of the predicted class. */
export function predictClass(x) {
    const out = predict(x);
    return @CHOICE@;
}

/** Return the label of the predicted class. */
export function predictLabel(x) {
    return labels[predictClass(x)];
}"""

_LARGEST = "out.reduce((largest, a, j) => a > out[largest] ? j : largest, 0)"


def javascript_source(program: Program) -> str:
    """Return a program as one JavaScript module. Errors: `UnsupportedError` as `c_program`.

    >>> from clearprop import Dense, Network
    >>> from clearprop.export import inference_program
    >>> source = javascript_source(inference_program(Network([Dense(3, "relu"), Dense(1)], n_in=2, seed=0)))
    >>> [line for line in source.splitlines() if line.startswith("export")]
    ['export const nIn = 2, nOut = 1;', 'export function predict(x) {']
    """
    require_formulas(program, JAVASCRIPT_FORMULAS, "JavaScript")
    return _JavaScriptText(program, "").write()


class _JavaScriptText(ProgramText):
    language: ClassVar[str] = "JavaScript"
    counter: ClassVar[str] = "let"
    nothing: ClassVar[str] = "null"
    formulas = JAVASCRIPT_FORMULAS

    def number(self, text: str) -> str:
        return text.removesuffix(".0")

    def table_text(self, name: str, items: str, size: int, index: bool) -> str:
        kind = "Uint8Array" if index else "Float32Array" if self.single else "Float64Array"
        return f"const {name} = new {kind}([\n{items}\n]);"

    def table(self, label: str, values: Any) -> str:
        return super().table(f"l{label}" if label[0].isdigit() else label, values)

    def function_text(self, activation: ActivationFunction) -> str:
        body = "\n".join(f"    {line}" for line in JAVASCRIPT_FORMULAS[activation.name])
        options = "".join(f", {option}" for option in options_of(activation))
        helper = JAVASCRIPT_HELPERS.get(activation.name, "")
        return f"{helper}function {activation.name}(z{options}) {{\n{body}\n}}"

    def write(self) -> str:
        """Return the module."""
        program, body = self.program, self.body()
        labels = f"export const labels = {_strings(program.labels)};" if program.labels else ""
        choice = _LARGEST if program.threshold is None else f"out[0] > {program.threshold:g} ? 1 : 0"
        work = [f"const w{k} = new Float64Array({n});" for k, n in enumerate(self.storage.sizes)]
        names = {
            "BODY": body,
            "N_IN": str(program.inputs.size),
            "N_OUT": str(program.outputs.size),
            "BIG": repr(float(np.finfo(program.dtype).max / 4)),
            "CHOICE": choice,
        }
        parts = [
            self._head(),
            f"export const nIn = {program.inputs.size}, nOut = {program.outputs.size};",
            labels,
            *self.tables,
            "\n".join(work),
            *self.functions(),
            *(_filled(_HELPERS[helper], names) for helper in self.helpers),
            _filled(_PREDICT, names),
            _filled(_CLASSIFY, names) if labels else "",
        ]
        return "\n\n".join(part.rstrip() for part in parts if part) + "\n"

    def _head(self) -> str:
        program = self.program
        names = "predict, predictClass, predictLabel" if program.labels else "predict"
        precision = "weights in single precision, " if self.single else ""
        return (
            f"// A neural network, written by clearprop {__version__}: a JavaScript module without "
            f"dependencies.\n// {program.summary}; {self.constants:,} constants, {precision}"
            f"computed in double.\n"
            f'// import {{ {names} }} from "./THIS_FILE.mjs";'
        )


def _filled(template: str, names: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z_]+)@", lambda found: names[found[1]], template)


def _strings(labels: tuple[str, ...]) -> str:
    """Return labels as a list in ASCII that cannot end the script of an HTML page."""
    return json.dumps(labels).replace("<", "\\u003c")
