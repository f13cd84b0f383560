"""Weights as images: what each neuron of a layer looks for in its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_items, as_whole
from clearprop.errors import OptionError, ShapeError, UnknownNameError, UnsupportedError
from clearprop.network import Network
from clearprop.plots.places import check_network, find_layer, layer_list
from clearprop.plots.style import WIDTH, diverging, new_figure, styled, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WeightImages", "draw_weights", "weights", "weights_data"]

_FEWEST_PIXELS = 16


@dataclass(frozen=True)
class WeightImages:
    """Rows of W as images, or all of W as one."""

    layer: str
    neurons: tuple[int, ...]
    images: Array
    """(neurons, height, width): row j of W in the shape of its inputs; (1, n_out, n_in) for W as a whole."""
    whole: bool
    """Whether the one image is W itself, rows to neurons and columns from them."""
    largest: float
    """Largest |w| shown; the colours go from minus to plus it."""


def weights_data(
    net: Network,
    layer: int | str = 1,
    *,
    shape: tuple[int, int] | None = None,
    neurons: Any = None,
    most: int = 24,
) -> WeightImages:
    """Return the weights of a layer as images.

    Parameters:
        layer: number or address of a Dense layer.
        shape: (height, width) of the inputs; left out, square where their number is a square of 16 or more
            (784 is 28 by 28), else W is one image.
        neurons: which neurons; left out, the first `most`.

    Errors: `UnknownNameError` for a layer or neuron that does not exist; `ShapeError` for a shape that has
    not as many pixels as there are inputs; `UnsupportedError` for a layer without W.

    >>> import clearprop as cp
    >>> weights_data(cp.Network([784, 30, 10], seed=0), neurons=[0, 7]).images.shape
    (2, 28, 28)
    >>> weights_data(cp.Network([784, 30, 10], seed=0), 2).images.shape
    (1, 10, 30)
    """
    model = check_network(net).model
    address, description = find_layer(model, layer)
    if "W" not in description.parameters():
        raise UnsupportedError(
            f"layer {address} {type(description).__name__} has no weights W. Layers: {layer_list(model)}."
        )
    W = np.asarray(net.parameters[f"{address}.W"])
    n_out, n_in = W.shape
    chosen = _neurons(neurons, n_out, as_whole("most", most, at_least=1), address, layer_list(model))
    side = math.isqrt(n_in)
    if shape is None and not (side * side == n_in and n_in >= _FEWEST_PIXELS):
        rows = W if neurons is None else W[list(chosen)]
        every = tuple(range(n_out)) if neurons is None else chosen
        return WeightImages(address, every, rows[np.newaxis].copy(), True, float(np.abs(rows).max()))
    height, width = (side, side) if shape is None else _shape(shape, n_in, address)
    images = W[list(chosen)].reshape(len(chosen), height, width).copy()
    return WeightImages(address, chosen, images, False, float(np.abs(images).max()))


def _neurons(neurons: Any, n_out: int, most: int, address: str, layers: str) -> tuple[int, ...]:
    if neurons is None:
        return tuple(range(min(n_out, most)))
    wanted = [neurons] if isinstance(neurons, int | np.integer) else as_items("neurons", neurons)
    chosen = tuple(as_whole("neurons", j, at_least=0) for j in wanted)
    for j in chosen:
        if j >= n_out:
            raise UnknownNameError(
                f"layer {address} has no neuron {j}: it has {n_out}, counted from 0. Layers: {layers}."
            )
    if not chosen:
        raise UnknownNameError("neurons is empty. Name at least one, or leave neurons out.")
    return chosen


def _shape(shape: tuple[int, int], n_in: int, address: str) -> tuple[int, int]:
    sides = as_items("shape", shape)
    if len(sides) != 2:
        raise OptionError(f"shape must be (height, width) in pixels. Got {shape!r}.")
    height, width = (as_whole("shape", side, at_least=1) for side in sides)
    if height * width != n_in:
        raise ShapeError(
            f"shape {height} x {width} has {height * width} pixels; layer {address} has {n_in} inputs. Make "
            "the two agree."
        )
    return height, width


def weights(
    net: Network,
    layer: int | str = 1,
    *,
    shape: tuple[int, int] | None = None,
    neurons: Any = None,
    most: int = 24,
) -> Figure:
    """Draw the weights of a layer as images, blue below zero and vermilion above, on one scale.

    The parameters are those of `weights_data`, which returns the numbers drawn. Returns the figure.

    >>> import clearprop as cp
    >>> len(weights(cp.Network([16, 4, 2], seed=0)).axes)      # four images and the colour scale
    5
    """
    return draw_weights(weights_data(net, layer, shape=shape, neurons=neurons, most=most))


def draw_weights(data: WeightImages) -> Figure:
    """Draw what `weights_data` returned."""
    reach = data.largest or 1.0
    how: dict[str, Any] = {"cmap": diverging(), "vmin": -reach, "vmax": reach, "interpolation": "nearest"}
    with styled():
        if data.whole:
            return _whole(data, how)
        columns = min(len(data.images), 8)
        rows = -(-len(data.images) // columns)
        figure = new_figure(0.95 * rows + 0.55, WIDTH if columns > 4 else 1.2 * columns + 1.2)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, neuron, image in zip(panels, data.neurons, data.images, strict=False):
            drawn = axes.imshow(image, **how)
            axes.set_title(f"{neuron}", fontsize=8, fontweight="normal", loc="center", pad=2)
            axes.grid(False)
            axes.set_xticks([])
            axes.set_yticks([])
        for axes in panels[len(data.images) :]:
            axes.set_visible(False)
        figure.colorbar(drawn, ax=list(panels), label="w", aspect=12 * rows, fraction=0.03)
        figure.suptitle(f"Weights into layer {data.layer}, by neuron", x=0.01, ha="left", fontsize=11)
    return figure


def _whole(data: WeightImages, how: dict[str, Any]) -> Figure:
    image = data.images[0]
    height = min(max(2.2, 0.28 * image.shape[0] + 1.2), 7.0)
    figure = new_figure(height, min(max(3.6, 0.28 * image.shape[1] + 2.0), WIDTH))
    axes: Any = figure.subplots()
    drawn = axes.imshow(image, aspect="auto", **how)
    figure.colorbar(drawn, ax=axes, label="w")
    axes.grid(False)
    if len(data.neurons) <= 20:
        axes.set_yticks(range(len(data.neurons)), [str(j) for j in data.neurons])
    axes.xaxis.get_major_locator().set_params(integer=True)

    tidy(axes, title=f"W[{data.layer}]", x="from neuron k", y="to neuron j")
    return figure
