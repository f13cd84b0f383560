"""clearprop and its peers train the same nine networks side by side, interleaved, in one run.

For each workload and number of threads one process holds all contenders; each in turn trains for some epochs,
round after round, in another order each round, and so do the numbers of threads. (In processes of their own
they took the same time.) A step
includes its share of shuffle, gather, forward, cost, backward and update; compiling and warming up are not
timed. Every turn starts from the same initial weights. clearprop is `Network.fit` with all its checks, its
history and its figures of cost and accuracy, called once for the epochs of a turn. Of a peer's forms (where
rows are gathered, steps unrolled, examples as rows or columns) the fastest here is taken.

The inputs are those that the workloads are named after: MNIST (81 % zeros), Covertype (78 %), small digits,
moons, exclusive or; big has random numbers. Where a file is missing, random numbers take its place, which
stands beside the ratio. With `--inputs random` all have those, none of them zero. clearprop
leaves out products with zeros, of the inputs and of relu; no peer does, so to them it makes no difference.

The proof that all compute the same: after a fixed order of batches each one's weights are compared with a
float64 reference of the same equations.

With one thread the process is pinned to one core and the headline is processor time, which other people's
work disturbs least; with more threads it is the wall clock. Both are measured and in the JSON.

    python benchmarks/peers.py [--workloads xor,moons] [--contenders clearprop,numpy] [--threads 1,2]
                               [--inputs real|random] [--rounds 9] [--clock cpu|wall] [--quick] [--json]

It needs what it is to compare: torch, jax, scikit-learn, keras. What is missing is reported and left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from peer_engines import CONTENDERS, report
from peer_engines.inputs import folder
from peer_engines.machine import cores, describe
from peer_engines.stage import Stage
from peer_engines.workloads import WORKLOADS

SETTLE = 0.06
"""Seconds between turns with several threads: idle threads spin on for a while."""
SLOW_WITHOUT_GAIN = ("torch-compiled", "keras")
"""What --quick leaves out: minutes of compiling, and start-up."""


def measure(stages: dict[int, Stage], workload: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return, for each number of threads, who took part, the proof, and the times of every turn.

    The numbers of threads take turns, too: what two threads gain is measured within the rounds.
    """
    cells = [_prepare(stage, workload, threads, options) for threads, stage in stages.items()]
    _rounds(stages, cells, options)
    for cell in cells:
        _conclude(stages[cell["threads"]], cell, options)
    return cells


