"""TensorBoard: a training written to event files as it goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_flag, as_whole
from clearprop.errors import DTypeError
from clearprop.interchange.event_file import EventFile
from clearprop.training.callbacks import Callback
from clearprop.training.history import Row
from clearprop.training.penalties import norm

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["TensorBoard"]

_NO_FIGURE = ("epoch", "step", "seconds")


class TensorBoard(Callback):
    """Write a training to TensorBoard's event files: ``tensorboard --logdir runs`` shows it as it goes.

    After every epoch: cost, accuracy and metrics, the rate "eta", and, as "norm/1.W" and "gradient/1.W", the
    norms of each layer's parameters and of their gradient in the epoch's last recorded step; at the
    beginning, the architecture and what was asked of fit, as texts. Figures of the validation data stand in
    a run of their own, folder/validation beside folder/training, under the same tags, so that both curves
    come into one chart. The horizontal axis is the epoch; a second fit of the network goes on where the
    first ended.

    Parameters:
        folder: where the two runs go, one folder for each training, such as "runs/first". Nothing in it is
            overwritten.
        histograms: write the distribution of each parameter every so many epochs; 0 for never.
        norms: whether to write norms.
        gradients_every: in every how many steps the gradient is looked at, for its norms; 0 for never. Steps
            in between run as fast as without.

    The files are written without TensorFlow or any other package.

    Errors: `UnwritableFileError` at the beginning of fit; `DTypeError`, `OptionError`.

    >>> import tempfile
    >>> from clearprop.network import Network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net = Network([2, 3, 1], seed=0)
    ...     history = net.fit([[0, 1], [1, 0]], [[1.0], [0.0]], epochs=2, callbacks=[TensorBoard(folder)])
    ...     [path.name for path in Path(folder).iterdir()]
    ['training']
    """

    reads_theta = False
    changes_parameters = False

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        histograms: int = 0,
        norms: bool = True,
        gradients_every: int = 0,
    ) -> None:
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise DTypeError(f"folder of TensorBoard must be the path of a folder. Got {folder!r}.")
        self.folder = Path(folder)
        self.histograms = as_whole("histograms of TensorBoard", histograms, at_least=0)
        self.norms = as_flag("norms of TensorBoard", norms)
        self.every = as_whole("gradients_every of TensorBoard", gradients_every, at_least=0)
        self._gradient: Array | None = None
        self._files: dict[str, EventFile] = {}

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Open the file, and write what is trained and how."""
        self._files, self._gradient = {}, None
        training = self._file("training")
        training.text("architecture", _architecture(run), run.epochs_before)
        training.text("training", _options(run), run.epochs_before)
        training.flush()

    def on_gradient(self, run: TrainingRun, gradient: Array) -> None:
        """Keep the gradient of this step, for the norms at the end of the epoch."""
        if self._gradient is None:
            self._gradient = np.empty_like(gradient)
        self._gradient[:] = gradient

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Write the figures of the epoch."""
        epoch, training = run.epochs_before + run.epoch, self._file("training")
        for name, value in row.items():
            if name not in _NO_FIGURE:
                part = "validation" if name.startswith("val_") else "training"
                self._file(part).scalar(name.removeprefix("val_"), value, epoch)
        if self.norms:
            training.scalars(_norms(run, "norm", run.state.theta), epoch)
        if self._gradient is not None:
            training.scalars(_norms(run, "gradient", self._gradient), epoch)
        if self.histograms and run.epoch % self.histograms == 0:
            for entry in run.model.layout.entries:
                training.histogram(entry.address, run.state.theta[entry.block], epoch)
        for file in self._files.values():
            file.flush()

    def on_fit_end(self, run: TrainingRun) -> None:
        """Write why training ended, and close the files."""
        if "training" in self._files:
            self._files["training"].text("stopped", run.history.stopped, run.epochs_before + run.epoch)
        for file in self._files.values():
            file.close()
        self._files, self._gradient = {}, None

    def _file(self, part: str) -> EventFile:
        if part not in self._files:
            self._files[part] = EventFile(self.folder / part)
        return self._files[part]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_files": {}, "_gradient": None}  # open files cannot be copied


def _norms(run: TrainingRun, what: str, flat: Array) -> list[tuple[str, float]]:
    return [(f"{what}/{entry.address}", norm(flat[entry.block])) for entry in run.model.layout.entries]


def _architecture(run: TrainingRun) -> str:
    """Return the table of the layers, each line indented, which Markdown leaves as it stands."""
    summary = run.network.summary() if run.network is not None else repr(run.model)
    return "\n".join(f"    {line}" for line in summary.splitlines())


def _options(run: TrainingRun) -> str:
    options = run.options
    rows = {
        "engine": run.engine.name,
        "optimizer": options.optimizer,
        "schedule": options.schedule,
        "epochs": options.epochs,
        "batch size": options.batch_size,
        "examples": run.n_examples,
        "seed": run.seed,
        "penalty": options.penalty if options.penalty.active else None,
    }
    return "\n".join(f"- {name}: `{value}`" for name, value in rows.items() if value is not None)
