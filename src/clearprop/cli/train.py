"""`clearprop train`: from data to a saved network and a page of pictures, in one command."""

from __future__ import annotations

import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import clearprop
from clearprop.cli import options as opt
from clearprop.cli.data import Source, fingerprint, list_columns, load_source, split_off
from clearprop.cli.errors import INTERRUPTED, SUCCESS
from clearprop.cli.files import check_writable, model_and_page
from clearprop.cli.job import (
    Trained,
    build,
    check_numbers,
    describe_layers,
    fitting_dtype,
    settings_as_data,
    train_network,
)
from clearprop.cli.keeping import Keeping
from clearprop.cli.measure import headline, probabilities, say_measured
from clearprop.cli.output import Output, plain
from clearprop.cli.settings import FEWEST_FOR_TEST, Settings, parse_hidden
from clearprop.cli.tables import encoded, in_own_units
from clearprop.cli.threads import blas_threads, threads_sentence
from clearprop.datasets import Dataset
from clearprop.errors import ClearpropError, UnwritableFileError
from clearprop.network import Network, load
from clearprop.optimizers import optimizers
from clearprop.recorder import FlightRecorder
from clearprop.report import Answers, Report, require_matplotlib, write_page
from clearprop.tabular import KEY, TableEncoding, TabularModel

__all__ = ["train"]

_TEST_FRACTION = 0.2
_MAY_CHANGE = ("epochs", "time_limit")  # from one part of a run to the next
_COST_UNIT = "the target's variance"
_SCALED_COST = (
    f"costs are in units of {_COST_UNIT} (1 is that of always giving the mean); "
    "the result is in the target's own unit"
)
_LONGEST_NAMES = 100_000  # characters: a model file's header is bounded


