"""Every public name is documented, and every registered thing describes itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import clearprop
from clearprop.registry import Registry

NAMES = ["clearprop", *(module.name for module in pkgutil.walk_packages(clearprop.__path__, "clearprop."))]
MODULES = [importlib.import_module(name) for name in NAMES if not name.endswith((".__main__", "._native"))]


def public_things():
    """Yield (qualified name, object) for the classes and functions in every `__all__`, and their methods."""
    for module in MODULES:
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isroutine(thing)):
                continue
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing) and thing.__module__ == module.__name__:
                yield from methods(f"{module.__name__}.{name}", thing)


def methods(prefix, cls):
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if inspect.isroutine(member) or isinstance(member, property | classmethod | staticmethod):
            yield f"{prefix}.{name}", getattr(cls, name)


def registered():
    """Yield (kind, name, class) for everything in every registry."""
    registries = {
        id(value): value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, Registry)
    }
    for registry in registries.values():
        for name in registry:
            yield registry.kind, name, registry[name]


PUBLIC = dict(public_things())
REGISTERED = {f"{kind}-{name}": cls for kind, name, cls in registered()}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_module_has_docstring_and_explicit_exports(module):
    assert inspect.getdoc(module)
    names = getattr(module, "__all__", None)
    assert names is not None, f"{module.__name__} has no __all__"
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_has_docstring(name):
    thing = PUBLIC[name]
    docstring = inspect.getdoc(thing)
    assert docstring
    generated = f"{name.rpartition('.')[2]}("  # what dataclass and NamedTuple fill in is no docstring
    assert not docstring.startswith(generated)


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_thing_describes_itself(name):
    cls = REGISTERED[name]
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}(")
    for attribute in ("formula", "derivative"):
        assert getattr(cls, attribute, "stated elsewhere"), f"{name} states no {attribute}"


def test_the_registries_were_found():
    kinds = {name.partition("-")[0] for name in REGISTERED}
    assert {"activation", "cost", "layer"} <= kinds
