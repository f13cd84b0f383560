"""Registries of named, described things: activations, costs, layers, optimisers, schedules.

Everything that a user can name is a frozen dataclass that only describes. `Described` turns
such a description into plain data and back, so that a saved model holds names and numbers,
never code; `Registry` looks names up, suggests the nearest one, and is what validation,
documentation, plots and tests iterate over.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar, dataclass_transform

from clearprop.errors import DTypeError, OptionError, UnknownNameError, did_you_mean, one_of

__all__ = ["Config", "Described", "Registry", "description"]

Config = dict[str, Any]
T = TypeVar("T", bound="Described")


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
def description(cls: type[T]) -> type[T]:
    """Make a class of descriptions: a frozen dataclass that compares and shows itself as `Described` does.

    What ``@dataclass(frozen=True)`` makes does the same; it compiles six functions for each class, where
    three suffice, and there are so many classes that one would wait for it at every start.
    """
    return dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)


class Described:
    """A frozen dataclass with a `kind` ("activation") and a `name` ("relu"), convertible to plain data.

    Back again by `Registry.make`; a description whose fields are descriptions converts them in
    its ``__post_init__``, so plain data nests.
    """

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""

    def config(self) -> Config:
        """Return this description as plain data: ``{"name": …, option: value, …}``.

        >>> from clearprop.activations import LeakyReLU
        >>> LeakyReLU(0.2).config()
        {'name': 'leaky_relu', 'negative_slope': 0.2}
        """
        options = {field.name: _plain(getattr(self, field.name)) for field in _fields(self) if field.init}
        return {"name": self.name, **options}

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        if not dataclasses.is_dataclass(self):  # of a user's own, without options
            return object.__repr__(self)
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in _fields(self) if f.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not dataclasses.is_dataclass(self):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared()) if dataclasses.is_dataclass(self) else object.__hash__(self)

    def _compared(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in _fields(self) if f.compare)


def _fields(thing: Described) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(thing)  # type: ignore[arg-type]  # subclasses are dataclasses


def _plain(value: Any) -> Any:
    if isinstance(value, Described):
        return value.config()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


class Registry(Generic[T]):
    """The known things of one kind by name, e.g. every activation.

    Parameters: `kind`, the word used in messages ("activation").
    Iterating yields the names in the order of registration.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[T]] = {}
        self._aliases: dict[str, str] = {}

    def register(self, *aliases: str) -> Callable[[type[T]], type[T]]:
        """Return a class decorator that registers a description under its `name` and `aliases`."""

        def add(cls: type[T]) -> type[T]:
            if cls.name in self:
                raise OptionError(f"{self.kind} {cls.name!r} is registered already")
            self._classes[cls.name] = cls
            self._aliases.update(dict.fromkeys(aliases, cls.name))
            return cls

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes or name in self._aliases

    def __getitem__(self, name: str) -> type[T]:
        """Return the class registered under `name`; raise `UnknownNameError` with a suggestion."""
        name = self._aliases.get(name, name)
        if name not in self._classes:
            hint = did_you_mean(name, [*self._classes, *self._aliases])
            raise UnknownNameError(f"unknown {self.kind} {name!r}.{hint} Known: {one_of(self._classes)}.")
        return self._classes[name]

    def make(self, spec: str | T | type[T] | Mapping[str, Any]) -> T:
        """Return the description that `spec` means: a name, an instance, a class or a config.

        Errors: `UnknownNameError` for a name in no registry; `OptionError` for an option that
        the thing does not have; `DTypeError` for anything else; and those of its constructor.
        """
        if isinstance(spec, str):
            return self._call(self[spec], {})
        if isinstance(spec, Mapping):
            options = dict(spec)
            if not isinstance(options.get("name"), str):
                raise OptionError(f"the description of this {self.kind} has no 'name': {spec!r}")
            return self._call(self[options.pop("name")], options)
        if isinstance(spec, type) and issubclass(spec, Described):
            spec = self._call(spec, {})
        if isinstance(spec, Described) and spec.kind == self.kind:
            return spec  # also the user's own, unregistered
        raise DTypeError(f"expected {_article(self.kind)} {self.kind} (a name or an object), got {spec!r}")

    def _call(self, cls: type[T], options: Mapping[str, Any]) -> T:
        try:
            return cls(**options)
        except DTypeError:  # the thing's own sentence on an option of the wrong type
            raise
        except TypeError as error:
            known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
            raise OptionError(
                f"{self.kind} {cls.name!r} cannot be made from {dict(options)!r}: {error}. "
                f"Its options: {one_of(known)}."
            ) from None


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
