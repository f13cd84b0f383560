"""Mutants that change nothing that can be seen, each with the reason."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

TWO_AXES = "the arrays of a layer have two axes: the last one is axis 1"

EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("layers/combinators.py:Concatenate.backward", "axis=-1", "axis=1"): TWO_AXES,
    ("layers/combinators.py:Concatenate.forward", "axis=-1", "axis=1"): TWO_AXES,
    ("schedules/over_time.py:Cosine.__post_init__", "self.growth > 1", "self.growth != 1"): (
        "growth is a whole number of at least 1: the line before has checked it"
    ),
    ("costs/base.py:divide", "1.0", "0.5"): "this divides where y is 0",
    ("costs/base.py:divide", "1.0", "1.5"): "this divides where y is 0",
    ("costs/base.py:divide", "1.0", "-1.0"): "this divides where y is 0",
    ("costs/pairs.py:_times", "0.0", "0.5"): "this stands where y is 0, and is multiplied by y",
    ("costs/pairs.py:_times", "0.0", "1.0"): "this stands where y is 0, and is multiplied by y",
    ("costs/pairs.py:_times", "0.0", "-1.0"): "this stands where y is 0, and is multiplied by y",
}
"""(file:function, what stood there, what stands there now) -> why no test can notice."""
