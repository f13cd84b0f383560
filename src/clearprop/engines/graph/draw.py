"""Draw a graph as SVG: boxes for the nodes, arrows the way the values flow.

Inputs, parameters, constants and intermediates differ in colour and in the line around them, so
they can be told apart in print and by the colour-blind; a trace adds values and gradients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal, Protocol
from unicodedata import east_asian_width

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.graph.layout import Placement, Point, place
from clearprop.engines.graph.nodes import Node
from clearprop.engines.graph.operation import Constant, Gradients
from clearprop.engines.graph.topology import Topology
from clearprop.errors import OptionError, UnsupportedError

__all__ = ["MAX_NODES", "Evaluated", "svg"]

MAX_NODES = 400
"""The largest graph that is drawn; more boxes than that can't be read."""

MARGIN, PADDING, LEGEND = 16.0, 10.0, 34.0
PRINTED = 6  # entries of an array that is printed in full
LONGEST = 30  # characters of a name before it is cut; the tooltip has all of it
FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"
INK = {"name": "#111", "operation": "#555", "value": "#111", "grad": "#8a1550"}
SIZE = {"name": 13.0, "operation": 11.0, "value": 11.0, "grad": 11.0}
# Fill, line, width and dashes of the box, from the palette of Okabe and Ito, lightened and darkened.
STYLES = {
    "input": ("#dcecf8", "#0072b2", 1.6, ""),
    "parameter": ("#fde6c8", "#b35900", 2.4, ""),
    "constant": ("#f3f3f3", "#6b6b6b", 1.2, "4 3"),
    "intermediate": ("#ffffff", "#444444", 1.2, ""),
    "output": ("#d9f0e6", "#00664b", 3.0, ""),
}


class Evaluated(Protocol):
    """What a drawing needs of a trace."""

    @property
    def topology(self) -> Topology:
        """The nodes and their names."""

    @property
    def value(self) -> Mapping[Node, Array]:
        """The value of each node."""

    @property
    def gradient(self) -> Mapping[Node, Array | None]:
        """The gradient of each node."""

    def contributions(self, node: Node) -> Gradients:
        """Return what a node hands to the gradient of each of its parents."""


@dataclass(frozen=True)
class Box:
    """One node as it is drawn: lines of text with their kinds."""

    style: str
    title: str
    lines: tuple[tuple[str, str], ...]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        width = max(_cells(text) * SIZE[kind] * 0.61 for kind, text in self.lines)
        return width + 2 * PADDING, sum(SIZE[kind] + 4 for kind, _ in self.lines) + PADDING + 2


def svg(
    what: Node | Topology | Evaluated,
    trace: Evaluated | None = None,
    *,
    gradient_labels: bool = False,
    direction: Literal["down", "right"] = "down",
) -> str:
    """Return a drawing of the graph of `what`: an output node, a topology, or a trace.

    With a trace, each box shows its node's shape, value and gradient: small arrays in full, larger
    ones by their norm. With `gradient_labels`, each arrow also shows what flows back along it; the
    labels of the arrows that leave a node add up to its gradient. Values flow in `direction`. The
    same graph gives the same text.

    Errors: `UnsupportedError` for more than `MAX_NODES` nodes; `OptionError` for `gradient_labels`
    without a trace and for another direction.

    >>> from clearprop.engines import graph
    >>> x = graph.input("x")
    >>> picture = graph.draw.svg(x * x)
    >>> picture[:4], picture.count("<g><title>")
    ('<svg', 2)
    """
    if direction not in ("down", "right"):
        raise OptionError(f"direction must be 'down' or 'right', got {direction!r}.")
    if not isinstance(what, Node | Topology):
        trace = what
    if trace is None and gradient_labels:
        raise OptionError("gradient_labels needs a trace to take the gradients from. Give trace=.")
    topology = _topology(what if trace is None else trace)
    if len(topology.order) > MAX_NODES:
        raise UnsupportedError(
            f"a graph of {len(topology.order)} nodes can't be drawn legibly; the limit is {MAX_NODES}. "
            "Draw a node nearer to the inputs."
        )
    return _document(topology, trace, gradient_labels, direction == "down")


