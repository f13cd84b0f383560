"""The rungs of the ladder: the same equations as a graph, by neuron, by example, in batches, and in C++."""

from typing import TYPE_CHECKING

from clearprop.engines.base import (
    Engine,
    Pass,
    Rows,
    StepOptions,
    Steps,
    Trainer,
    TrainingOptions,
    choose_engine,
    engine_names,
    engines,
    register_engine,
)
from clearprop.engines.batch import BatchEngine, forward_backward
from clearprop.engines.native import NativeEngine
from clearprop.lazy import attributes

if TYPE_CHECKING:
    from clearprop.engines import graph
    from clearprop.engines.example import ExampleEngine
    from clearprop.engines.graph_rung import GraphEngine, NetworkGraph
    from clearprop.engines.neuron import NeuronEngine

__all__ = [
    "BatchEngine",
    "Engine",
    "ExampleEngine",
    "GraphEngine",
    "NativeEngine",
    "NetworkGraph",
    "NeuronEngine",
    "Pass",
    "Rows",
    "StepOptions",
    "Steps",
    "Trainer",
    "TrainingOptions",
    "choose_engine",
    "engine_names",
    "engines",
    "forward_backward",
    "graph",
    "register_engine",
]

_WHEN_ASKED = {
    "ExampleEngine": "clearprop.engines.example",
    "GraphEngine": "clearprop.engines.graph_rung",
    "NetworkGraph": "clearprop.engines.graph_rung",
    "NeuronEngine": "clearprop.engines.neuron",
    "graph": "clearprop.engines.graph",
}
__getattr__ = attributes(__name__, _WHEN_ASKED, globals())
