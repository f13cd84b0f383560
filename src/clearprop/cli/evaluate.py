"""`clearprop evaluate`: how well a saved network does on examples whose truth is known."""

from __future__ import annotations

from clearprop.cli import options as opt
from clearprop.cli.data import Source, list_columns
from clearprop.cli.errors import SUCCESS
from clearprop.cli.measure import measure, say_measured
from clearprop.cli.models import labelled
from clearprop.cli.output import Output
from clearprop.cli.threads import blas_threads
from clearprop.network import load

__all__ = ["evaluate"]


def evaluate(
    model: opt.Model,
    data_name: opt.Rows,
    data: opt.Data = None,
    target: opt.Target = None,
    drop: opt.Drop = None,
    part: opt.Part = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Measure a saved network: cost, accuracy and a confusion table, or the errors of a regression.

    On the data that it was trained on, the test part is the one that training held out.
    """
    output = Output(as_json)
    network = load(model)
    with blas_threads(None):
        found = labelled(
            network, Source(data_name, data, target, None, tuple(list_columns(drop))), part, output
        )
        assert found.y is not None
        measured = measure(network, found.X, found.y)
    say_measured(output, measured, "" if found.part == "all" else found.part)
    output.finish(
        {
            "command": "evaluate",
            "model": str(model),
            "data": data_name,
            "part": found.part,
            **measured.as_dict(),
        }
    )
    return SUCCESS
