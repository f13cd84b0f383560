"""A checkpoint as a file: a model file whose further text and tensors are a run's position."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DTypeError, FileFormatError
from clearprop.fitting.sound import check_content
from clearprop.io import LoadedModel
from clearprop.model import Model
from clearprop.persistence import load_model, save_with
from clearprop.training.evaluations import Evaluations
from clearprop.training.history import Row
from clearprop.training.measure import Tally
from clearprop.training.position import Position
from clearprop.training.snapshot import Snapshot

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["Saved", "read", "write"]

_VERSION = 1
_NAME = "checkpoint"
_MOST_ROLLING = 10_000  # rows of the rolling figures: one for every 50 ms would outgrow all else
_FEW = 64  # numbers that a list may have as text
_ABSENT, _FLOAT, _WHOLE = 0, 1, 2


class Saved(NamedTuple):
    """What a checkpoint holds."""

    path: Path
    run: dict[str, Any]
    """What the run was: see `clearprop.fitting.same_run`."""
    position: Position


# Writing -----------------------------------------------------------------------------------------


def write(path: Path, network: Network, run: Mapping[str, Any], position: Position) -> None:
    """Write a checkpoint to a new file at one stroke.

    Errors: `DTypeError` and `OptionError` for a state of a callback that a file cannot hold; those of
    `clearprop.io.replace_file`.
    """
    numbers, log = position.numbers, position.evaluations
    data = {
        "version": _VERSION,
        "run": run,
        "before": list(position.before),
        "step": numbers.step,
        "epoch": position.epoch,
        "slots": dict(numbers.slots),
        "schedule_state": dict(position.schedule_state),
        "tally": None if position.tally is None else _tally_as_data(position.tally),
        "eta": position.eta,
        "stop_reason": position.stop_reason,
        "seconds": position.seconds,
        "recent": np.array(position.recent, np.float64),
        "rows": _rows_as_data(position.rows),
        "rolling": _rows_as_data(position.rolling[-_MOST_ROLLING:]),
        "resumed": list(position.resumed),
        "callbacks": [[name, dict(state)] for name, state in position.callbacks],
        "seen": None if position.seen is None else dict(position.seen),
        "start": position.start,
        "evaluations": None if log is None else _log_as_data(log),
    }
    tensors: dict[str, Array] = {}
    plain = _encoded(data, _NAME, tensors)
    save_with(network, path, tensors, overwrite=False, extra={_NAME: plain})


def _encoded(value: Any, where: str, tensors: dict[str, Array]) -> Any:
    """Return a value as JSON keeps it, its arrays put among `tensors` under the names of their places."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        tensors[where] = value
        return {"$array": where}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise DTypeError(f"{where} has the key {key!r}; it must be text that does not begin with $.")
        return {key: _encoded(item, f"{where}.{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        numbers = _as_numbers(value)
        if numbers is not None:
            tensors[where] = numbers
            return {"$list": where}
        return [_encoded(item, f"{where}.{i}", tensors) for i, item in enumerate(value)]
    return value  # what JSON cannot keep either, the writer refuses by its place


def _as_numbers(values: Sequence[Any]) -> Array | None:
    """Return a long list of numbers of one type as an array; None for any other, which stays in the header.

    The header is bounded: a list that grows with the steps would outgrow it.
    """
    kinds = set(map(type, values)) if len(values) > _FEW else set()
    if kinds == {float}:
        return np.array(values, np.float64)
    if kinds == {int} and all(-(1 << 63) <= value < 1 << 63 for value in values):
        return np.array(values, np.int64)
    return None


def _tally_as_data(tally: Tally) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    if tally.kept:
        truth, outputs, weights = zip(*tally.kept, strict=True)
        kept = {"truth": np.concatenate(truth), "outputs": np.concatenate(outputs)}
        if weights[0] is not None:
            kept["weights"] = np.concatenate(weights)
    sums = {"examples": tally.examples, "cost": tally.cost, "correct": tally.correct}
    return {**sums, "kept": kept, "penalty": tally.penalty}


def _rows_as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """Return rows as the names of their columns, a table of numbers, and what each number is."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = np.zeros((len(rows), len(names)))
    kinds = np.zeros(values.shape, np.uint8)
    places = {name: i for i, name in enumerate(names)}
    for i, row in enumerate(rows):
        for name, value in row.items():
            values[i, places[name]] = value
            kinds[i, places[name]] = _WHOLE if isinstance(value, int | np.integer) else _FLOAT
    return {"names": names, "values": values, "kinds": kinds}


def _log_as_data(log: Evaluations) -> dict[str, Any]:
    points = np.frombuffer(bytes.fromhex("".join(log.points)), np.uint8).reshape(-1, 16)
    gradients = np.stack(log.gradients) if log.gradients else np.zeros((0, 0))
    return {"points": points, "costs": np.array(log.costs), "gradients": gradients}


# Reading -----------------------------------------------------------------------------------------


def read(path: Path, model: Model) -> Saved:
    """Return what a checkpoint of a run with this architecture holds.

    Errors: `FileFormatError` for a file that is damaged, or no checkpoint; `MissingFileError`;
    `UnreadableFileError`; `OptionError` for another architecture.
    """
    loaded = load_model(path, model=model)
    found = loaded.extra.get("extra", {})
    plain = found.get(_NAME) if isinstance(found, dict) else None
    if not isinstance(plain, dict):
        raise FileFormatError(f"{path} holds a network, but is no checkpoint of its training.")
    if plain.get("version") != _VERSION:
        raise FileFormatError(
            f"{path} is a checkpoint of version {plain.get('version')!r}; this clearprop reads {_VERSION}."
        )
    try:
        data = _decoded(plain, loaded.extra_tensors)
        check_content(data, loaded.theta.size, loaded.theta.dtype)
        return Saved(path, data["run"], _position(data, loaded))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise FileFormatError(
            f"{path} is not sound: its checkpoint is not as fit writes it ({type(error).__name__}: {error})."
        ) from None


def _decoded(value: Any, tensors: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$array"}:
        return tensors[value["$array"]]
    if value.keys() == {"$list"}:
        numbers = tensors[value["$list"]]
        if numbers.ndim != 1 or numbers.dtype not in (np.float64, np.int64):
            raise ValueError(f"{value['$list']} is no list of numbers")
        return numbers.tolist()
    if value.keys() == {"$float"}:
        return float(value["$float"])
    return {key: _decoded(item, tensors) for key, item in value.items()}


def _position(data: Mapping[str, Any], loaded: LoadedModel) -> Position:
    sizes, costs, correct = data["recent"].tolist()
    log = data["evaluations"]
    return Position(
        Snapshot(int(data["step"]), loaded.theta, loaded.buffers, data["slots"]),
        int(data["epoch"]),
        data["schedule_state"],
        None if data["tally"] is None else _tally(data["tally"]),
        data["eta"],
        data["stop_reason"],
        data["seconds"],
        ([int(size) for size in sizes], costs, correct),
        tuple(_rows(data["rows"])),
        tuple(_rows(data["rolling"])),
        tuple(data["resumed"]),
        (int(data["before"][0]), int(data["before"][1])),
        tuple((name, state) for name, state in data["callbacks"]),
        data["seen"],
        data["start"],
        None if log is None else _log(log),
    )


def _tally(data: Mapping[str, Any]) -> Tally:
    kept = data["kept"]
    blocks = [(kept["truth"], kept["outputs"], kept.get("weights"))] if kept else []
    return Tally(data["examples"], data["cost"], data["correct"], data["penalty"], blocks)


def _rows(data: Mapping[str, Any]) -> list[Row]:
    names, rows = data["names"], zip(data["values"].tolist(), data["kinds"].tolist(), strict=True)
    return [
        {
            name: int(value) if kind == _WHOLE else value
            for name, value, kind in zip(names, values, kinds, strict=True)
            if kind != _ABSENT
        }
        for values, kinds in rows
    ]


def _log(data: Mapping[str, Any]) -> Evaluations:
    points = [bytes(point).hex() for point in data["points"]]
    return Evaluations(points, data["costs"].tolist(), list(data["gradients"]))
