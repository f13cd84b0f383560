"""A recording as a file: a model file whose tensors hold the snapshots, and a fingerprint of the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_whole
from clearprop.engines import TrainingOptions, choose_engine, engine_names
from clearprop.errors import ClearpropError, DataError, DTypeError, FileFormatError, UnsupportedError
from clearprop.fitting.data import check_fraction, read_training_data, read_validation
from clearprop.io.files import as_path
from clearprop.model import Model, State
from clearprop.network import Network
from clearprop.optimizers import optimizers
from clearprop.persistence import load_model, restore, save_with
from clearprop.recorder.course import Course, OwnOrder
from clearprop.recorder.recording import Recording
from clearprop.recorder.snapshots import Snapshots
from clearprop.schedules import schedules
from clearprop.training.batches import Part
from clearprop.training.data import Examples
from clearprop.training.fingerprint import check_data, check_validation, fingerprint
from clearprop.training.options import PLAIN_OPTIONS, FitOptions, options_as_data
from clearprop.training.penalties import penalties
from clearprop.training.snapshot import Snapshot
from clearprop.training.targets import Targets

__all__ = ["load_recording", "save"]

_PREFIX = "recording."
_WHOLE = ("steps", "done", "every", "seed", "epochs_before", "steps_before", "first_epoch", "skip")


# Writing -----------------------------------------------------------------------------------------


def save(recording: Recording, path: str | Path, *, overwrite: bool, extra: Mapping[str, Any] | None) -> Path:
    """Write a recording; see `Recording.save`."""
    target = as_path(path)
    if extra is not None and not isinstance(extra, Mapping):
        raise DTypeError(f"extra must be a mapping of names to plain data, such as a dict. Got {extra!r}.")
    course, done = recording._course, recording._done
    about = {
        "steps": recording._last,
        "done": done,
        "stopped": recording.stopped,
        "conditions": recording.conditions,
        "every": recording._snapshots.every,
        "engine": course.engine.name,
        "seed": course.seed,
        "epochs_before": course.epochs_before,
        "steps_before": course.steps_before,
        "steps_per_epoch": course.steps_per_epoch,
        "first_epoch": course.first_epoch,
        "skip": course.skip,
        "states": [[epoch, dict(state)] for epoch, state in course.states],
        "callbacks": list(course.callbacks),
        "options": options_as_data(course.options),
        "data": fingerprint(course.examples),
        "validation": course.validation_left_out
        if course.validation is None
        else fingerprint(course.validation),
    }
    save_with(
        recording.network(done),
        target,
        {_PREFIX + name: tensor for name, tensor in _tensors(recording).items()},
        overwrite=overwrite,
        extra={**(extra or {}), "recording": about},
    )
    return target


def _tensors(recording: Recording) -> dict[str, Array]:
    course, kept = recording._course, list(recording._snapshots)
    tensors = {
        "steps": np.array([snapshot.step for snapshot in kept], np.int64),
        "theta": np.stack([snapshot.theta for snapshot in kept]),
        "buffers": np.stack([snapshot.buffers for snapshot in kept]),
        "starts": np.array(course.starts, np.int64),
    }
    with_slots = [snapshot for snapshot in kept if snapshot.slots]
    for name in with_slots[0].slots if with_slots else ():
        tensors[f"slot.{name}"] = np.stack([snapshot.slots[name] for snapshot in with_slots])
    for name in ("scale", "decay"):
        factors = getattr(course.options, name)
        if factors is not None:
            tensors[name] = factors
    return tensors | _order_as_tensors(course.own_order)


def _order_as_tensors(own: OwnOrder | None) -> dict[str, Array]:
    """Return an order of the user's own: all indices, and of every part its epoch, its length and its cut."""
    if own is None:
        return {}
    parts = [(i, *part) for i, epoch in enumerate(own.epochs) for part in epoch]
    return {
        "order": np.concatenate([np.zeros(0, np.int64), *(indices for _, indices, _ in parts)]),
        "order.parts": np.array([(i, len(x), size) for i, x, size in parts], np.int64).reshape(-1, 3),
    }


# Reading -----------------------------------------------------------------------------------------


