"""Checkpoints of a fit: when they are written, where, which are kept, and how a run goes on from one."""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearprop.checks import as_flag, as_number, as_whole
from clearprop.errors import (
    ClearpropError,
    DTypeError,
    FileFormatError,
    MissingFileError,
    OptionError,
    UnreadableFileError,
    WouldOverwriteError,
)
from clearprop.fitting.checkpoint_file import Saved, read, write
from clearprop.fitting.same_run import check_epochs, check_same, describe_run
from clearprop.fitting.sound import check_fits
from clearprop.io import make_folder
from clearprop.io.files import as_path

if TYPE_CHECKING:
    from clearprop.fitting.method import FitPlan
    from clearprop.network import Network
    from clearprop.training.loop import TrainingRun
    from clearprop.training.position import Position

__all__ = ["Checkpoint", "newest", "prepare"]

_NAME = re.compile(r"checkpoint-(\d{6,})\.safetensors")
_MINUTES = 5.0


@dataclass(frozen=True)
class Checkpoint:
    """Where and when `fit` writes checkpoints, from which a run goes on as if it had never stopped.

    Parameters:
        folder: for one run alone; it is made if need be, in a folder that is there.
        every_steps, every_minutes, every_epochs: how far apart, each that is given; left out all, 5 minutes.
        keep: how many are kept, at least 2: if the newest is damaged, the one before it is taken.
        exact: whether a run may be resumed only where it gets the same bits; False, also on another
            processor, engine build or version, where its numbers are close.
        overwrite: whether a fit that begins anew may replace the checkpoints of another run.

    One is written before the first step, and one at the end, also after Ctrl-C and SIGTERM.
    Errors: `OptionError` and `DTypeError` for numbers out of range.

    >>> import tempfile, clearprop as cp
    >>> X, y = cp.datasets.moons(200, noise=0.1, seed=0)
    >>> def trained(folder, epochs):
    ...     net = cp.Network([cp.Dense(8, "tanh"), cp.Dense(2, "softmax")], seed=0)
    ...     net.fit(X, y, epochs=epochs, checkpoint=cp.Checkpoint(folder, every_steps=10), resume=True)
    ...     return net
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = trained(folder, epochs=3)                     # begins
    ...     resumed = trained(folder, epochs=5)               # goes on
    ...     at_once = trained(f"{folder}/another", epochs=5)
    >>> resumed.theta.tobytes() == at_once.theta.tobytes(), resumed.history.resumed
    (True, [21])
    """

    folder: str | Path
    every_steps: int | None = None
    every_minutes: float | None = None
    every_epochs: int | None = None
    keep: int = 2
    exact: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", as_path(self.folder))
        for name in ("every_steps", "every_epochs"):
            if getattr(self, name) is not None:
                as_whole(f"{name} of Checkpoint", getattr(self, name), at_least=1)
        if self.every_minutes is not None:
            as_number("every_minutes of Checkpoint", self.every_minutes, above=0)
        as_whole("keep of Checkpoint", self.keep, at_least=2)
        as_flag("exact of Checkpoint", self.exact)
        as_flag("overwrite of Checkpoint", self.overwrite)

    @property
    def seconds(self) -> float | None:
        """How far apart they are in seconds, None where time does not matter."""
        if self.every_minutes is not None:
            return 60 * self.every_minutes
        return 60 * _MINUTES if self.every_steps is None and self.every_epochs is None else None


# When, and where to ------------------------------------------------------------------------------


