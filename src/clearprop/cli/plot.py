"""`clearprop plot`: pictures of activations, networks, training and gradients as files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from clearprop import plots
from clearprop.activations import activations
from clearprop.arrays import Array
from clearprop.cli import options as opt
from clearprop.cli.data import Source, list_columns, load_source, trained_labels
from clearprop.cli.errors import SUCCESS
from clearprop.cli.files import check_writable
from clearprop.cli.job import build, describe_layers, train_network
from clearprop.cli.models import labelled
from clearprop.cli.output import Output
from clearprop.cli.settings import Settings, parse_hidden, parse_weight
from clearprop.cli.tables import encoded
from clearprop.cli.threads import blas_threads
from clearprop.errors import OptionError, UnknownNameError, did_you_mean
from clearprop.network import Network, load
from clearprop.plots import (
    activation_curves,
    boundaries,
    checking,
    curves,
    efforts,
    hidden,
    landscapes,
    network_picture,
    nudging,
    points_and_answers,
    weight_images,
)
from clearprop.plots.films import MOVING, require_ffmpeg
from clearprop.plots.saving import STILL, ending
from clearprop.plots.style import require_matplotlib
from clearprop.tabular import TableEncoding
from clearprop.training.callbacks import NormHistory
from clearprop.training.data import Affine

__all__ = ["plot"]

_SNAPSHOTS = 30
_EXAMPLES = 500


def plot(
    kind: opt.PlotKind,
    what: opt.PlotWhat = None,
    data: opt.Data = None,
    target: opt.Target = None,
    task: opt.Task = None,
    drop: opt.Drop = None,
    model: opt.PlotModel = None,
    hidden: opt.PlotHidden = None,
    activation: opt.PlotActivation = None,
    epochs: opt.Epochs = None,
    eta: opt.Eta = None,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    layer: opt.PlotLayer = None,
    weight: opt.PlotWeight = None,
    bias: opt.PlotBias = None,
    example: opt.PlotExample = None,
    examples: opt.PlotExamples = None,
    output: opt.PlotOutput = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Draw a picture and write it to a file.

    Of no network: activation, data, effort (backpropagation beside finite differences).

    Of a network, newly trained on the data or given by --model: network, nudge, boundary, predictions,
    representations, weights, landscape, step-sizes.

    Of a training, of a new network: norms, history, check (the gradient of every example against
    differences), film-boundary, film-representations.
    """
    out = Output(as_json, quiet)
    picture = _picture(kind)
    source = Source(what or "moons", data, target, task, tuple(list_columns(drop)))
    path = _path(kind, picture, output)
    check_writable({"the picture": path}, force, inputs={"the model": model, **source.files})
    if not picture.of_data:
        its = {"--data": data, "--target": target, "--task": task, "--drop": drop}
        _check_no_data(kind, its, what if kind == "effort" else None)
    _check_options(
        kind,
        picture,
        {"--hidden": hidden, "--activation": activation, "--epochs": epochs, "--eta": eta},
        {
            "--layer": layer,
            "--weight": weight,
            "--bias": bias,
            "--example": example,
            "--examples": examples,
        },
        model,
    )
    which = parse_weight(weight)
    settings = Settings(
        hidden=parse_hidden("16,16" if hidden is None else hidden),
        activation=activation or "tanh",
        dtype="float64",
        dropout=0.0,
        epochs=epochs,
        eta=eta,
        seed=seed,
        schedule="none",
    )
    settings.check()
    with blas_threads(threads):
        some = _EXAMPLES if examples is None else examples
        subject = Subject(what, source, model, settings, some, layer, which, bias, example or 0, out)
        record, drawn = picture.draw(subject)
        plots.save(drawn, path, overwrite=force)
    out.say(f"picture  {path}")
    result = {"command": "plot", "kind": kind, "file": str(path), **subject.about}
    out.finish({**result, "numbers": _numbers(record)})
    return SUCCESS


def _check_no_data(kind: str, of_data: dict[str, Any], what: str | None) -> None:
    """Raise `OptionError` for an option or argument of data, of which this picture shows none."""
    given = [option for option, value in of_data.items() if value is not None]
    given += [] if what is None else [repr(what)]
    if given:
        raise OptionError(f"{kind} shows no data. Leave {' and '.join(given)} out.")


