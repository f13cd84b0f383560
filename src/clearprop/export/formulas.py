"""The formula of every elementwise activation in C and in JavaScript: one table per language.

A formula is the body of a function of z and of the activation's options under their names. C is written in
double; the float form follows from it (`clearprop.export.c_text`). Each is right at both infinities, and
lets NaN through: hence the comparisons in place of fmax, which drops it.
"""

from __future__ import annotations

from clearprop.activations.rectifiers import (
    FAR,
    GELU_CUBIC,
    GELU_RATE,
    SELU_ALPHA,
    SELU_SCALE,
    Mish,
)
from clearprop.arrays import ERFC_END, ERFC_P, ERFC_Q

__all__ = ["C_FORMULAS", "JAVASCRIPT_FORMULAS", "JAVASCRIPT_HELPERS"]

_ONE_FROM = Mish.ONE_FROM
_ROOT_HALF = 0.7071067811865476

C_FORMULAS: dict[str, tuple[str, ...]] = {
    "identity": ("return z;",),
    "sigmoid": ("return 1.0 / (1.0 + exp(-z));",),
    "tanh": ("return tanh(z);",),
    "scaled_tanh": (f"return 1.7159 * tanh(z * {2 / 3!r});",),
    "softsign": (
        "const double far = z < -1e30 ? -1e30 : z > 1e30 ? 1e30 : z;",
        "return far / (1.0 + fabs(far));",
    ),
    "hard_tanh": ("return z < -1.0 ? -1.0 : z > 1.0 ? 1.0 : z;",),
    "exponential": ("return exp(z);",),
    "relu": ("return z < 0.0 ? 0.0 : z;",),
    "leaky_relu": ("return z > 0.0 ? z : negative_slope * z;",),
    "elu": ("return z > 0.0 ? z : alpha * expm1(z);",),
    "selu": (f"return z > 0.0 ? {SELU_SCALE!r} * z : {SELU_SCALE * SELU_ALPHA!r} * expm1(z);",),
    "gelu": (
        f"const double left = z < -{FAR!r} ? -{FAR!r} : z;",
        f"return 0.5 * left * erfc(-z * {_ROOT_HALF!r});",
    ),
    "gelu_tanh": (
        f"const double near = z < -{FAR!r} ? -{FAR!r} : z > {FAR!r} ? {FAR!r} : z;",
        f"const double left = z < -{FAR!r} ? -{FAR!r} : z;",
        f"return left / (1.0 + exp(-{GELU_RATE!r} * near * (1.0 + {GELU_CUBIC!r} * near * near)));",
    ),
    "silu": (
        f"const double left = z < -{FAR!r} ? -{FAR!r} : z;",
        "return left / (1.0 + exp(-z));",
    ),
    "mish": (
        f"const double left = z < -{FAR!r} ? -{FAR!r} : z;",
        f"const double e = exp(z > {_ONE_FROM!r} ? {_ONE_FROM!r} : z);",
        "const double m = e * (e + 2.0);",
        "return left * (m / (m + 2.0));",
    ),
    "softplus": ("return (z < 0.0 ? 0.0 : z) + log1p(exp(-fabs(z)));",),
}

JAVASCRIPT_FORMULAS: dict[str, tuple[str, ...]] = {
    "identity": ("return z;",),
    "sigmoid": ("return 1 / (1 + Math.exp(-z));",),
    "tanh": ("return Math.tanh(z);",),
    "scaled_tanh": (f"return 1.7159 * Math.tanh(z * {2 / 3!r});",),
    "softsign": (
        "const far = Math.min(Math.max(z, -1e30), 1e30);",
        "return far / (1 + Math.abs(far));",
    ),
    "hard_tanh": ("return Math.min(Math.max(z, -1), 1);",),
    "exponential": ("return Math.exp(z);",),
    "relu": ("return Math.max(z, 0);",),
    "leaky_relu": ("return z > 0 ? z : negative_slope * z;",),
    "elu": ("return z > 0 ? z : alpha * Math.expm1(z);",),
    "selu": (f"return z > 0 ? {SELU_SCALE!r} * z : {SELU_SCALE * SELU_ALPHA!r} * Math.expm1(z);",),
    "gelu": (f"return 0.5 * Math.max(z, -{FAR!r}) * erfc(-z * {_ROOT_HALF!r});",),
    "gelu_tanh": (
        f"const near = Math.min(Math.max(z, -{FAR!r}), {FAR!r});",
        f"const u = {GELU_RATE!r} * near * (1 + {GELU_CUBIC!r} * near * near);",
        f"return Math.max(z, -{FAR!r}) / (1 + Math.exp(-u));",
    ),
    "silu": (f"return Math.max(z, -{FAR!r}) / (1 + Math.exp(-z));",),
    "mish": (
        f"const e = Math.exp(Math.min(z, {_ONE_FROM!r}));",
        "const m = e * (e + 2);",
        f"return Math.max(z, -{FAR!r}) * (m / (m + 2));",
    ),
    "softplus": ("return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));",),
}

JAVASCRIPT_HELPERS: dict[str, str] = {
    "gelu": f"""\
const erfcP = {list(ERFC_P)};
const erfcQ = {list(ERFC_Q)};

function polynomial(c, t) {{
    let sum = 0;
    for (let k = c.length - 1; k >= 0; --k) {{
        sum = sum * t + c[k];
    }}
    return sum;
}}

// the complementary error function, which Math lacks: exp(-t P(t) / Q(t)) for t >= 0
function erfc(x) {{
    const t = Math.min(Math.abs(x), {ERFC_END!r});
    const tail = Math.exp(-t * polynomial(erfcP, t) / polynomial(erfcQ, t));
    return x < 0 ? 2 - tail : tail;
}}

""",
}