def _topology(what: Node | Topology | Evaluated) -> Topology:
    if isinstance(what, Node):
        return Topology((what,))
    return what if isinstance(what, Topology) else what.topology


def _document(topology: Topology, trace: Evaluated | None, gradient_labels: bool, down: bool) -> str:
    order = topology.order
    number = {node: i for i, node in enumerate(order)}
    edges = [(number[parent], i) for i, node in enumerate(order) for parent in topology.parents(node)]
    boxes = [_box(topology, node, trace) for node in order]
    placed = _placed([box.size for box in boxes], edges, gradient_labels, down)
    parts = [*_arrows(placed.routes, down)]
    parts += [line for box, center in zip(boxes, placed.centers, strict=True) for line in _drawn(box, center)]
    if trace is not None and gradient_labels:
        parts += _gradient_labels(trace, placed)
    legend, legend_width = _legend(boxes, topology, trace, placed.height + 16)
    width = max(placed.width, legend_width) + 2 * MARGIN
    height = placed.height + 2 * MARGIN + LEGEND
    label = _text(f"computational graph of {topology.names[topology.outputs[0]]}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="{-MARGIN:g} {-MARGIN:g} {width:.0f} {height:.0f}" role="img" aria-label="{label}">',
            f"<title>{label}</title>",
            f'<rect x="{-MARGIN:g}" y="{-MARGIN:g}" width="100%" height="100%" fill="#fff"/>',
            f'<g font-family="{FONT}">',
            *parts,
            *legend,
            "</g>",
            "</svg>",
        ]
    )


def _placed(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], labels: bool, down: bool
) -> Placement:
    """Return the placement; downwards, it is one to the right with the axes exchanged."""
    if not down:
        return place(sizes, edges, (96.0 if labels else 44.0, 18.0))
    placed = place([(height, width) for width, height in sizes], edges, (58.0 if labels else 34.0, 22.0))
    return Placement(
        [(x, y) for y, x in placed.centers],
        [[(x, y) for y, x in route] for route in placed.routes],
        placed.height,
        placed.width,
    )


def _box(topology: Topology, node: Node, trace: Evaluated | None) -> Box:
    name, operation = topology.names[node], node.operation
    value = None if trace is None else trace.value[node]
    if value is None and isinstance(operation, Constant):
        value = np.asarray(operation.value)
    shape = "" if value is None or value.shape == () else f" {value.shape}"
    lines = [("name", _cut(name))]
    # An automatic name says what the operation is already.
    word = operation.label if node.name is not None or operation.label != operation.name else ""
    if word or shape:
        lines.append(("operation", f"{_cut(word)}{shape}".strip()))
    if value is not None:
        lines.append(("value", f"value {_numbers(value)}"))
    if isinstance(operation, Constant) and node.name is None and value is not None:
        lines = [("operation", "constant" + shape), ("value", _numbers(value))]
    if trace is not None and node in trace.gradient and node in topology.varying:
        gradient = trace.gradient[node]
        lines.append(("grad", "grad  not known" if gradient is None else f"grad  {_numbers(gradient)}"))
    style = "output" if node in topology.outputs[:1] and node.parents else node.role
    title = f"{name}: {operation.label}{shape}" + (f", {node.role}" if node.role != "intermediate" else "")
    return Box(style, title, tuple(lines))


def _drawn(box: Box, center: Point) -> Iterator[str]:
    (width, height), (x, y) = box.size, center
    fill, line, thickness, dashes = STYLES[box.style]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    yield f"<g><title>{_text(box.title)}</title>"
    yield (
        f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="7" fill="{fill}" stroke="{line}" stroke-width="{thickness}"{dashed}/>'
    )
    baseline = y - height / 2 + PADDING / 2 - 2
    for kind, text in box.lines:
        baseline += SIZE[kind] + 4
        yield _label(kind, text, x - width / 2 + PADDING, baseline)
    yield "</g>"


def _label(kind: str, text: str, x: float, y: float, extra: str = "") -> str:
    weight = ' font-weight="bold"' if kind == "name" else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{SIZE[kind]:g}" fill="{INK[kind]}"{weight}{extra} '
        f'xml:space="preserve">{_text(text)}</text>'
    )


