"""The rungs of the ladder: the same equations as a graph, by neuron, by example, in batches, and in C++."""

from clearprop.engines.base import (
    Engine,
    Pass,
    Rows,
    StepOptions,
    Steps,
    Trainer,
    TrainingOptions,
    choose_engine,
    engines,
    register_engine,
)

# In the order of the ladder: importing a rung registers it.
# isort: off
from clearprop.engines.graph_rung import GraphEngine, NetworkGraph
from clearprop.engines.neuron import NeuronEngine
from clearprop.engines.example import ExampleEngine
from clearprop.engines.batch import BatchEngine, forward_backward
from clearprop.engines.native import NativeEngine
# isort: on

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
    "engines",
    "forward_backward",
    "register_engine",
]
