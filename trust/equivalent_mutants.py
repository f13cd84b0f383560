"""Mutants that change nothing that can be seen, each with the reason."""

from __future__ import annotations

__all__ = ["EQUIVALENT", "is_equivalent"]

TWO_AXES = "the arrays of a layer have two axes: the last one is axis 1"

EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("layers/combinators.py:Concatenate.backward", "axis=-1", "axis=1"): TWO_AXES,
    ("layers/combinators.py:Concatenate.forward", "axis=-1", "axis=1"): TWO_AXES,
    ("schedules/over_time.py:Cosine.__post_init__", "self.growth > 1", "self.growth != 1"): (
        "growth is a whole number of at least 1: the line before has checked it"
    ),
    (
        "activations/elementwise.py:ScaledTanh.df",
        "1.0 / 1.7159",
        "-(1.0 / 1.7159)",
    ): "of t and -t (1 - t)(1 + t) is the same",
    ("costs/base.py:_check_sums", "sums - 1.0", "1.0 - sums"): "what is asked is how large it is",
    ("costs/regression.py:Quadratic.c", "a - y", "y - a"): "it is squared",
    ("costs/base.py:divide", "1.0", "0.5"): "this divides where y is 0",
    ("costs/base.py:divide", "1.0", "1.5"): "this divides where y is 0",
    ("costs/base.py:divide", "1.0", "-1.0"): "this divides where y is 0",
    ("costs/pairs.py:_times", "0.0", "0.5"): "this stands where y is 0, and is multiplied by y",
    ("costs/pairs.py:_times", "0.0", "1.0"): "this stands where y is 0, and is multiplied by y",
    ("costs/pairs.py:_times", "0.0", "-1.0"): "this stands where y is 0, and is multiplied by y",
}
"""(file:function, what stood there, what stands there now) -> why no test can notice."""


def is_equivalent(key: tuple[str, str, str]) -> bool:
    """Return whether a mutant is listed, or asks by == in place of `is` for None, which None alone equals."""
    _, before, after = key
    by_value = before.replace(" is not None", " != None").replace(" is None", " == None")
    return key in EQUIVALENT or (before != by_value and after == by_value)
