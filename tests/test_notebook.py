"""A network in a notebook: one well-formed piece of HTML without scripts, true to what it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import clearprop as cp


def parsed(net: cp.Network) -> ElementTree.Element:
    return ElementTree.fromstring(net._repr_html_())


def words(net: cp.Network) -> list[str]:
    return [text.strip() for text in parsed(net).itertext() if text.strip()]


def trained(**options: Any) -> cp.Network:
    X, y = cp.datasets.moons(60, noise=0.1, seed=0)
    net = cp.Network([cp.Dense(16, "relu"), cp.Dense(2, "softmax")], seed=0)
    net.fit(X, y, engine="batch", **{"epochs": 5, "validation_fraction": 0.25, **options})
    return net


def test_it_shows_every_layer_with_its_size_and_activation() -> None:
    layers = [cp.Dense(128, "relu"), cp.Dropout(0.2), cp.Residual([cp.Dense(64, "gelu"), cp.Dense()])]
    net = cp.Network([*layers, cp.Dense(10, "softmax")], n_in=784, seed=0)
    shown = words(net)
    for word in ("input", "784", "relu", "128", "Dropout", "Residual", "softmax", "10"):
        assert word in shown
    assert "3 Residual 128; body: Dense 64 gelu → Dense 128 identity" in shown
    assert f"· cost cross_entropy · {net.n_parameters:,} parameters · float64" in shown


def test_it_is_alone_small_and_without_scripts() -> None:
    for net in (trained(), trained(epochs=400), cp.Network([cp.Dense(3)])):
        shown = net._repr_html_()
        assert not re.search(r"<script|<img|<link|href|url\(|@import|\son\w+=", shown)
        assert len(shown) < 20_000
        parsed(net)


def test_bars_grow_with_the_layers() -> None:
    net = cp.Network([cp.Dense(100, "relu"), cp.Dense(2)], n_in=10)
    heights = [float(rect.attrib["height"]) for rect in parsed(net).iter("rect")]
    assert len(heights) == 3
    assert heights[2] < heights[0] < heights[1]


def test_a_deep_network_is_shortened_and_says_so() -> None:
    net = cp.Network([cp.Dense(10, "sigmoid")] * 20 + [cp.Dense(2, "softmax")], n_in=2)
    shown = words(net)
    assert "11 more" in shown
    assert "21" in shown
    assert len(list(parsed(net).iter("rect"))) == 11


def test_sizes_that_are_not_known_yet() -> None:
    shown = words(cp.Network([cp.Dense(16, "relu"), cp.Dense()]))
    assert shown.count("?") == 2
    assert any("sizes not known yet" in each for each in shown)


def test_after_a_fit_it_shows_the_curves() -> None:
    net = trained()
    assert net.history is not None
    shown = words(net)
    assert {"cost", "val_cost", "accuracy", "val_accuracy", "epoch 1", "5"} <= set(shown)
    assert any(f"val_accuracy {net.history['val_accuracy'][-1]:.4g}" in each for each in shown)
    panels = [svg.attrib["aria-label"] for svg in parsed(net).iter("svg")]
    assert panels[1].startswith("cost, val_cost by epoch, from ")
    assert "cost" not in words(cp.Network([2, 2]))


def points(net: cp.Network, panel: int) -> list[list[tuple[float, float]]]:
    curves = [p for p in list(parsed(net).iter("svg"))[panel].iter("path") if "stroke-width" in p.attrib]
    return [
        [tuple(map(float, point.split())) for point in re.split("[ML]", curve.attrib["d"])[1:]]
        for curve in curves
    ]


def test_the_curve_is_the_history() -> None:
    net = trained(validation_fraction=0.0)
    assert net.history is not None
    ((curve,), cost) = points(net, 1), np.array(net.history["cost"])
    x, y = np.array(curve).T
    np.testing.assert_allclose(np.diff(x), np.diff(x)[0], atol=0.11)
    expected = (cost.max() - cost) / (cost.max() - cost.min())
    np.testing.assert_allclose((y - y.min()) / (y.max() - y.min()), expected, atol=0.01)


def test_a_wide_range_of_costs_is_drawn_logarithmically() -> None:
    net = trained(epochs=2, validation_fraction=0.0)
    assert net.history is not None
    net.history.rows = [{"epoch": e, "cost": 10.0**-e} for e in range(5)]
    assert "logarithmic" in words(net)
    (curve,) = points(net, 1)
    y = np.array(curve)[:, 1]
    np.testing.assert_allclose(np.diff(y), np.diff(y)[0], atol=0.11)


@pytest.mark.parametrize("costs", [[0.5], [0.5, 0.5], [0.5, np.nan, 0.4, np.inf, 0.3, 0.2], [np.nan, np.nan]])
def test_odd_histories_are_drawn_as_far_as_they_go(costs: list[float]) -> None:
    net = trained(epochs=1)
    assert net.history is not None
    net.history.rows = [{"epoch": e, "cost": c} for e, c in enumerate(costs, 1)]
    drawn = net._repr_html_()
    parsed(net)
    assert not re.search(r'[ "ML](nan|inf)', drawn.split("curves")[-1])


def test_words_are_escaped() -> None:
    @dataclass(frozen=True)
    class Odd(cp.costs.Quadratic):
        name = "<b>&odd"

    net = cp.Network([cp.Dense(1)], cost=Odd(), n_in=1)
    assert "&lt;b&gt;&amp;odd" in net._repr_html_()
    parsed(net)


def test_frozen_parts_are_named() -> None:
    net = cp.Network([2, 3, 1]).freeze("1", "*.b")
    assert any("frozen: 1, *.b" in each for each in words(net))
