"""What of a network goes into its file besides architecture and parameters, and how it comes back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_choice, as_path, as_whole
from clearprop.errors import ClearpropError, DTypeError, FileFormatError, ShapeError
from clearprop.io import LoadedModel, load_model, save_model
from clearprop.random import Purpose, stream
from clearprop.training.data import Affine
from clearprop.training.penalties import penalties
from clearprop.training.targets import Targets, check_classes

if TYPE_CHECKING:
    from clearprop.network import Network

T = TypeVar("T")

__all__ = ["load_model", "restore", "save", "save_with"]


def save(network: Network, path: str | Path, *, overwrite: bool, extra: Mapping[str, Any] | None) -> Path:
    """Write the network to a file and return its path; see `Network.save`."""
    save_with(network, path, {}, overwrite=overwrite, extra=extra)
    return Path(path)


def save_with(
    network: Network,
    path: str | Path,
    tensors: Mapping[str, Any],
    *,
    overwrite: bool,
    extra: Mapping[str, Any] | None,
) -> None:
    """Write the network and further tensors to a file, in which `restore` finds the network alone."""
    if extra is not None and not isinstance(extra, Mapping):
        raise DTypeError(f"extra must be a dictionary of plain data. Got {extra!r}.")
    pre = network.preprocessing
    content = {
        "seed": network.seed,
        "engine": network.engine,
        "task": network.task,
        "classes": None if network.classes is None else list(network.classes),
        "preprocessing": pre if isinstance(pre, str) else None,
        "targets": None if network.targets is None else network.targets.config(),
        "frozen": list(network.frozen),
        "epochs_trained": network.epochs_trained,
        "steps_trained": network.steps_trained,
        "penalty": network.penalty.config(),
        "extra": {**network.extra, **(extra or {})},
    }
    affine = {"shift": pre.shift, "factor": pre.factor} if isinstance(pre, Affine) else {}
    save_model(
        as_path(path),
        model=network.model,
        theta=network.theta,
        buffers=network.buffers,
        extra=content,
        extra_tensors={
            **{name: np.asarray(tensor, dtype=np.float64) for name, tensor in affine.items()},
            **tensors,
        },
        overwrite=overwrite,
    )


def restore(
    onto: T, loaded: LoadedModel, path: str | os.PathLike[str], engines: Sequence[str] | None = None
) -> T:
    """Give a network of the loaded architecture what the file holds besides, as attributes.

    onto: the network, or anything else that can have those attributes. engines: the names of those there are;
    None where none will run it.
    Errors: `FileFormatError` for content that `save` did not write.
    """
    try:
        _give(onto, loaded.extra, loaded.extra_tensors, engines)
    except (KeyError, TypeError, ValueError, ClearpropError) as error:
        raise FileFormatError(
            f"{Path(path)} holds an architecture and parameters, but not what a network saves besides them: "
            f"{type(error).__name__}: {error}. clearprop.io.load_model reads what is there."
        ) from None
    return onto


def _give(
    network: Any, content: Mapping[str, Any], tensors: Mapping[str, Array], engines: Sequence[str] | None
) -> None:
    """Set what the content says, everything checked as if the user had said it."""
    model = network.model
    stream(content["seed"], Purpose.INITIAL_WEIGHTS)  # refuses what no seed is
    network.seed = content["seed"]
    network.engine = content["engine"]
    if engines is not None:
        as_choice("engine", network.engine, ("auto", *engines))
    network.classes = check_classes(content["classes"], content["task"])
    network.task = content["task"]
    network.preprocessing = _preprocessing(content["preprocessing"], tensors, network)
    if content["targets"] is not None:
        network.targets = Targets.from_config(content["targets"])
        if network.targets.n_out != model.n_out:
            raise ShapeError(f"targets of {network.targets.n_out} outputs; the last layer has {model.n_out}")
    frozen = content["frozen"]
    if not isinstance(frozen, list) or not all(isinstance(pattern, str) for pattern in frozen):
        raise DTypeError(f"frozen must be a list of addresses. Got {frozen!r}.")
    network.frozen = tuple(frozen)
    network.penalty = penalties.make(content["penalty"])
    if not isinstance(content["extra"], dict):
        raise DTypeError(f"extra must be a dictionary. Got {content['extra']!r}.")
    network.extra = dict(content["extra"])
    # Older files have neither.
    network.epochs_trained = as_whole("epochs_trained", content.get("epochs_trained", 0), at_least=0)
    network.steps_trained = as_whole("steps_trained", content.get("steps_trained", 0), at_least=0)


def _preprocessing(kind: Any, tensors: Mapping[str, Array], network: Any) -> str | Affine | None:
    if "shift" in tensors:
        affine = Affine(tensors["shift"], tensors["factor"])
        affine.check(cast(int, network.model.layers[0].n_in))
        return affine
    return None if kind is None else as_choice("preprocessing", kind, ("standardize",))
