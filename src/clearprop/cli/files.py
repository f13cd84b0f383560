"""The files that a command writes: where they go, and that none of them takes the place of another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from clearprop.errors import OptionError, WouldOverwriteError
from clearprop.io import MissingFileError, UnwritableFileError

__all__ = ["check_writable", "model_and_page"]


def model_and_page(stem: str, output: Path | None, report: bool) -> tuple[Path, Path | None]:
    """Return where the model and the page go: ``--output``, or the name of the data in the current folder."""
    model = output if output is not None else Path(f"{stem}.safetensors")
    _refuse_folder(model)
    if model.suffix.lower() in (".html", ".htm"):
        raise OptionError(
            f"--output is the path of the model; the page goes beside it with the ending .html. Got {model}."
        )
    return model, model.with_name(f"{model.stem}.html") if report else None


def check_writable(
    outputs: Mapping[str, Path | None],
    force: bool,
    option: str = "--output",
    inputs: Mapping[str, Path | None] | None = None,
) -> None:
    """Raise, before hours of training, for a file that could not be written or would be overwritten unasked.

    outputs, inputs: what is written and what is read, by what each is, such as "the model"; None for a file
    that there is not. No output may be the file of another or of an input, whatever `force` says.
    option: what names the file. Errors: `OptionError` for two that are one file; `WouldOverwriteError`,
    `MissingFileError` (no such folder), `UnwritableFileError`.
    """
    written = {what: path for what, path in outputs.items() if path is not None}
    _refuse_same(written, {what: path for what, path in (inputs or {}).items() if path is not None})
    for path in written.values():
        folder = path.parent
        if not os.path.isdir(folder):
            raise MissingFileError(f"{path} cannot be written: there is no folder {folder}. Make it first.")
        _refuse_folder(path)
        try:  # asking for permission is not enough: some file systems refuse what their folders permit
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".clearprop-"):
                pass
        except OSError as error:
            raise UnwritableFileError(
                f"{path} cannot be written: the folder {folder} does not permit it ({error.strerror})."
            ) from None
    there = [str(path) for path in written.values() if path.exists()]
    if there and not force:
        raise WouldOverwriteError(
            f"{' and '.join(there)} {'exists' if len(there) == 1 else 'exist'}. "
            f"Add --force to replace, or {option} PATH to write elsewhere."
        )


def _refuse_same(written: Mapping[str, Path], read: Mapping[str, Path]) -> None:
    for what, path in written.items():
        for other, its in read.items():
            if _is_same(path, its):
                raise OptionError(
                    f"{what} cannot go to {path}: that is the file of {other}, which would be lost. "
                    "Give another path."
                )
    for (what, path), (other, its) in combinations(written.items(), 2):
        if _is_same(path, its):
            raise OptionError(
                f"{what} and {other} cannot both go to {its}: one would replace the other. "
                "Give two different paths."
            )


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two paths name one file, links and other ways of writing it included."""
    try:
        one, other = one.expanduser(), other.expanduser()
        return one.resolve() == other.resolve() or one.samefile(other)
    except (OSError, RuntimeError, ValueError):  # not there, a loop of links, a path that nothing can have
        return False


def _refuse_folder(path: Path) -> None:
    if os.path.isdir(path):
        raise UnwritableFileError(f"'{path}' is a folder; give the name of a file.")
