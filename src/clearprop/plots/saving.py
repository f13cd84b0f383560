"""Writing pictures to files: PNG, SVG and PDF, the same bytes for the same data, nothing half written."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearprop.checks import as_choice, as_number
from clearprop.errors import DTypeError, OptionError, did_you_mean, one_of
from clearprop.io.files import AnyPath, as_path, replace_file
from clearprop.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STILL", "ending", "figure_bytes", "save"]

STILL = ("png", "svg", "pdf")
_NO_DATE: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def ending(path: AnyPath, known: tuple[str, ...]) -> str:
    """Return the format that a file's name asks for; raise `OptionError` naming those that are known."""
    target = as_path(path)
    kind = target.suffix.lower().lstrip(".")
    if kind not in known:
        hint = did_you_mean(kind, known)
        raise OptionError(f"a picture's file must end in one of {one_of(known)}. Got '{target}'.{hint}")
    return kind


def figure_bytes(figure: Figure, kind: str = "png", dpi: float = 150) -> bytes:
    """Return a figure as the bytes of a PNG, SVG or PDF file; the same data give the same bytes.

    dpi: dots per inch, of what is made of dots.
    """
    if not callable(getattr(figure, "savefig", None)):
        raise DTypeError(f"figure must be a matplotlib Figure. Got {type(figure).__name__}.")
    as_choice("kind", kind, STILL)
    dpi = as_number("dpi", dpi, above=0)
    file = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(file, format=kind, dpi=dpi, metadata=_NO_DATE[kind])
    return file.getvalue()


def save(figure: Any, path: AnyPath, *, dpi: float = 150, overwrite: bool = False) -> Path:
    """Write a figure, or an animation, to the file format that the path ends in, and return the path.

    Parameters:
        figure: what a function of `clearprop.plots` returned (any matplotlib Figure).
        path: ends in .png, .svg or .pdf; an animation's in .gif, .mp4 or .html.
        dpi: dots per inch, of what is made of dots.
        overwrite: whether a file that exists may be replaced.

    Errors: `OptionError` for another ending; `WouldOverwriteError`; those of writing.

    >>> import tempfile, os, clearprop as cp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cp.plots.save(cp.plots.activation("tanh"), os.path.join(folder, "tanh.svg")).name
    'tanh.svg'
    """
    if hasattr(figure, "frames") and hasattr(figure, "save"):
        return Path(figure.save(path, dpi=dpi, overwrite=overwrite))
    if not hasattr(figure, "savefig"):
        raise DTypeError(
            f"save needs a figure or an animation of clearprop.plots. Got {type(figure).__name__}."
        )
    kind = ending(path, STILL)
    replace_file(path, figure_bytes(figure, kind, dpi), overwrite=overwrite)
    return as_path(path)
