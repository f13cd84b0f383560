"""Hostile input to every public function and every command: a result or a documented error, and no crash.

    python -m trust.hostile --seed 3 --count 1000
    python -m trust.hostile_child 3 417 418        call 417 of that run alone

The calls are made in child processes with limits on memory and time, so a crash is a finding like any other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trust.frame import Figure, Result, Test, command

__all__ = ["TEST", "run"]

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
CHUNK = 2500
"""Calls of one child process, which forks for every few hundred of them."""


def run(count: int, seed: int) -> Result:
    """Make `count` calls."""
    size = min(CHUNK, -(-count // WORKERS))
    chunks = [(start, min(start + size, count)) for start in range(0, count, size)]
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = [
            answer for part in pool.map(lambda chunk: _answers(seed, *chunk), chunks) for answer in part
        ]
    found = Counter(answer["verdict"] for answer in answers)
    failures = _sentences([answer for answer in answers if answer["verdict"] in ("deep", "crash")], seed)
    return Result(
        (
            Figure("calls", len(answers), at_least=count),
            Figure("gave a result", found["result"]),
            Figure("refused with a documented error", found["refused"], at_least=count // 10),
            Figure("asked for more memory than there is", found["memory"]),
            Figure("broken off after 1 s of processor time", found["time"], at_most=count // 50),
            Figure("errors from deep inside", found["deep"], at_most=0),
            Figure("crashes", found["crash"], at_most=0),
        ),
        tuple(failures),
        done=len(answers),
    )


def _answers(seed: int, start: int, stop: int) -> list[dict[str, Any]]:
    """Return what came of calls start … stop - 1. Errors: `RuntimeError` if the child ends without them."""
    numbers = map(str, (seed, start, stop))
    arguments = [sys.executable, "-X", "faulthandler", "-m", "trust.hostile_child", *numbers]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    whole = [line for line in done.stdout.splitlines() if line.startswith('{"number"') and line.endswith("}")]
    if done.returncode:
        raise RuntimeError(
            f"trust.hostile_child {seed} {start} {stop} ended with the exit code {done.returncode}: "
            f"{done.stderr.strip()[-2000:]}"
        )
    return [json.loads(line) for line in whole]


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
    minutes=1.9,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