def _check_options(
    kind: str, picture: Picture, of_network: dict[str, Any], of_picture: dict[str, Any], model: Path | None
) -> None:
    """Raise `OptionError` for an option that this picture has no use for."""
    for option, value in of_network.items():
        if value is not None and not picture.trains:
            raise OptionError(f"{option} is of a network, and {kind} shows none. Leave {option} out.")
        if value is not None and model is not None:
            raise OptionError(f"{option} is of a new network; --model has its own. Give one of them.")
    if model is not None and not picture.trains:
        raise OptionError(f"{kind} shows no network. Leave --model out.")
    if model is not None and picture.of_training:
        raise OptionError(f"{kind} shows a training, which a saved model is past. Leave --model out.")
    for option, value in of_picture.items():
        if value is not None and option not in picture.options:
            raise OptionError(f"{option} does not go with {kind}. Leave it out.")


@dataclass
class Subject:
    """What a picture is of, computed when it is first asked for."""

    what: str | None
    source: Source
    model: Path | None
    settings: Settings
    examples: int
    layer: str | None
    weight: tuple[int, int] | None
    bias: int | None
    example: int
    output: Output
    about: dict[str, Any] = field(default_factory=dict)
    """What is said of the network in JSON."""
    norms: NormHistory | None = None
    snapshots: plots.Snapshots = field(default_factory=lambda: plots.Snapshots(1, _SNAPSHOTS))

    @cached_property
    def points(self) -> tuple[Array, Array]:
        """The examples to draw, with the labels that the network is trained on."""
        if self.model is not None:
            found = labelled(self.network, self.source, None, self.output)
            assert found.y is not None
            return found.X[: self.examples], found.y[: self.examples]
        dataset = self.dataset
        y = trained_labels(dataset, dataset.y_train)
        return dataset.X_train[: self.examples], y[: self.examples]

    @cached_property
    def encoded(self) -> tuple[Any, TableEncoding | None]:
        """The data set as inputs of a network, and how a table became such."""
        return encoded(load_source(self.source, self.output, self.settings.seed), self.settings.dtype)

    @property
    def dataset(self) -> Any:
        """The data set."""
        return self.encoded[0]

    @cached_property
    def network(self) -> Network:
        """The saved model, or a network trained on the data."""
        if self.model is not None:
            network = load(self.model)
            self._describe(network)
            return network
        settings = self.settings.completed(self.dataset)
        network = build(self.dataset, settings, self.source.name, self.encoded[1])
        self.output.note(
            f"training {describe_layers(network)} on {self.source.name}, {settings.epochs} epochs"
        )
        trained = train_network(network, self.dataset, settings, self.output, [self.snapshots])
        self.norms = trained.norms
        self._describe(network)
        return network

    @cached_property
    def untrained(self) -> Network:
        """A network for the data before training."""
        settings = self.settings.completed(self.dataset)
        network = build(self.dataset, settings, self.source.name, self.encoded[1])
        if network.preprocessing == "standardize":
            network.preprocessing = Affine.standardize(self.dataset.X_train)
        self._describe(network)
        return network

    def _describe(self, network: Network) -> None:
        self.about = {"network": describe_layers(network), "parameters": network.n_parameters}


Drawn = tuple[Any, Any]
"""The numbers, and the figure or animation."""


@dataclass(frozen=True)
class Picture:
    """One kind of picture."""

    draw: Callable[[Subject], Drawn]
    trains: bool = True
    """Whether there is a network."""
    of_data: bool = True
    """Whether it is of a data set, or of a network trained on one."""
    of_training: bool = False
    """Whether it shows a training, so that a saved model will not do."""
    moves: bool = False
    options: tuple[str, ...] = ()


def _activation(of: Subject) -> Drawn:
    if of.what in (None, "all"):
        return tuple(map(plots.activation_data, activations)), plots.all_activations()
    assert of.what is not None
    record = plots.activation_data(of.what)
    return record, activation_curves.draw_activation(record)


def _data(of: Subject) -> Drawn:
    record = plots.scatter_data(*of.points)
    return record, points_and_answers.draw_scatter(record)


def _effort(of: Subject) -> Drawn:
    record = plots.effort_data()
    return record, efforts.draw_effort(record)


def _network(of: Subject) -> Drawn:
    record = plots.network_data(of.network, *of.points)
    return record, network_picture.draw_network(record)


def _nudge(of: Subject) -> Drawn:
    if of.weight is not None and of.bias is not None:
        raise OptionError("nudge moves one parameter: give --weight or --bias.")
    chosen: dict[str, Any] = {"weight": of.weight or (0, 0)} if of.bias is None else {"bias": of.bias}
    record = plots.nudge_data(of.network, *of.points, of.layer or "1", example=of.example, **chosen)
    return record, nudging.draw_nudge(record)


