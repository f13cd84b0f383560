"""The options of `clearprop train` that keep checkpoints, and what is told of them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearprop.cli.output import Output
from clearprop.errors import OptionError
from clearprop.fitting.checkpoints import Checkpoint, newest

__all__ = ["Keeping"]


@dataclass(frozen=True)
class Keeping:
    """Where checkpoints go, how far apart they are, and whether the run goes on from them."""

    folder: Path | None = None
    steps: int | None = None
    minutes: float | None = None
    resume: bool = False
    inexact: bool = False
    force: bool = False

    def check(self) -> None:
        """Raise `OptionError` for what says nothing without a folder, or is out of range."""
        alone = {
            "--checkpoint-steps": self.steps is not None,
            "--checkpoint-minutes": self.minutes is not None,
            "--resume": self.resume,
            "--inexact": self.inexact,
        }
        if self.folder is None:
            for option, given in alone.items():
                if given:
                    raise OptionError(f"{option} goes with checkpoints: give their folder, --checkpoint DIR.")
        elif self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise OptionError(f"--checkpoint-minutes must be a finite number > 0. Got {self.minutes!r}.")

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of fit."""
        if self.folder is None:
            return {}
        asked = Checkpoint(
            self.folder,
            every_steps=self.steps,
            every_minutes=self.minutes,
            exact=not self.inexact,
            overwrite=self.force,
        )
        return {"checkpoint": asked, "resume": self.resume}

    @property
    def goes_on(self) -> bool:
        """Whether there is a run to go on from."""
        return self.resume and self.folder is not None and newest(self.folder) is not None

    @contextlib.contextmanager
    def telling(self, output: Output) -> Iterator[None]:
        """Tell on standard error where the run goes on, of a damaged checkpoint, and where it ended."""
        if self.folder is None:
            yield
            return
        if self.resume:
            found = newest(self.folder)
            begins = f"no checkpoint in {self.folder} yet: the run begins"
            output.note(f"resume     {begins if found is None else f'from {found}'}")
        elif self.force and newest(self.folder) is not None:
            output.warn(f"--force: the checkpoints of another run in {self.folder} are replaced")
        with warnings.catch_warnings():
            usual = warnings.showwarning
            warnings.simplefilter("always", RuntimeWarning)

            def tell(message: Any, category: Any, *rest: Any) -> None:
                if category is RuntimeWarning:
                    output.warn(str(message))
                else:
                    usual(message, category, *rest)

            warnings.showwarning = tell  # type: ignore[assignment]
            try:
                yield
            except (KeyboardInterrupt, SystemExit):
                output.warn(f"the run is kept in {self.folder}; the same command with --resume goes on")
                raise
