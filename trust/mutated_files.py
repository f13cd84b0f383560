"""Load files that were changed at random: half of them in their bytes, half in their meaning and signed anew.

A changed file is refused with the format error. One that was signed anew may also be accepted: then it is a
network that predicts. Whatever it is: while it is loaded nothing is imported, run or opened besides it (an
audit hook forbids it), and loading takes no more than 50 ms of processor time and 4 times the size of the
file plus 1 MiB of memory.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import clearprop as cp
from clearprop.errors import ClearpropError, DataError, FileFormatError, OptionError, UnsupportedError
from clearprop.io.architecture import REGISTRIES
from trust.forge import Parts, change_bytes, change_meaning, take_apart
from trust.frame import Figure, Result, Test, command
from trust.samples import Sample, checkpoint, content, network, recording, saved_network, scratch
from trust.shim import available, under_shim
from trust.watch import Cost, Forbidden, cost_of, only_reading

__all__ = ["TEST", "run"]

SECONDS = 0.05
FACTOR, PLUS = 4, 1 << 20
NETWORKS, RECORDINGS, CHECKPOINTS = 12, 3, 3

_OF_ANOTHER_RUN: dict[str, tuple[type[ClearpropError], ...]] = {
    "network": (),
    "recording": (DataError, UnsupportedError),
    "checkpoint": (DataError, OptionError, UnsupportedError),
}
"""What is also an answer to a sound file, of other data or by another engine than what it is loaded for."""

Loader = Callable[[Path], Any]


class _Base:
    """A sound file from which others are made."""

    def __init__(self, sample: Sample, folder: Path) -> None:
        self.sample = sample
        self.whole = content(sample, folder)
        self.parts: Parts = take_apart(self.whole)
        self.refusals: tuple[type[Exception], ...] = (FileFormatError, *_OF_ANOTHER_RUN[sample.kind])


class _Tally:
    """What was found in all files."""

    def __init__(
        self,
        found: Mapping[str, int] | None = None,
        failures: Sequence[str] = (),
        slowest: float = 0.0,
        largest: float = 0.0,
    ) -> None:
        self.found: Counter[str] = Counter(found)
        self.failures = list(failures)
        self.slowest = slowest
        """Seconds."""
        self.largest = largest
        """Memory as a share of what is allowed."""


def run(count: int, seed: int, load: Loader | None = None) -> Result:
    """Make `count` files and load each; `load` stands for `clearprop.load`, for a planted one."""
    if load is None and available():
        return _result(count, _Tally(*under_shim("trust.mutated_files", "inside", count, seed)))
    return _result(count, _tried(count, seed, load))


def inside(count: int, seed: int) -> tuple[dict[str, int], list[str], float, float]:
    """Do the work of `run`, in a process with the shim, which counts memory at little cost."""
    tally = _tried(count, seed, None)
    return dict(tally.found), tally.failures, tally.slowest, tally.largest


def _tried(count: int, seed: int, load: Loader | None) -> _Tally:
    tally = _Tally()
    with scratch() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        path = Path(folder, "mutated.safetensors")
        bases = _bases(seed, Path(folder), load)
        names = sorted(name for registry in REGISTRIES.values() for name in registry)
        _warm_up(bases, path)
        for number in range(count):
            _one(number, seed, bases, names, path, tally)
    return tally


def _bases(seed: int, folder: Path, load: Loader | None) -> list[_Base]:
    networks = [saved_network(network(seed + i)) for i in range(NETWORKS)]
    if load is not None:
        networks = [sample._replace(load=load) for sample in networks]
    recordings = [recording(seed + i) for i in range(RECORDINGS)]
    checkpoints = [checkpoint(seed + i) for i in range(CHECKPOINTS)]
    return [_Base(sample, folder) for sample in (*networks, *recordings, *checkpoints)]


def _warm_up(bases: list[_Base], path: Path) -> None:
    """Load everything that the library loads when first asked for, whatever asks: that is no file's doing."""
    for registry in REGISTRIES.values():
        for name in registry:
            registry[name]
    for base in bases:
        path.write_bytes(base.whole)
        _use(base.sample.load(path))


