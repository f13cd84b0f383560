"""Place the boxes of a directed graph in columns, sources left, few crossings, no overlap.

The four steps of Sugiyama, Tagawa and Toda (1981), on plain numbers: a column for each node by
longest path, a point in each column that a long edge crosses, an order within each column by
barycentres, and heights as near to the neighbours as the order allows. The result depends on
nothing but the arguments.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Placement", "Point", "place"]

Point = tuple[float, float]
SWEEPS = 24
STRAIGHT = 8.0  # how much harder an edge pulls that does not start at a source
WIRE = 16.0  # height kept free around an edge that passes a column


@dataclass(frozen=True)
class Placement:
    """Where boxes and edges go: centres of the boxes, points along each edge, size of the whole."""

    centers: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


def place(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    gap: tuple[float, float] = (48.0, 18.0),
) -> Placement:
    """Return where boxes of these sizes (width, height) go; `edges` are (from, to), with from < to.

    >>> placed = place([(10.0, 10.0)] * 3, [(0, 2), (1, 2)], gap=(20.0, 4.0))
    >>> placed.centers, placed.width, placed.height
    ([(5.0, 5.0), (5.0, 19.0), (35.0, 12.0)], 40.0, 24.0)
    """
    if not sizes:
        return Placement([], [], 0.0, 0.0)
    columns = _columns(len(sizes), edges)
    wires, chains = _wires(columns, edges)
    columns = [*columns, *(column for _, column in wires)]
    links = sorted({link for chain in chains for link in pairwise(chain)})
    order = _order(columns, links)
    heights = [*(height for _, height in sizes), *([WIRE] * len(wires))]
    y = _heights(order, links, heights, gap[1])
    left, right = _column_edges(columns, sizes, gap[0])
    centers = [((left[columns[i]] + right[columns[i]]) / 2, y[i]) for i in range(len(sizes))]
    ends = _ports(edges, chains, y, sizes)
    routes = []
    for k, chain in enumerate(chains):
        first, last = chain[0], chain[-1]
        route = [(centers[first][0] + sizes[first][0] / 2, y[first]), (right[columns[first]], y[first])]
        for wire in chain[1:-1]:
            route += [(left[columns[wire]], y[wire]), (right[columns[wire]], y[wire])]
        route += [(left[columns[last]], ends[k]), (centers[last][0] - sizes[last][0] / 2, ends[k])]
        routes.append(route)
    bottoms = [height + own / 2 for height, own in zip(y, heights, strict=True)]
    return Placement(centers, routes, right[-1], max(bottoms))


def _columns(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return a column for each node: longest path from the sources, then as far right as its users allow."""
    columns = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        columns[target] = max(columns[target], columns[source] + 1)
    limit: dict[int, int] = {}
    for source, target in sorted(edges, reverse=True):
        limit[source] = min(limit.get(source, columns[target] - 1), columns[target] - 1)
        # All edges of `source` come together, and its users, which are later, are settled already.
        columns[source] = limit[source]
    return [column - min(columns) for column in columns]


