"""An architecture as plain data, and back through the registries: names and numbers, never code.

A description becomes ``{"kind": "layer", "name": "dense", option: value, …}``, with the descriptions
inside it likewise. Rebuilding looks names up in the four registries and in what the caller passes
as `custom`; nothing is imported or evaluated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clearprop.activations import activations
from clearprop.checks import as_items
from clearprop.costs import Cost, costs
from clearprop.errors import DTypeError, FileFormatError, OptionError
from clearprop.initializers import initializers
from clearprop.io import strict_json
from clearprop.layers import Layer, layers, size_chain
from clearprop.model import Model
from clearprop.registry import Described, Registry

__all__ = [
    "Custom",
    "custom_table",
    "describe",
    "describe_model",
    "first_difference",
    "rebuild",
    "rebuild_model",
]

Custom = Sequence[Described | type[Described]]
"""The user's own activations, costs, layers and initialisers: classes or instances."""

Table = Mapping[tuple[str, str], type[Described]]

REGISTRIES: Mapping[str, Registry[Any]] = {
    registry.kind: registry for registry in (layers, activations, costs, initializers)
}

MAX_NEURONS = 1 << 26
"""Largest sum of the whole numbers (sizes, counts) in an architecture: what a hostile file may ask for."""


def describe(thing: Described) -> dict[str, Any]:
    """Return a layer, activation, cost or initialiser as plain data.

    Errors: `OptionError` for a class whose name is another's or missing, and for an option that is
    not plain data.

    >>> from clearprop.layers import Dropout
    >>> describe(Dropout(0.2))
    {'kind': 'layer', 'name': 'dropout', 'rate': 0.2, 'size': None}
    """
    cls = type(thing)
    registry = REGISTRIES.get(thing.kind)
    if registry is None or not thing.name or not dataclasses.is_dataclass(thing):
        raise OptionError(
            f"{cls.__name__} cannot be saved: it must be a frozen dataclass with a kind "
            f"({', '.join(REGISTRIES)}) and a name."
        )
    if thing.name in registry and registry[thing.name] is not cls:
        raise OptionError(
            f"{cls.__name__} cannot be saved under its name {thing.name!r}, which is that of the registered "
            f"{registry[thing.name].__name__}. Give the class a name of its own."
        )
    options = {
        field.name: _plain(getattr(thing, field.name), f"{field.name} of {thing.kind} {thing.name!r}")
        for field in dataclasses.fields(thing)
        if field.init
    }
    return {"kind": thing.kind, "name": thing.name, **options}


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Described):
        return describe(value)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        raise OptionError(f"{where} is a dictionary, which a description cannot hold. Give a tuple.")
    return strict_json.plain(value, where)


def describe_model(model: Model) -> dict[str, Any]:
    """Return the layers and the cost of a model as plain data, having tried that it can be rebuilt.

    Errors: `OptionError`, also where a constructor does not give back what it was given.
    """
    data = _describe_all(model.layers, model.cost)
    own = [
        thing for thing in _inside((*model.layers, model.cost)) if thing.name not in REGISTRIES[thing.kind]
    ]
    table = custom_table([*dict.fromkeys(type(thing) for thing in own)])
    try:
        again = rebuild_model(data, table, "this network")
    except FileFormatError as error:
        raise OptionError(
            f"this network cannot be saved, because it could not be loaded again: {error}"
        ) from None
    if _describe_all(again.layers, again.cost) != data:
        raise OptionError(
            "this network cannot be saved: a class in it changes the options that its constructor is given."
        )
    return data


def first_difference(model: Model, data: Any) -> str | None:
    """Return where a model is not what plain data describe, in words; None where it is.

    >>> from clearprop.layers import Dense
    >>> data = {"layers": [describe(Dense(2, "relu", n_in=1))], "cost": describe(costs.make("quadratic"))}
    >>> first_difference(Model((Dense(2, "tanh", n_in=1),), costs.make("quadratic")), data)
    "layers[1] has the activation 'relu', here 'tanh'"
    """
    here = _describe_all(model.layers, model.cost)
    there = data if isinstance(data, dict) else {}
    if here == there:
        return None
    theirs = there.get("layers")
    theirs = theirs if isinstance(theirs, list) else []
    if len(theirs) != len(here["layers"]):
        return f"it has {len(theirs)} layers, here there are {len(here['layers'])}"
    pairs = [(f"layers[{i}]", *both) for i, both in enumerate(zip(theirs, here["layers"], strict=True), 1)]
    for where, one, other in (*pairs, ("its cost", there.get("cost"), here["cost"])):
        if one != other:
            return _differing(where, one, other)
    return "its description is another"


def _differing(where: str, there: Any, here: dict[str, Any]) -> str:
    if not isinstance(there, dict) or there.get("name") != here["name"]:
        name = there.get("name") if isinstance(there, dict) else there
        return f"{where} is {name!r}, here {here['name']!r}"
    both = {**here, **there}
    option = next(key for key in both if key not in here or key not in there or here[key] != there[key])
    one, other = there.get(option), here.get(option)
    if isinstance(one, dict) and isinstance(other, dict) and one.get("name") != other.get("name"):
        one, other = one.get("name"), other.get("name")
    return f"{where} has the {option} {one!r}, here {other!r}"


def _inside(value: Any) -> Iterator[Described]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, Described):
        yield value
        for field in dataclasses.fields(value):  # type: ignore[arg-type]  # describe has checked
            if field.init:
                yield from _inside(getattr(value, field.name))


