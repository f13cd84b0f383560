"""Hostile input to every public function and every command: a result or a documented error, and no crash.

    python -m trust.hostile --seed 3 --count 1000
    python -m trust.hostile_child 3 417 418        call 417 of that run alone

The calls are made in child processes with limits on memory and time, so a crash is a finding like any other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trust.frame import Figure, Result, Test, command

__all__ = ["TEST", "run"]

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 400
"""Calls of one child; what one call leaves behind meets only the rest of these."""
CRASHES = 20
BROKEN_OFF = ("time", "memory")
"""After such a call its process ends: what was being imported then would be there by half."""


def run(count: int, seed: int) -> Result:
    """Make `count` calls."""
    chunks = [(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE)]
    with ThreadPoolExecutor(2) as pool:
        answers = [answer for part in pool.map(lambda c: list(_calls(seed, *c)), chunks) for answer in part]
    found = Counter(answer["verdict"] for answer in answers)
    failures = _sentences([answer for answer in answers if answer["verdict"] in ("deep", "crash")], seed)
    return Result(
        (
            Figure("calls", len(answers), at_least=count),
            Figure("gave a result", found["result"]),
            Figure("refused with a documented error", found["refused"], at_least=count // 10),
            Figure("asked for more memory than there is", found["memory"]),
            Figure("broken off after 3 s of processor time", found["time"], at_most=count // 50),
            Figure("errors from deep inside", found["deep"], at_most=0),
            Figure("crashes", found["crash"], at_most=0),
        ),
        tuple(failures),
        done=len(answers),
    )


def _calls(seed: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Yield the answers of calls start … stop - 1; a child that ends early is followed by another."""
    crashes = 0
    while start < stop and crashes < CRASHES:
        lines, code = _child(seed, start, stop)
        done = [json.loads(line) for line in lines]
        yield from done
        start += len(done)
        if start < stop and not (code == 0 and done and done[-1]["verdict"] in BROKEN_OFF):
            crashes += 1
            said = f"the process ended with the exit code {code}"
            yield {"number": start, "what": "call", "verdict": "crash", "said": said, "where": ""}
            start += 1


def _child(seed: int, start: int, stop: int) -> tuple[list[str], int]:
    arguments = [
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        "trust.hostile_child",
        *map(str, (seed, start, stop)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*arguments, folder], cwd=ROOT, capture_output=True, text=True, check=False)
    whole = [line for line in done.stdout.splitlines() if line.startswith('{"number"') and line.endswith("}")]
    return whole, done.returncode


def _sentences(wrong: list[dict[str, Any]], seed: int) -> list[str]:
    """Return a sentence for each place that an error came from, the most frequent first."""
    places: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for answer in wrong:
        kind = answer["said"].split(":")[0]
        places.setdefault((answer["where"] or answer["what"][:60], kind), []).append(answer)
    ranked = sorted(places.items(), key=lambda item: -len(item[1]))
    return [
        f"{len(found)} x {where}: {found[0]['said']} from {found[0]['what']} "
        f"(python -m trust.hostile_child {seed} {found[0]['number']} {found[0]['number'] + 1})"
        for (where, _), found in ranked
    ]


TEST = Test(
    "hostile",
    "hostile input to a public function or a command gives a result or a documented error",
    run,
    short=10_000,
    long=1_000_000,
    unit="calls",
    minutes=8.0,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
