"""Random networks have right gradients: a file of its own, the first that mutants have to pass."""

from __future__ import annotations

from trust import random_gradients


def test_random_networks_have_right_gradients() -> None:
    result = random_gradients.run(60, seed=1)
    assert result.passed, result
