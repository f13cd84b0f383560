"""The `native` rung: whole runs of steps in C++, fused and on several threads, in float32 and float64.

How it works, kernel by kernel: docs/native.md. Its source is `native/`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.compiled import native
from clearprop.engines.base import (
    Engine,
    Pass,
    Rows,
    StepOptions,
    Steps,
    Trainer,
    TrainingOptions,
    register_engine,
    weighted,
)
from clearprop.engines.native_program import even_factors, optimizer_of, program_of, why_not
from clearprop.engines.native_records import records_of
from clearprop.errors import OptionError, one_of
from clearprop.model import Draws, Gradient, Model, State
from clearprop.trace import Trace, make_trace

__all__ = ["MISSING", "NativeEngine", "instruction_set", "system", "threads"]

MISSING = (
    "the native rung is not part of this installation, because no C++ compiler was found when it was built. "
    "Install g++ or clang, and in a clone of clearprop run: CLEARPROP_NATIVE=1 pip install -v ."
)

# Below this number of operations in the largest product of a batch a second thread costs more than it does.
_PARALLEL_WORK = 1e6
_MOST_STEPS = 1 << 16
_MOST_THREADS = 1024


def instruction_set() -> str:
    """Return the instruction set of the kernels: the best of this processor, or what CLEARPROP_ISA says.

    Errors: `OptionError` for one that this processor or this build does not have.
    """
    known = native.instruction_sets()
    wanted = os.environ.get("CLEARPROP_ISA", "")
    if not wanted:
        return str(known[0])
    if wanted not in known:
        raise OptionError(f"CLEARPROP_ISA is {wanted!r}; this processor and build have {one_of(known)}.")
    return wanted


def threads() -> int:
    """Return how many threads may work: CLEARPROP_NUM_THREADS, or the processors this process may use.

    Errors: `OptionError` unless the variable is a whole number from 1 to 1024.
    """
    wanted = os.environ.get("CLEARPROP_NUM_THREADS", "")
    if not wanted:
        return int(native.available_processors())
    if not (wanted.isdecimal() and len(wanted) < 10 and 1 <= int(wanted) <= _MOST_THREADS):
        raise OptionError(
            f"CLEARPROP_NUM_THREADS must be a whole number from 1 to {_MOST_THREADS}. Got {wanted!r}."
        )
    return int(wanted)


def system() -> dict[str, Any]:
    """Return what the native rung is on this machine: instruction sets, the one in use, and threads."""
    if native is None:
        return {"native": None}
    known = list(native.instruction_sets())
    return {"native": {"instruction_sets": known, "in_use": instruction_set(), "threads": threads()}}


def _machine(
    model: Model, dtype: Any, rows: int, scale: Array | None = None, decay: Array | None = None
) -> Any:
    """Return the network as a machine with threads enough for batches of that many rows."""
    program = program_of(model, scale, decay)
    work = max((2 * rows * op.get("n_in", 0) * op["n_out"] for op in program["operations"]), default=0)
    kind = native.Machine32 if np.dtype(dtype) == np.float32 else native.Machine64
    return kind(program, instruction_set(), threads() if work > _PARALLEL_WORK else 1)


class _Kept(threading.local):
    """The machine that this thread looked at a network with last: (model, dtype, rows it was made for)."""

    model: Model | None = None
    dtype: Any = None
    rows: int = 0
    machine: Any = None


_kept = _Kept()


def _looking_machine(model: Model, state: State, rows: int) -> Any:
    dtype = state.theta.dtype
    if _kept.model is not model or _kept.dtype != dtype or rows > _kept.rows:
        _kept.machine = _machine(model, dtype, rows)
        _kept.model, _kept.dtype, _kept.rows = model, dtype, rows
    _kept.machine.read_theta(state.theta)
    _kept.machine.read_buffers(state.buffers)
    return _kept.machine


class _Output(NamedTuple):
    z: Array
    a: Array


class _OutputOnly(NamedTuple):
    a: Array


@register_engine
class NativeEngine(Engine):
    """Whole runs of steps in C++."""

    name: ClassVar[str] = "native"
    summary: ClassVar[str] = "whole epochs in C++, fused, on several threads; the default for training"

    def supports(self, model: Model, options: TrainingOptions | None = None) -> str | None:
        """Return None, or what of the network has no native kernel, or that the rung is not installed."""
        if native is None:
            return MISSING
        return why_not(model)

    def output(self, model: Model, state: State, X: Array) -> Any:
        """Return the last layer's record in inference mode: a, and z if it has an activation."""
        X = _rows(X, state.theta.dtype)
        machine = _looking_machine(model, state, len(X))
        a = np.empty((len(X), model.n_out), state.theta.dtype)
        if not hasattr(model.layers[-1], "activation"):
            machine.output(X, None, a)
            return _OutputOnly(a)
        z = np.empty_like(a)
        machine.output(X, z, a)
        return _Output(z, a)

    def outputs(self, model: Model, state: State, X: Array) -> Array:
        """Return the network's outputs a^L in inference mode. X: (n, n_in); result: (n, n_out)."""
        X = _rows(X, state.theta.dtype)
        a = np.empty((len(X), model.n_out), state.theta.dtype)
        _looking_machine(model, state, len(X)).output(X, None, a)
        return a

    def trace(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
    ) -> Trace:
        """Return the open record of one pass, as the kernels computed it."""
        seen, gradient, _, output = self._look(model, state, X, y, weights, draws, records=True)
        training = draws is not None
        forward, backward = records_of(model, state, X, seen, gradient, training)
        return make_trace(
            model,
            X=X,
            y=y,
            weights=weights,
            costs=model.costs(output, y),
            forward=forward,
            backward=backward,
            dC_da=weighted(model.cost.dC_da(output.a, y), weights),
            engine=self.name,
            training=training,
        )

    def gradient(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
        out: Gradient | None = None,
    ) -> Pass:
        """Return the outputs and ∂C/∂theta of one batch."""
        _, gradient, buffers, output = self._look(model, state, X, y, weights, draws, records=False)
        return Pass(output, gradient, state.buffers if draws is None or not buffers.size else buffers)

    def _look(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None,
        draws: Draws | None,
        records: bool,
    ) -> tuple[list[dict[str, Array]], Array, Array, Any]:
        dtype = state.theta.dtype
        check_batch(model, len(y), draws is not None)
        machine = _looking_machine(model, state, len(y))
        a = np.empty((len(y), model.n_out), dtype)
        z = np.empty_like(a) if hasattr(model.layers[-1], "activation") else None
        gradient, buffers = np.empty(model.layout.size, dtype), np.empty(model.buffer_layout.size, dtype)
        position = draws or Draws(0, 0, np.zeros(len(y), np.int64))
        seen = machine.look(
            X=_rows(X, dtype),
            y=_rows(y, dtype),
            weights=None if weights is None else np.ascontiguousarray(weights, dtype),
            training=draws is not None,
            seed=position.seed,
            step=position.step,
            examples=_examples(position.examples, len(y)),
            records=records,
            gradient=gradient,
            buffers=buffers,
            z=z,
            a=a,
        )
        return seen, gradient, buffers, _OutputOnly(a) if z is None else _Output(z, a)

    def trainer(self, model: Model, dtype: Any, options: StepOptions) -> Trainer | None:
        """Return what trains in whole runs of steps; None for an optimiser of one's own."""
        optimizer = optimizer_of(options.optimizer)
        if optimizer is None or not all(
            even_factors(model.layout, factors) for factors in (options.scale, options.decay)
        ):
            return None
        return NativeTrainer(model, dtype, options, optimizer)


