"""Outputs of a handful of rows on the native rung: straight from theta, nothing packed or kept of it."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.compiled import instruction_set, native, threads
from clearprop.engines.base import Engine
from clearprop.engines.native_program import program_of
from clearprop.model import Model

__all__ = ["FewRows"]

_MOST_ROWS = native.few_rows if native is not None else 0
_KINDS = ("dense", "activation", "dropout", "alpha_dropout")


class FewRows:
    """What reads up to four rows at a time for one network: the short way through the native rung.

    It may be asked from several threads, and theta may change between two calls. Chains of Dense,
    Activation and dropout are read so, in one dtype; for other networks it answers None.
    """

    __slots__ = ("_dtype", "_model", "_n_out", "_reader")

    def __init__(self, engine: Engine, model: Model, dtype: Any) -> None:
        self._model, self._dtype = weakref.ref(model), np.dtype(dtype)
        self._n_out = model.n_out
        self._reader: Any = None
        if engine.name != "native":
            return
        threads()  # one is enough here, but what is wrong with their number is said for few rows, too
        program = program_of(model)
        if all(operation["kind"] in _KINDS for operation in program["operations"]):
            kind = native.Reader32 if self._dtype == np.float32 else native.Reader64
            self._reader = kind(program, instruction_set())

    def is_for(self, model: Model, dtype: Any) -> bool:
        """Return whether it was made for this network, and for the settings as they are now."""
        same = self._model() is model and self._dtype == dtype
        return same and (self._reader is None or self._reader.holds)

    def outputs(self, theta: Array, X: Any) -> Array | None:
        """Return a^L (n, n_out) in inference mode; None where only the general way will do.

        X is taken as it is: a contiguous array (n, n_in) of the network's dtype, of one to four rows, without
        NaN or infinity. Anything else, and whatever is wrong with it, is left to those who say it in words.
        """
        if type(X) is not np.ndarray or self._reader is None:
            return None
        shape = X.shape
        if len(shape) != 2 or shape[0] > _MOST_ROWS:
            return None
        a = np.empty((shape[0], self._n_out), self._dtype)
        return a if self._reader.output(theta, X, a) else None
