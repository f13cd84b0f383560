"""One look for every picture: colours that colour-blind readers can tell apart, light axes."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clearprop.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "COLOURS",
    "GREY",
    "INK",
    "RED",
    "Picture",
    "blend",
    "draw",
    "literal",
    "require_matplotlib",
    "tidy",
]

# Okabe and Ito, Color Universal Design (2008).
BLUE, RED, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, INK, GREY = "#E69F00", "#56B4E9", "#24292F", "#8C959F"
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, INK, GREY)

_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib's own: the same picture on every machine
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E9ED",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "svg.hashsalt": "clearprop",  # the same data give the same file
}
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


def require_matplotlib() -> None:
    """Raise `MissingDependencyError` unless matplotlib can be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            'pictures need matplotlib, which is not installed; install it: pip install "clearprop[plots]"'
        ) from None


@contextmanager
def _styled() -> Iterator[None]:
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        settings: Any = _SETTINGS  # its own type names every key
        matplotlib.rcParams.update(settings)
        yield


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
    with _styled(), warnings.catch_warnings():
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


def tidy(axes: Any, *, title: str = "", x: str = "", y: str = "", legend: bool = False) -> None:
    """Give axes their title, labels and legend."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if legend:
        axes.legend()


def literal(text: str) -> str:
    """Return text so that matplotlib draws it as it is, not as mathematics between dollar signs."""
    return text.replace("$", r"\$")


def blend(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with white: share 1 is the colour, 0 is white.

    >>> blend("#FF0000", 0.5)
    (1.0, 0.5, 0.5)
    """
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (round(1 - share * (1 - part), 6) for part in parts)
    return red, green, blue
