"""Pictures of a regression: predicted against true values, residuals, and the curve of one feature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.report.style import BLUE, GREY, INK, LONGEST_AXIS, RED, Picture, draw, label, tidy

__all__ = ["fitted_curve", "predicted_against_true"]

_MOST_POINTS = 3000
_HALF = LONGEST_AXIS * 2 // 3  # on an axis that is short


def predicted_against_true(true: Array, predicted: Array, target: str) -> Picture:
    """Return predicted against true values, and the histogram of the residuals. true, predicted: (n,)."""
    residuals = predicted - true
    every = max(1, len(true) // _MOST_POINTS)
    widest = max(float(np.abs(residuals).max()), 1e-6 * float(np.abs(true).max())) or 1.0
    edges = np.linspace(-widest, widest, 2 * min(20, max(3, len(residuals) // 20)) + 2)  # one bar around 0

    def paint(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
        left.plot(ends, ends, color=GREY, linewidth=1.2)
        left.scatter(true[::every], predicted[::every], s=12, color=BLUE, alpha=0.5, edgecolor="none")
        tidy(
            left,
            title="Predicted against true",
            x=label(f"true {target}", _HALF),
            y=label(f"predicted {target}", _HALF),
        )
        right.hist(residuals, bins=edges, color=BLUE)
        right.axvline(0, color=INK, linewidth=1)
        tidy(right, title="Residuals", x="predicted - true", y="examples")

    return draw(
        paint,
        alt=f"Predicted against true {target} for {len(true)} examples, and the histogram of the residuals: "
        f"mean {residuals.mean():.3g}, standard deviation {residuals.std():.3g}.",
        caption="On the grey line predictions are exact.",
        height=4.0,
        kind="png" if len(true) > 500 else "svg",
    )


def fitted_curve(
    X: Array, true: Array, outputs: Callable[[Array], Array], feature: str, target: str
) -> Picture:
    """Return the network's output as a function of its one feature, with examples X (n, 1), true (n,)."""
    x = np.linspace(X.min(), X.max(), 400)[:, None]
    curve = outputs(x).reshape(-1)
    every = max(1, len(X) // 500)

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.scatter(
            X[::every, 0], true[::every], s=12, color=BLUE, alpha=0.5, edgecolor="none", label="examples"
        )
        axes.plot(x[:, 0], curve, color=RED, label="network")
        tidy(
            axes,
            title="The function it learned",
            x=label(feature, LONGEST_AXIS),
            y=label(target, _HALF),
            legend=True,
        )

    return draw(
        paint,
        alt=f"{target} against {feature}: {len(X)} examples and the curve of the network, "
        f"from {curve.min():.3g} to {curve.max():.3g}.",
        caption="The output of the network over the range of its one feature.",
    )
