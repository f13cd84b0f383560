"""Modules that are imported when something of them is first asked for: not every program waits for all."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Lazy", "attributes"]


class Lazy:
    """Stands for a module, which is imported when it is first asked for one of its names.

    >>> Lazy("math").floor(2.5)
    2
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # tools such as doctest ask what this is: no reason to import it
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


def attributes(
    package: str, places: Mapping[str, str], into: dict[str, Any]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__`, which imports what is first asked for, and its `__dir__`.

    places: public name -> the module that defines it, or the name's own module. into: the package's globals,
    where what was found stays; its `__all__` and `places` are what `dir` lists.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(places[name])
        found = module if places[name].endswith(f".{name}") else getattr(module, name)
        into[name] = found
        return found

    def names() -> list[str]:
        return sorted({*into["__all__"], *places})

    return find, names
