"""Pictures of a training run: cost and accuracy by epoch, rolling figures, gradient norms by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.report.style import BLUE, COLOURS, RED, Picture, draw, tidy
from clearprop.training.callbacks import NormHistory
from clearprop.training.history import History

__all__ = ["curves", "gradient_norms", "rolling"]

_MOST_POINTS = 1500


def curves(history: History, held_out: str = "validation") -> Picture:
    """Return cost and, for classes, accuracy by epoch, on the training and the held-out examples.

    held_out: what the columns "val_…" of the history were measured on: "validation" or "test".
    """
    names = [name for name in ("cost", "accuracy") if name in history.columns]

    def paint(figure: Any) -> None:
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            _curve(axes, history, name, held_out)

    last = history[-1]
    parts = [f"{name} {last[name]:.4g}" for name in names]
    parts += [f"{held_out} {name} {last[f'val_{name}']:.4g}" for name in names if f"val_{name}" in last]
    caption = "Training figures are means over an epoch, taken while the parameters moved"
    caption += f"; {held_out} figures are taken at its end." if f"val_{names[0]}" in last else "."
    return draw(
        paint,
        alt=f"{' and '.join(names).capitalize()} by epoch. At the end: {', '.join(parts)}.",
        caption=caption,
    )


def _curve(axes: Any, history: History, name: str, held_out: str) -> None:
    epochs = history["epoch"]
    marker = "o" if len(epochs) < 12 else None
    drawn = [("training", name, BLUE), (held_out, f"val_{name}", RED)]
    for label, column, colour in drawn:
        if column in history.columns:
            axes.plot(epochs, history[column], color=colour, label=label, marker=marker, markersize=4)
    values = [v for _, column, _ in drawn if column in history.columns for v in history[column]]
    if name == "cost":
        _log_if_wide(axes, values)
    else:
        _percent(axes)
    tidy(axes, title=name.capitalize(), x="epoch", y=name, legend=True)
    axes.xaxis.get_major_locator().set_params(integer=True)


def rolling(history: History) -> Picture | None:
    """Return accuracy (for real numbers: cost) over the last 1000 examples seen; None without any."""
    rows = history.rolling
    if len(rows) < 2:
        return None
    name = "accuracy" if "accuracy" in rows[0] else "cost"
    thin = rows[:: math.ceil(len(rows) / _MOST_POINTS)]
    steps, values = [row["step"] for row in thin], [row[name] for row in thin]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot(steps, values, color=BLUE, linewidth=1.4)
        if name == "accuracy":
            _percent(axes)
        else:
            _log_if_wide(axes, values)
        tidy(axes, title=f"Rolling {name}", x="step", y=f"{name}, last 1000 examples")

    return draw(
        paint,
        alt=f"{name.capitalize()} over the last 1000 training examples, by step, ending at {values[-1]:.4g}.",
        caption=f"The {name} of the last 1000 training examples, each as it was when the network saw it, "
        "in training mode.",
        height=2.7,
    )


def gradient_norms(norms: NormHistory) -> Picture | None:
    """Return ‖∂C/∂W‖ of every layer by step, raw and smoothed; None where none was recorded."""
    if len(norms.rows) < 2:
        return None
    steps = [row.step for row in norms.rows]
    columns = {address: np.asarray(norms.column(address)) for address in norms.addresses}

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        for i, (address, values) in enumerate(columns.items()):
            colour = COLOURS[i % len(COLOURS)]
            dash = "-" if i < len(COLOURS) else "--"
            shown = np.where(values > 0, values, np.nan)
            axes.plot(steps, shown, color=colour, linewidth=0.7, alpha=0.3)
            axes.plot(steps, _smooth(shown), color=colour, linestyle=dash, label=_layer_label(address))
        axes.set_yscale("log")
        tidy(axes, title="Gradient norms by layer", x="step", y="‖∂C/∂W‖")
        axes.legend(
            ncols=min(6, len(columns)), loc="lower left", bbox_to_anchor=(0.28, 1.0), borderaxespad=0.2
        )

    ends = ", ".join(f"{_layer_label(a)} {_median(v[-20:]):.2g}" for a, v in columns.items())
    return draw(
        paint,
        alt=f"Norm of the gradient of each layer's weights by step, on a logarithmic scale. Median at the "
        f"end: {ends}.",
        caption="The norm of ∂C/∂W at single steps (pale) and its running median. A layer far below the "
        "others learns slowly (its gradient vanishes); one that climbs without end explodes.",
        height=3.2,
    )


def _layer_label(address: str) -> str:
    layer, _, name = address.rpartition(".")
    return f"layer {layer}" if name == "W" else f"layer {layer}, {name}"


def _smooth(values: Array) -> Array:
    """Return the running median over about a thirtieth of the values."""
    half = max(1, len(values) // 60)
    return np.array([_median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])


def _median(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def _log_if_wide(axes: Any, values: Sequence[float]) -> None:
    finite = [v for v in values if math.isfinite(v)]
    if finite and min(finite) > 0 and max(finite) > 20 * min(finite):
        axes.set_yscale("log")
    elif finite and min(finite) >= 0:
        axes.set_ylim(bottom=0)


def _percent(axes: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(top=1.0)
    bottom = axes.get_ylim()[0]
    axes.set_ylim(max(0.0, bottom), 1.0 + 0.03 * (1 - bottom))  # a line at 100 % is not cut in half
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