def _wires(
    columns: Sequence[int], edges: Sequence[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Return the points (source, column) at which long edges cross columns, and each edge as a chain.

    Edges from one source share their points, so they run as one line until they part.
    """
    numbers: dict[tuple[int, int], int] = {}
    chains = []
    for source, target in edges:
        crossed = [(source, column) for column in range(columns[source] + 1, columns[target])]
        for wire in crossed:
            numbers.setdefault(wire, len(columns) + len(numbers))
        chains.append([source, *(numbers[wire] for wire in crossed), target])
    return list(numbers), chains


def _order(columns: Sequence[int], links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the nodes of each column from top to bottom, by barycentre sweeps; the best order seen."""
    order: list[list[int]] = [[] for _ in range(max(columns) + 1)]
    for node, column in enumerate(columns):
        order[column].append(node)
    before, after = _neighbours(len(columns), links)
    best, fewest = order, _crossings(order, before)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        forward = sweep % 2 == 0
        order = _sweep(order, before if forward else after, forward)
        crossings = _crossings(order, before)
        if crossings < fewest:
            best, fewest = order, crossings
    return best


def _neighbours(count: int, links: Sequence[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in links:
        before[target].append(source)
        after[source].append(target)
    return before, after


def _sweep(order: list[list[int]], neighbours: list[list[int]], forward: bool) -> list[list[int]]:
    """Return the columns with each sorted by the mean relative position of its nodes' neighbours."""
    result = [list(column) for column in order]
    position: dict[int, float] = {}
    for column in result if forward else reversed(result):
        own = {node: (i + 0.5) / len(column) for i, node in enumerate(column)}
        wanted = {
            node: sum(position[n] for n in neighbours[node]) / len(neighbours[node])
            if neighbours[node]
            else own[node]
            for node in column
        }
        column.sort(key=lambda node, wanted=wanted, own=own: (wanted[node], own[node]))  # type: ignore[misc]
        position |= {node: (i + 0.5) / len(column) for i, node in enumerate(column)}
    return result


def _crossings(order: list[list[int]], before: list[list[int]]) -> int:
    """Return how many pairs of links cross between neighbouring columns."""
    position = {node: i for column in order for i, node in enumerate(column)}
    total = 0
    for column in order:
        seen: list[int] = []
        for node in column:
            starts = sorted(position[source] for source in before[node])
            total += sum(len(seen) - bisect_right(seen, start) for start in starts)
            for start in starts:
                insort(seen, start)
    return total


def _heights(
    order: list[list[int]], links: Sequence[tuple[int, int]], heights: Sequence[float], gap: float
) -> list[float]:
    """Return a height for each node, near the mean of its neighbours, in order and without overlap."""
    before, after = _neighbours(len(heights), links)
    # What runs through the graph should run straight; a source can hang beside it.
    pull = [STRAIGHT if sources else 1.0 for sources in before]
    y = [0.0] * len(heights)
    for sweep in range(SWEEPS):
        for column in order if sweep % 2 == 0 else reversed(order):
            wanted, weights = [], []
            for node in column:
                ties = [(y[n], pull[n]) for n in before[node]] + [(y[n], pull[node]) for n in after[node]]
                weight = sum(tie for _, tie in ties)
                wanted.append(sum(height * tie for height, tie in ties) / weight if ties else y[node])
                weights.append(weight if ties else 1.0)
            spread = _spread(wanted, weights, [heights[n] for n in column], gap)
            for node, height in zip(column, spread, strict=True):
                y[node] = height
    top = min(y[node] - heights[node] / 2 for node in range(len(y)))
    return [height - top for height in y]


def _spread(
    wanted: Sequence[float], weights: Sequence[float], heights: Sequence[float], gap: float
) -> list[float]:
    """Return the heights nearest to `wanted` (weighted least squares) that keep order and distance.

    With the distances subtracted, the constraint is that the heights don't decrease; pooling
    neighbours that violate it, and giving each pool its mean, solves that exactly.
    """
    offsets = [0.0]
    for upper, lower in pairwise(heights):
        offsets.append(offsets[-1] + (upper + lower) / 2 + gap)
    pools: list[tuple[float, float, int]] = []
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, size = want - offset, weight, 1
        while pools and pools[-1][0] >= mean:
            other, more, count = pools.pop()
            mean = (other * more + mean * total) / (more + total)
            total, size = more + total, count + size
        pools.append((mean, total, size))
    flat = [mean for mean, _, size in pools for _ in range(size)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]


def _column_edges(
    columns: Sequence[int], sizes: Sequence[tuple[float, float]], gap: float
) -> tuple[list[float], list[float]]:
    """Return where each column begins and ends."""
    widths = [0.0] * (max(columns) + 1)
    for column, (width, _) in zip(columns, sizes, strict=False):
        widths[column] = max(widths[column], width)
    left, right = [], []
    start = 0.0
    for width in widths:
        left.append(start)
        right.append(start + width)
        start += width + gap
    return left, right


def _ports(
    edges: Sequence[tuple[int, int]],
    chains: Sequence[Sequence[int]],
    y: Sequence[float],
    sizes: Sequence[tuple[float, float]],
) -> list[float]:
    """Return at which height each edge enters its box: spread over the side, in the order they come."""
    entering: dict[int, list[int]] = {}
    for k, (_, target) in enumerate(edges):
        entering.setdefault(target, []).append(k)
    ports = [0.0] * len(edges)
    for target, ks in entering.items():
        height = sizes[target][1]
        for i, k in enumerate(sorted(ks, key=lambda k: (y[chains[k][-2]], k))):
            ports[k] = y[target] + height * ((i + 1) / (len(ks) + 1) - 0.5)
    return ports
