"""`clearprop explain`: one gradient of a saved network written out, or why it is small."""

from __future__ import annotations

from typing import Any

from clearprop.arrays import Array
from clearprop.cli import options as opt
from clearprop.cli.data import Source, list_columns
from clearprop.cli.errors import SUCCESS
from clearprop.cli.files import check_writable
from clearprop.cli.models import labelled
from clearprop.cli.output import Output
from clearprop.cli.settings import parse_weight
from clearprop.cli.threads import blas_threads
from clearprop.errors import OptionError
from clearprop.explain import Answer
from clearprop.io import replace_text
from clearprop.network import Network, load

__all__ = ["explain"]


def explain(
    model: opt.Model,
    data_name: opt.Rows,
    data: opt.Data = None,
    target: opt.Target = None,
    drop: opt.Drop = None,
    part: opt.Part = None,
    example: opt.ExampleNumber = None,
    layer: opt.LayerAddress = None,
    weight: opt.WhichWeight = None,
    bias: opt.WhichBias = None,
    neuron: opt.WhichNeuron = None,
    why: opt.Why = False,
    latex: opt.Latex = False,
    html: opt.HtmlOutput = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Write out the gradient of one weight, bias or neuron for one example.

    The chain rule in symbols, in the numbers of this network and in words, and the gradient as a sum over
    paths. With --layer alone the four equations of the layer; with --why what makes a gradient small.
    """
    _one_form({"--latex": latex, "--html": html is not None, "--json": as_json})
    source = Source(data_name, data, target, None, tuple(list_columns(drop)))
    check_writable({"the page": html}, force, "--html", {"the model": model, **source.files})
    which = parse_weight(weight)
    if example is None and not why:
        example = 0
    output = Output(as_json)
    network = load(model)
    with blas_threads(None):
        found = labelled(network, source, part, output)
        assert found.y is not None
        asked = {"layer": layer, "weight": which, "bias": bias, "neuron": neuron}
        answer = _answer(network, found.X, found.y, example, asked, why)
    if html is not None:
        replace_text(html, answer.to_html(whole_page=True), overwrite=force)
        output.say(str(html))
    else:
        output.say(answer.to_latex().rstrip() if latex else str(answer))
    about = {
        "command": "explain",
        "model": str(model),
        "data": data_name,
        "part": found.part,
        "example": example,
    }
    output.finish(about | answer.to_dict())
    return SUCCESS


def _one_form(given: dict[str, bool]) -> None:
    chosen = [option for option, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise OptionError(f"{' and '.join(chosen)} are different forms of the answer. Give one of them.")


def _answer(
    network: Network, X: Array, y: Array, example: int | None, asked: dict[str, Any], why: bool
) -> Answer:
    if example is None:
        return network.why(X, y, **asked)
    if example >= len(X):
        raise OptionError(
            f"--example {example}: there are {len(X)} examples, counted from 0 to {len(X) - 1}."
        )
    rows = X[example : example + 1], y[example : example + 1]
    return network.why(*rows, **asked) if why else network.explain(*rows, **asked)
