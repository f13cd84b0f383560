"""Drawings of graphs: well-formed, complete, the same each time, boxes apart, few crossings."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from clearprop.engines import graph
from clearprop.engines.graph.layout import place

SVG = "{http://www.w3.org/2000/svg}"


def network(depth=2):
    """Return (cost, values) of a small residual network."""
    a = graph.input("X")
    values = {a: np.arange(12.0).reshape(4, 3) / 12}
    for layer in range(1, depth + 1):
        W, b = graph.parameter(f"W{layer}"), graph.parameter(f"b{layer}")
        values |= {W: np.eye(3) + 0.1, b: np.full(3, 0.5)}
        a = (graph.tanh(a @ W.T + b) + 0.5 * a).named(f"a{layer}")
    return graph.sum(a * a).named("C"), values


def titles(picture):
    return [title.text for title in ET.fromstring(picture).iter(f"{SVG}title")][1:]


def boxes(picture):
    """Return (left, top, right, bottom) of the box of every node."""
    found = []
    for group in ET.fromstring(picture).iter(f"{SVG}g"):
        if group.find(f"{SVG}title") is not None:
            x, y, w, h = (float(group.find(f"{SVG}rect").get(key)) for key in ("x", "y", "width", "height"))
            found.append((x, y, x + w, y + h))
    return found


@pytest.mark.parametrize("direction", ["down", "right"])
@pytest.mark.parametrize("depth", [1, 2, 9])
def test_every_node_and_arrow_is_drawn_and_boxes_are_apart(depth, direction):
    cost, values = network(depth)
    trace = graph.evaluate(cost, values)
    pictures = [
        graph.draw.svg(cost, direction=direction),
        graph.draw.svg(trace, direction=direction),
        graph.draw.svg(cost, trace, direction=direction, gradient_labels=True),
    ]
    order = trace.topology.order
    for picture in pictures:
        drawn = [title.partition(":")[0] for title in titles(picture)]
        assert drawn == [trace.topology.names[node] for node in order]
        arrows = sum(len(node.parents) for node in order)
        assert picture.count("<path") == 2 * arrows  # a line and a head each
        placed = boxes(picture)
        assert len(placed) == len(order)
        for i, (left, top, right, bottom) in enumerate(placed):
            for other in placed[:i]:
                assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
        for i, node in enumerate(order):
            for parent in node.parents:  # values flow forward
                flows = (0, 2) if direction == "right" else (1, 3)
                assert placed[order.index(parent)][flows[1]] < placed[i][flows[0]]


def test_same_graph_same_text():
    (first, values), (second, others) = network(3), network(3)
    assert graph.draw.svg(graph.evaluate(first, values)) == graph.draw.svg(graph.evaluate(second, others))


def test_notebooks_show_graphs_and_traces():
    cost, values = network()
    assert graph.Graph(cost)._repr_svg_() == graph.draw.svg(cost)
    trace = graph.evaluate(cost, values)
    assert trace._repr_svg_() == graph.draw.svg(trace)


def test_boxes_show_values_and_gradients():
    x, w = graph.input("x"), graph.parameter("w")
    cost = graph.sum(graph.per_example_cost(w * x, np.zeros((1, 2)), "quadratic")).named("C")
    text = graph.draw.svg(graph.evaluate(cost, {x: [[1.0, -2.0]], w: 0.25}))
    for line in ("value 0.25", "grad  1.25", "value [[1 -2]]", "grad  [[0.0625 -0.125]]", "input (1, 2)"):
        assert f">{line}<" in text
    assert ">grad: ∂C/∂(this node)<" in text
    large = graph.draw.svg(graph.evaluate(graph.sum(x), {x: np.full((3, 3), 2.0)}))
    assert ">value ‖·‖ = 6<" in large
    assert ">grad  ‖·‖ = 3<" in large
    target = graph.sum(graph.per_example_cost(x, w, "quadratic"))
    assert ">grad  not known<" in graph.draw.svg(graph.evaluate(target, {x: [[1.0]], w: [[2.0]]}))


def test_labels_of_arrows_add_up_to_the_gradient():
    x = graph.input("x")
    text = graph.draw.svg(graph.evaluate((x * 3.0 + x**2).named("f"), {x: 2.0}), gradient_labels=True)
    for label in (">3<", ">4<", ">grad  7<"):
        assert label in text


def test_kinds_of_nodes_differ_by_more_than_colour():
    x = graph.input("x")
    text = graph.draw.svg((x * graph.parameter("w") + 2.0).named("out"))
    styles = {
        (rect.get("stroke-width"), rect.get("stroke-dasharray", ""))
        for group in ET.fromstring(text).iter(f"{SVG}g")
        for rect in group.findall(f"{SVG}rect")
        if group.find(f"{SVG}title") is not None
    }
    assert len(styles) == 5


def test_names_are_escaped_cut_and_cleaned():
    names = ['<script>&"x"</script>', "n" * 200, "入力", "bell\x07\ud800"]
    output = graph.concatenate([graph.input(name) for name in names]).named("a < b")
    picture = graph.draw.svg(output)
    drawn = [title.partition(":")[0] for title in titles(picture)]
    assert drawn == [*names[:3], "bell\ufffd\ufffd", "a < b"]
    assert "<script" not in picture
    assert "n" * 29 + "…<" in picture
    picture.encode("utf-8")


def test_a_cut_graph_is_drawn_as_it_was_evaluated():
    x = graph.input("x")
    z = (x * 2.0).named("z")
    trace = graph.evaluate((z * z).named("f"), {z: 3.0})
    assert [title.partition(":")[0] for title in titles(graph.draw.svg(trace))] == ["z", "f"]


def crossings(centers, edges):
    """Return how many pairs of straight edges between neighbouring columns cross."""
    ends = [(centers[a][1], centers[b][1]) for a, b in edges]
    return sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(ends) for c, d in ends[:i])


def test_crossings_are_removed_where_they_can_be():
    # Five sources and five targets, matched in reverse: crossing-free in the opposite order.
    edges = [(i, 9 - i) for i in range(5)]
    assert crossings(place([(40, 20)] * 10, edges).centers, edges) == 0


def test_a_chain_is_straight_and_nothing_is_nothing():
    placed = place([(40, 20)] * 6, [(i, i + 1) for i in range(5)])
    assert len({y for _, y in placed.centers}) == 1
    assert place([], []).centers == []


def test_long_edges_keep_clear_of_boxes():
    edges = [(0, 1), (1, 2), (2, 3), (0, 3)]
    placed = place([(40, 20)] * 4, edges, gap=(30, 10))
    heights = [y for x, y in placed.routes[3] if placed.centers[1][0] - 20 <= x <= placed.centers[2][0] + 20]
    assert len(heights) == 4
    assert all(abs(y - placed.centers[1][1]) >= 18 for y in heights)