def _prepare(stage: Stage, workload: str, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Let everyone come on stage, and compare what they compute."""
    _say(f"{workload}, {threads} thread(s)")
    shorter = (4 if workload == "big" else 2) if options.quick else 1
    cell: dict[str, Any] = {"workload": workload, "threads": threads}
    cell |= stage.open(workload=workload, shorter=shorter, real=options.inputs == "real")
    if report.fell_back(cell):
        _say(f"  {workload}: its data are missing in {folder()}, so it gets random numbers instead")
    cell["gemm_floor_us"] = stage.floor().get("us")
    most_forms = (1 if workload == "big" else 2) if options.quick else 9
    cell["entries"] = entries = {}
    for name in options.contenders:
        begun = time.perf_counter()
        entries[name] = stage.enter(name, seconds=options.seconds, most_forms=most_forms)
        _say(f"  {name}: {_told(entries[name])} ({time.perf_counter() - begun:.0f} s)")
    return cell


def _rounds(stages: dict[int, Stage], cells: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Let everyone run once per round, beginning with another one each time; two rounds at least."""
    for cell in cells:
        able = [name for name, entry in cell["entries"].items() if "error" not in entry]
        cell["turns"] = {name: {"us": [], "cpu_us": []} for name in able}
    turns = [(cell, name) for name in options.contenders for cell in cells if name in cell["turns"]]
    begun = time.perf_counter()
    for round_ in range(options.rounds):
        if round_ >= 2 and time.perf_counter() - begun > options.budget * len(cells):
            break
        at = round_ % max(len(turns), 1)
        for cell, name in turns[at:] + turns[:at]:
            if "error" not in cell["entries"][name]:
                if max(stages) > 1:
                    time.sleep(SETTLE)
                _turn(stages[cell["threads"]], cell, name)


def _turn(stage: Stage, cell: dict[str, Any], name: str) -> None:
    answer = stage.turn(name)
    if "error" in answer:
        cell["entries"][name] |= answer
        cell["turns"][name] = {"us": [], "cpu_us": []}
        return
    for clock in ("us", "cpu_us"):
        cell["turns"][name][clock].append(answer[clock])


def _conclude(stage: Stage, cell: dict[str, Any], options: argparse.Namespace) -> None:
    # Again, because others on the machine may have disturbed the first time.
    floors = [cell["gemm_floor_us"], stage.floor().get("us")]
    cell["gemm_floor_us"] = min((us for us in floors if us is not None), default=None)
    cell["clock"] = "us" if cell["threads"] > 1 or options.clock == "wall" else "cpu_us"
    cell["summary"] = report.summarize(cell, cell["clock"])
    cell["summary_other"] = report.summarize(cell, "cpu_us" if cell["clock"] == "us" else "us")
    cell["against_earlier"] = report.against_earlier(cell)
    cell["proof_batches"] = min(WORKLOADS[cell["workload"]].proof_batches, cell.get("steps", 0))
    for name, entry in cell["entries"].items():
        if "proof" in entry:
            entry["same"] = report.is_same(cell, name)


def _told(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return str(entry["error"])
    return (
        f"{entry['form'] or 'ready'}, {entry['epochs']} epoch(s) a turn, weights off by {entry['proof']:.0e}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every workload with every number of threads."""
    machine = describe()
    few = [threads for threads in options.threads if threads <= len(cores())]
    if few != options.threads:
        _say(f"this process may use {len(cores())} core(s) only")
    cells = []
    stages = {threads: Stage(threads) for threads in few}
    for workload in options.workloads:
        cells += measure(stages, workload, options)
        if not options.quick:  # fresh processes for each, unless time is short: they take seconds to start
            _close(stages)
    _close(stages)
    report.judge(cells)
    names = {"inputs": "inputs", "rounds": "rounds", "quick": "quick", "seconds_per_turn": "seconds"}
    settings = {name: getattr(options, option) for name, option in names.items()}
    return {"benchmark": "benchmarks/peers.py", "machine": machine, "settings": settings, "cells": cells}


def _close(stages: dict[int, Stage]) -> None:
    for stage in stages.values():
        stage.close()


def show(result: dict[str, Any], contenders: list[str]) -> None:
    machine, cells = result["machine"], result["cells"]
    print(
        f"{machine['processor']}; {machine['cores']} core(s); load {machine['load_before']:.1f}; "
        f"commit {machine['commit']}; {machine['date']}"
    )
    print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
    rungs = {c["entries"]["clearprop"].get("form") for c in cells if "clearprop" in c["entries"]}
    print("clearprop's engine: " + ", ".join(str(rung) for rung in rungs))
    report.show_times(cells, contenders)
    report.show_ratios(cells)
    report.show_proof(cells)
    report.show_earlier(cells, machine["processor"])
    report.show_forms(cells)
    report.show_failures(cells)


def _names(known: Any) -> Any:
    def read(text: str) -> list[str]:
        names = text.split(",")
        wrong = [name for name in names if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(wrong)}; known: {', '.join(known)}")
        return names

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workloads", type=_names(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--contenders", type=_names(CONTENDERS), default=None)
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=None, help="at most; 9, with --quick 5")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="of the headline, one thread")
    parser.add_argument(
        "--quick", action="store_true", help="under five minutes; without torch.compile, keras"
    )
    parser.add_argument(
        "--inputs",
        choices=("real", "random"),
        default="real",
        help="the data that the workloads are named after (MNIST, Covertype, …), or dense random numbers",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.contenders is None:
        options.contenders = [n for n in CONTENDERS if not (options.quick and n in SLOW_WITHOUT_GAIN)]
    options.rounds = options.rounds or (5 if options.quick else 9)
    options.seconds = 0.05 if options.quick else 0.25
    options.budget = 2.0 if options.quick else 90.0
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result, options.contenders)


if __name__ == "__main__":
    main()
