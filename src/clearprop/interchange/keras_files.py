"""Keras 3's files, read without Keras: what the layers are and the arrays they hold."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import FileFormatError, MissingDependencyError, UnsupportedError
from clearprop.io import open_to_read

__all__ = ["KerasLayer", "chain_of", "read_keras", "read_weights"]

_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"
_LARGEST_CONFIG = 1 << 24


class KerasLayer(NamedTuple):
    """A layer as Keras describes it."""

    name: str
    kind: str
    """Its class, such as "Dense"."""
    config: Mapping[str, Any]
    weights: Sequence[Array]
    """In the order of its ``get_weights()``."""

    @property
    def told(self) -> str:
        """How messages name it."""
        return f"{self.name!r} ({self.kind})"


def read_keras(path: str | os.PathLike[str]) -> list[KerasLayer]:
    """Return the layers of a ``.keras`` file in order.

    Errors: `FileFormatError`, `MissingDependencyError`.
    """
    with open_to_read(path) as (file, _):
        data = file.read()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.getinfo(_CONFIG).file_size > _LARGEST_CONFIG:
                raise FileFormatError(f"{path} describes its layers in more than 16 MiB. Is it a model?")
            config, weights = json.loads(archive.read(_CONFIG)), archive.read(_WEIGHTS)
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError) as error:
        raise FileFormatError(f"{path} is not a sound .keras file of Keras 3: {error}") from None
    groups = _groups(weights, str(path))
    counts: dict[str, int] = {}
    arrays = {}
    for layer in _layers(config, str(path)):
        stem = _snake(layer["class_name"])
        place = f"{stem}_{counts[stem]}" if stem in counts else stem
        counts[stem] = counts.get(stem, 0) + 1
        arrays[layer["config"]["name"]] = groups.get(place, [])
    return chain_of(config, arrays)


def read_weights(path: str | os.PathLike[str]) -> list[KerasLayer]:
    """Return what a ``.weights.h5`` file holds, layer by layer; layers of one kind are in their order."""
    with open_to_read(path) as (file, _):
        groups = _groups(file.read(), str(path))
    found = []
    for name in groups:
        stem = re.sub(r"_\d+$", "", name)
        kind = next((kind for kind in _WITH_WEIGHTS if _snake(kind) == stem), stem)
        if groups[name]:
            found.append(KerasLayer(name, kind, {}, groups[name]))
    return sorted(found, key=lambda layer: (_snake(layer.kind), _number(layer.name)))


_WITH_WEIGHTS = ("Dense", "BatchNormalization", "LayerNormalization", "PReLU", "Normalization")


def _number(name: str) -> int:
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 0


def _snake(kind: str) -> str:
    """Return a class's name as Keras writes it in files: "PReLU" is "p_re_lu"."""
    spaced = re.sub(r"\W+", "", kind)
    spaced = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", spaced)
    return re.sub("([a-z])([A-Z])", r"\1_\2", spaced).lower()


def _groups(data: bytes, where: str) -> dict[str, list[Array]]:
    """Return the arrays of every layer in an HDF5 file, by the name that it has there."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "reading Keras's files needs h5py, which is not installed. Run: pip install 'clearprop[keras]'"
        ) from None
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return {name: _arrays(group, f"{where}, {name!r}") for name, group in file["layers"].items()}
    except (OSError, KeyError, AttributeError) as error:
        raise FileFormatError(f"{where} holds no weights as Keras 3 keeps them: {error}") from None


def _arrays(group: Any, where: str) -> list[Array]:
    if "layers" in group and len(group["layers"]):
        raise UnsupportedError(f"{where} is a model inside the model. Build one model of all its layers.")
    variables = group.get("vars", {})
    return [np.array(variables[str(i)]) for i in range(len(variables))]


def chain_of(model: Mapping[str, Any], weights: Mapping[str, Sequence[Array]]) -> list[KerasLayer]:
    """Return the layers of a model's description in order, with their weights by name.

    Errors: `UnsupportedError` for a model that is no plain chain.
    """
    layers = _layers(model, "the model")
    if model["class_name"] != "Sequential":
        _check_chain(layers)
    found = []
    for layer in layers:
        name = layer["config"]["name"]
        if layer["class_name"] != "InputLayer":
            found.append(KerasLayer(name, layer["class_name"], layer["config"], weights.get(name, [])))
    return found


def _layers(model: Any, where: str) -> list[Any]:
    try:
        if model["class_name"] not in ("Sequential", "Functional", "Model"):
            raise UnsupportedError(
                f"{where} is a {model['class_name']}, whose layers are joined in code. from_keras reads "
                "Sequential models and functional ones that are a plain chain; give weights with layers=…."
            )
        layers = list(model["config"]["layers"])
        for layer in layers:
            _ = layer["class_name"], layer["config"]["name"]
    except (KeyError, TypeError):
        raise FileFormatError(f"{where} does not describe its layers as Keras 3 does.") from None
    return layers


def _check_chain(layers: Sequence[Any]) -> None:
    """Raise `UnsupportedError` unless every layer reads the one before it, and nothing else."""
    before = None
    for layer in layers:
        read = list(_histories(layer.get("inbound_nodes", [])))
        if read != ([] if before is None else [before]):
            raise UnsupportedError(
                f"{layer['config']['name']!r} reads {', '.join(map(repr, read)) or 'the input'}: from_keras "
                "reads models that are a plain chain. Build this one with cp.Residual or cp.Concatenate and "
                "give model.get_weights() with layers=…."
            )
        before = layer["config"]["name"]


def _histories(node: Any) -> Iterator[str]:
    """Yield the names of the layers that a node reads."""
    if isinstance(node, Mapping):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
        else:
            for value in node.values():
                yield from _histories(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _histories(value)
