"""Flip every bit of a small file, one at a time, and cut it at every length: nothing may be accepted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clearprop.errors import FileFormatError
from trust.frame import Figure, Result, Test, command
from trust.samples import Sample, checkpoint, samples, scratch

__all__ = ["TEST", "flips", "judge", "run", "truncations"]


def every_kind(seed: int) -> list[Sample]:
    """Return a small file of every kind that clearprop writes."""
    return [*samples(seed), checkpoint(seed)]


def run(count: int, seed: int, kinds: Callable[[int], Sequence[Sample]] = every_kind) -> Result:
    """Damage `count` files of each kind in every way, and load each."""
    found: Counter[str] = Counter()
    failures: list[str] = []
    with scratch() as folder:
        path = Path(folder, "damaged.safetensors")
        for number in range(seed, seed + count):
            for sample in kinds(number):
                sample.save(path, True)
                whole = path.read_bytes()
                found["bytes"] += len(whole)
                for kind, ways in (("flips", flips), ("truncations", truncations)):
                    for what in ways(path, whole):
                        found[kind] += 1
                        _count(judge(sample.load, path), f"{sample.kind} {number}, {what}", found, failures)
                path.write_bytes(whole)
                sample.load(path)  # what was damaged is sound when whole, or nothing was shown
                path.unlink()
    return Result(
        (
            Figure("bits flipped", found["flips"], at_least=8 * found["bytes"]),
            Figure("lengths cut to", found["truncations"], at_least=found["bytes"]),
            Figure("accepted", found["accepted"], at_most=0),
            Figure("refused without a FileFormatError", found["unnamed"], at_most=0),
        ),
        tuple(failures),
    )


def flips(path: Path, whole: bytes) -> Iterator[str]:
    """Put `whole` with one bit flipped into the file, every bit in turn; yield what was done."""
    path.write_bytes(whole)
    with open(path, "r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            for bit in range(8):
                file.seek(place)
                file.write(bytes([byte ^ 1 << bit]))
                yield f"bit {bit} of byte {place}"
            file.seek(place)
            file.write(bytes([byte]))


def truncations(path: Path, whole: bytes) -> Iterator[str]:
    """Put the first n bytes of `whole` into the file, for n from one less than all down to 0; yield n."""
    path.write_bytes(whole)
    with open(path, "r+b", buffering=0) as file:
        for length in reversed(range(len(whole))):
            file.truncate(length)
            yield f"cut to {length} bytes"


def judge(load: Callable[[Path], Any], path: Path) -> str:
    """Load a damaged file; return "refused", "accepted", or the error that is not of the format."""
    try:
        load(path)
    except FileFormatError:
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def _count(verdict: str, what: str, found: Counter[str], failures: list[str]) -> None:
    if verdict != "refused":
        found["accepted" if verdict == "accepted" else "unnamed"] += 1
        failures.append(f"{what}: {verdict}")


TEST = Test(
    "bit_flips",
    "no file with one bit flipped, and none that was cut short, is accepted",
    run,
    short=1,
    long=1,
    unit="files of each kind",
    minutes=3.0,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
