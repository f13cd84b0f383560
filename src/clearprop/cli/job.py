"""One training job: build the network for the data, train it, measure it, save it and draw its page."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearprop.arrays import Array
from clearprop.cli.data import Source, class_labels, trained_labels
from clearprop.cli.keeping import Keeping
from clearprop.cli.measure import Measured, measure
from clearprop.cli.output import Output
from clearprop.cli.settings import Settings
from clearprop.cli.tables import TableDataset
from clearprop.datasets import Dataset
from clearprop.layers import ActivationOwner, Dropout
from clearprop.network import Network
from clearprop.tabular import TableEncoding
from clearprop.tabular.encoding import check_range as check_features
from clearprop.training.callbacks import Callback, NormHistory
from clearprop.training.data import Affine
from clearprop.training.progress import ProgressBar
from clearprop.training.scaling import TargetScale, check_range

__all__ = [
    "Trained",
    "build",
    "check_numbers",
    "describe_layers",
    "fitting_dtype",
    "settings_as_data",
    "train_network",
    "training_targets",
]

_MOST_NORMS = 400


@dataclass(frozen=True, eq=False)
class Trained:
    """A network after training, and what it says about the examples it is measured on."""

    network: Network
    dataset: Dataset
    settings: Settings
    measured: Measured
    part: str
    """Which part it was measured on: "test", or "training" where there is no test part."""
    held_out: str
    """What the columns "val_…" of the history were measured on."""
    norms: NormHistory
    seconds: float
    interrupted: bool


def build(
    dataset: Dataset, settings: Settings, where: str | None = None, encoding: TableEncoding | None = None
) -> Network:
    """Return an untrained network for the data: a softmax over the classes, or linear outputs.

    where: what messages call the data, if not by their name. encoding: what made inputs of a table, which are
    scaled already.
    """
    labels = class_labels(dataset, where)
    n_out = (
        len(labels) if labels is not None else 1 if dataset.y_train.ndim == 1 else dataset.y_train.shape[1]
    )
    known_range = dataset.scale != 1.0
    return Network(
        settings.make_layers(n_out, "identity" if labels is None else "softmax"),
        "mean_squared_error" if labels is None else "cross_entropy",
        seed=settings.seed,
        dtype=settings.dtype,
        engine=settings.engine,
        task=dataset.task,
        classes=labels,
        preprocessing=None
        if encoding is not None
        else Affine(factor=dataset.scale)
        if known_range
        else "standardize",
    ).build(dataset.X_train.shape[1])


def train_network(
    network: Network,
    dataset: Dataset,
    settings: Settings,
    output: Output,
    also: Sequence[Callback] = (),
    keeping: Keeping | None = None,
) -> Trained:
    """Train and measure; Ctrl-C ends training after the step at hand, and what there is then is measured.

    Without validation data the curves show the test part, which is then used for nothing but them.
    also: further callbacks. keeping: where checkpoints go; what is stopped then is no network to measure, but
    a run that can go on. Errors: those of `Network.fit`; then also KeyboardInterrupt, and SystemExit(143)
    after SIGTERM.
    """
    y, scale = training_targets(trained_labels(dataset, dataset.y_train), dataset.task)
    watched = _watched(dataset, settings, scale)
    held_out = "test" if "X_val" in watched else "validation"
    norms = NormHistory(every=_norms_every(dataset, settings))
    callbacks: list[Callback] = [norms, *also]
    if not output.quiet:
        callbacks.append(ProgressBar(output.progress, held_out))
    begun, interrupted = time.perf_counter(), False
    keeping = Keeping() if keeping is None else keeping
    try:
        with keeping.telling(output):
            network.fit(
                dataset.X_train,
                y,
                optimizer=settings.make_optimizer(),
                epochs=settings.epochs or 1,
                batch_size=settings.batch_size or 1,
                schedule=settings.make_schedule(),
                l2=settings.l2,
                early_stopping=settings.early_stopping,
                time_limit=settings.time_limit,
                callbacks=callbacks,
                **watched,
                **keeping.options,
            )
    except KeyboardInterrupt:
        if keeping.folder is not None or network.targets is None or network.history is None:
            raise  # the run can go on, or there is nothing to keep: it was before the first step
        interrupted = True
    seconds = time.perf_counter() - begun
    if scale is not None:
        scale.undo(network)
    part = "training" if dataset.X_test is None else "test"
    X, truth = (
        (dataset.X_train, dataset.y_train) if dataset.X_test is None else (dataset.X_test, dataset.y_test)
    )
    assert truth is not None
    network.extra = {
        "data": {"class_names": None if dataset.class_names is None else list(dataset.class_names)}
    }
    measured = measure(network, X, trained_labels(dataset, truth))
    return Trained(network, dataset, settings, measured, part, held_out, norms, seconds, interrupted)


def _watched(dataset: Dataset, settings: Settings, scale: TargetScale | None) -> dict[str, Any]:
    """Return the arguments of fit that say what is measured after each epoch."""
    if settings.validation:
        return {"validation_fraction": settings.validation}
    if dataset.X_test is None or dataset.y_test is None:
        return {}
    y = trained_labels(dataset, dataset.y_test)
    return {"X_val": dataset.X_test, "y_val": y if scale is None else scale(y)}


def _norms_every(dataset: Dataset, settings: Settings) -> int:
    steps = -(-len(dataset.X_train) // (settings.batch_size or 1)) * (settings.epochs or 1)
    return max(1, steps // _MOST_NORMS)


def training_targets(y: Array, task: str) -> tuple[Array, TargetScale | None]:
    """Return the targets that the network trains on, and how numbers among them were shifted and scaled."""
    if task != "regression":
        return y, None
    scale = TargetScale.of(y, shared=True)
    return scale(y), scale


def check_numbers(whole: Dataset, source: Source) -> None:
    """Raise `DataError` for numbers that no network can be trained on, while rows are as in the file."""
    if isinstance(whole, TableDataset):
        check_features(whole.table(whole.X_train), source.name)
    if whole.task != "regression":
        return
    check_range(whole.y_train, _named(source))
    if whole.y_test is not None:
        check_range(whole.y_test, f"{_named(source)} of the test part")


def fitting_dtype(rows: Dataset, settings: Settings, source: Source, output: Output) -> Settings:
    """Return the settings with a dtype that holds the target, and say so where it is not the one given."""
    if rows.task != "regression":
        return settings
    dtype = TargetScale.of(rows.y_train, _named(source), shared=True).dtype(settings.dtype)
    if dtype != settings.dtype:
        output.note(
            f"target {source.target or 'y'!r} reaches from {rows.y_train.min():.10g} to "
            f"{rows.y_train.max():.10g}, beyond what {settings.dtype} is exact for: the network is {dtype}"
        )
    return dataclasses.replace(settings, dtype=dtype)


def _named(source: Source) -> str:
    return "the target" if source.target is None else f"{source.name}: the target {source.target!r}"


def describe_layers(network: Network) -> str:
    """Return the layers in one line: "64 → 256 relu → dropout 0.3 → 10 softmax"."""
    parts = [str(network.model.n_in)]
    for layer in network.layers:
        if isinstance(layer, Dropout):
            parts.append(f"dropout {layer.rate:g}")
        elif isinstance(layer, ActivationOwner):
            parts.append(f"{layer.n_out} {layer.activation.name}")
        else:
            parts.append(type(layer).__name__)
    return " → ".join(parts)


def settings_as_data(settings: Settings) -> Mapping[str, Any]:
    """Return the settings as plain data for JSON and for the saved model."""
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}
