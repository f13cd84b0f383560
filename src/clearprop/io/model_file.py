"""The file of a trained network: architecture, parameters, buffers and what the caller adds, as data.

A safetensors file (`clearprop.io.safetensors`) whose metadata say how to read it. docs/file-format.md
describes it on one page.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearprop._version import __version__
from clearprop.arrays import Array
from clearprop.errors import DTypeError, FileFormatError, OptionError, ShapeError
from clearprop.io import safetensors, strict_json
from clearprop.io.architecture import Custom, custom_table, describe_model, first_difference, rebuild_model
from clearprop.io.files import AnyPath
from clearprop.io.header import TensorEntry
from clearprop.model import Layout, Model

__all__ = ["FORMAT_VERSION", "FileSummary", "LoadedModel", "load_model", "save_model", "verify"]

FORMAT_VERSION = 1
"""The version of the format that is written, and the newest that is read."""

_BUFFERS = "buffers."
_EXTRA = "extra."
_DTYPES = ("float32", "float64")
_WRITTEN_BY = ("clearprop", "numpy", "python")


@dataclass(frozen=True)
class LoadedModel:
    """What a model file holds: a frozen architecture and its numbers."""

    model: Model
    theta: Array
    """Every parameter, one flat vector in the order of ``model.layout``."""
    buffers: Array
    """Running statistics, one flat vector in the order of ``model.buffer_layout``."""
    extra: dict[str, Any] = field(default_factory=dict)
    """The plain data that was saved along, such as preprocessing and class labels."""
    extra_tensors: dict[str, Array] = field(default_factory=dict)
    """The arrays that were saved along, such as means and scales."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of clearprop, numpy and python that wrote the file."""


@dataclass(frozen=True)
class FileSummary:
    """What a model file holds, as far as it can be said without building the network."""

    path: str
    format_version: int
    versions: dict[str, str]
    dtype: str
    parameters: int
    """Number of learned numbers."""
    tensors: dict[str, tuple[str, tuple[int, ...]]]
    """Element type and shape of every array by name; "1.W", "buffers.2.running_mean", "extra.mean"."""
    architecture: dict[str, Any]
    """{"layers": […], "cost": {…}} as plain data."""
    extra: dict[str, Any]
    sha256: str