def check_batch(model: Model, rows: int, training: bool) -> None:
    """Raise `ShapeError` where BatchNorm would get a batch of one example in training."""
    if training and rows < 2:
        for _, layer in model.walk():
            if layer.couples_examples:
                zeros = np.zeros((rows, layer.n_in or 1))
                layer.forward(zeros, {}, {}, training=True)  # the layer's own error


def _rows(X: Array, dtype: Any) -> Array:
    """Return a matrix whose rows are contiguous, of the dtype; itself where it is so already."""
    X = np.asarray(X, dtype)
    contiguous = X.ndim == 2 and (X.shape[1] <= 1 or X.strides[1] == X.itemsize)
    if contiguous and X.strides[0] >= 0 and X.strides[0] % X.itemsize == 0 and X.flags.aligned:
        return X
    return np.ascontiguousarray(X)


def _examples(indices: Any, n: int) -> Array:
    found = np.ascontiguousarray(indices, np.int64)
    return found if len(found) == n else np.zeros(n, np.int64)


class NativeTrainer(Trainer):
    """A network in training: its parameters and slots lie in the engine's own layout between calls."""

    def __init__(self, model: Model, dtype: Any, options: StepOptions, optimizer: dict[str, Any]) -> None:
        self._model, self._dtype = model, np.dtype(dtype)
        self._machine = _machine(model, dtype, options.batch_size, options.scale, options.decay)
        limits = {name: getattr(options, name) for name in ("clip_norm", "clip_value", "max_norm")}
        self._machine.set_optimizer(
            {
                **optimizer,
                "l1": float(options.l1),
                "l2": float(options.l2),
                "penalty_divisor": ("none", "examples", "batch").index(options.divide_by),
                "examples": float(options.examples or 1),
                **{name: float(limit) for name, limit in limits.items() if limit is not None},
            }
        )
        self._slots = options.optimizer.slots

    def read(self, state: State) -> None:
        """Take theta and the buffers as they are now."""
        self._machine.read_theta(state.theta)
        self._machine.read_buffers(state.buffers)

    def write(self, state: State) -> None:
        """Bring theta and the buffers up to date."""
        self._machine.write_theta(state.theta)
        self._machine.write_buffers(state.buffers)

    def read_slots(self, slots: dict[str, Array]) -> None:
        """Take the optimiser's slots as they are now."""
        for i, name in enumerate(self._slots):
            self._machine.read_slot(i, slots[name])

    def write_slots(self, slots: dict[str, Array]) -> None:
        """Bring the optimiser's slots up to date."""
        for i, name in enumerate(self._slots):
            self._machine.write_slot(i, slots[name])

    def steps(
        self,
        rows: Rows,
        order: Array,
        examples: Array | None,
        batch_size: int,
        etas: Array,
        seed: int,
        first_step: int,
        optimizer_step: int,
        seconds: float,
        rule: str,
        middle: float,
        outputs: Array | None = None,
        look_at_gradient: Callable[[Array], None] | None = None,
    ) -> Steps:
        """Do steps on the batches of `order`; see `Trainer.steps`."""
        batch_size = min(batch_size, max(1, len(order)))  # it may be larger than any number of C++
        last = len(order) % batch_size if len(order) else 0
        if last == 1 or batch_size == 1:
            check_batch(self._model, 1, training=True)
        count = min(-(-len(order) // batch_size), _MOST_STEPS)
        costs, correct = np.empty(count), np.empty(count, np.int64)
        sparse = not isinstance(rows.X, np.ndarray)
        values, columns, starts = _csr(rows.X, self._dtype) if sparse else (None, None, None)
        done, finite = self._machine.train(
            None if sparse else rows.X,
            values,
            columns,
            starts,
            rows.y,
            rows.weights,
            np.ascontiguousarray(order, np.int64),
            None if examples is None else np.ascontiguousarray(examples, np.int64),
            batch_size,
            etas,
            seed,
            first_step,
            optimizer_step,
            seconds,
            rule,
            middle,
            outputs,
            costs,
            correct,
            look_at_gradient,
        )
        return Steps(done, costs[:done], correct[:done], finite)


def _csr(X: Any, dtype: Any) -> tuple[Array, Array, Array]:
    return (
        np.ascontiguousarray(X.data, dtype),
        np.ascontiguousarray(X.indices, np.int32),
        np.ascontiguousarray(X.indptr, np.int64),
    )
