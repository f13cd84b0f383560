"""Every error that clearprop raises on purpose.

One base class, `ClearpropError`; each subclass is also the builtin that fits, so
``except ValueError`` keeps working. A message says what, where, got, do, in one sentence
or two: "layers[2] Dense expects 30 inputs; layers[1] gives 20. Set n_in=20 or leave it out."
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "BusyError",
    "ClearpropError",
    "DTypeError",
    "DataError",
    "DivergenceError",
    "DownloadError",
    "FileFormatError",
    "FitManyError",
    "MissingDependencyError",
    "MissingFileError",
    "NotInitializedError",
    "OptionError",
    "ShapeError",
    "UnknownNameError",
    "UnreadableFileError",
    "UnsupportedError",
    "UnwritableFileError",
    "WouldOverwriteError",
    "did_you_mean",
    "one_of",
]


class ClearpropError(Exception):
    """Base of all errors that clearprop raises on purpose."""


class ShapeError(ClearpropError, ValueError):
    """An array or a layer has a size that does not fit its neighbour."""


class DTypeError(ClearpropError, TypeError):
    """An array or an argument has the wrong type."""


class DataError(ClearpropError, ValueError):
    """The data cannot be used: empty, NaN, labels out of range, one class only."""


class OptionError(ClearpropError, ValueError):
    """An option is out of its range, or contradicts another."""


class UnknownNameError(ClearpropError, ValueError):
    """A name is in no registry; the message suggests the nearest one."""


class NotInitializedError(ClearpropError, RuntimeError):
    """The network has no parameters yet, because its input size is not known."""


class BusyError(ClearpropError, RuntimeError):
    """The network is being trained by another call of fit, in this thread or another."""


class UnsupportedError(ClearpropError, ValueError):
    """An engine or a method declines this network; the message is its one sentence why."""


class DivergenceError(ClearpropError, ArithmeticError):
    """A cost, gradient or parameter became NaN or infinite during training."""


class FitManyError(ClearpropError, ExceptionGroup[Exception]):
    """Some of the networks of `fit_many` failed; the others are trained.

    `exceptions` holds their errors (``except* DivergenceError`` works), `failures` the same by place in the
    list of networks, `histories` the `History` of every network.
    """

    failures: dict[int, Exception]
    histories: list[Any]

    def __new__(cls, failures: dict[int, Exception], histories: Sequence[Any]) -> FitManyError:
        """Return the error of these failures, by place, among as many networks as there are histories."""
        first, n = min(failures), len(histories)
        error = failures[first]
        said = str(error) if isinstance(error, ClearpropError) else f"{type(error).__name__}: {error}"
        rest = f"{len(failures)} of {n} networks failed, the others are trained"
        if len(failures) == n:
            rest = "the network failed" if n == 1 else f"all {n} networks failed"
        message = f"{rest}. networks[{first}]: {said}"
        made = super().__new__(cls, message, [failures[place] for place in sorted(failures)])
        made.failures, made.histories = dict(failures), list(histories)
        return made

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)


class FileFormatError(ClearpropError, ValueError):
    """A file is not what its name says: truncated, altered, or of a newer format."""


class MissingDependencyError(ClearpropError, ImportError):
    """An optional package is needed; the message says what to install."""


class MissingFileError(ClearpropError, FileNotFoundError):
    """A file that was named does not exist; the message suggests a neighbour with a similar name."""


class UnreadableFileError(ClearpropError, OSError):
    """A file exists but the system does not let it be read."""


class UnwritableFileError(ClearpropError, OSError):
    """The system does not let the file be written; what was there before is unchanged."""


class DownloadError(ClearpropError, OSError):
    """A file could be had from no mirror, or the cache cannot be written."""


class WouldOverwriteError(ClearpropError, FileExistsError):
    """A file exists and overwriting it was not asked for."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to `word`, or "".

    >>> did_you_mean("sigmiod", ["sigmoid", "tanh"])
    " Did you mean 'sigmoid'?"
    >>> did_you_mean("zzz", ["sigmoid", "tanh"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def one_of(names: Iterable[str]) -> str:
    """Return the names as a readable list for an error message.

    >>> one_of(["a", "b", "c"])
    "'a', 'b', 'c'"
    """
    return ", ".join(repr(name) for name in names)
