"""What of a network goes into its file besides architecture and parameters, and how it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.checks import as_path, as_whole
from clearprop.errors import ClearpropError, DTypeError, FileFormatError
from clearprop.io import LoadedModel, load_model, save_model
from clearprop.training.data import Affine
from clearprop.training.penalties import penalties
from clearprop.training.targets import Targets

if TYPE_CHECKING:
    from clearprop.network import Network

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


def restore(network: Network, loaded: LoadedModel, path: str | Path) -> Network:
    """Give a network of the loaded architecture what the file holds besides.

    Errors: `FileFormatError` for content that `save` did not write.
    """
    content, tensors = loaded.extra, loaded.extra_tensors
    try:
        network.seed, network.engine, network.task = content["seed"], content["engine"], content["task"]
        network.classes = None if content["classes"] is None else tuple(content["classes"])
        network.preprocessing = content["preprocessing"]
        if "shift" in tensors:
            network.preprocessing = Affine(tensors["shift"], tensors["factor"])
        if content["targets"] is not None:
            network.targets = Targets.from_config(content["targets"])
        network.frozen = tuple(content["frozen"])
        network.penalty = penalties.make(content["penalty"])
        network.extra = dict(content["extra"])
        # Older files have neither.
        network.epochs_trained = as_whole("epochs_trained", content.get("epochs_trained", 0), at_least=0)
        network.steps_trained = as_whole("steps_trained", content.get("steps_trained", 0), at_least=0)
    except (KeyError, TypeError, ValueError, ClearpropError) as error:
        raise FileFormatError(
            f"{Path(path)} holds an architecture and parameters, but not what a network saves besides them: "
            f"{type(error).__name__}: {error}. clearprop.io.load_model reads what is there."
        ) from None
    return network