def custom_table(custom: Custom) -> Table:
    """Return the user's own classes by kind and name.

    Errors: `DTypeError` for what is no description; `OptionError` for a name that is taken.
    """
    table: dict[tuple[str, str], type[Described]] = {}
    for thing in as_items("custom", custom):
        cls = thing if isinstance(thing, type) else type(thing)
        if not issubclass(cls, Described) or cls.kind not in REGISTRIES:
            raise DTypeError(f"custom holds {thing!r}, which is no activation, cost, layer or initializer.")
        key = (cls.kind, cls.name)
        registry = REGISTRIES[cls.kind]
        taken = registry[key[1]] if key[1] in registry else table.get(key, cls)
        if taken is not cls:
            raise OptionError(
                f"{cls.__name__} and {taken.__name__} are both called the {key[0]} {key[1]!r}. "
                f"Give {cls.__name__} a name of its own."
            )
        table[key] = cls
    return table


def rebuild(data: Any, kind: str, custom: Table, where: str) -> Any:
    """Return the description of this kind that plain data mean. `where` names the file in messages.

    Errors: `FileFormatError` for an unknown name and for options that its class refuses.

    >>> rebuild({"kind": "cost", "name": "huber", "threshold": 2.0}, "cost", {}, "a.safetensors")
    Huber(threshold=2.0)
    """
    found = _key(data, where)[0] if isinstance(data, dict) else "data"
    if found != kind:
        raise FileFormatError(f"{where} is not sound: it describes {found} where a {kind} belongs.")
    return _value(data, custom, where)


def _value(data: Any, custom: Table, where: str) -> Any:
    if isinstance(data, list):
        return tuple(_value(item, custom, where) for item in data)
    if not isinstance(data, dict):
        return data
    kind, name = _key(data, where)
    cls = custom.get((kind, name))
    if cls is None and name in REGISTRIES[kind]:
        cls = REGISTRIES[kind][name]
    if cls is None:
        example = "".join(part.capitalize() for part in name.split("_"))
        raise FileFormatError(
            f"{where} uses the {kind} {name[:80]!r}, which is not registered here; pass it in: "
            f"load(path, custom=[{example[:80]}()])."
        )
    options = {key: _value(item, custom, where) for key, item in data.items() if key not in ("kind", "name")}
    try:
        return cls(**options)
    except Exception as error:  # whatever a constructor objects to, the file is what is wrong
        raise FileFormatError(f"{where} describes the {kind} {name!r} wrongly: {error}") from None


def _key(data: Mapping[str, Any], where: str) -> tuple[str, str]:
    kind, name = data.get("kind"), data.get("name")
    if not isinstance(kind, str) or not isinstance(name, str) or kind not in REGISTRIES:
        raise FileFormatError(
            f"{where} is not sound: it describes something of the kind {str(kind)[:80]!r} "
            f"and the name {str(name)[:80]!r}."
        )
    return kind, name


def rebuild_model(data: Any, custom: Table, where: str) -> Model:
    """Return the model that plain data describe, every size checked against its neighbours.

    Errors: `FileFormatError`.
    """
    if (
        not isinstance(data, dict)
        or data.keys() != {"layers", "cost"}
        or not isinstance(data["layers"], list)
    ):
        raise FileFormatError(f"{where} is not sound: its architecture is not a list of layers and a cost.")
    try:
        if _sum_of_sizes(data, custom, where) > MAX_NEURONS:
            raise FileFormatError(
                f"{where} is not sound: its architecture describes more than {MAX_NEURONS} neurons."
            )
        chain: tuple[Layer, ...] = tuple(rebuild(layer, "layer", custom, where) for layer in data["layers"])
        cost: Cost = rebuild(data["cost"], "cost", custom, where)
        _check_sizes(chain, where)
    except RecursionError:
        raise FileFormatError(f"{where} is not sound: its architecture is nested too deeply.") from None
    return Model(chain, cost)


def _describe_all(chain: Sequence[Layer], cost: Cost) -> dict[str, Any]:
    return {"layers": [describe(layer) for layer in chain], "cost": describe(cost)}


def _check_sizes(chain: tuple[Layer, ...], where: str) -> None:
    if not chain:
        raise FileFormatError(f"{where} is not sound: its architecture has no layers.")
    for i, top in enumerate(chain, 1):
        for address, layer in top.walk(str(i)):
            for size in (layer.n_in, layer.n_out):
                if type(size) is not int or size < 1:
                    raise FileFormatError(f"{where} is not sound: layers[{address}] has the size {size!r}.")
    try:
        sized = size_chain(chain, chain[0].n_in)  # type: ignore[arg-type]  # checked above
    except Exception as error:
        raise FileFormatError(f"{where} is not sound: {error}") from None
    if [describe(layer) for layer in sized] != [describe(layer) for layer in chain]:
        raise FileFormatError(f"{where} is not sound: its layers are not of the sizes that they need.")


def _sum_of_sizes(data: Any, custom: Table, where: str) -> int:
    """Return the sum of all whole numbers in the options of registered things."""
    if isinstance(data, dict):
        if "kind" in data and _key(data, where) in custom:  # the user's own: a number may be any
            return 0
        return sum(_sum_of_sizes(item, custom, where) for item in data.values())
    if isinstance(data, list):
        return sum(_sum_of_sizes(item, custom, where) for item in data)
    return abs(data) if type(data) is int else 0
