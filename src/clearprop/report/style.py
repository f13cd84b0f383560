"""Pictures for the page: drawn in the house style of `clearprop.plots`, kept as the bytes of a file."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clearprop.plots.style import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    RED,
    blend,
    literal,
    require_matplotlib,
    styled,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "COLOURS",
    "GREY",
    "INK",
    "LONGEST_AXIS",
    "LONGEST_NAME",
    "RED",
    "Picture",
    "blend",
    "draw",
    "label",
    "require_matplotlib",
    "tidy",
]

LONGEST_NAME, LONGEST_AXIS = 16, 60
"""Characters of a class's name in a picture, and of what an axis is called."""

_WIDTH = 9.4  # inches at 100 dots: the width of the page's column


@dataclass(frozen=True)
class Picture:
    """A picture in a file's bytes, ready to be set into a page."""

    data: bytes
    kind: str
    """Its media type: "image/svg+xml" or "image/png"."""
    alt: str
    """What it shows, in words, for those who do not see it."""
    caption: str
    width: int = 940
    """On the page, in pixels."""

    @property
    def address(self) -> str:
        """The picture itself as an address, so that a page needs no other file."""
        return f"data:{self.kind};base64,{base64.b64encode(self.data).decode('ascii')}"


def label(text: str, most: int = LONGEST_NAME) -> str:
    """Return text as a picture writes it: on one line, its middle left out beyond `most` characters.

    What names have in common is most often their beginning, what tells them apart their end.

    >>> label("a rather long name of class 7"), label("$5")
    ('a rather…class 7', '\\\\$5')
    """
    line = " ".join(text.split())
    if len(line) > most:
        behind = (most - 1) // 2
        line = f"{line[: most - 1 - behind].rstrip()}…{line[-behind:].lstrip()}"
    return literal(line)


def draw(
    paint: Callable[[Figure], None],
    *,
    alt: str,
    caption: str,
    height: float = 3.4,
    width: float = _WIDTH,
    kind: str = "svg",
) -> Picture:
    """Return the picture that `paint` draws on an empty figure.

    height, width: in inches, 100 of a page's pixels each. kind: "svg" for lines, "png" for images and
    thousands of points.
    """
    with styled(), warnings.catch_warnings():
        from matplotlib.figure import Figure

        # A name in a script that the font lacks is drawn as boxes; the words beside the picture have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)

        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        file = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=200, metadata=metadata)
    media = "image/svg+xml" if kind == "svg" else "image/png"
    return Picture(file.getvalue(), media, alt, caption, round(100 * width))