def save_model(
    path: AnyPath,
    *,
    model: Model,
    theta: Array,
    buffers: Array,
    extra: Mapping[str, Any] | None = None,
    extra_tensors: Mapping[str, Array] | None = None,
    versions: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Save a network at one stroke: the old file stays, whole, until the new one is on the disk.

    Parameters:
        theta, buffers: flat vectors in the order of the model's layouts, both float32 or both float64.
        extra: plain data (numbers, text, None, lists, dictionaries), given back by `load_model`.
        extra_tensors: arrays by name, given back bit for bit.
        versions: of clearprop, numpy and python; left out, those that are running.
        overwrite: whether a file of that name may be replaced.

    The same arguments and versions give the same bytes.
    Errors: `ShapeError` and `DTypeError` for vectors that do not fit; `OptionError` for what cannot be saved;
    those of `clearprop.io.replace_file`.
    """
    theta, buffers = np.asarray(theta), np.asarray(buffers)
    dtype = _checked_dtype(theta, buffers)
    architecture = describe_model(model)
    tensors = _named(theta, model.layout, "", "theta")
    tensors |= _named(buffers, model.buffer_layout, _BUFFERS, "buffers")
    for name, array in (extra_tensors or {}).items():
        if not isinstance(name, str) or not name:
            raise OptionError(f"extra_tensors holds an array called {name!r}. Give it a name.")
        tensors[_EXTRA + name] = np.asarray(array)
    metadata = {
        "format": "clearprop",
        "format_version": str(FORMAT_VERSION),
        "architecture": strict_json.dumps(architecture),
        "dtype": dtype,
        "extra": strict_json.dumps(strict_json.plain(dict(extra or {}), "extra")),
    }
    written_by = _running_versions() if versions is None else versions
    metadata |= {f"{name}_version": written_by[name] for name in _WRITTEN_BY}
    safetensors.write(path, tensors, metadata, overwrite=overwrite)


def load_model(path: AnyPath, *, custom: Custom = (), model: Model | None = None) -> LoadedModel:
    """Return the network that a file holds; nothing in the file is run, imported or evaluated.

    Parameters: `custom`, your own activations, costs, layers and initialisers that the network uses, as
    classes or objects. They serve this call only; the options come from the file. `model`, the architecture
    where it is known: then it must be that of the file, and nothing is built.

    Errors: `FileFormatError` for a file that is truncated, altered, newer, no model, or uses a name that is
    not known here; `MissingFileError`; `UnreadableFileError`; `OptionError` for another `model`.
    """
    table = custom_table(custom)
    raw = _read_checked(path)
    metadata = raw.header.metadata
    architecture = _json(raw, "architecture")
    if model is None:
        model = rebuild_model(architecture, table, raw.path)
    elif (found := first_difference(model, architecture)) is not None:
        raise OptionError(f"{raw.path} holds another network: {found}.")
    dtype = _stated_dtype(raw)
    tensors = safetensors.arrays(raw)
    theta = _flat(tensors, model.layout, "", dtype, raw.path)
    buffers = _flat(tensors, model.buffer_layout, _BUFFERS, dtype, raw.path)
    extra_tensors = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_EXTRA)}
    if tensors:
        raise FileFormatError(
            f"{raw.path} is not sound: it holds a tensor {min(tensors)!r} that its architecture has not."
        )
    return LoadedModel(
        model,
        theta,
        buffers,
        _extra(raw),
        {name.removeprefix(_EXTRA): array for name, array in extra_tensors.items()},
        {name: metadata.get(f"{name}_version", "") for name in _WRITTEN_BY},
    )


def verify(path: AnyPath) -> FileSummary:
    """Check that a model file is whole and unaltered, and return what it holds.

    Errors: as `load_model`, but for the names of the user's own classes, which are not needed.
    """
    raw = _read_checked(path)
    entries, metadata = raw.header
    architecture = _json(raw, "architecture")
    if not isinstance(architecture, dict):
        raise FileFormatError(
            f"{raw.path} is not sound: its architecture is not a list of layers and a cost."
        )
    return FileSummary(
        path=raw.path,
        format_version=int(metadata["format_version"]),
        versions={name: metadata.get(f"{name}_version", "") for name in _WRITTEN_BY},
        dtype=_stated_dtype(raw),
        parameters=sum(int(np.prod(entry.shape)) for entry in entries if _is_parameter(entry)),
        tensors={entry.name: (entry.dtype, entry.shape) for entry in entries},
        architecture=architecture,
        extra=_extra(raw),
        sha256=metadata[safetensors.CHECKSUM],
    )


def _checked_dtype(theta: Array, buffers: Array) -> str:
    dtype = theta.dtype.name
    if dtype not in _DTYPES:
        raise DTypeError(f"theta has dtype {dtype}; a model file holds float32 or float64. Convert it.")
    if buffers.size and buffers.dtype != theta.dtype:
        raise DTypeError(f"buffers has dtype {buffers.dtype} and theta {dtype}. Make them the same.")
    return dtype


def _named(flat: Array, layout: Layout, prefix: str, what: str) -> dict[str, Array]:
    if flat.shape != (layout.size,):
        raise ShapeError(f"{what} has shape {flat.shape}; this network needs ({layout.size},).")
    return {prefix + entry.address: flat[entry.block].reshape(entry.shape) for entry in layout.entries}


def _running_versions() -> dict[str, str]:
    return {
        "clearprop": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _read_checked(path: AnyPath) -> safetensors.RawFile:
    """Return a file that is ours, of a version that is known, and unaltered; checked in this order."""
    raw = safetensors.read_raw(path)
    metadata = raw.header.metadata
    if metadata.get("format") != "clearprop":
        raise FileFormatError(
            f"{raw.path} is a safetensors file, but holds no clearprop network: its metadata do not say "
            "format: clearprop. clearprop.io.safetensors.read(path, require_checksum=False) gives its arrays."
        )
    version = metadata.get("format_version", "")
    if version != str(FORMAT_VERSION):
        by = metadata.get("clearprop_version", "a newer one")
        raise FileFormatError(
            f"{raw.path} has the format version {version[:20]!r}, written by clearprop {by[:40]}; clearprop "
            f"{__version__} reads version {FORMAT_VERSION!r}. Update clearprop: "
            "pip install --upgrade clearprop."
        )
    safetensors.check_checksum(raw)
    return raw


def _json(raw: safetensors.RawFile, key: str) -> Any:
    text = raw.header.metadata.get(key)
    if text is None:
        raise FileFormatError(f"{raw.path} is not sound: its metadata lack {key!r}.")
    try:
        return strict_json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{raw.path} is not sound: its {key} is not sound JSON ({error}).") from None


def _extra(raw: safetensors.RawFile) -> dict[str, Any]:
    extra = _json(raw, "extra")
    if not isinstance(extra, dict):
        raise FileFormatError(f"{raw.path} is not sound: its extra data are not by name.")
    return extra


def _stated_dtype(raw: safetensors.RawFile) -> str:
    dtype = raw.header.metadata.get("dtype", "")
    if dtype not in _DTYPES:
        raise FileFormatError(
            f"{raw.path} is not sound: its dtype is {dtype[:20]!r}, neither float32 nor float64."
        )
    return dtype


def _flat(tensors: dict[str, Array], layout: Layout, prefix: str, dtype: str, where: str) -> Array:
    """Take the layout's arrays out of `tensors` and return them as one flat vector."""
    blocks = [np.zeros(0, dtype)]
    for layer, name, shape in _expected(layout, where):
        array = tensors.pop(prefix + name, None)
        if array is None:
            raise FileFormatError(
                f"{where} is not sound: it lacks the tensor {prefix + name!r} of layers[{layer}]."
            )
        if array.shape != shape or array.dtype != dtype:
            raise FileFormatError(
                f"{where} is not sound: tensor {prefix + name!r} is {array.dtype} of shape {array.shape}; "
                f"layers[{layer}] needs {dtype} of shape {shape}."
            )
        blocks.append(array.reshape(-1))
    return np.concatenate(blocks)


def _expected(layout: Layout, where: str) -> list[tuple[str, str, tuple[int, ...]]]:
    try:
        return [(entry.layer, entry.address, entry.shape) for entry in layout.entries]
    except Exception as error:  # whatever a layer objects to, the file is what is wrong
        raise FileFormatError(f"{where} is not sound: {error}") from None


def _is_parameter(entry: TensorEntry) -> bool:
    return not entry.name.startswith((_BUFFERS, _EXTRA))
