"""Pictures of a classifier's answers: images right and wrong, confusion matrix, confidence, boundary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.report.confusion import confusion_matrix, most_frequent_mistakes
from clearprop.report.style import (
    BLUE,
    COLOURS,
    INK,
    LONGEST_AXIS,
    RED,
    Picture,
    blend,
    draw,
    label,
    tidy,
)

__all__ = ["boundary", "confidence", "confusion_picture", "right_images", "wrong_images"]

_COLUMNS = 10
_MOST_LABELS = 30
_ABOVE, _SIDE_BY_SIDE = 11, 12  # characters above an image, of one name and of two
_GRID = 240
_NOTHING = "#656D76"  # a count of 0: less than the others catch the eye, and is read all the same
_SMALL_MISTAKE = 0.02  # of a row: a lone mistake of less is not painted in the darkest colour


def right_images(
    images: Array, true: Array, predicted: Array, sure: Array, names: Sequence[str], most: int = 10
) -> Picture | None:
    """Return images (n, rows, columns) that were recognised, one of each class in turn; None without any.

    true, predicted: class indices (n,). sure: probability of the predicted class (n,).
    """
    right = np.flatnonzero(true == predicted)
    if not len(right):
        return None
    by_class = [right[true[right] == k] for k in range(len(names))]
    turns = max(len(group) for group in by_class)
    chosen = [int(group[i]) for i in range(turns) for group in by_class if i < len(group)][:most]
    titles = [f"{label(names[predicted[i]], _ABOVE)}\n{_percent(sure[i])}" for i in chosen]
    listed = ", ".join(names[predicted[i]] for i in chosen)
    return _tiles(
        images[chosen],
        titles,
        INK,
        alt=f"{len(chosen)} images that were recognised: {listed}.",
        caption=f"Recognised ({len(right)} of {len(true)}), with the probability that the network gave its "
        "answer.",
    )


def wrong_images(
    images: Array, true: Array, predicted: Array, sure: Array, names: Sequence[str], most: int = 20
) -> Picture | None:
    """Return images that were mistaken, the surest mistake first; None without any. See `right_images`."""
    wrong = np.flatnonzero(true != predicted)
    if not len(wrong):
        return None
    chosen = [int(i) for i in wrong[np.argsort(-sure[wrong], kind="stable")][:most]]
    titles = [_mistake(names[true[i]], names[predicted[i]], sure[i]) for i in chosen]
    listed = ", ".join(f"{names[true[i]]} taken for {names[predicted[i]]}" for i in chosen)
    shown = "all of them" if len(chosen) == len(wrong) else f"the {len(chosen)} it was surest of"
    return _tiles(
        images[chosen],
        titles,
        RED,
        alt=f"{len(chosen)} images that were mistaken: {listed}.",
        caption=f"Mistaken ({len(wrong)} of {len(true)}, {shown}): true → predicted, "
        "with the probability that the network gave its answer.",
    )


def _mistake(true: str, predicted: str, sure: float) -> str:
    """Return the words above an image: names too long to stand side by side go below one another."""
    true, predicted = label(true, _ABOVE), label(predicted, _ABOVE)
    between = " " if len(true) + len(predicted) <= _SIDE_BY_SIDE else "\n"
    return f"{true} →{between}{predicted}\n{_percent(sure)}"


def _tiles(images: Array, titles: Sequence[str], colour: str, alt: str, caption: str) -> Picture:
    rows = math.ceil(len(images) / _COLUMNS)
    longest = max(len(line) for title in titles for line in title.split("\n"))

    def paint(figure: Any) -> None:
        grid = figure.subplots(rows, _COLUMNS, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for axes, image, title in zip(grid.flat, images, titles, strict=False):
            axes.imshow(image, cmap="gray_r", interpolation="nearest")
            axes.set_title(title, fontsize=9 if longest < 10 else 6.5, color=colour, loc="center", pad=3)

    return draw(paint, alt=alt, caption=caption, height=0.1 + 1.35 * rows, kind="png")


def confusion_picture(true: Array, predicted: Array, names: Sequence[str]) -> Picture:
    """Return the confusion matrix: rows are true classes, columns predicted, mistakes in their own colour."""
    counts = confusion_matrix(true, predicted, len(names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(7.5, 2.2 + 0.34 * len(names))
    shown = [label(name) for name in names]
    longest = max(len(name) for name in shown)

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.imshow(_cell_colours(shares), aspect="equal")
        if len(names) <= _MOST_LABELS:
            axes.set_xticks(
                range(len(names)),
                shown,
                rotation=45 if longest > 3 else 0,
                ha="right" if longest > 3 else "center",
            )
            axes.set_yticks(range(len(names)), shown)
        if len(names) <= 20:
            _write_counts(axes, counts, shares)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.grid(False)
        axes.tick_params(length=0)
        tidy(axes, title="Confusion matrix", x="predicted", y="true")

    right, total = int(np.trace(counts)), int(counts.sum())
    return draw(
        paint,
        alt=f"Confusion matrix of {len(names)} classes: {right} of {total} examples lie on the diagonal, "
        f"{total - right} beside it.{_mistakes_in_words(counts, names)}",
        caption="Rows are true classes, columns predicted ones. Blue: right; orange: mistaken, the darker "
        "the larger the share of its row. Mistakes are shaded against the most frequent one.",
        width=size + 0.4,
        height=size,
    )


def _mistakes_in_words(counts: Array, names: Sequence[str]) -> str:
    found = most_frequent_mistakes(counts, 5)
    listed = ", ".join(f"{names[m.true]} taken for {names[m.predicted]} ({m.times})" for m in found)
    return f" Most frequent: {listed}." if found else ""


def _cell_shades(shares: Array) -> Array:
    """Return how dark each cell is, in [0, 1]: by share on the diagonal, by share of the worst beside it."""
    wrong = shares * (1 - np.eye(len(shares)))
    worst = max(float(wrong.max()), _SMALL_MISTAKE)
    shades = np.where(np.eye(len(shares)) == 1, 0.15 + 0.7 * shares, 0.1 + 0.85 * np.sqrt(wrong / worst))
    return np.where(shares > 0, shades, 0.0)


def _cell_colours(shares: Array) -> Array:
    """Return a colour for each cell: blue on the diagonal, orange beside it, white where nothing is."""
    shades = _cell_shades(shares)
    colours = np.ones((*shares.shape, 3))
    for t, p in np.ndindex(*shares.shape):
        colours[t, p] = blend(BLUE if t == p else RED, float(shades[t, p]))
    return colours


def _write_counts(axes: Any, counts: Array, shares: Array) -> None:
    colours = _cell_colours(shares)
    for t, p in np.ndindex(*counts.shape):
        ink = (
            max(("#000000", "#FFFFFF"), key=lambda c: _contrast(c, colours[t, p]))
            if counts[t, p]
            else _NOTHING
        )
        axes.text(p, t, f"{counts[t, p]}", ha="center", va="center", color=ink, fontsize=9)


def _contrast(text: str, ground: Array) -> float:
    """Return how far two colours are apart in light, from 1 to 21 (WCAG 2.1); 4.5 is easily read."""
    darker, lighter = sorted((_light(np.array(blend(text, 1.0))), _light(ground)))
    return (lighter + 0.05) / (darker + 0.05)


def _light(colour: Array) -> float:
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def confidence(true: Array, predicted: Array, sure: Array) -> Picture:
    """Return how sure the network was of right and wrong answers. sure: probability of the answer (n,)."""
    right = true == predicted
    bins = np.linspace(min(0.5, float(sure.min())), 1.0, 21)

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.hist(
            [sure[right], sure[~right]], bins=bins, stacked=True, color=[BLUE, RED], label=["right", "wrong"]
        )
        axes.set_yscale("symlog", linthresh=10)
        tidy(axes, title="How sure it was", x="probability of the answer given", y="examples", legend=True)

    return draw(
        paint,
        alt=f"Histogram of the probability of the predicted class for {int(right.sum())} right answers "
        f"(median {_median(sure[right])}) and {int((~right).sum())} wrong ones "
        f"(median {_median(sure[~right])}).",
        caption="A classifier that knows what it does not know has its wrong answers on the left.",
        height=2.6,
    )


def boundary(
    X: Array,
    true: Array,
    predicted: Array,
    probabilities: Callable[[Array], Array],
    names: Sequence[str],
    features: Sequence[str],
) -> Picture:
    """Return the plane of two features coloured by class, with the examples X (n, 2) on it.

    probabilities: from points (m, 2) to (m, number of classes).
    """
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    x0, x1 = (np.linspace(low[j], high[j], _GRID) for j in (0, 1))
    plane = np.stack([part.reshape(-1) for part in np.meshgrid(x0, x1)], axis=1)
    proba = probabilities(plane)
    tints = np.array([blend(COLOURS[k % len(COLOURS)], 0.45) for k in range(proba.shape[1])])
    image = (proba @ tints).reshape(_GRID, _GRID, 3)
    best = proba.argmax(axis=1).reshape(_GRID, _GRID)
    wrong = true != predicted
    keyed = len(names) <= len(COLOURS)  # beyond, colours repeat, and a key would tell nothing

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.imshow(
            image,
            origin="lower",
            extent=(low[0], high[0], low[1], high[1]),
            aspect="auto",
            interpolation="bilinear",
        )
        for k in range(proba.shape[1] - 1):
            if (best <= k).any() and (best > k).any():
                axes.contour(x0, x1, best <= k, levels=[0.5], colors=INK, linewidths=0.8)
        for k, name in enumerate(names):
            own = X[true == k]
            colour = COLOURS[k % len(COLOURS)]
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=22,
                color=colour,
                edgecolor="white",
                linewidth=0.6,
                label=label(name) if keyed else None,
            )
        if wrong.any():
            axes.scatter(
                X[wrong, 0],
                X[wrong, 1],
                s=60,
                facecolor="none",
                edgecolor=INK,
                linewidth=1.2,
                label="mistaken",
            )
        axes.grid(False)
        tidy(
            axes,
            title="Decision boundary",
            x=label(features[0], LONGEST_AXIS),
            y=label(features[1], LONGEST_AXIS),
        )
        if keyed or wrong.any():
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return draw(
        paint,
        alt=f"The plane of {features[0]} and {features[1]}, coloured by the predicted class, with {len(X)} "
        f"examples; {int(wrong.sum())} lie on the wrong side.",
        caption="The colour of the plane is the mean of the classes' colours, weighted by their "
        "probabilities; lines are where the answer changes; rings mark mistaken examples."
        + ("" if keyed else f" Of {len(names)} classes several share a colour."),
        width=7.4,
        height=5.2,
        kind="png",
    )


def _percent(share: float) -> str:
    """Return a probability as text that never rounds to certainty.

    >>> _percent(0.734), _percent(0.99999)
    ('73%', '>99.9%')
    """
    if share > 0.999:
        return ">99.9%"
    return f"{100 * share:.1f}%" if share > 0.99 else f"{100 * share:.0f}%"


def _median(values: Array) -> str:
    return f"{np.median(values):.3f}" if len(values) else "none"
