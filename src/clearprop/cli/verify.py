"""`clearprop verify`: whether files are whole and unaltered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clearprop.cli import options as opt
from clearprop.cli.errors import FAILURE, SUCCESS
from clearprop.cli.output import Output
from clearprop.errors import ClearpropError
from clearprop.io import FileSummary
from clearprop.io import verify as verify_file

__all__ = ["verify"]


def verify(files: opt.SavedFiles, as_json: opt.Json = False, debug: opt.Debug = False) -> int:
    """Say of each file whether it is whole and unaltered: a model, a recorded run or a checkpoint.

    Looks at the sizes, the header, the format's version and the SHA-256 of the content; runs nothing of it.
    The exit code is 1 if one of them is not.
    """
    output = Output(as_json)
    found = [_verified(path) for path in files]
    width = max(len(row["file"]) for row in found)
    for row in found:
        output.say(f"{row['file'].ljust(width)}  {_in_words(row)}")
    output.finish({"command": "verify", "files": found})
    return SUCCESS if all(row["whole"] for row in found) else FAILURE


def _verified(path: Path) -> dict[str, Any]:
    try:
        summary = verify_file(path)
    except ClearpropError as error:
        return {"file": str(path), "whole": False, "error": str(error)}
    return {
        "file": str(path),
        "whole": True,
        "kind": _kind(summary),
        "format_version": summary.format_version,
        "dtype": summary.dtype,
        "parameters": summary.parameters,
        "tensors": len(summary.tensors),
        "sha256": summary.sha256,
        "versions": summary.versions,
    }


def _kind(summary: FileSummary) -> str:
    extra = summary.extra.get("extra")
    beside = extra if isinstance(extra, dict) else {}
    return next((kind for kind in ("checkpoint", "recording") if kind in beside), "model")


def _in_words(row: dict[str, Any]) -> str:
    if not row["whole"]:
        return f"NOT WHOLE: {row['error']}"
    return (
        f"whole: {row['kind']}, {row['parameters']:,} parameters in {row['dtype']}, format version "
        f"{row['format_version']}, sha256 {row['sha256'][:16]}…"
    )