def train(
    data_name: opt.AnyData,
    data: opt.Data = None,
    target: opt.Target = None,
    task: opt.Task = None,
    drop: opt.Drop = None,
    test_fraction: opt.TestFraction = None,
    validation: opt.Validation = None,
    hidden: opt.Hidden = None,
    activation: opt.Activation = "relu",
    dropout: opt.Dropout = None,
    dtype: opt.DType = "float32",
    engine: opt.Engine = "auto",
    optimizer: opt.OptimizerName = "adam",
    eta: opt.Eta = None,
    epochs: opt.Epochs = None,
    batch_size: opt.BatchSize = None,
    schedule: opt.ScheduleName = None,
    l2: opt.L2 = 0.0,
    early_stopping: opt.EarlyStopping = False,
    threads: opt.Threads = None,
    time_limit: opt.TimeLimit = None,
    checkpoint: opt.CheckpointFolder = None,
    checkpoint_steps: opt.CheckpointSteps = None,
    checkpoint_minutes: opt.CheckpointMinutes = None,
    resume: opt.Resume = False,
    inexact: opt.Inexact = False,
    seed: opt.Seed = 0,
    output: opt.ModelOutput = None,
    record: opt.Record = None,
    report: opt.WithReport = True,
    force: opt.Force = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Train a network on a data set or a table; save it, and draw a page of pictures.

    Prints the accuracy on examples that were held out, a confusion table, and the paths of both files.
    Ctrl-C stops training; the network so far is kept and saved. With --checkpoint it writes a checkpoint
    instead, and the same command with --resume goes on as if it had never stopped.
    """
    keeping = Keeping(checkpoint, checkpoint_steps, checkpoint_minutes, resume, inexact, force)
    keeping.check()
    settings = Settings(
        hidden=parse_hidden(hidden),
        activation=activation,
        dropout=dropout,
        optimizer=optimizer,
        eta=eta,
        epochs=epochs,
        batch_size=batch_size,
        schedule=schedule,
        l2=l2,
        seed=seed,
        engine=engine,
        dtype=dtype,
        test_fraction=test_fraction,
        validation=validation,
        early_stopping=early_stopping,
        time_limit=time_limit,
    )
    source = Source(data_name, data, target, task, tuple(list_columns(drop)))
    with blas_threads(threads):
        return _run(source, settings, output, record, report, force, Output(as_json, quiet), keeping)


def _run(
    source: Source,
    settings: Settings,
    path: Path | None,
    record: Path | None,
    report: bool,
    force: bool,
    output: Output,
    keeping: Keeping,
) -> int:
    settings.check()
    model, page = model_and_page(source.stem, path, report)
    outputs = {"the model": model, "the page": page, "the record": record}
    whole = load_source(source, output, settings.seed)  # first, so that a wrong name is told before a file
    if page is not None:
        require_matplotlib()
    check_numbers(whole, source)
    rows, settings = _prepared(whole, settings)
    settings = fitting_dtype(rows, settings, source, output)
    force = force or (keeping.goes_on and _is_of_this_run(model, whole, settings))
    check_writable(outputs, force, inputs=source.files)
    dataset, encoding = encoded(rows, settings.dtype)
    network = build(dataset, settings, source.name, encoding)
    output.note_pairs(_preamble(network, dataset, settings))
    recorder = FlightRecorder()
    also = [] if record is None else [recorder]
    trained = train_network(network, dataset, settings, output, also, keeping)
    network.extra = _extra(trained, whole, source)
    if encoding is not None:
        network.extra[KEY] = TabularModel(encoding, (network,)).config()
    network.save(model, overwrite=force)
    if record is not None:
        recorder.run.save(record, overwrite=force, extra=network.extra)
    if page is not None:
        write_page(page, _report(trained, model, rows, encoding), overwrite=force)
    try:
        _say(trained, model, page, record, output)
    except UnwritableFileError as error:  # the result is safe
        beside = "" if page is None else f", the page as {page}"
        raise UnwritableFileError(f"{error} The model was saved as {model}{beside}.") from None
    return INTERRUPTED if trained.interrupted else SUCCESS


def _prepared(whole: Dataset, settings: Settings) -> tuple[Dataset, Settings]:
    fraction = settings.test_fraction
    if fraction is None:
        fraction = _TEST_FRACTION if len(whole.X_train) >= FEWEST_FOR_TEST else 0.0
    elif whole.X_test is not None:
        whole.split(fraction)  # raises: it has a test part of its own
    return split_off(whole, fraction, settings.seed), settings.completed(whole)


def _parts(dataset: Dataset) -> str:
    if dataset.X_test is None:
        return f"all {len(dataset.X_train):,} for training"
    return f"{len(dataset.X_train):,} for training, {len(dataset.X_test):,} held out for the test"


def _how(settings: Settings) -> str:
    parts = [settings.optimizer]
    if settings.eta is not None:
        parts.append(f"eta {settings.eta:g}")
    if settings.schedule is not None:
        parts.append(f"schedule {settings.schedule}")
    if settings.l2:
        parts.append(f"l2 {settings.l2:g}")
    if optimizers[settings.optimizer].full_batch:
        parts += ["all examples at once", f"at most {settings.epochs:,} iterations"]
    else:
        parts += [f"batches of {settings.batch_size:,}", f"{settings.epochs:,} epochs"]
    parts.append(f"seed {settings.seed}")
    if settings.validation:
        parts.append(f"validation {settings.validation:.0%} of the training examples")
    return ", ".join(parts)


def _preamble(network: Network, dataset: Dataset, settings: Settings) -> list[tuple[str, str]]:
    return [
        ("data", f"{dataset.description}; {_parts(dataset)}"),
        (
            "network",
            f"{describe_layers(network)}; {network.n_parameters:,} parameters in {settings.dtype}",
        ),
        ("training", _how(settings)),
        ("computing", threads_sentence()),
        *([("costs", f"while training, {_SCALED_COST}")] if dataset.task == "regression" else []),
    ]


def _extra(trained: Trained, whole: Dataset, source: Source) -> dict[str, Any]:
    """Return what is kept in the model file about the data and the training."""
    dataset, settings, history = trained.dataset, trained.settings, trained.network.history
    names = list(whole.feature_names)
    own_test = whole.X_test is not None or dataset.X_test is None
    return {
        "data": {
            "name": dataset.name,
            "source": source.name,
            "description": dataset.description,
            "class_names": None if dataset.class_names is None else list(dataset.class_names),
            "feature_names": names if sum(map(len, names)) < _LONGEST_NAMES else None,
            "image_shape": None if dataset.image_shape is None else list(dataset.image_shape),
            "target": source.target,
            "task": dataset.task,
            "n_train": len(dataset.X_train),
            "n_test": 0 if dataset.X_test is None else len(dataset.X_test),
            "test_fraction": None if own_test else settings.test_fraction or _TEST_FRACTION,
            "split_seed": settings.seed,
            "fingerprint": fingerprint(whole),
        },
        "training": {
            "settings": _settings_as_data(settings),
            "epochs": 0 if history is None else len(history),
            "stopped": "" if history is None else history.stopped,
            "seconds": round(trained.seconds, 3),
            "engine": "" if history is None else history.engine,
            "environment": {} if history is None else history.environment,
            "cost_unit": _COST_UNIT if dataset.task == "regression" else None,
            "measured_on": trained.part,
            "measured": plain(trained.measured.metrics),
        },
    }


def _settings_as_data(settings: Settings) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings_as_data(settings).items()}


def _is_of_this_run(model: Path, whole: Dataset, settings: Settings) -> bool:
    """Return whether a model file was written by an earlier part of the run that is gone on with."""
    if not os.path.isfile(model):
        return False
    try:
        extra = load(model).extra
        found, data = dict(extra["training"]["settings"]), extra["data"]
    except (ClearpropError, KeyError, TypeError, ValueError):
        return False
    ours = _settings_as_data(settings)
    return data.get("fingerprint") == fingerprint(whole) and all(
        found.get(name) == value for name, value in ours.items() if name not in _MAY_CHANGE
    )


def _report(trained: Trained, model: Path, rows: Dataset, encoding: TableEncoding | None) -> Report:
    """Return what the page shows. rows: the data before a table became inputs."""
    network, dataset = trained.network, trained.dataset
    history = network.history
    assert history is not None
    classes = dataset.class_names
    shown, inputs_of = in_own_units(rows, encoding) or (dataset, lambda points: points)
    X = shown.X_train if shown.X_test is None else shown.X_test
    answers = Answers(
        X=X,
        true=trained.measured.true,
        predicted=trained.measured.predicted,
        probabilities=trained.measured.probabilities,
        class_names=classes,
        feature_names=shown.feature_names,
        target=network.extra["data"]["target"] or "y",
        image_shape=dataset.image_shape,
        outputs=lambda points: (
            network.outputs(inputs_of(points))
            if classes is None
            else _probabilities(network, inputs_of(points))
        ),
    )
    result = headline(trained.measured, trained.part)
    return Report(
        title=f"clearprop: {dataset.name}",
        headline=result[0].upper() + result[1:],
        facts=_facts(trained, model, rows, encoding),
        history=history,
        answers=answers,
        held_out=trained.held_out,
        measured_on=trained.part,
        norms=trained.norms,
    )


def _probabilities(network: Network, points: Any) -> Any:
    found = probabilities(network, points)
    return network.outputs(points) if found is None else found


def _preprocessing(rows: Dataset, encoding: TableEncoding | None) -> str:
    if encoding is not None:
        kinds = Counter(column.kind for column in encoding.columns)
        told = ", ".join(f"{kind} × {count}" for kind, count in kinds.items())
        return f"columns ({told}) encoded as {len(encoding.inputs)} inputs"
    return "each feature to mean 0, deviation 1" if rows.scale == 1.0 else f"features × {rows.scale:.6g}"


def _facts(
    trained: Trained, model: Path, rows: Dataset, encoding: TableEncoding | None
) -> list[tuple[str, str]]:
    network, dataset, settings = trained.network, trained.dataset, trained.settings
    history = network.history
    assert history is not None
    environment = history.environment
    ended = "" if history.stopped == "epochs" else f", stopped after {len(history)} epochs: {history.stopped}"
    return [
        ("Data", dataset.description),
        ("Examples", _parts(dataset)),
        ("Preprocessing", _preprocessing(rows, encoding)),
        *([("Costs", f"in the curves, {_SCALED_COST}")] if dataset.task == "regression" else []),
        ("Network", describe_layers(network)),
        ("Parameters", f"{network.n_parameters:,} in {settings.dtype}; cost {network.cost.name}"),
        ("Training", _how(settings)),
        (
            "Time",
            f"{trained.seconds:.1f} s, {history[-1]['step']:,.0f} steps{ended}"
            if len(history)
            else f"{trained.seconds:.1f} s{ended}",
        ),
        (
            "Engine",
            f"{history.engine.removeprefix('engine: ')} {environment['blas']}, {threads_sentence()}, "
            f"{environment['machine']}",
        ),
        (
            "Versions",
            f"clearprop {clearprop.__version__}, NumPy {np.__version__}, Python {platform.python_version()}",
        ),
        ("Model", model.name),
    ]


def _say(trained: Trained, model: Path, page: Path | None, record: Path | None, output: Output) -> None:
    history = trained.network.history
    assert history is not None
    say_measured(output, trained.measured, trained.part)
    output.say()
    if trained.interrupted:
        output.say(f"interrupted after {len(history)} epochs; this is the network as it was then")
    rows = [("time", f"{trained.seconds:.1f} s"), ("model", str(model))]
    rows += [("page", str(page))] if page is not None else []
    rows += [("record", str(record))] if record is not None else []
    output.say_pairs(rows)
    output.finish(
        {
            "command": "train",
            **trained.network.extra,
            "network": {
                "layers": describe_layers(trained.network),
                "parameters": trained.network.n_parameters,
                "cost": trained.network.cost.name,
                "dtype": trained.settings.dtype,
            },
            "history": history.to_dict(),
            "held_out": trained.held_out,
            "measured": {"part": trained.part, **trained.measured.as_dict()},
            "interrupted": trained.interrupted,
            "model": str(model),
            "page": None if page is None else str(page),
            "record": None if record is None else str(record),
        }
    )