def load_recording(
    path: str | Path,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    X_val: Any = None,
    y_val: Any = None,
    validation_fraction: float = 0.0,
    custom: Sequence[Any] = (),
    exact: bool = True,
) -> Recording:
    """Return the recording that `Recording.save` wrote to `path`, of a run on these data.

    X, y, sample_weight, class_weight, validation_fraction: as `fit` was given them; they are compared with
    the fingerprint in the file. X_val, y_val: as `fit` was given them, compared too; they may be left out, as
    only `resume` measures them.
    custom: classes of your own layers, activations and costs. exact: whether only the very bits will do.

    Errors: `DataError` for other data, naming what differs; `FileFormatError` for a file that is altered, or
    holds no recording; `UnsupportedError` where its engine is not installed.

    >>> import tempfile, clearprop as cp
    >>> X, y = cp.datasets.moons(200, noise=0.1, seed=0)
    >>> net = cp.Network([cp.Dense(8, "tanh"), cp.Dense(2, "softmax")], seed=0)
    >>> recorder = cp.FlightRecorder()
    >>> history = net.fit(X, y, epochs=5, callbacks=[recorder])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = recorder.run.save(f"{folder}/run.safetensors")
    ...     run = cp.load_recording(path, X, y)
    >>> run.differs(recorder.run) is None, run.steps
    (True, range(1, 36))
    """
    loaded = load_model(path, custom=custom)
    extra = loaded.extra.get("extra")
    about = extra.get("recording") if isinstance(extra, dict) else None
    tensors = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in loaded.extra_tensors.items()
        if name.startswith(_PREFIX)
    }
    if not isinstance(about, dict) or "theta" not in tensors:
        raise FileFormatError(
            f"{path} holds a network, but no recording of its training. Give a file that "
            "Recording.save wrote."
        )
    network = Network(loaded.model.layers, loaded.model.cost, dtype=loaded.theta.dtype)
    network._model, network._state = loaded.model, State(loaded.model, loaded.theta, loaded.buffers)
    restore(network, loaded, path, engine_names())
    data = read_training_data(
        network, X, y, sample_weight, class_weight, None, check_fraction(validation_fraction)
    )
    data, validation = read_validation(network, data, X_val, y_val, validation_fraction)
    if data.examples is None:
        raise DataError("load_recording needs the data of the run as a whole, not an iterable of batches.")
    try:
        check_data(about["data"], fingerprint(data.examples), str(path))
        if validation is not None:
            check_validation(about["validation"], fingerprint(validation), str(path), X_val is not None)
        return _recording(network, data.examples, data.targets, validation, about, tensors, exact)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ClearpropError) as error:
        if isinstance(error, DataError | UnsupportedError):
            raise
        raise FileFormatError(
            f"{path} holds a recording that Recording.save did not write so: {type(error).__name__}: {error}."
        ) from None


def _recording(
    network: Network,
    examples: Examples,
    targets: Targets,
    validation: Examples | None,
    about: Mapping[str, Any],
    tensors: Mapping[str, Array],
    exact: bool,
) -> Recording:
    model = network.model
    whole = {name: as_whole(name, about[name], at_least=0) for name in _WHOLE}
    options = _options_of(about["options"], tensors)
    engine, _ = choose_engine(
        about["engine"], model, TrainingOptions(options.optimizer.name, network.dtype.name)
    )
    course = Course(
        network=network,
        model=model,
        engine=engine,
        targets=targets,
        options=options,
        examples=examples.settled(),
        validation=None if validation is None else validation.settled(),
        seed=whole["seed"],
        epochs_before=whole["epochs_before"],
        steps_before=whole["steps_before"],
        steps_per_epoch=about["steps_per_epoch"],
        first_epoch=whole["first_epoch"],
        skip=whole["skip"],
        starts=tensors["starts"].tolist(),
        own_order=_order_of(tensors, whole["first_epoch"]),
        states=[(epoch, state) for epoch, state in about["states"]],
        callbacks=tuple(about["callbacks"]),
        validation_left_out=about["validation"] if validation is None else None,
    )
    return Recording(
        course,
        _snapshots_of(model, tensors, whole["every"]),
        steps=whole["steps"],
        done=whole["done"],
        conditions=about["conditions"],
        stopped=about["stopped"],
        exact=exact,
    )


def _options_of(stated: Mapping[str, Any], tensors: Mapping[str, Array]) -> FitOptions:
    schedule = stated["schedule"]
    return FitOptions(
        **{name: stated[name] for name in PLAIN_OPTIONS},
        optimizer=optimizers.make(stated["optimizer"]),
        schedule=None if schedule is None else schedules.make(schedule),
        penalty=penalties.make(stated["penalty"]),
        scale=tensors.get("scale"),
        decay=tensors.get("decay"),
    )


def _snapshots_of(model: Model, tensors: Mapping[str, Array], every: int) -> Snapshots:
    steps, theta, buffers = tensors["steps"], tensors["theta"], tensors["buffers"]
    n = len(steps)
    if theta.shape != (n, model.layout.size) or buffers.shape != (n, model.buffer_layout.size):
        raise FileFormatError(
            f"its {n} snapshots have parameters of shape {theta.shape} and buffers of shape {buffers.shape}"
        )
    slots = {name.removeprefix("slot."): rows for name, rows in tensors.items() if name.startswith("slot.")}
    found = []
    for i in range(n):
        of_slots = {name: rows[i - n] for name, rows in slots.items() if len(rows) >= n - i}
        found.append(Snapshot(int(steps[i]), theta[i], buffers[i], of_slots))
    kept = Snapshots(found[0], every, most=n, most_bytes=sum(snapshot.nbytes for snapshot in found))
    for snapshot in found[1:]:
        kept.add_last(snapshot)
    return kept


def _order_of(tensors: Mapping[str, Array], first_epoch: int) -> OwnOrder | None:
    if "order" not in tensors:
        return None
    own, at = OwnOrder(_unknown, first_epoch), 0
    for epoch, length, size in tensors["order.parts"].tolist():
        while len(own.epochs) <= epoch:
            own.epochs.append([])
        own.epochs[epoch].append((tensors["order"][at : at + length], size))
        at += length
    return own


def _unknown(epoch: int) -> Iterator[Part]:
    return iter(())
