"""`clearprop replay`: any step of a recorded run again, and where two runs first differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.cli import options as opt
from clearprop.cli.data import Source, list_columns
from clearprop.cli.errors import SUCCESS
from clearprop.cli.job import training_targets
from clearprop.cli.models import about_data, trained_on
from clearprop.cli.output import Output, table
from clearprop.cli.threads import blas_threads
from clearprop.errors import OptionError
from clearprop.network import Network, load
from clearprop.recorder import Difference, Recording, load_recording
from clearprop.trace import LayerTrace, Trace

__all__ = ["replay"]

_MOST_SHOWN = 8  # examples of a batch, and entries along each axis of an array


def replay(
    recording: opt.Recorded,
    data_name: opt.RecordedData,
    step: opt.RecordedStep = None,
    layer: opt.RecordedLayer = None,
    compare: opt.OtherRecording = None,
    inexact: opt.Inexact = False,
    data: opt.Data = None,
    target: opt.Target = None,
    drop: opt.Drop = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Look at any step of a recorded run: it is done again from the nearest snapshot, bit for bit.

    Prints the step's batch, rate, cost, and of every layer its activations, errors and gradients; with
    --layer the numbers themselves. With --compare says at which step, in which layer and by how much two runs
    first differ. Without --step and --compare describes the recording.
    """
    if layer is not None and step is None:
        raise OptionError("--layer shows numbers of one step. Give --step too.")
    output = Output(as_json)
    source = Source(data_name, data, target, None, tuple(list_columns(drop)))
    network = load(recording)
    with blas_threads(_threads(network)):
        run = _load(recording, network, source, not inexact, output)
        # All that may be refused comes before the first line of the result.
        trace = None if step is None else run.trace(step)
        chosen = None if trace is None or layer is None else trace[layer]
        other = None if compare is None else _load(compare, load(compare), source, not inexact, output)
        difference = None if other is None else run.differs(other)
        result: dict[str, Any] = {"command": "replay", "recording": str(recording), **_say_run(run, output)}
        if trace is not None and step is not None:
            result["step"] = _say_step(run, step, trace, chosen, output)
        if other is not None:
            found = _say_difference(run, other, difference, output)
            result["compare"] = {"other": str(compare), "difference": found}
    output.finish(result)
    return SUCCESS


def _threads(network: Network) -> int | None:
    """Return how many BLAS threads the run had, where its bits depend on it and it is known."""
    about = network.extra.get("recording")
    conditions = about.get("conditions", {}) if isinstance(about, Mapping) else {}
    threads = conditions.get("blas_threads")
    return threads if isinstance(threads, int) else None


def _load(path: Path, network: Network, source: Source, exact: bool, output: Output) -> Recording:
    found = trained_on(network, source, str(path), output)
    assert found.y is not None
    y, _ = training_targets(found.y, str(about_data(network).get("task")))
    settings = network.extra.get("training", {}).get("settings", {})
    return load_recording(
        path, found.X, y, validation_fraction=settings.get("validation") or 0.0, exact=exact
    )


def _say_run(run: Recording, output: Output) -> dict[str, Any]:
    first, last = run.steps.start, run.steps.stop - 1
    conditions = run.conditions
    how = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in conditions.items())
    output.say_pairs(
        [
            ("run", f"steps {first:,} to {last:,}, ended by: {run.stopped}; seed {run.seed}"),
            ("recorded", f"{len(run.kept)} snapshots, {run.nbytes:,} bytes"),
            ("bits hold for", how),
        ]
    )
    return {
        "steps": {"first": first, "last": last},
        "stopped": run.stopped,
        "seed": run.seed,
        "snapshots": run.kept,
        "conditions": conditions,
        "exact": run.exact,
    }


def _say_step(
    run: Recording, step: int, trace: Trace, chosen: LayerTrace | None, output: Output
) -> dict[str, Any]:
    batch, eta, epoch = run.batch(step), run.eta(step), run.epoch(step)
    shown = ", ".join(str(example) for example in batch[:_MOST_SHOWN])
    more = ", …" if len(batch) > _MOST_SHOWN else ""
    output.say()
    output.say_pairs(
        [
            ("step", f"{step:,} in epoch {epoch:,}, eta {eta:.6g}"),
            ("batch", f"{len(batch):,} examples: {shown}{more}"),
            ("cost", f"{trace.cost:.9g}"),
        ]
    )
    result: dict[str, Any] = {"step": step, "epoch": epoch, "eta": eta, "batch": batch, "cost": trace.cost}
    output.say()
    if chosen is not None:
        _say_layer(chosen, output)
        return {**result, "layer": {"address": chosen.address, **_values(chosen)}}
    rows = _layer_rows(run, trace, step)
    right = (False, False, True, True, True, True, True, True)
    cells = [
        tuple("" if v is None else f"{v:.4g}" if isinstance(v, float) else v for v in row) for row in rows
    ]
    for line in table([_HEADER, *cells], right):
        output.say(line)
    names = [name.replace(" ", "_") for name in _HEADER]
    return {**result, "layers": [dict(zip(names, row, strict=True)) for row in rows]}


_HEADER = ("layer", "kind", "least a", "mean a", "largest a", "norm of delta", "norm of dC_dW", "norm of W")


def _layer_rows(run: Recording, trace: Trace, step: int) -> list[tuple[Any, ...]]:
    weights = run.network(step - 1).parameters
    rows: list[tuple[Any, ...]] = []
    for address, layer in trace.layers.items():
        kind = "input" if layer.layer is None else type(layer.layer).__name__
        a = layer.a
        figures = float(a.min()), float(a.mean()), float(a.max())
        found = _values(layer)
        norms = [_norm(found.get("delta")), _norm(found.get("dC_dW")), _norm(weights.get(f"{address}.W"))]
        rows.append((address, kind, *figures, *norms))
    return rows


def _norm(values: Array | None) -> float | None:
    return None if values is None else float(np.linalg.norm(values))


def _values(layer: LayerTrace) -> dict[str, Array]:
    """Return every array of a layer by name."""
    fields = {name: getattr(layer, name) for name in layer.fields}
    return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}


def _say_layer(layer: LayerTrace, output: Output) -> None:
    for name, value in _values(layer).items():
        shape = " × ".join(str(n) for n in value.shape)
        output.say(f"{name} of layer {layer.address}, {shape}")
        with np.printoptions(precision=8, threshold=_MOST_SHOWN**2, edgeitems=3, linewidth=output.width):
            for line in str(value).splitlines():
                output.say(f"  {line}")


def _say_difference(
    run: Recording, other: Recording, found: Difference | None, output: Output
) -> dict[str, Any] | None:
    mine, theirs = run.steps.stop - 1, other.steps.stop - 1
    output.say()
    if found is None:
        ends = "" if mine == theirs else f", where one ends; the other goes on to step {max(mine, theirs):,}"
        output.say(f"the two runs are the same, bit for bit, to step {min(mine, theirs):,}{ends}")
        return None
    output.say(f"the two runs first differ at {found}")
    return {**dataclasses.asdict(found), "size": found.size}
