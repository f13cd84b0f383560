"""The tables of benchmarks/peers.py: times, ratios with their floors, the proof, and earlier figures."""

from __future__ import annotations

import statistics
from typing import Any

from peer_engines.inputs import RANDOM

FLOORS = dict(
    zip(
        ["xor", "moons", "nielsen", "online", "mnist128", "tabular", "mid", "deep", "big"],
        [
            (2.5, 5),
            (3.0, 4),
            (4.0, 5),
            (2.4, 3),
            (1.5, 1.75),
            (1.4, 1.5),
            (1.35, 1.5),
            (1.9, 2.2),
            (0.95, 1.05),
        ],
        strict=True,
    )
)
"""The ratio to the best peer, one core: floor to reach, and aim."""
SPEEDUPS = {"tabular": 1.5, "mid": 1.5, "big": 1.8}
"""What two cores must gain over one; the others must not lose."""
SAME = 1e-3
"""Of the way from the initial weights: float32 rounds off less, another convention leads off further."""
TOLERANCE = 1.15

_COLUMNS = ("numpy", "torch", "torch-fused", "torch-compiled", "jax-jit", "jax-scan", "scikit-learn")
EARLIER = {
    "xor": (39.9, 269, 281, 90.5, 36.3, 7.1, 185),
    "moons": (36.1, 201, 204, 86.5, 30.7, 11.8, 184),
    "nielsen": (55.4, 274, 275, 104, 66.3, 42.9, 211),
    "online": (70.1, 242, 246, 83.4, 27.4, 9.0, 216),
    "mnist128": (552, 1082, 841, 1068, 455, 352, 1268),
    "tabular": (1359, 1889, 1624, None, None, 1172, 2789),
    "mid": (6116, 5732, 4411, 4098, 4196, 4129, 14150),
    "deep": (846, 3021, 1822, 896, 830, 495, 2431),
    "big": (280340, 270570, 243616, 237846, None, 283109, 363833),
}
"""Microseconds per step on one core of a Sapphire Rapids server, NumPy 2.4, torch 2.13, JAX 0.10.2."""


def summarize(cell: dict[str, Any], clock: str) -> dict[str, Any]:
    """Return best and median times per contender, and the ratio of the best peer to clearprop."""
    times = {name: turns[clock] for name, turns in cell["turns"].items() if turns[clock]}
    best = {name: min(t) for name, t in times.items()}
    median = {name: statistics.median(t) for name, t in times.items()}
    result: dict[str, Any] = {"best": best, "median": median}
    peers = [name for name in best if name != "clearprop"]
    if "clearprop" in best and peers:
        first = min(peers, key=lambda name: best[name])
        rounds = [p / c for p, c in zip(times[first], times["clearprop"], strict=False)]
        result |= {
            "best_peer": first,
            "ratio": best[first] / best["clearprop"],
            "ratio_median": statistics.median(rounds),
            "ratio_min": min(rounds),
            "ratio_max": max(rounds),
        }
    return result


def fell_back(cell: dict[str, Any]) -> bool:
    """Return whether a workload had random numbers where its own data were wanted."""
    return bool(cell.get("wanted") == "real" and cell["inputs"] == RANDOM)


def judge(cells: list[dict[str, Any]]) -> None:
    """Write into each cell its floor, whether it is met, and the gain of two threads over one."""
    one = {cell["workload"]: cell for cell in cells if cell["threads"] == 1}
    for cell in cells:
        ratio, name = cell["summary"].get("ratio"), cell["workload"]
        if cell["threads"] == 1 and ratio is not None:
            floor, aim = FLOORS[name]
            cell |= {"floor": floor, "aim": aim, "floor_met": ratio >= floor, "aim_met": ratio >= aim}
        single = one.get(name)
        if cell["threads"] == 2 and single is not None:
            cell |= _speedup(single, cell)


