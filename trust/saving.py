"""One save that something goes wrong with, and what it may leave: exactly the old file or exactly the new."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from clearprop.errors import ClearpropError
from clearprop.io import replace_file
from trust.planted import SOUND, WRITERS
from trust.samples import Sample, content, large, samples

__all__ = ["WAYS", "Scene", "planted_scenes", "scenes"]

WAYS = ("new", "replaced", "behind a link")
"""What stands at the path before: nothing; an older file; a symbolic link to an older file elsewhere."""


@dataclass
class Scene:
    """A save into a folder of its own, which can be played again and again.

    Parameters: `name` for messages, `save` what is tried, `target` the file that is to change, `asked` the
    path that is given to `save`, `old` its bytes before (None: no file), `new` its bytes after a success,
    `expected` the classes of error that a failure may raise.
    """

    name: str
    save: Callable[[Path], object]
    target: Path
    asked: Path
    old: bytes | None
    new: bytes
    expected: tuple[type[Exception], ...] = (ClearpropError,)
    error: Exception | None = field(default=None, init=False)
    """What the last play raised."""

    def set(self) -> None:
        """Bring the folder into its state before the save."""
        for name in os.listdir(self.target.parent):
            if name != self.target.name or self.old is None:
                self.target.with_name(name).unlink()
        if self.old is not None:
            self.target.write_bytes(self.old)
        if self.asked != self.target and not self.asked.is_symlink():
            self.asked.unlink(missing_ok=True)
            self.asked.symlink_to(self.target)

    def play(self) -> None:
        """Save, and keep the error if there is one."""
        self.error = None
        try:
            self.save(self.asked)
        except Exception as error:
            self.error = error

    def fault(self, *, may_leave: bool = False) -> str:
        """Say what is wrong with what the last play left, or "".

        may_leave: whether the temporary file may still be there, as nothing could be removed.
        """
        found = self.target.read_bytes() if self.target.exists() else None
        error, said = self.error, f"({type(self.error).__name__}: {self.error})"
        if found not in (self.old, self.new):
            return f"the file is neither the old one nor the new one {said}"
        if error is None and found != self.new:
            return "it returned as after a success, and the file is the old one"
        if error is not None and not isinstance(error, self.expected):
            return f"the error has no name of clearprop's {said}"
        if error is not None and found == self.new and "is written" not in str(error):
            return f"the file is the new one, and the error does not say so {said}"
        if self.asked != self.target and not self.asked.is_symlink():
            return f"the symbolic link is none any more {said}"
        left = sorted(set(os.listdir(self.target.parent)) - {self.target.name})
        return f"it left {left[0]} {said}" if left and not may_leave else ""


def scenes(seed: int, folder: Path, *, with_large: bool = False) -> Iterator[Scene]:
    """Yield every kind of file, saved in every way; the older file is that of the next seed."""
    extra = [(large(seed), large(seed + 1))] if with_large else []
    for sample, before in [*zip(samples(seed), samples(seed + 1), strict=True), *extra]:
        new, old = content(sample, folder), content(before, folder)
        for way in WAYS:
            with _place(folder, way) as (target, asked):
                name = f"{sample.kind} {seed}, {way}"
                yield Scene(name, _saver(sample, way), target, asked, None if way == "new" else old, new)


def planted_scenes(name: str, seed: int, folder: Path) -> Iterator[Scene]:
    """Yield a save by the planted writer of this name, or the sound one; any `OSError` is named enough."""
    rng = np.random.default_rng(seed)
    old, new = rng.bytes(60), rng.bytes(100)
    write = partial(replace_file, overwrite=True) if name == SOUND else WRITERS[name]
    with _place(folder, "replaced") as (target, asked):
        yield Scene(f"{name} {seed}", lambda path: write(path, new), target, asked, old, new, (OSError,))


def _saver(sample: Sample, way: str) -> Callable[[Path], object]:
    return lambda path: sample.save(path, way != "new")


@contextmanager
def _place(folder: Path, way: str) -> Iterator[tuple[Path, Path]]:
    """Yield a file's path in a folder of its own, and the path that a save is asked to write to."""
    inner = folder / "scene"
    inner.mkdir()
    target = inner / "model.safetensors"
    asked = folder / "link.safetensors" if way == "behind a link" else target
    yield target, asked
    for path in (*inner.iterdir(), asked):
        path.unlink(missing_ok=True)
    inner.rmdir()