class _Writer:
    """The keeper of a run's positions: writes them to the folder, each to a file of the next number."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        run: dict[str, Any],
        network: Network,
        kept: list[Path],
        begin: Position | None,
    ) -> None:
        self._checkpoint, self._run, self._network = checkpoint, run, network
        self._folder = Path(checkpoint.folder)
        self._kept = kept
        """Files that are known to be whole, oldest first."""
        self._failed: ClearpropError | None = None
        """Why the last one could not be written; None where it was."""
        self._number = max((number for number, _ in _files(self._folder)), default=0)
        self._step, self._epoch = (0, 0) if begin is None else (begin.numbers.step, begin.epoch)
        self._written = time.perf_counter()

    def steps_until_due(self, step: int) -> int | None:
        every = self._checkpoint.every_steps
        return None if every is None else every - step % every

    def is_due(self, run: TrainingRun, epoch_ended: bool) -> bool:
        asked = self._checkpoint
        steps, seconds, epochs = asked.every_steps, asked.seconds, asked.every_epochs
        return (
            (seconds is not None and time.perf_counter() - self._written >= seconds)
            or (steps is not None and run.step // steps > self._step // steps)
            or (epoch_ended and epochs is not None and run.epoch // epochs > self._epoch // epochs)
        )

    def keep(self, position: Position) -> None:
        try:
            self._keep(position)
            self._failed = None
        except WouldOverwriteError:
            raise
        except ClearpropError as error:
            if not self._kept:
                raise  # the first: nobody has trained for it yet
            self._failed = error
            warnings.warn(
                f"the checkpoint after step {position.numbers.step} could not be written: {error} Training "
                f"goes on, and the next is tried when it is due; until then {self._kept[-1].name} counts.",
                RuntimeWarning,
                stacklevel=2,
            )
        self._written = time.perf_counter()

    def finish(self) -> None:
        error = self._failed
        if error is not None:
            raise type(error)(
                f"training has come to its end, but its last checkpoint could not be written: {error} "
                f"The network in memory is trained; {self._kept[-1]} is of an earlier step."
            )

    def _keep(self, position: Position) -> None:
        if not self._number or not self._folder.is_dir():
            make_folder(self._folder)
        path = self._folder / f"checkpoint-{self._number + 1:06d}.safetensors"
        self._step, self._epoch = position.numbers.step, position.epoch
        try:
            write(path, self._network, self._run, position)
        except WouldOverwriteError:
            raise WouldOverwriteError(
                f"another run writes its checkpoints to {self._folder} too: {path.name} is there already. "
                "Give each run a folder of its own."
            ) from None
        self._number += 1
        self._kept = [*self._kept, path][-self._checkpoint.keep :]
        self._prune()

    def _prune(self) -> None:
        """Remove what is older than the files that are kept, and what a killed process left half written."""
        old = [path for number, path in _files(self._folder) if number <= self._number]
        for path in [*old, *self._folder.glob(".clearprop-*.tmp")]:
            if path not in self._kept:
                with contextlib.suppress(OSError):  # it is in nobody's way, and the others can go
                    path.unlink()


def _files(folder: Path) -> list[tuple[int, Path]]:
    """Return number and path of every checkpoint in a folder, oldest first; none where there is no folder."""
    try:
        found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableFileError(
            f"the folder {folder} cannot be read: {error.strerror or error}."
        ) from error
    return sorted((int(match[1]), path) for match, path in found)


def newest(folder: str | Path) -> Path | None:
    """Return the path of the newest checkpoint in a folder, None where there is none."""
    files = _files(as_path(folder))
    return files[-1][1] if files else None


# What fit was given ------------------------------------------------------------------------------


def prepare(plan: FitPlan, checkpoint: Any, resume: Any) -> None:
    """Let a plan write checkpoints and go on from one, as fit was asked to.

    Errors: `OptionError`, `DataError` and `UnsupportedError` where the run cannot be resumed so, each one
    sentence that names why; `WouldOverwriteError` where another run's checkpoints would be replaced;
    `FileFormatError` where none is whole; `MissingFileError` where the one asked for is not there.
    """
    asked = _as_checkpoint(checkpoint)
    source, must_be = _source(asked, resume)
    data, validation = plan.data, plan.validation
    if data.examples is not None:
        plan.data = replace(data, examples=data.examples.settled())
    plan.validation = None if validation is None else validation.settled()
    run = describe_run(plan)
    saved = None if source is None else _load(source, plan, must_be)
    if saved is not None:
        _go_on(plan, saved, run, asked is None or asked.exact)
    if asked is not None:
        same_folder = saved is not None and saved.path.parent.resolve() == Path(asked.folder).resolve()
        if not same_folder:
            _check_unused(asked)
        kept = [saved.path] if saved and same_folder else []
        plan.keeper = _Writer(asked, run, plan.network, kept, plan.position)


def _as_checkpoint(given: Any) -> Checkpoint | None:
    if given is None or isinstance(given, Checkpoint):
        return given
    if isinstance(given, bool) or not isinstance(given, str | Path):
        raise DTypeError(
            f"checkpoint must be the path of a folder, or a Checkpoint(folder, …). Got {given!r}."
        )
    return Checkpoint(given)


def _source(asked: Checkpoint | None, resume: Any) -> tuple[Path | None, bool]:
    """Return the folder or file to go on from, and whether it must be there."""
    if resume is None or resume is False:
        return None, False
    if resume is True:
        if asked is None:
            raise OptionError("resume=True goes on from the folder that checkpoint names. Give checkpoint=….")
        return Path(asked.folder), False
    if not isinstance(resume, str | Path):
        raise DTypeError(f"resume must be True, False, or the path of a folder or a file. Got {resume!r}.")
    return as_path(resume), True


def _check_unused(asked: Checkpoint) -> None:
    if asked.overwrite or not _files(Path(asked.folder)):
        return
    raise WouldOverwriteError(
        f"{asked.folder} holds checkpoints of another run. Go on from them with resume=True (--resume), or "
        "give another folder, or replace them: Checkpoint(…, overwrite=True) (--force)."
    )


# Going on ----------------------------------------------------------------------------------------


def _load(source: Path, plan: FitPlan, must_be: bool) -> Saved | None:
    """Return the newest checkpoint that is whole; None where there is none, and none must be."""
    model = plan.draft.model
    if os.path.isfile(source):  # which, unlike source.is_file(), says no where a name is too long
        return read(source, model)
    files = [path for _, path in reversed(_files(source))]
    if not files:
        if must_be:
            raise MissingFileError(f"there is no checkpoint in {source}. Give the folder that fit wrote to.")
        return None
    damaged: list[str] = []
    for path in files:
        try:
            saved = read(path, model)
        except (FileFormatError, UnreadableFileError) as error:
            damaged.append(str(error))
            continue
        if damaged:
            warnings.warn(
                f"the newest checkpoint cannot be used: {damaged[0]} The run goes on from the one before, "
                f"{path.name}, after step {saved.position.numbers.step}.",
                RuntimeWarning,
                stacklevel=2,
            )
        return saved
    raise FileFormatError(f"no checkpoint in {source} is whole. {damaged[0]}")


def _go_on(plan: FitPlan, saved: Saved, run: dict[str, Any], exact: bool) -> None:
    path, position = str(saved.path), saved.position
    check_same(saved.run, run, path, exact)
    check_epochs(plan, saved.run["epochs"], position, path)
    check_fits(plan, position, path)
    plan.position = replace(position, resumed=(*position.resumed, position.numbers.step))
    plan.draft.epochs_trained, plan.draft.steps_trained = position.before
