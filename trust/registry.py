"""Which tests there are: a test is a module of this folder with a `TEST`; a new one is named here."""

from __future__ import annotations

from importlib import import_module

from trust.frame import Test

__all__ = ["FILES", "NAMES", "NUMBERS", "find"]

FILES = (
    "kill",
    "full_disk",
    "failing_calls",
    "power_loss",
    "mutated_files",
    "bit_flips",
    "crafted_files",
)
"""What a file survives: tests of saving and loading."""

NUMBERS: tuple[str, ...] = (
    "random_gradients",
    "against_torch",
    "metamorphic",
    "hostile",
    "mutation",
    "many_fits",
)
"""What a number survives: tests of gradients, of hostile input, and of the tests themselves."""

NAMES = (*FILES, *NUMBERS)


def find(name: str) -> Test:
    """Return the test of this name.

    >>> find("bit_flips").name
    'bit_flips'
    """
    test = import_module(f"trust.{name}").TEST
    if not isinstance(test, Test):
        raise TypeError(f"trust/{name}.py must have a TEST of the class Test. Got {test!r}.")
    return test