def _speedup(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Return what two threads gain over one, by the wall clock: of the best times, and over the rounds."""
    alone, both = (cell["turns"].get("clearprop", {}).get("us", []) for cell in (one, two))
    if not alone or not both:
        return {}
    rounds = [a / b for a, b in zip(alone, both, strict=False)]
    gain, median = min(alone) / min(both), statistics.median(rounds)
    wanted = SPEEDUPS.get(two["workload"], 1.0)
    # Two measurements of the same thing differ by some percent.
    met = gain >= (wanted if wanted > 1 else 0.95)
    return {"speedup": gain, "speedup_median": median, "speedup_floor": wanted, "speedup_met": met}


def show_times(cells: list[dict[str, Any]], contenders: list[str]) -> None:
    """Print microseconds per step, best of the rounds."""
    for threads in sorted({cell["threads"] for cell in cells}):
        chosen = [cell for cell in cells if cell["threads"] == threads]
        clock = {"us": "wall clock", "cpu_us": "processor time"}[chosen[0]["clock"]]
        print(f"\nµs per step, {threads} thread{'s' * (threads > 1)}, best of interleaved rounds, {clock}\n")
        present = [name for name in contenders if any(name in c["summary"]["best"] for c in chosen)]
        _row("", "GEMM floor", *present)
        _row(*["---"] * (len(present) + 2))
        for cell in chosen:
            best = cell["summary"]["best"]
            fastest = min((best[name] for name in best if name != "clearprop"), default=None)
            figures = [
                f"**{_short(best[name])}**" if best.get(name) == fastest else _short(best.get(name))
                for name in present
            ]
            _row(cell["workload"], _short(cell.get("gemm_floor_us")), *figures)


def show_ratios(cells: list[dict[str, Any]]) -> None:
    """Print the ratios with their spread and the floors."""
    print("\nbest peer / clearprop: of the best times; median over the rounds (least to largest)\n")
    titles = ("threads", "inputs", "best peer", "ratio", "median (spread)", "by the other clock")
    _row("", *titles, "floor", "aim", "met")
    _row(*["---"] * 10)
    for cell in cells:
        s, other = cell["summary"], cell["summary_other"]
        if "ratio" not in s:
            continue
        spread = f"{s['ratio_median']:.2f} ({s['ratio_min']:.2f} to {s['ratio_max']:.2f})"
        judged = ["", "", ""]
        if "floor" in cell:
            met = "aim" if cell["aim_met"] else "floor" if cell["floor_met"] else "NO"
            judged = [str(cell["floor"]), str(cell["aim"]), met]
        second = f"{other['ratio']:.2f} ({other['best_peer']})"
        inputs = cell["inputs"] + (" INSTEAD OF REAL DATA" if fell_back(cell) else "")
        who = cell["workload"], cell["threads"], inputs, s["best_peer"]
        _row(*who, f"{s['ratio']:.2f}", spread, second, *judged)
    gains = [cell for cell in cells if "speedup" in cell]
    if gains:
        print("\ntwo threads against one, clearprop, wall clock, of the best times: ", end="")
        parts = (
            f"{c['workload']} {c['speedup']:.2f}× (median {c['speedup_median']:.2f}; "
            f"floor {c['speedup_floor']}{'' if c['speedup_met'] else ', NOT MET'})"
            for c in gains
        )
        print("; ".join(parts))


def show_proof(cells: list[dict[str, Any]]) -> None:
    """Print how far each contender's weights are from the float64 reference, and why where they differ."""
    print(
        "\n‖W - W_ref‖ / ‖W_ref - W_0‖ after fixed batches, W_ref by float64 NumPy; median of three orders\n"
    )
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        figures = []
        for name, entry in cell["entries"].items():
            if "proof" not in entry:
                continue
            text = f"{name} {entry['proof']:.0e}"
            if entry["differs"]:
                text += f" [{entry['proof_own']:.0e}]"
                reasons.setdefault(f"{name}: {entry['differs']}", []).append(cell["workload"])
            if not is_same(cell, name):
                text += " DIFFERS"
            figures.append(text)
        print(
            f"{cell['workload']}, {cell['threads']} thread(s), {cell['proof_batches']} batches: "
            + ", ".join(figures)
        )
    for reason, workloads in reasons.items():
        print(f"[…] against a reference with its own convention. {reason} ({_names(workloads)})")


def is_same(cell: dict[str, Any], name: str) -> bool:
    """Whether a contender computes the equations (or its own convention's) but for rounding.

    Judged by the order that leads it off least: rounding may lead anyone off in one order, and wrong
    equations do in every one. In float32 nobody need be nearer than three times the median
    of those with the workload's own equations.
    """
    entries = cell["entries"]
    plain = [e["proof_least"] for e in entries.values() if "proof_least" in e and not e["differs"]]
    return bool(entries[name]["proof_least"] <= max(SAME, 3 * statistics.median(plain or [0.0])))


def against_earlier(cell: dict[str, Any]) -> dict[str, float]:
    """Return each peer's time over its earlier one, divided by the median of the peers'."""
    best = cell["summary"]["best"]
    row = zip(_COLUMNS, EARLIER[cell["workload"]], strict=True)
    ratios = {name: best[name] / then for name, then in row if then and name in best}
    if len(ratios) < 2:
        return {}
    middle = statistics.median(ratios.values())
    return {name: r / middle for name, r in ratios.items()}


def show_earlier(cells: list[dict[str, Any]], processor: str) -> None:
    """Print where a peer's time, relative to the others', is not as in the earlier measurement, and why."""
    print("\npeers' times relative to each other, against those of a Sapphire Rapids server (1 = as there)\n")
    slow: dict[str, list[str]] = {}
    for cell in cells:
        if cell["threads"] != 1:
            continue
        moved = cell["against_earlier"]
        print(f"{cell['workload']}: " + ", ".join(f"{name} {r:.2f}" for name, r in moved.items()))
        for name, r in moved.items():
            if r > TOLERANCE:
                slow.setdefault(name, []).append(cell["workload"])
    for name, workloads in slow.items():
        print(f"more than 15 % slower than expected: {name} ({_names(workloads)}): {_why(name, processor)}")


def _why(name: str, processor: str) -> str:
    other = "Intel" not in processor
    library = {
        "numpy": "its products are OpenBLAS's, with other kernels for this processor",
        "scikit-learn": "its products are OpenBLAS's, with other kernels for this processor",
    }
    if name in library:
        reason = library[name]
    elif name.startswith("torch"):
        reason = "its products are MKL's and oneDNN's, made for Intel's processors"
    else:
        reason = "XLA's code for this processor; the fastest of its forms was taken"
    return f"{reason}; this is {processor}" if other else f"{reason}; or the machine was busy: see the spread"


def show_forms(cells: list[dict[str, Any]]) -> None:
    """Print which of its forms each contender took part in: the fastest before the rounds."""
    taken: dict[str, list[str]] = {}
    for cell in cells:
        for name, entry in cell["entries"].items():
            if entry.get("form"):
                place = f"{cell['workload']}/{cell['threads']}"
                taken.setdefault(f"{name}: {entry['form']}", []).append(place)
    print("\nforms taken (workload/threads)")
    for form in sorted(taken):
        print(f"- {form} ({_names(taken[form])})")


def show_failures(cells: list[dict[str, Any]]) -> None:
    """Print who could not run, and in one line why."""
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        for name, entry in cell["entries"].items():
            if "error" in entry:
                reasons.setdefault(f"{name}: {entry['error']}", []).append(cell["workload"])
    if reasons:
        print("\nnot run")
    for reason, workloads in reasons.items():
        print(f"- {reason} ({_names(workloads)})")


def _names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _row(*cells: Any) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |")
