"""A progress bar for training, drawn by rich: cost and rolling accuracy, a line for some epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clearprop.errors import MissingDependencyError
from clearprop.training.callbacks import Callback
from clearprop.training.history import History, Row

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["ManyBar", "ProgressBar", "epoch_line", "progress_callback"]

_BAR_WIDTH = 14  # so that a line fits into 80 columns


def progress_callback() -> Callback:
    """Return the progress bar. Errors: `MissingDependencyError` without rich."""
    return ProgressBar()


class ProgressBar(Callback):
    """Show cost and accuracy over the last 1000 examples while training, and a line at the end of epochs.

    On a terminal the bar moves below the lines; elsewhere there are only lines, without control characters.

    Parameters:
        console: a rich Console; left out, standard error.
        held_out: what the validation data are called in the lines.
        most_lines: about how many epochs get a line; the first and the last always do.
    """

    reads_theta = False
    changes_parameters = False

    def __init__(self, console: Any = None, held_out: str = "validation", most_lines: int = 10) -> None:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            raise MissingDependencyError(
                'progress=True needs rich. Run: pip install "clearprop[cli]"'
            ) from None
        self.console = console or Console(stderr=True)
        self.held_out = held_out
        self.most_lines = most_lines
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR_WIDTH),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
        )
        self._shown: Row = {}
        self._newest: Row = {}

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Say which engine trains, and start the bar."""
        self.console.print(run.history.engine, highlight=False, markup=False, soft_wrap=True)
        total = None if run.steps_per_epoch is None else run.steps_per_epoch * run.options.epochs
        self._task = self._bar.add_task("epoch 1", total=total, figures="")
        if self.console.is_terminal:
            self._bar.start()

    def on_progress(self, run: TrainingRun, rolling: Row) -> None:
        """Move the bar."""
        figures = f"cost {rolling['cost']:.4f}"
        if "accuracy" in rolling:
            figures += f"  accuracy {rolling['accuracy']:.2%} of last {rolling['examples']:.0f}"
        epoch = f"epoch {run.epoch}/{run.options.epochs}"
        self._bar.update(self._task, completed=run.step, description=epoch, figures=figures)

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Print the line of the epoch, if it is one of those that get a line."""
        every = math.ceil(run.options.epochs / self.most_lines)
        self._newest = row
        if row["epoch"] == 1 or row["epoch"] % every == 0:
            self._print(row, run.options.epochs)

    def on_fit_end(self, run: TrainingRun) -> None:
        """Take the bar away, and say why training stopped early."""
        if self._bar.live.is_started:  # else rich prints an empty line
            self._bar.stop()
        if self._newest and self._newest is not self._shown:
            self._print(self._newest, run.options.epochs)
        if run.history.stopped not in ("", "epochs"):
            self.console.print(f"stopped: {run.history.stopped}", highlight=False, markup=False)

    def _print(self, row: Row, epochs: int) -> None:
        self._shown = row
        self.console.print(
            epoch_line(row, epochs, self.held_out), highlight=False, markup=False, soft_wrap=True
        )


class ManyBar:
    """Show how far the fits of many networks are together: one bar, and a line for some that have ended.

    Parameters:
        console: a rich Console; left out, standard error.
        most_lines: about how many networks get a line.
    """

    def __init__(self, console: Any = None, most_lines: int = 10) -> None:
        self._lines = ProgressBar(console)
        self.console, self._bar = self._lines.console, self._lines._bar
        self.most_lines = most_lines
        self._networks = self._ended = 0

    def begin(self, total: int, networks: int) -> None:
        """Start the bar. total: the epochs of all networks together."""
        self._networks = networks
        self._task = self._bar.add_task("fit_many", total=total, figures="")
        if self.console.is_terminal:
            self._bar.start()

    def update(self, epochs: int, ended: Sequence[tuple[int, History]]) -> None:
        """Move the bar, and print the lines of networks that have ended."""
        every = math.ceil(self._networks / self.most_lines)
        for place, history in ended:
            self._ended += 1
            if self._ended % every == 0 or history.stopped == "failed":
                self._print(place, history)
        figures = f"{self._ended} of {self._networks} networks"
        self._bar.update(self._task, completed=epochs, figures=figures)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar.live.is_started:
            self._bar.stop()

    def _print(self, place: int, history: History) -> None:
        row = history[-1] if len(history) else {"epoch": 0.0}
        line = epoch_line(row, int(row["epoch"]))
        stopped = "" if history.stopped == "epochs" else f"  stopped: {history.stopped}"
        text = f"networks[{place}]  {line}{stopped}"
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def epoch_line(row: Row, epochs: int, held_out: str = "validation") -> str:
    """Return one epoch's row as a line of text. held_out: what the validation data are called.

    >>> epoch_line({"epoch": 2, "step": 90, "seconds": 1.5, "eta": 0.1, "cost": 0.25, "accuracy": 0.925}, 10)
    'epoch  2/10  cost 0.2500  accuracy 92.50%'
    >>> epoch_line({"epoch": 2, "cost": 0.25, "val_cost": 0.5, "val_accuracy": 0.75}, 10, "test")
    'epoch  2/10  cost 0.2500  test cost 0.5000  accuracy 75.00%'
    """
    width = len(str(epochs))
    parts = [f"epoch {row['epoch']:{width}.0f}/{epochs}"]
    prefix = f"{held_out} "  # once, before the first of them: a line fits into 80 columns
    for name, value in row.items():
        if name in ("epoch", "step", "seconds", "eta"):
            continue
        label = name
        if name.startswith("val_"):
            label, prefix = prefix + name.removeprefix("val_"), ""
        parts.append(f"{label} {value:.2%}" if name.endswith("accuracy") else f"{label} {value:.4f}")
    return "  ".join(parts)
