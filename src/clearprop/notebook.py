"""How a network shows itself in a notebook: its layers drawn to scale, what it holds, its training curves.

One small piece of HTML with inline SVG: no scripts, no other files, every word escaped. Text takes the
colour of the page, so it reads on light and on dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clearprop.layers import ActivationOwner, Dense, Layer

if TYPE_CHECKING:
    from clearprop.network import Network
    from clearprop.training.history import History

__all__ = ["network_html"]

_BLUE, _ORANGE = "#2b7bba", "#d9762b"  # of one lightness, readable on white and on black
_MOST_BARS = 12
_HEIGHT, _MIDDLE = 150, 78
_STEP, _BAR, _THIN = 78, 16, 6
_PANEL_WIDTH, _PANEL_HEIGHT = 260, 120
_LEFT = 54  # room for the numbers of the axis
_MOST_POINTS = 200
_STYLE = (
    ".clearprop-net{font:13px system-ui,sans-serif;line-height:1.4;max-width:100%}"
    ".clearprop-net svg{display:block;max-width:100%;height:auto;margin:2px 0 6px}"
    ".clearprop-net text{font:11px system-ui,sans-serif;fill:currentColor}"
    ".clearprop-net .q{opacity:.65}.clearprop-net .e{text-anchor:end}.clearprop-net .m{text-anchor:middle}"
    ".clearprop-net .curves{display:flex;flex-wrap:wrap;gap:8px 24px}"
)


def network_html(network: Network) -> str:
    """Return a network as a small piece of HTML: its architecture and, after a fit, its curves.

    >>> import clearprop as cp
    >>> shown = network_html(cp.Network([4, 3, 2], seed=0))
    >>> shown.startswith('<div class="clearprop-net">'), "<script" in shown, "23 parameters" in shown
    (True, False, True)
    """
    parts = [
        f"<style>{_STYLE}</style>",
        f"<div><b>Network</b> · {_facts(network)}</div>",
        _architecture(network),
    ]
    if network.history is not None and len(network.history):
        parts += [f"<div>{_course(network.history)}</div>", _curves(network.history)]
    return f'<div class="clearprop-net">{"".join(parts)}</div>'


def _facts(network: Network) -> str:
    n = f"{network.n_parameters:,} parameters" if network.is_built else "sizes not known yet"
    facts = [f"cost {network.cost.name}", n, network.dtype.name]
    if network.frozen:
        facts.append(f"frozen: {', '.join(network.frozen)}")
    return html.escape(" · ".join(facts))


# -- the architecture ----------------------------------------------------------------------------------


class Bar(NamedTuple):
    """One layer in the drawing."""

    above: str
    """Its activation, or its kind where it has none."""
    size: int | None
    number: str
    """How it is addressed, "" for the gap that stands for layers left out."""
    title: str
    """What is shown when the mouse rests on it."""
    weighty: bool
    """Whether it has weights, so that everything before it is joined to it."""


def _architecture(network: Network) -> str:
    bars = _shortened([_input(network), *(_bar(i, layer) for i, layer in enumerate(network.layers, 1))])
    width = _STEP * len(bars)
    most = max((bar.size or 1 for bar in bars), default=1)
    label = html.escape(f"network of {len(network.layers)} layers: " + ", ".join(b.title for b in bars[1:]))
    pieces = [
        f'<svg viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}" role="img" '
        f'aria-label="{label}">'
    ]
    pieces += [_joint(bars[i - 1], bars[i], i, most) for i in range(1, len(bars))]
    pieces += [_drawn(bar, i, most) for i, bar in enumerate(bars)]
    return "".join(pieces) + "</svg>"


def _input(network: Network) -> Bar:
    n_in = network.model.n_in if network.is_built else network.layers[0].n_in
    return Bar("input", n_in, "0", "input", True)


def _bar(i: int, layer: Layer) -> Bar:
    kind = type(layer).__name__
    activation = layer.activation.name if isinstance(layer, ActivationOwner) else ""
    inside = [f"{part}: {_chain(chain)}" for part, chain in layer.parts().items() if chain]
    weighty = isinstance(layer, Dense) or bool(inside)
    shown = activation if activation and activation != "identity" else kind
    return Bar(shown, layer.n_out, str(i), "; ".join([f"{i} {_words(layer)}", *inside]), weighty)


def _chain(chain: Sequence[Layer]) -> str:
    return " → ".join(_words(layer) for layer in chain)


def _words(layer: Layer) -> str:
    activation = layer.activation.name if isinstance(layer, ActivationOwner) else ""
    return f"{type(layer).__name__} {layer.n_out or '?'} {activation}".strip()


def _shortened(bars: list[Bar]) -> list[Bar]:
    """Return the bars, with a gap in the place of the middle ones of a deep network."""
    if len(bars) <= _MOST_BARS:
        return bars
    head, tail = _MOST_BARS - 5, 4
    left_out = len(bars) - head - tail
    gap = Bar(f"{left_out} more", None, "", f"{left_out} layers not drawn", False)
    return [*bars[:head], gap, *bars[-tail:]]


def _half(bar: Bar, most: int) -> float:
    """Return half the height of a bar: by the logarithm of its size, so that 10 and 784 can both be seen."""
    return 8 + 32 * math.log1p(bar.size or 1) / math.log1p(max(most, 2))


def _middle(i: int) -> float:
    return _STEP * (i + 0.5)


def _joint(left: Bar, right: Bar, i: int, most: int) -> str:
    """Return what joins two bars: a wedge for weights, else a line."""
    x0, x1 = _middle(i - 1), _middle(i)
    if not (left.number and right.number and right.weighty):
        dashes = "" if left.number and right.number else ' stroke-dasharray="2 3"'
        way = f'd="M{x0:g} {_MIDDLE}H{x1:g}" fill="none"'
        return f'<path {way} stroke="currentColor" stroke-opacity=".35"{dashes}/>'
    y0, y1 = _half(left, most), _half(right, most)
    ends = ((x0, -y0), (x1, -y1), (x1, y1), (x0, y0))
    corners = " ".join(f"{x:g},{_MIDDLE + y:.1f}" for x, y in ends)
    return f'<polygon points="{corners}" fill="{_BLUE}" fill-opacity=".16"/>'


def _drawn(bar: Bar, i: int, most: int) -> str:
    x, half = _middle(i), _half(bar, most)
    title = html.escape(bar.title)
    above = html.escape(bar.above if len(bar.above) <= 13 else f"{bar.above[:12]}…")
    size = f"{bar.size:,}" if bar.size is not None else "?" if bar.number else "…"
    width = _BAR if bar.weighty else _THIN
    box = (
        f'<rect x="{x - width / 2:g}" y="{_MIDDLE - half:.1f}" width="{width}" height="{2 * half:.1f}" '
        f'rx="3" fill="{_BLUE if i else "#8a94a0"}"/>'
        if bar.number
        else ""
    )
    return (
        f"<g><title>{title}</title>{box}"
        f'<text class="m" x="{x:g}" y="14">{above}</text>'
        f'<text class="m" x="{x:g}" y="{_HEIGHT - 16}">{size}</text>'
        f'<text class="m q" x="{x:g}" y="{_HEIGHT - 2}">{html.escape(bar.number)}</text></g>'
    )


# -- the curves ----------------------------------------------------------------------------------------


def _course(history: History) -> str:
    row = history[-1]
    words = [f"trained for {len(history)} epoch{'s' if len(history) != 1 else ''}"]
    words += [
        f"{name} {row[name]:.4g}" for name in ("cost", "val_cost", "accuracy", "val_accuracy") if name in row
    ]
    if history.stopped:
        words.append(f"ended: {history.stopped}")
    return html.escape(" · ".join(words))


def _curves(history: History) -> str:
    """Return a panel for every figure that was recorded with or without its validation twin."""
    plain = ("epoch", "step", "seconds", "eta", "penalty")
    names = dict.fromkeys(name.removeprefix("val_") for name in history.columns if name not in plain)
    panels = [_panel(name, history) for name in list(names)[:4]]
    return f'<div class="curves">{"".join(panel for panel in panels if panel)}</div>'


def _panel(name: str, history: History) -> str:
    lines = {
        column: np.asarray(history[column], dtype=float)
        for column in (name, f"val_{name}")
        if column in history.columns
    }
    values = np.concatenate(list(lines.values()))
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    low, high = float(values.min()), float(values.max())
    logarithmic = low > 0 and high > 30 * low
    epochs = (
        [float(e) for e in history["epoch"]]
        if "epoch" in history.columns
        else list(range(1, len(history) + 1))
    )
    scale = _Scale(low, high, float(epochs[0]), float(epochs[-1]), logarithmic)
    drawn = [
        _line(scale, epochs, line, colour, i)
        for i, (line, colour) in enumerate(zip(lines.values(), _colours(name, lines), strict=True))
    ]
    keys = [
        f'<text x="{_LEFT + 90 * i}" y="12" style="fill:{colour}">{html.escape(column)}</text>'
        for i, (column, colour) in enumerate(zip(lines, _colours(name, lines), strict=True))
    ]
    note = ", logarithmic" if logarithmic else ""
    if logarithmic:
        keys.append(f'<text class="e q" x="{_PANEL_WIDTH - 10}" y="12">logarithmic</text>')
    label = html.escape(f"{', '.join(lines)} by epoch{note}, from {low:.4g} to {high:.4g}")
    return (
        f'<svg viewBox="0 0 {_PANEL_WIDTH} {_PANEL_HEIGHT}" width="{_PANEL_WIDTH}" height="{_PANEL_HEIGHT}" '
        f'role="img" aria-label="{label}">{"".join(keys)}{scale.frame()}{"".join(drawn)}</svg>'
    )


def _colours(name: str, lines: dict[str, np.ndarray]) -> list[str]:
    return [_BLUE if column == name else _ORANGE for column in lines]


class _Scale(NamedTuple):
    """Where a number lies in a panel."""

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool

    def x(self, epoch: float) -> float:
        """Return the place of an epoch from the left."""
        span = self.last - self.first
        return _LEFT + (_PANEL_WIDTH - _LEFT - 10) * ((epoch - self.first) / span if span else 0.5)

    def y(self, value: float) -> float:
        """Return the place of a value from the top."""
        low, high, v = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        span = high - low
        return _PANEL_HEIGHT - 22 - (_PANEL_HEIGHT - 44) * ((v - low) / span if span > 0 else 0.5)

    def frame(self) -> str:
        """Return the two ends of each axis and thin lines at the smallest and the largest value."""
        top, bottom = self.y(self.high), self.y(self.low)
        ends = [(self.high, top)] if self.high == self.low else [(self.high, top), (self.low, bottom)]
        rules = "".join(
            f'<path d="M{_LEFT} {y:.1f}H{_PANEL_WIDTH - 10}" stroke="currentColor" stroke-opacity=".2"/>'
            f'<text class="e q" x="{_LEFT - 4}" y="{y + 4:.1f}">{_short(value)}</text>'
            for value, y in ends
        )
        last = (
            f'<text class="e q" x="{_PANEL_WIDTH - 10}" y="{_PANEL_HEIGHT - 4}">{self.last:g}</text>'
            if self.last > self.first
            else ""
        )
        place = f'x="{self.x(self.first):.1f}" y="{_PANEL_HEIGHT - 4}"'
        return f'{rules}<text class="q" {place}>epoch {self.first:g}</text>{last}'


def _short(value: float) -> str:
    """Return a number in at most seven characters."""
    text = f"{value:.3g}"
    return text if len(text) <= 7 else f"{value:.1e}"


def _line(scale: _Scale, epochs: Sequence[float], values: np.ndarray, colour: str, dashed: int) -> str:
    """Return one curve; where a value is not finite it is broken, and one that is long is thinned."""
    keep = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_POINTS)).round().astype(int))
    runs: list[list[str]] = [[]]
    for i in keep:
        if math.isfinite(values[i]):
            runs[-1].append(f"{scale.x(epochs[i]):.1f} {scale.y(float(values[i])):.1f}")
        elif runs[-1]:
            runs.append([])
    path = "".join(f"M{'L'.join(run)}" for run in runs if len(run) > 1)
    dots = "".join(
        f'<circle cx="{run[0].split()[0]}" cy="{run[0].split()[1]}" r="2.5" fill="{colour}"/>'
        for run in runs
        if len(run) == 1
    )
    dashes = ' stroke-dasharray="5 3"' if dashed else ""
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>{dots}' if path else dots
    )