def _arrows(routes: Sequence[Sequence[Point]], down: bool) -> Iterator[str]:
    """Yield each edge as a line, straight past the boxes of a layer and bent between layers, and its head."""
    yield '<g fill="none" stroke="#555" stroke-width="1.3">'
    for route in routes:
        path = f"M{route[0][0]:.1f} {route[0][1]:.1f}"
        for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(route)):
            if i % 2 == 0:
                path += f"L{x1:.1f} {y1:.1f}"
            elif down:
                path += f"C{x0:.1f} {(y0 + y1) / 2:.1f} {x1:.1f} {(y0 + y1) / 2:.1f} {x1:.1f} {y1:.1f}"
            else:
                path += f"C{(x0 + x1) / 2:.1f} {y0:.1f} {(x0 + x1) / 2:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
        yield f'<path d="{path}"/>'
    yield "</g>"
    yield '<g fill="#333">'
    head = "l-4 -9h8z" if down else "l-9 -4v8z"
    for route in routes:
        yield f'<path d="M{route[-1][0]:.1f} {route[-1][1]:.1f}{head}"/>'
    yield "</g>"


def _gradient_labels(trace: Evaluated, placed: Placement) -> Iterator[str]:
    """Yield what flows back along each arrow, on its last bend; arrows into one box at different heights."""
    routes = iter(placed.routes)
    for node in trace.topology.order:
        parents = trace.topology.parents(node)
        shown = [parent for parent in parents if parent in trace.topology.varying]
        level = 0
        for parent, part in zip(parents, trace.contributions(node) if parents else (), strict=True):
            (x0, y0), (x1, y1) = next(routes)[-3:-1]
            if part is not None and parent in trace.topology.varying:
                level += 1
                t = level / (len(shown) + 1)
                bend = 3 * t**2 - 2 * t**3
                text, x, y = _numbers(part, 2), x0 + (x1 - x0) * bend, y0 + (y1 - y0) * t
                width = _cells(text) * SIZE["grad"] * 0.61
                left, top = x - width / 2, y - 7
                yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="14" fill="#fff"/>'
                yield _label("grad", text, x, y + 4, ' text-anchor="middle"')


def _legend(
    boxes: Sequence[Box], topology: Topology, trace: Evaluated | None, y: float
) -> tuple[list[str], float]:
    """Return the legend below the drawing and its width: one swatch per kind of box that occurs."""
    parts, x = [], 0.0
    for style, (fill, line, thickness, dashes) in STYLES.items():
        if any(box.style == style for box in boxes):
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="20" height="13" rx="4" fill="{fill}" stroke="{line}" '
                f'stroke-width="{thickness}" stroke-dasharray="{dashes or "none"}"/>'
            )
            parts.append(_label("operation", style, x + 26, y + 11))
            x += 44 + len(style) * 6.7
    if trace is not None and len(trace.gradient):
        text = f"grad: ∂{_cut(topology.names[topology.outputs[0]])}/∂(this node)"
        parts.append(_label("grad", text, x, y + 11))
        x += _cells(text) * 6.7
    return parts, x


def _numbers(array: Array, printed: int = PRINTED) -> str:
    """Return a small array in full, one of more than `printed` entries by its norm."""
    if array.size > printed:
        return f"‖·‖ = {np.linalg.norm(array.astype(complex if np.iscomplexobj(array) else float)):.4g}"
    digits = 6 if array.size == 1 else 4
    return _listed(array.tolist(), digits)


def _listed(entry: object, digits: int) -> str:
    if isinstance(entry, list):
        return f"[{' '.join(_listed(item, digits) for item in entry)}]"
    if isinstance(entry, float | complex):
        return f"{entry:.{digits}g}".replace("e-0", "e-").replace("e+0", "e+")
    return str(entry)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _cells(text: str) -> int:
    """Return how many character cells a text takes; East Asian wide characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _text(text: str) -> str:
    """Return text for XML: escaped, and with what XML can't hold replaced."""
    return escape(re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text))
