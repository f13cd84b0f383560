"""The `native` rung: whole runs of steps in C++, fused and on several threads, in float32 and float64.

How it works, kernel by kernel: docs/native.md. Its source is `native/`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.compiled import instruction_set, missing, native, threads
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
from clearprop.lazy import Lazy
from clearprop.model import Draws, Gradient, Model, State

if TYPE_CHECKING:
    from clearprop import trace as tracing
    from clearprop.trace import Trace
else:
    tracing = Lazy("clearprop.trace")

__all__ = ["NativeEngine", "system"]

# Below this number of operations in the largest product of a batch a second thread costs more than it does.
_PARALLEL_WORK = 1e6
_MOST_STEPS = 1 << 16


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
    """The machine that this thread looked at a network with last, and what it was made for."""

    model: Any = None
    """A weak reference."""
    made_for: Any = None
    rows: int = 0
    machine: Any = None


_kept = _Kept()
# A machine for more rows than this is not kept: its activations would outlive the call.
_MOST_KEPT_ROWS = 4096


def _looking_machine(model: Model, state: State, rows: int) -> Any:
    made_for = state.theta.dtype, instruction_set(), threads()
    same = _kept.machine is not None and _kept.model() is model and _kept.made_for == made_for
    machine = _kept.machine if same and rows <= _kept.rows else _machine(model, state.theta.dtype, rows)
    if rows <= _MOST_KEPT_ROWS and machine is not _kept.machine:
        _kept.machine, _kept.model, _kept.made_for, _kept.rows = machine, weakref.ref(model), made_for, rows
    machine.read_theta(state.theta)
    machine.read_buffers(state.buffers)
    return machine


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
        return missing() or why_not(model)

    def output(self, model: Model, state: State, X: Array) -> Any:
        """Return the last layer's record in inference mode: a, and z if it has an activation."""
        return _output(_looking_machine(model, state, len(X)), model, state.theta.dtype, X)

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
        return tracing.make_trace(
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


def _output(machine: Any, model: Model, dtype: Any, X: Array) -> Any:
    a = np.empty((len(X), model.n_out), dtype)
    z = np.empty_like(a) if hasattr(model.layers[-1], "activation") else None
    machine.output(_rows(X, dtype), z, a)
    return _OutputOnly(a) if z is None else _Output(z, a)


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
    return found if len(found) else np.zeros(n, np.int64)  # where nothing is random, positions have no rows


class NativeTrainer(Trainer):
    """A network in training: its parameters and slots lie in the engine's own layout between calls."""

    def __init__(self, model: Model, dtype: Any, options: StepOptions, optimizer: dict[str, Any]) -> None:
        self._model, self._dtype = model, np.dtype(dtype)
        rows = max(options.batch_size, options.predicts)
        self._machine = _machine(model, dtype, rows, options.scale, options.decay)
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
        self._mean_over_weights, self._penalty_as_seen = options.mean_over_weights, options.penalty_as_seen
        self._sparse: tuple[Any, tuple[Array, Array, Array]] | None = None

    def _csr(self, X: Any) -> tuple[Array, Array, Array]:
        """Return the arrays of a CSR matrix as the engine reads them, converted once for a matrix."""
        if self._sparse is None or self._sparse[0] is not X:
            arrays = (
                np.ascontiguousarray(X.data, self._dtype),
                np.ascontiguousarray(X.indices, np.int32),
                np.ascontiguousarray(X.indptr, np.int64),
            )
            self._sparse = X, arrays
        return self._sparse[1]

    def read(self, state: State) -> None:
        """Take theta and the buffers as they are now."""
        self._machine.read_theta(state.theta)
        self._machine.read_buffers(state.buffers)

    def write(self, state: State) -> None:
        """Bring theta and the buffers up to date."""
        self._machine.write_theta(state.theta)
        self._machine.write_buffers(state.buffers)

    def is_finite(self) -> bool:
        """Return whether the parameters and buffers it has are all finite."""
        return bool(self._machine.is_finite())

    def output(self, X: Array) -> Any:
        """Return the last layer's record in inference mode, by the parameters it has."""
        return _output(self._machine, self._model, self._dtype, X)

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
        penalties = np.empty(count) if self._penalty_as_seen else None
        sparse = not isinstance(rows.X, np.ndarray)
        values, columns, starts = self._csr(rows.X) if sparse else (None, None, None)
        shown = None if look_at_gradient is None else np.empty(self._model.layout.size, self._dtype)
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
            None if shown is None or look_at_gradient is None else partial(look_at_gradient, shown),
            shown,
            penalties,
            self._mean_over_weights,
        )
        seen = None if penalties is None else penalties[:done]
        return Steps(done, costs[:done], correct[:done], finite, seen)
