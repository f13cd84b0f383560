"""Print the README's table of speed from results of benchmarks/peers.py.

    python benchmarks/table.py [FILE.json …]

Without files: those in benchmarks/results that the README names. One row for each workload: the best time of
clearprop and of the fastest peer with one thread, in µs per step of processor time, and their ratio.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
SHAPES = {
    "xor": "2-3-3-1 sigmoid, SGD, batches of 50",
    "moons": "2-100-2 relu, SGD, 32",
    "nielsen": "784-30-10 sigmoid, SGD, 10",
    "online": "784-30-10 sigmoid, SGD, 1",
    "mnist128": "784-128-10 relu, Adam, 64",
    "tabular": "54-256-256-7 relu, Adam, 256",
    "mid": "784-512-512-10 relu, Adam, 128",
    "deep": "64-(64 × 20)-10 relu, Adam, 64",
    "big": "1024-2048-2048-10 relu, Adam, 1024",
}


def files_of_readme() -> list[Path]:
    """Return the results that the README names, in its order."""
    named = re.findall(r"benchmarks/results/([\w.-]*peers[\w.-]*\.json)", README.read_text(encoding="utf-8"))
    return [HERE / "results" / name for name in dict.fromkeys(named)]


def rows(results: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table: for each workload and each kind of inputs it was measured on."""
    cells = [cell for result in results for cell in result["cells"] if cell["threads"] == 1]
    lines = ["| network | trained on | clearprop | fastest peer | times as fast |", "|---|---|---|---|---|"]
    for name, shape in SHAPES.items():
        seen = set()
        for cell in cells:
            summary = cell["summary"]
            if cell["workload"] != name or "ratio" not in summary or cell["inputs"] in seen:
                continue
            seen.add(cell["inputs"])
            ours, peer = summary["best"]["clearprop"], summary["best_peer"]
            theirs = f"{_short(summary['best'][peer])} ({peer})"
            lines.append(
                f"| {shape} | {cell['inputs']} | {_short(ours)} | {theirs} | {summary['ratio']:.2f} |"
            )
    return lines


def _short(us: float) -> str:
    return f"{us:.3g}" if us < 1000 else f"{us:,.0f}".replace(",", " ")


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]] or files_of_readme()
    print("\n".join(rows([json.loads(file.read_text(encoding="utf-8")) for file in files])))


if __name__ == "__main__":
    main()