def _boundary(of: Subject) -> Drawn:
    record = plots.boundary_data(of.network, *of.points)
    return record, boundaries.draw_boundary(record)


def _predictions(of: Subject) -> Drawn:
    record = plots.predictions_data(of.network, *of.points)
    return record, points_and_answers.draw_predictions(record)


def _representations(of: Subject) -> Drawn:
    record = plots.representations_data(of.network, *of.points, layers=of.layer)
    return record, hidden.draw_representations(record)


def _weights(of: Subject) -> Drawn:
    record = plots.weights_data(of.network, of.layer or "1")
    return record, weight_images.draw_weights(record)


def _landscape(of: Subject) -> Drawn:
    record = plots.landscape_data(of.network, *of.points, seed=of.settings.seed)
    return record, landscapes.draw_landscape(record)


def _step_sizes(of: Subject) -> Drawn:
    record = plots.step_sizes_data(of.network, *of.points)
    return record, checking.draw_step_sizes(record)


def _norms(of: Subject) -> Drawn:
    _ = of.network
    assert of.norms is not None
    record = plots.norms_data(of.norms)
    return record, curves.draw_norms(record)


def _history(of: Subject) -> Drawn:
    history = of.network.history
    assert history is not None
    record = plots.history_data(history)
    return record, curves.draw_history(record)


def _check(of: Subject) -> Drawn:
    asked = of.settings
    training: dict[str, Any] = {"epochs": asked.epochs or 10} | ({"eta": asked.eta} if asked.eta else {})
    record = plots.gradient_check_data(of.untrained, *of.points, **training)
    return record, checking.draw_gradient_check(record)


def _film_boundary(of: Subject) -> Drawn:
    if of.dataset.task == "regression":
        raise OptionError(f"film-boundary needs classes; the targets of {of.source.name!r} are numbers.")
    film = plots.animate_boundary(of.network, of.snapshots, *of.points)
    return _frames(of), film


def _film_representations(of: Subject) -> Drawn:
    film = plots.animate_representations(of.network, of.snapshots, *of.points, layers=of.layer)
    return _frames(of), film


def _frames(of: Subject) -> tuple[dict[str, Any], ...]:
    """Return of each frame when it is and how the training stood; all that it shows would be megabytes."""
    return tuple({"epoch": each.epoch, "cost": each.cost} for each in of.snapshots.kept)


_POINTS = ("--examples",)
"""The option of every picture that draws examples, or takes their cost."""


_PICTURES = {
    "activation": Picture(_activation, trains=False, of_data=False),
    "data": Picture(_data, trains=False, options=_POINTS),
    "effort": Picture(_effort, trains=False, of_data=False),
    "network": Picture(_network, options=_POINTS),
    "nudge": Picture(_nudge, options=("--layer", "--weight", "--bias", "--example", *_POINTS)),
    "boundary": Picture(_boundary, options=_POINTS),
    "predictions": Picture(_predictions, options=_POINTS),
    "representations": Picture(_representations, options=("--layer", *_POINTS)),
    "weights": Picture(_weights, options=("--layer",)),
    "landscape": Picture(_landscape, options=_POINTS),
    "step-sizes": Picture(_step_sizes, options=_POINTS),
    "norms": Picture(_norms, of_training=True),
    "history": Picture(_history, of_training=True),
    "check": Picture(_check, of_training=True, options=_POINTS),
    "film-boundary": Picture(_film_boundary, of_training=True, moves=True, options=_POINTS),
    "film-representations": Picture(
        _film_representations, of_training=True, moves=True, options=("--layer", *_POINTS)
    ),
}


def _picture(kind: str) -> Picture:
    if kind not in _PICTURES:
        hint = did_you_mean(kind, _PICTURES)
        raise UnknownNameError(f"there is no picture {kind!r}.{hint} There are: {', '.join(_PICTURES)}.")
    return _PICTURES[kind]


def _path(kind: str, picture: Picture, output: Path | None) -> Path:
    """Return where the picture goes; raise, before any training, for what cannot be drawn here."""
    require_matplotlib()
    path = output if output is not None else Path(f"{kind}.{'gif' if picture.moves else 'png'}")
    if ending(path, MOVING if picture.moves else STILL) == "mp4":
        require_ffmpeg()
    return path


def _numbers(record: Any) -> Any:
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return dataclasses.asdict(record)
    if isinstance(record, tuple):
        return [_numbers(item) for item in record]
    return record
