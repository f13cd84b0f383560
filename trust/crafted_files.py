"""Load files that somebody made with care: each is refused with an error that names what is wrong with it.

Every case is a sound file but for one thing, and signed anew wherever a checksum could else be what is
complained about. A case names the words that its error must hold, so that it is refused for its own fault.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import clearprop as cp
from clearprop.errors import FileFormatError
from trust.forge import METADATA, Parts, sign, take_apart
from trust.frame import Figure, Result, Test, command
from trust.samples import content, saved_network, scratch
from trust.watch import Forbidden, only_reading

__all__ = ["TEST", "Case", "cases", "run"]


class Case(NamedTuple):
    """A crafted file: its name, its bytes, and words of the error that it must cause."""

    name: str
    data: bytes
    words: str


def run(count: int, seed: int, load: Callable[[Path], Any] = cp.load) -> Result:
    """Load the crafted forms of `count` networks; `load` may be a planted one."""
    failures: list[str] = []
    refused = tried = 0
    with scratch() as folder:
        path = Path(folder, "crafted.safetensors")
        for number in range(seed, seed + count):
            classes = ["no", "yes"]
            net = cp.Network(
                [cp.Dense(3, "tanh"), cp.Dense(2, "softmax")], n_in=2, seed=number, classes=classes
            )
            whole = content(saved_network(net), Path(folder))
            path.write_bytes(sign(*take_apart(whole)))
            load(path)  # sound, and what the library imports when first needed is imported now
            if path.read_bytes() != whole:
                failures.append(
                    "a sound file that is taken apart and signed is another: no case shows anything"
                )
            for case in cases(take_apart(whole), whole):
                path.write_bytes(case.data)
                tried += 1
                fault = _fault(case, path, load)
                refused += not fault
                failures += [f"{case.name}: {fault}"] if fault else []
    return Result(
        (
            Figure("crafted files", tried, at_least=60 * count),
            Figure("refused, each for its own fault", refused, at_least=tried),
        ),
        tuple(failures),
    )


def _fault(case: Case, path: Path, load: Callable[[Path], Any]) -> str:
    try:
        with only_reading(path):
            load(path)
    except FileFormatError as error:
        return "" if case.words in str(error) else f"refused, but not for {case.words!r}: {error}"
    except Forbidden as what:
        return f"loading it did something else: {what}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def cases(parts: Parts, whole: bytes) -> Iterator[Case]:
    """Yield every case, made of a network of two layers, Dense(3) and Dense(2)."""
    yield from _outside(whole)
    yield from _json(whole)
    for name, change, words in _HEADERS:
        yield Case(name, _changed(parts, change), words)
    for place, value, words in _ARCHITECTURES:
        yield Case(
            f"architecture: {'.'.join(map(str, place))} = {value!r:.40}", _put(parts, place, value), words
        )
    for name, value, words in _METADATA:
        yield Case(f"metadata: {name} = {value!r:.40}", _changed(parts, _set(METADATA, name, value)), words)
    for name, value, words in _CONTENTS:
        change = _set(METADATA, "extra", name, value)
        yield Case(f"content: {name} = {value!r:.40}", _changed(parts, change), words)


# The shell of the file ---------------------------------------------------------------------------


def _outside(whole: bytes) -> Iterator[Case]:
    end = 8 + int.from_bytes(whole[:8], "little")
    yield Case("empty", b"", "is empty")
    yield Case("seven bytes", whole[:7], "too few")
    for length in (2**20 + 1, 2**31, 2**63, 2**64 - 1):
        yield Case(f"header of {length} bytes", length.to_bytes(8, "little") + whole[8:], "promise")
    yield Case("header longer than the file", (2**20).to_bytes(8, "little") + whole[8:], "truncated")
    yield Case("header of no bytes", bytes(8) + whole[8:], "")
    yield Case("header one byte short", (end - 9).to_bytes(8, "little") + whole[8:], "")
    yield Case("one byte too many", whole + b"\0", "belong to nothing")
    yield Case("twice the file", whole + whole, "belong to nothing")
    yield Case("last byte missing", whole[:-1], "truncated")
    yield Case("no data", whole[:end], "truncated")
    yield Case("no checksum", _spelt(_without_checksum(whole)) + whole[end:], "no checksum")
    yield Case("checksum of another file", whole[:-1] + bytes([whole[-1] ^ 1]), "altered")
    for magic, name in ((b"\x80\x04\x95", "pickle"), (b"PK\x03\x04", "zip"), (b"\x93NUMPY", "NumPy")):
        yield Case(f"{name} file", magic + b"\xff" * 100, name)


def _without_checksum(whole: bytes) -> str:
    end = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:end])
    del header[METADATA]["sha256"]
    return json.dumps(header, sort_keys=True, separators=(",", ":"))


def _spelt(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "little") + data


def _json(whole: bytes) -> Iterator[Case]:
    """Yield headers that are no sound JSON, or say a thing twice."""
    end = 8 + int.from_bytes(whole[:8], "little")
    text, data = whole[8:end].decode().rstrip(), whole[end:]
    texts = {
        "an array": ("[]", "no JSON header"),
        "an unclosed object": (text[:-1], "not sound JSON"),
        "text after the end": (text + "{}", "not sound JSON"),
        "a duplicate tensor": ('{"1.W":{},' + text[1:], "occurs twice"),
        "a duplicate key in a tensor": (
            text.replace('"dtype":"F64"', '"dtype":"F64","dtype":"F32"', 1),
            "twice",
        ),
        "a duplicate key in the metadata": (text.replace('"format":', '"format":"x","format":', 1), "twice"),
        "two metadata": ('{"__metadata__":{},' + text[1:], "occurs twice"),
        "NaN": ('{"a":NaN}', "no JSON number"),
        "Infinity": ('{"a":-Infinity}', "no JSON number"),
        "a number beyond all floats": ('{"a":1e999}', "too large"),
        "a number of 10 000 digits": ('{"a":' + "9" * 10000 + "}", "not sound JSON"),
        "100 000 nested lists": ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        "100 000 nested objects": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        "a header of null characters": ("\0" * 64, "no JSON header"),
        "not UTF-8": (text.replace("tanh", "t\udcffnh"), "not sound JSON"),
        "a lone surrogate": (text.replace("tanh", "t\\ud800nh"), "altered"),
        "a byte order mark": ("\ufeff" + text, "no JSON header"),
        "another spelling": (text.replace(",", ", "), "altered"),
    }
    for name, (changed, words) in texts.items():
        yield Case(f"header: {name}", _spelt(changed) + data, words)


# Signed anew -------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], None]


def _changed(parts: Parts, change: Change) -> bytes:
    header = json.loads(json.dumps(parts.header))
    change(header)
    return sign(header, parts.data)


def _set(*place: Any) -> Change:
    """Return the change that puts the last argument where the others lead."""
    *keys, last, value = place

    def change(header: dict[str, Any]) -> None:
        holder: Any = header
        for key in keys:
            holder = holder[key]
        if value is _GONE:
            del holder[last]
        else:
            holder[last] = value

    return change


_GONE = object()


def _put(parts: Parts, place: tuple[Any, ...], value: Any) -> bytes:
    return _changed(parts, _set(METADATA, "architecture", *place, value))


def _tensor(name: str, dtype: str, shape: list[Any], begin: Any, end: Any) -> Change:
    return _set(name, {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]})


def _empty_tensors(header: dict[str, Any]) -> None:
    for i in range(4097):
        header[f"extra.{i}"] = {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]}


_HEADERS: tuple[tuple[str, Change, str], ...] = (
    ("a tensor over another", _tensor("1.b", "F64", [3], 40, 64), "overlaps"),
    ("a gap at the start", _tensor("1.W", "F64", [1], 8, 16), "gap"),
    ("a tensor twice under two names", _tensor("extra.copy", "F64", [3, 2], 0, 48), "overlaps"),
    ("a tensor behind the end", _tensor("extra.far", "F64", [1], 2**40, 2**40 + 8), "gap"),
    ("offsets the wrong way round", _tensor("1.W", "F64", [3, 2], 48, 0), "must be [begin, end]"),
    ("a negative offset", _tensor("1.W", "F64", [3, 2], -48, 0), "must be [begin, end]"),
    ("offsets that are no whole numbers", _tensor("1.W", "F64", [3, 2], 0.0, 48.0), "must be [begin, end]"),
    ("three offsets", _set("1.W", "data_offsets", [0, 48, 96]), "must be [begin, end]"),
    ("a shape that overflows", _tensor("1.W", "F64", [2**32, 2**32], 0, 48), "more than any memory"),
    (
        "a shape that overflows to the right size",
        _tensor("1.W", "F64", [2**62, 24], 0, 48),
        "more than any memory",
    ),
    ("an empty tensor with a vast axis", _tensor("extra.a", "F64", [0, 2**63], 0, 0), "more than any memory"),
    ("a negative size", _tensor("1.W", "F64", [-3, -2], 0, 48), "must be a list"),
    ("a size that is true", _tensor("1.W", "F64", [3, True], 0, 24), "must be a list"),
    ("nine axes", _tensor("1.W", "F64", [1] * 8 + [6], 0, 48), "at most 8"),
    ("a shape too small", _tensor("1.W", "F64", [3, 1], 0, 48), "needs 24 bytes"),
    ("an unknown dtype", _tensor("1.W", "F8_E4M3", [48], 0, 48), "known are"),
    ("a dtype that is an object", _tensor("1.W", "O", [6], 0, 48), "known are"),
    ("another dtype of the same size", _tensor("1.W", "I64", [3, 2], 0, 48), "needs float64"),
    ("the transposed shape", _tensor("1.W", "F64", [2, 3], 0, 48), "of shape (3, 2)"),
    ("a tensor that is a list", _set("1.W", []), "not described by"),
    ("a tensor with another key", _set("1.W", "strides", [1]), "not described by"),
    ("a tensor that nothing needs", _tensor("9.W", "F64", [0], 0, 0), "its architecture has not"),
    ("4097 tensors more", _empty_tensors, "at most 4096"),
    ("metadata that are a list", _set(METADATA, []), "not text by name"),
    ("metadata with a number", _set(METADATA, "note", 1), "not text by name"),
)

_DENSE = ("layers", 0)
_ARCHITECTURES: tuple[tuple[tuple[Any, ...], Any, str], ...] = (
    (("layers",), [], "no layers"),
    (("layers",), {}, "not a list of layers"),
    (("cost",), _GONE, "not a list of layers"),
    (("surprise",), 1, "not a list of layers"),
    ((*_DENSE, "name"), "eval", "not registered"),
    ((*_DENSE, "name"), "os.system", "not registered"),
    ((*_DENSE, "name"), "__init__", "not registered"),
    ((*_DENSE, "kind"), "builtins", "something of the kind"),
    ((*_DENSE, "kind"), "cost", "where a layer belongs"),
    ((*_DENSE, "n_out"), 2**26 + 1, "more than 67108864 neurons"),
    ((*_DENSE, "n_out"), -1, "wrongly"),
    ((*_DENSE, "n_out"), 3.0, ""),
    ((*_DENSE, "n_out"), True, ""),
    ((*_DENSE, "n_out"), None, "has the size None"),
    ((*_DENSE, "n_out"), 4, ""),
    ((*_DENSE, "n_in"), None, "has the size None"),
    ((*_DENSE, "__class__"), "x", "wrongly"),
    ((*_DENSE, "activation", "name"), "exec", "not registered"),
    ((*_DENSE, "activation"), "eval", "wrongly"),
    ((*_DENSE, "activation"), {"kind": "cost", "name": "huber"}, ""),
    (("cost", "name"), "__import__('os')", "not registered"),
    (("cost",), {"kind": "layer", "name": "dense"}, "where a cost belongs"),
)

_METADATA: tuple[tuple[str, Any, str], ...] = (
    ("format", "pt", "holds no clearprop network"),
    ("format_version", "2", "Update clearprop"),
    ("format_version", "01", "Update clearprop"),
    ("dtype", "float16", "neither float32 nor float64"),
    ("dtype", "float32", "needs float32"),
    ("architecture", _GONE, "lack 'architecture'"),
    ("architecture", 3, "not a list of layers"),
    ("extra", _GONE, "lack 'extra'"),
    ("extra", [], "not by name"),
)

_CONTENTS: tuple[tuple[str, Any, str], ...] = (
    ("seed", -1, "seed"),
    ("seed", "0", "seed"),
    ("engine", "cuda", "engine"),
    ("engine", ["batch"], "engine"),
    ("task", "fraud", "task"),
    ("classes", [1, 1], "classes"),
    ("preprocessing", "exec", "preprocessing"),
    ("preprocessing", {"a": 1}, "preprocessing"),
    ("targets", "real", "targets"),
    ("targets", {"kind": "classes"}, ""),
    ("frozen", "1.W", "frozen must be a list"),
    ("frozen", [[]], "frozen must be a list"),
    ("penalty", {"name": "os"}, "os"),
    ("extra", [["a", 1]], "extra must be a dictionary"),
    ("epochs_trained", -1, "epochs_trained"),
    ("steps_trained", 0.5, "steps_trained"),
)

TEST = Test(
    "crafted_files",
    "every file that was made to mislead the loader is refused with an error that names its fault",
    run,
    short=1,
    long=1,
    unit="networks",
)

if __name__ == "__main__":
    sys.exit(command(TEST))
