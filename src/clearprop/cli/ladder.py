"""`clearprop ladder`: how fast and how exact every rung is on a network of the user's choice."""

from __future__ import annotations

import dataclasses

from clearprop.arrays import Array
from clearprop.cli import options as opt
from clearprop.cli.data import Source, list_columns, load_source, trained_labels
from clearprop.cli.errors import SUCCESS
from clearprop.cli.job import build, describe_layers
from clearprop.cli.models import labelled
from clearprop.cli.output import Output, table
from clearprop.cli.settings import Settings, parse_hidden
from clearprop.cli.tables import encoded
from clearprop.cli.threads import blas_threads
from clearprop.errors import OptionError
from clearprop.ladder import Ladder, Machine, Rung
from clearprop.ladder import ladder as measure_ladder
from clearprop.network import Network, load
from clearprop.training.data import Affine

__all__ = ["ladder"]


def ladder(
    data_name: opt.LadderData = "digits",
    data: opt.Data = None,
    target: opt.Target = None,
    task: opt.Task = None,
    drop: opt.Drop = None,
    model: opt.ModelOption = None,
    hidden: opt.LadderHidden = None,
    activation: opt.LadderActivation = None,
    dtype: opt.LadderDType = None,
    batch_size: opt.PassSize = 32,
    seconds: opt.Seconds = 1.0,
    threads: opt.Threads = None,
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Measure every rung of the ladder on the same network and examples.

    Prints examples per second (forward and backward), the ratio to the rung above, and the largest
    difference of the gradient from that of the reference, relative to its largest entry.
    """
    output = Output(as_json)
    source = Source(data_name, data, target, task, tuple(list_columns(drop)))
    with blas_threads(threads):
        if model is not None:
            for option, value in (("--hidden", hidden), ("--activation", activation), ("--dtype", dtype)):
                if value is not None:
                    raise OptionError(
                        f"{option} describes a new network; --model has its own. Give one of them."
                    )
            network = load(model)
            found = labelled(network, source, None, output)
            assert found.y is not None
            X, y = found.X, found.y
        else:
            settings = Settings(
                hidden=parse_hidden("30" if hidden is None else hidden),
                activation=activation or "sigmoid",
                dtype=dtype or "float64",
                dropout=0.0,
                seed=seed,
            )
            settings.check()
            network, X, y = _new(source, settings, output)
        output.note(
            f"network  {describe_layers(network)}; {network.n_parameters:,} parameters in {network.dtype}"
        )
        measured = measure_ladder(
            network,
            X,
            y,
            batch_size=batch_size,
            seconds=seconds,
            on_rung=lambda name: output.note(f"measuring {name}"),
        )
    _say(measured, output)
    output.finish(
        {
            "command": "ladder",
            "data": data_name,
            "network": describe_layers(network),
            "parameters": measured.n_parameters,
            "dtype": measured.dtype,
            "reference": measured.reference,
            "machine": dataclasses.asdict(measured.machine),
            "rungs": [dataclasses.asdict(rung) for rung in measured.rungs],
        }
    )
    return SUCCESS


def _new(source: Source, settings: Settings, output: Output) -> tuple[Network, Array, Array]:
    dataset, encoding = encoded(load_source(source, output, settings.seed), settings.dtype)
    network = build(dataset, settings, source.name, encoding)
    if network.preprocessing == "standardize":
        network.preprocessing = Affine.standardize(dataset.X_train)
    return network, dataset.X_train, trained_labels(dataset, dataset.y_train)


def _say(measured: Ladder, output: Output) -> None:
    header = ("rung", "examples/s", "x rung above", "gradient difference", "batch")
    rows = [header, *(_row(rung) for rung in measured.rungs)]
    for line in table(rows, (False, True, True, True, True)):
        output.say(line)
    output.say()
    for rung in measured.rungs:
        if rung.declined is not None:
            output.say(f"{rung.engine} declined: {rung.declined}")
    output.say(
        f"reference {measured.reference}, {measured.dtype}; difference: max |g - g_ref| / max |g_ref|; "
        f"{_machine(measured.machine)}"
    )


def _row(rung: Rung) -> tuple[str, ...]:
    if rung.examples_per_second is None or rung.gradient_difference is None:
        return rung.engine, "declined", "", "", ""
    speed = rung.examples_per_second
    shown = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2f}"
    ratio = "" if rung.ratio is None else f"{rung.ratio:.3g}"
    return rung.engine, shown, ratio, f"{rung.gradient_difference:.1e}", str(rung.batch)


def _machine(found: Machine) -> str:
    threads = "?" if found.blas_threads is None else found.blas_threads
    return f"{found.blas}, BLAS threads {threads}, CPUs {found.cpus}, {found.processor}"
