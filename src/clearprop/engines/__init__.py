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
    register_when_asked,
)
from clearprop.engines.batch import BatchEngine, forward_backward
from clearprop.engines.native import NativeEngine
from clearprop.lazy import attributes

if TYPE_CHECKING:
    from clearprop.engines import example as example
    from clearprop.engines import graph
    from clearprop.engines import graph_rung as graph_rung
    from clearprop.engines import neuron as neuron
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
    "register_when_asked",
]

_WHEN_ASKED = {
    "ExampleEngine": "clearprop.engines.example",
    "GraphEngine": "clearprop.engines.graph_rung",
    "NetworkGraph": "clearprop.engines.graph_rung",
    "NeuronEngine": "clearprop.engines.neuron",
    "example": "clearprop.engines.example",
    "graph": "clearprop.engines.graph",
    "graph_rung": "clearprop.engines.graph_rung",
    "neuron": "clearprop.engines.neuron",
}
__getattr__, __dir__ = attributes(__name__, _WHEN_ASKED, globals())

# In the order of the ladder. A rung registers itself when it is imported.
_BUILT_IN = {
    "graph": "clearprop.engines.graph_rung",
    "neuron": "clearprop.engines.neuron",
    "example": "clearprop.engines.example",
    "batch": "clearprop.engines.batch",
    "native": "clearprop.engines.native",
}
for _name, _module in _BUILT_IN.items():
    register_when_asked(_name, _module)
