"""The values that an evaluation starts from: what was given, and the constants, in one dtype."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.graph.nodes import Node
from clearprop.engines.graph.operation import Constant
from clearprop.engines.graph.topology import Topology
from clearprop.errors import DataError, DTypeError, one_of

__all__ = ["leaf_values", "read_only"]


def leaf_values(topology: Topology, given: Mapping[Node, Any]) -> dict[Node, Array]:
    """Return copies of the values given and of the constants, in their dtypes, by node.

    Errors: `DataError` if an input or parameter has no value; `DTypeError` for what is no number.
    """
    raw = dict(given)
    for node in topology.order:
        if isinstance(node.operation, Constant):
            raw.setdefault(node, node.operation.value)
    missing = [
        topology.names[node] for node in topology.order if node.role != "intermediate" and node not in raw
    ]
    if missing:
        raise DataError(
            f"the graph needs a value for {one_of(missing)}; values has none. Give it by node or name."
        )
    dtype = _real_dtype(raw.values())
    return {node: _leaf_value(topology, node, value, dtype) for node, value in raw.items()}


def _real_dtype(values: Iterable[Any]) -> np.dtype[Any]:
    """Return the real floating dtype that arrays with a floating dtype agree on, else float64."""
    dtypes = [np.dtype(value.dtype) for value in values if hasattr(value, "dtype")]
    floating = [dtype for dtype in dtypes if np.issubdtype(dtype, np.inexact)]
    return np.finfo(np.result_type(*floating)).dtype if floating else np.dtype(float)


def _leaf_value(topology: Topology, node: Node, value: Any, dtype: np.dtype[Any]) -> Array:
    array = np.array(value)  # a copy, so that a trace stays what it was
    if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
        name = topology.names.get(node, node.name)
        raise DTypeError(f"node {name!r} needs an array of numbers, got {value!r} of dtype {array.dtype}.")
    if not np.issubdtype(array.dtype, np.inexact):
        array = array.astype(dtype)
    elif not hasattr(value, "dtype"):
        # complex64 goes with float32, complex128 with float64
        array = array.astype(np.result_type(dtype, np.complex64) if np.iscomplexobj(array) else dtype)
    return read_only(array)


def read_only(array: Any) -> Array:
    """Return a view of `array` that can't be written to; the array itself stays as it was."""
    view: Array = np.asarray(array).view()
    view.flags.writeable = False
    return view
