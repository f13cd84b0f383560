"""`clearprop reproduce`: what the sources claim, measured again, as a table with verdicts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from clearprop.cli import options as opt
from clearprop.cli.data import list_columns
from clearprop.cli.errors import FAILURE, SUCCESS
from clearprop.cli.files import check_writable
from clearprop.cli.output import Output, plain
from clearprop.cli.threads import blas_threads
from clearprop.errors import OptionError
from clearprop.io import replace_text
from clearprop.report import require_matplotlib
from clearprop.reproduce import Claim, Reproduction, Row, html, markdown, select, text
from clearprop.reproduce import reproduce as measure_claims
from clearprop.reproduce.tables import headline

__all__ = ["reproduce"]


def reproduce(
    quick: opt.Quick = False,
    only: opt.Only = None,
    data: opt.Data = None,
    output: opt.TableFiles = None,
    report: opt.WithReport = True,
    force: opt.Force = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Measure what the sources claim; print and save the table of claims, figures and verdicts.

    Each claim has figures with bounds; a note says where these were not fixed beforehand. The exit code is 0
    only when every claim that was asked for is met: what needs something that is not here, such as MNIST, is
    not run, says why, and makes it 1. Only what --quick leaves out does not count.
    """
    ids = _ids(only)
    files = _files(output, report)
    if report:
        require_matplotlib()
    check_writable(
        {f"the {kind} file": path for kind, path in files.items()}, force, inputs={"the data": data}
    )
    screen = Output(as_json, quiet)
    with blas_threads(None):
        found = measure_claims(
            ids,
            quick=quick,
            data=data or _test_data(),
            on_row=lambda claim: _begin(claim, screen),
            after_row=lambda row: _show(row, screen),
        )
    _save(found, files, force)
    screen.say_pairs([("saved", ", ".join(str(path) for path in files.values()))])
    screen.say(headline(found))
    screen.finish({"command": "reproduce", **found.to_dict(), "files": [str(p) for p in files.values()]})
    return SUCCESS if found.met else FAILURE


def _ids(only: str | None) -> list[str] | None:
    if only is None:
        return None
    ids = list_columns(only)
    if not ids:
        raise OptionError("--only must name at least one claim or source, such as 003.12,N. Got nothing.")
    select(ids)  # a wrong id is told before a file
    return list(ids)


def _files(output: Path | None, report: bool) -> dict[str, Path]:
    stem = Path("reproduced") if output is None else output
    kinds = ["md", "json", *(["html"] if report else [])]
    return {kind: stem.with_name(f"{stem.name}.{kind}") for kind in kinds}


def _test_data() -> Path | None:
    """Return MNIST in the folder where the tests look for data, if it is there."""
    folder = os.environ.get("CLEARPROP_TEST_DATA")
    path = Path(folder, "mnist.npz") if folder else None
    return path if path is not None and path.is_file() else None


def _begin(claim: Claim, screen: Output) -> None:
    if screen.as_json:
        screen.note(f"measuring {claim.id}")


def _show(row: Row, screen: Output) -> None:
    for line in text(row):
        screen.say(line)


def _save(found: Reproduction, files: dict[str, Path], force: bool) -> None:
    writers = {
        "md": markdown,
        "json": lambda table: json.dumps(plain(table.to_dict()), indent=1, ensure_ascii=False) + "\n",
        "html": html,
    }
    for kind, path in files.items():
        replace_text(path, writers[kind](found), overwrite=force)
