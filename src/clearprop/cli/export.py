"""`clearprop export`: a saved model for where there is no Python."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clearprop.cli import options as opt
from clearprop.cli.errors import SUCCESS
from clearprop.cli.files import check_writable
from clearprop.cli.output import Output
from clearprop.errors import OptionError, UnsupportedError, did_you_mean
from clearprop.export import Exported, to_c, to_javascript, to_onnx
from clearprop.network import load
from clearprop.predict import is_table_model

__all__ = ["export"]

_FORMATS: dict[str, tuple[str, Callable[..., Exported]]] = {
    "onnx": (".onnx", to_onnx),
    "c": (".c", to_c),
    "js": (".mjs", to_javascript),
}
_ENDINGS = {".onnx": "onnx", ".c": "c", ".h": "c", ".js": "js", ".mjs": "js"}


def export(
    model: opt.Model,
    to: opt.ExportFormat = None,
    out: opt.ExportOutput = None,
    name: opt.ExportName = None,
    dtype: opt.ExportDType = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Write a saved network as ONNX, as one C99 file, or as one JavaScript module.

    Each computes what predict computes, preprocessing included, and names the classes.
    """
    output = Output(as_json)
    chosen = _format(to, out)
    ending, write = _FORMATS[chosen]
    path = Path(model.stem + ending) if out is None else out
    if name is not None and chosen != "c":
        raise OptionError(f"--name is what functions in C are called; --to {chosen} has none. Leave it out.")
    check_writable({"the export": path}, force, "--out", {"the model": model})
    network = load(model)
    if is_table_model(network.extra):
        raise UnsupportedError(
            f"{model} is a table model: it encodes columns before its network sees them, and no export does. "
            "Predict with python -m clearprop.predict, which needs NumPy alone."
        )
    more: dict[str, Any] = {"name": name or _identifier(path.stem)} if chosen == "c" else {}
    done = write(network, path, dtype=dtype, overwrite=force, **more)
    output.say_pairs(_rows(done, more.get("name")))
    result = {"command": "export", "model": str(model), **dataclasses.asdict(done), **more}
    output.finish({**result, "path": str(path)})
    return SUCCESS


def _format(to: str | None, out: Path | None) -> str:
    """Return the format that --to names, or else the ending of --out."""
    if to is not None:
        if to not in _FORMATS:
            raise OptionError(f"--to must be onnx, c or js.{did_you_mean(to, _FORMATS)} Got {to!r}.")
        return to
    if out is None:
        raise OptionError(
            "export needs a format. Give --to onnx, c or js, or --out with one of their endings."
        )
    if out.suffix.lower() not in _ENDINGS:
        raise OptionError(f"the ending of --out {out} names no format. Give --to onnx, c or js.")
    return _ENDINGS[out.suffix.lower()]


def _identifier(stem: str) -> str:
    """Return a C identifier made of the file's name.

    >>> _identifier("two-moons.v2"), _identifier("3d")
    ('two_moons_v2', 'net_3d')
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")
    return (plain if plain[:1].isalpha() else f"net_{plain}".rstrip("_"))[:23].rstrip("_")


def _rows(done: Exported, name: str | None) -> list[tuple[str, str]]:
    rows = [
        ("file", f"{done.path}, {done.bytes:,} bytes"),
        ("network", f"{done.n_in} inputs, {done.n_out} outputs, {done.dtype}"),
    ]
    if done.labels:
        rows.append(("labels", ", ".join(done.labels[:12]) + (", …" if len(done.labels) > 12 else "")))
    if name is not None:
        functions = f"{name}_predict(x, out)" + (f", {name}_class(x, out)" if done.labels else "")
        rows += [
            ("functions", functions),
            (
                "memory",
                f"{done.constant_bytes:,} bytes of constants, {done.work_bytes:,} of work space",
            ),
        ]
    return rows
