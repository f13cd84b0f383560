"""`clearprop predict`: what a saved network says about examples."""

from __future__ import annotations

import csv
import io
import sys
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.cli import options as opt
from clearprop.cli.data import Source, list_columns
from clearprop.cli.errors import SUCCESS
from clearprop.cli.files import check_writable
from clearprop.cli.measure import class_names, probabilities
from clearprop.cli.models import unlabelled
from clearprop.cli.output import Output, writing_results
from clearprop.cli.threads import blas_threads
from clearprop.errors import OptionError
from clearprop.io import replace_text
from clearprop.network import Network, load

__all__ = ["predict"]


def predict(
    model: opt.Model,
    data_name: opt.Rows,
    data: opt.Data = None,
    part: opt.Part = None,
    drop: opt.Drop = None,
    proba: opt.Proba = False,
    output: opt.TableOutput = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Predict with a saved network: one label or number per line.

    With --proba the lines are CSV with a header, one column per class.
    """
    if output is not None and as_json:
        raise OptionError("--output writes CSV and --json prints JSON. Give one of them.")
    source = Source(data_name, data, drop=tuple(list_columns(drop)))
    check_writable({"the predictions": output}, force, inputs={"the model": model, **source.files})
    out = Output(as_json)
    network = load(model)
    with blas_threads(None):
        found = unlabelled(network, source, part, out)
        predictions = _labels(network, network.predict(found.X))
        proba_rows = _probabilities(network, found.X) if proba else None
    out.note(
        f"{len(predictions):,} predictions" + ("" if found.part == "all" else f" on the {found.part} part")
    )
    names = class_names(network)
    if as_json:
        result: dict[str, Any] = {
            "command": "predict",
            "model": str(model),
            "part": found.part,
            "classes": names,
        }
        out.finish({**result, "predictions": predictions, "probabilities": proba_rows})
        return SUCCESS
    text = _csv(predictions, proba_rows, names) if output is not None or proba else _lines(predictions)
    if output is not None:
        replace_text(output, text, overwrite=force)
        out.say(str(output))
    else:
        with writing_results():
            sys.stdout.write(text)
            sys.stdout.flush()
    return SUCCESS


def _labels(network: Network, predicted: Array) -> list[Any]:
    """Return predictions as names of classes, or as numbers (rows of them for several outputs)."""
    names, targets = class_names(network), network.targets
    if names is None or targets is None:
        rows = predicted.reshape(len(predicted), -1)
        return [row[0] if len(row) == 1 else row for row in rows.tolist()]
    if targets.kind == "onehot":
        return [names[i] for i in predicted.argmax(axis=1)]
    return [names[i] for i in targets.indices(predicted)]


def _probabilities(network: Network, X: Array) -> Array:
    found = probabilities(network, X)
    if found is None or class_names(network) is None:
        raise OptionError("--proba needs a classifier with a softmax or sigmoid output; this model has none.")
    return found


def _csv(predictions: list[Any], proba_rows: Array | None, names: tuple[str, ...] | None) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    several = bool(predictions) and isinstance(predictions[0], list)
    head = [f"prediction_{j}" for j in range(len(predictions[0]))] if several else ["prediction"]
    writer.writerow([*head, *(names if proba_rows is not None and names is not None else ())])
    for i, prediction in enumerate(predictions):
        own = prediction if several else [prediction]
        writer.writerow([*own, *(_short(p) for p in (proba_rows[i] if proba_rows is not None else ()))])
    return file.getvalue()


def _lines(predictions: list[Any]) -> str:
    return "".join(f"{','.join(map(str, p)) if isinstance(p, list) else p}\n" for p in predictions)


def _short(probability: Any) -> str:
    """Return a probability with as many digits as its dtype tells apart, so that it can be read back."""
    return np.format_float_positional(probability, unique=True, trim="0")
