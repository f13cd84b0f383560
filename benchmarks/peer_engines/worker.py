"""A process that holds contenders, all with the same number of threads, and lets them run when told to.

One line of JSON on standard input is a command, one on standard output its answer; peers.py is at the other
end. The number of threads is in the environment and in the set of cores before anything is imported.
"""

from __future__ import annotations

import os
import sys

_cores = [int(core) for core in os.environ.get("PEERS_CORES", "").split(",") if core]
if _cores and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, _cores)
# What libraries print must not come between the answers.
_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import importlib
import json
import statistics
import time
from typing import Any

from peer_engines import CONTENDERS
from peer_engines.inputs import has_real_inputs
from peer_engines.workloads import WORKLOADS, Data, Workload, distance, make_data, proof_orders, reference

MOST_EPOCHS = 30


class Hall:
    """The contenders of one workload."""

    def __init__(self) -> None:
        self.w: Workload = WORKLOADS["xor"]
        self.data: Data
        self.inside: dict[str, Any] = {}
        self.k: dict[str, int] = {}
        self.references: dict[tuple[Workload, int], Any] = {}

    def open(self, workload: str, shorter: int, real: bool) -> dict[str, Any]:
        self.inside, self.k, self.references = {}, {}, {}
        self.w = WORKLOADS[workload]
        if shorter > 1:
            self.w = self.w.shorter(shorter)
        self.data = make_data(self.w, real=real)
        sizes = {"steps": self.w.steps, "batch": self.w.batch, "examples": self.w.examples}
        wanted = "real" if real and has_real_inputs(workload) else "random"
        return sizes | {"wanted": wanted, "inputs": self.data.title}

    def floor(self) -> dict[str, Any]:
        from peer_engines.floor import gemm_floor, step_products

        clock = time.process_time if os.environ["PEERS_THREADS"] == "1" else time.perf_counter
        return {"us": gemm_floor(step_products(self.w.sizes, self.w.batch), clock=clock) * 1e6}

    def enter(self, name: str, seconds: float, most_forms: int) -> dict[str, Any]:
        """Build a contender in its fastest form, prove its weights, fix how many epochs a turn has."""
        module, kind = CONTENDERS[name]
        make = getattr(importlib.import_module(f"peer_engines.{module}"), kind)
        threads = int(os.environ["PEERS_THREADS"])
        options = make.forms(self.w, threads) if hasattr(make, "forms") else {"": {}}
        chosen_options = list(options.items())[:most_forms]
        forms = {title: make(self.w, self.data, threads, **o) for title, o in chosen_options}
        if getattr(make, "slow_forms", False):
            forms = self._worth_trying(forms)
        times = {title: _timed(contender, 1)[0] for title, contender in forms.items()}  # compiles
        if len(times) > 1 or min(times.values()) < 20 * seconds:
            times = _compare(forms, seconds)
        form = min(times, key=lambda title: times[title])
        chosen, best = forms[form], times[form]
        self.inside[name] = chosen
        self.k[name] = max(1, min(MOST_EPOCHS, round(seconds / best)))
        per_step = {title: t / self._steps(chosen) * 1e6 for title, t in times.items()}
        answer = {"form": form or getattr(chosen, "note", ""), "epochs": self.k[name]}
        return answer | {"forms_us": per_step} | self._prove(chosen)

    def _prove(self, contender: Any) -> dict[str, Any]:
        """Compare the weights after a fixed order of examples with the float64 reference of the workload.

        A contender with a convention of its own is compared with a reference that has it too.
        """
        equations = getattr(contender, "equations", self.w)
        off: dict[Workload, list[float]] = {self.w: [], equations: []}
        for i, order in enumerate(proof_orders(self.w)):
            contender.reset()
            contender.in_order(order)
            weights = contender.weights()
            for against in off:
                off[against].append(distance(weights, self._reference(against, i, order), self.data))
        result: dict[str, Any] = {
            "proof": statistics.median(off[self.w]),
            "proof_least": min(off[equations]),
            "differs": getattr(contender, "differs", ""),
        }
        if equations != self.w:
            result["proof_own"] = statistics.median(off[equations])
        return result

    def _reference(self, equations: Workload, i: int, order: Any) -> Any:
        if (equations, i) not in self.references:
            self.references[equations, i] = reference(equations, self.data, order)
        return self.references[equations, i]

    def _worth_trying(self, forms: dict[str, Any]) -> dict[str, Any]:
        """Leave out the forms that take more than twice the time of the fastest over a few batches."""
        few = proof_orders(self.w)[0]
        times = {}
        for title, contender in forms.items():
            contender.reset()
            contender.in_order(few)  # compiles
            begun = time.perf_counter()
            contender.in_order(few)
            times[title] = time.perf_counter() - begun
        limit = 2 * min(times.values())
        return {title: contender for title, contender in forms.items() if times[title] <= limit}

    def _steps(self, contender: Any) -> int:
        """Steps in what a contender takes for an epoch: a slow one does only a share of it."""
        return int(self.w.steps * getattr(contender, "share", 1))

    def turn(self, name: str) -> dict[str, Any]:
        contender, k = self.inside[name], self.k[name]
        wall, cpu = _timed(contender, k)
        steps = k * self._steps(contender)
        return {"us": wall / steps * 1e6, "cpu_us": cpu / steps * 1e6}

    def leave(self, name: str) -> dict[str, Any]:
        self.inside.pop(name, None)
        return {}


def _timed(contender: Any, epochs: int) -> tuple[float, float]:
    """Return the time of that many epochs from the initial weights, by the clock and of the processor."""
    contender.reset()
    begun, begun_cpu = time.perf_counter(), time.process_time()
    contender.epochs(epochs)
    return time.perf_counter() - begun, time.process_time() - begun_cpu


def _compare(forms: dict[str, Any], seconds: float) -> dict[str, float]:
    """Return the best time of an epoch of each form, over at most five rounds."""
    times = {title: float("inf") for title in forms}
    spent = 0.0
    for _ in range(5):
        for title, contender in forms.items():
            wall, _ = _timed(contender, 1)
            times[title], spent = min(times[title], wall), spent + wall
        if spent > seconds * len(forms) * 2:
            break
    return times


def main() -> None:
    hall = Hall()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(hall, command.pop("do"))(**command)
        except Exception as error:  # one contender's failure must not end the others'
            first = (str(error).strip() or "no message").splitlines()[0]
            answer = {"error": f"{type(error).__name__}: {first}"[:300]}
        print(json.dumps(answer), file=_answers, flush=True)


if __name__ == "__main__":
    main()