def _one(number: int, seed: int, bases: list[_Base], names: list[str], path: Path, tally: _Tally) -> None:
    rng = np.random.default_rng([seed, number])
    base, other = (bases[int(i)] for i in rng.integers(0, len(bases), 2))
    signed = bool(rng.random() < 0.5)
    data = change_meaning(base.parts, names, rng) if signed else change_bytes(base.whole, other.whole, rng)
    path.write_bytes(data)
    most = Cost(SECONDS, FACTOR * len(data) + PLUS)
    verdicts: list[str] = []
    cost = cost_of(lambda: verdicts.append(_verdict(base, path)), most)
    verdict = verdicts[0]
    if verdict == "accepted" and not signed and data not in {b.whole for b in bases}:
        verdict = "it was accepted, though its bytes are changed"
    elif verdict == "accepted":
        verdict = _works(base, path)
    _judge(
        f"file {number} ({'signed' if signed else 'bytes'}, {base.sample.kind})", verdict, cost, most, tally
    )


def _verdict(base: _Base, path: Path) -> str:
    try:
        with only_reading(path):
            base.sample.load(path)
    except base.refusals:
        return "refused"
    except Forbidden as what:
        return f"forbidden: {what}"
    except Exception as error:
        return f"no format error: {type(error).__name__}: {error}"
    return "accepted"


def _works(base: _Base, path: Path) -> str:
    """Say of a file that was accepted whether what it holds can be used."""
    try:
        _use(base.sample.load(path))
    except ClearpropError:
        return "accepted"  # such as a cost that overflows: named
    except Exception as error:
        return f"accepted, but it cannot be used: {type(error).__name__}: {error}"
    return "accepted"


def _use(loaded: Any) -> None:
    if isinstance(loaded, cp.Network):
        loaded.summary()
        loaded.predict(np.zeros((2, loaded.model.layers[0].n_in)))


def _judge(what: str, verdict: str, cost: Cost, most: Cost, tally: _Tally) -> None:
    tally.slowest = max(tally.slowest, cost.seconds)
    tally.largest = max(tally.largest, cost.bytes / most.bytes)
    if cost.seconds > most.seconds:
        tally.found["slow"] += 1
        tally.failures.append(f"{what}: loading took {1000 * cost.seconds:.0f} ms of processor time")
    if cost.bytes > most.bytes:
        tally.found["large"] += 1
        tally.failures.append(f"{what}: loading took {cost.bytes} bytes, {most.bytes} are allowed")
    kind = verdict if verdict in ("accepted", "refused") else verdict.partition(":")[0]
    tally.found[kind] += 1
    if verdict not in ("accepted", "refused"):
        tally.failures.append(f"{what}: {verdict}")


def _result(count: int, tally: _Tally) -> Result:
    found = tally.found
    wrong = count - found["refused"] - found["accepted"]
    return Result(
        (
            Figure("refused", found["refused"], at_least=count // 2),
            Figure("accepted: signed anew, and usable", found["accepted"]),
            Figure("imports, runs or opens something else", found["forbidden"], at_most=0),
            Figure("other error, or accepted when damaged", wrong - found["forbidden"], at_most=0),
            Figure("slower than 50 ms", found["slow"], at_most=0),
            Figure("slowest", 1000 * tally.slowest, "ms"),
            Figure("larger than 4 times the file + 1 MiB", found["large"], at_most=0),
            Figure("largest, as a share of that", tally.largest),
        ),
        tuple(tally.failures),
    )


TEST = Test(
    "mutated_files",
    "a changed file is refused by name, quickly, in little memory, and makes the loader do nothing else",
    run,
    short=100_000,
    long=10_000_000,
    unit="files",
    minutes=2.8,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
