"""`clearprop show`: what a saved model is, or what this installation has."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import clearprop
from clearprop.cli import options as opt
from clearprop.cli.errors import SUCCESS
from clearprop.cli.measure import class_names, in_words
from clearprop.cli.models import about_data
from clearprop.cli.output import Output, table
from clearprop.compiled import missing
from clearprop.engines import engines
from clearprop.engines.native import system
from clearprop.errors import OptionError
from clearprop.io import FileSummary, verify
from clearprop.ladder import machine
from clearprop.network import Network, load
from clearprop.training.data import Affine

__all__ = ["show"]

_PACKAGES = ("scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib", "typer", "rich", "threadpoolctl")


def show(
    model: opt.OptionalModel = None,
    system: opt.System = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Describe a saved model; or, with --system, this installation.

    Says whether the file is whole and unaltered, what the network is, what it was trained on and how.
    """
    output = Output(as_json)
    if (model is None) == (not system):
        raise OptionError("show describes one thing: give the path of a model, or --system.")
    if model is not None:
        _show_model(model, output)
    else:
        _show_system(output)
    return SUCCESS


def _show_model(path: Path, output: Output) -> None:
    summary = verify(path)
    network = load(path)
    rows = [
        ("file", f"{path}, {path.stat().st_size:,} bytes, format version {summary.format_version}"),
        ("sha256", f"{summary.sha256} (of the content; verified)"),
        ("written by", ", ".join(f"{name} {version}" for name, version in summary.versions.items())),
        ("parameters", f"{network.n_parameters:,} in {summary.dtype}; cost {network.cost.name}"),
        ("preprocessing", _preprocessing(network)),
        ("targets", _targets(network)),
        *_trained_on(network),
    ]
    output.say_pairs(rows)
    output.say()
    for line in network.summary().splitlines()[:-1]:
        output.say(line)
    output.finish({"command": "show", **_model_as_data(network, summary)})


def _preprocessing(network: Network) -> str:
    pre = network.preprocessing
    if not isinstance(pre, Affine):
        return "none" if pre is None else str(pre)
    sizes = {getattr(value, "size", 1) for value in (pre.shift, pre.factor)}
    if sizes == {1}:
        shift, factor = (
            float(pre.shift if not hasattr(pre.shift, "item") else pre.shift.item()),
            float(pre.factor if not hasattr(pre.factor, "item") else pre.factor.item()),
        )
        return f"x ← {'x' if shift == 0 else f'(x - {shift:g})'} × {factor:g}"
    return f"x ← (x - shift) × factor, each of {max(sizes):,} features with its own"


def _targets(network: Network) -> str:
    targets, names = network.targets, class_names(network)
    if targets is None:
        return "not fitted yet"
    if names is None:
        return f"{targets.n_out} numbers" if targets.n_out > 1 else "one number"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"{len(names)} classes: {shown}"


def _trained_on(network: Network) -> list[tuple[str, str]]:
    about, training = about_data(network), network.extra.get("training")
    rows = []
    if "description" in about:
        rows.append(("trained on", f"{about['description']} ({about.get('n_train', '?')} examples)"))
    if isinstance(training, dict):
        measured = training.get("measured") or {}
        part = training.get("measured_on", "")
        figures = ", ".join(f"{name} {in_words(value)}" for name, value in measured.items())
        rows.append(("training", f"{training.get('epochs')} epochs in {training.get('seconds')} s"))
        rows.append((f"{part} part".strip(), figures))
    return rows


def _model_as_data(network: Network, summary: FileSummary) -> dict[str, Any]:
    pre = network.preprocessing
    return {
        "file": summary.path,
        "sha256": summary.sha256,
        "format_version": summary.format_version,
        "versions": summary.versions,
        "dtype": summary.dtype,
        "parameters": network.n_parameters,
        "architecture": summary.architecture,
        "preprocessing": {"shift": pre.shift, "factor": pre.factor} if isinstance(pre, Affine) else pre,
        "classes": class_names(network),
        **network.extra,
    }


def _show_system(output: Output) -> None:
    found, native = machine(), system()
    packages = {name: _version(name) for name in _PACKAGES}
    rungs = {name: engine.summary for name, engine in engines().items()}
    threads = (
        "not known (threadpoolctl is not installed)"
        if found.blas_threads is None
        else str(found.blas_threads)
    )
    variables = ", ".join(f"{k}={v}" for k, v in found.variables.items()) or "none set"
    rows = [
        ("clearprop", clearprop.__version__),
        ("Python", found.python),
        ("NumPy", found.numpy),
        *((name, version or "not installed") for name, version in packages.items()),
        ("processor", f"{found.processor}, {found.cpus} CPUs for this process"),
        ("BLAS", found.blas),
        ("BLAS threads", f"{threads}; variables: {variables}"),
        ("native rung", _native(native["native"])),
    ]
    output.say_pairs(rows)
    output.say()
    for line in table([("engine", "what it is"), *rungs.items()], (False, False)):
        output.say(line)
    output.finish(
        {
            "command": "show",
            "clearprop": clearprop.__version__,
            "python": found.python,
            "numpy": found.numpy,
            "packages": packages,
            "processor": found.processor,
            "cpus": found.cpus,
            "blas": found.blas,
            "blas_threads": found.blas_threads,
            "variables": found.variables,
            **native,
            "engines": rungs,
        }
    )


def _native(found: dict[str, Any] | None) -> str:
    if found is None:
        return str(missing()).removeprefix("the native rung is ")
    others = [name for name in found["instruction_sets"] if name != found["in_use"]]
    also = f", also {', '.join(others)}" if others else ""
    return f"{found['in_use']}{also} (CLEARPROP_ISA); {found['threads']} threads (CLEARPROP_NUM_THREADS)"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
