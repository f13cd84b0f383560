"""When training diverges: find the step, the layer and the quantity, and keep the last finite parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import engines
from clearprop.errors import DivergenceError
from clearprop.layers import ActivationOwner
from clearprop.optimizers import State as Slots
from clearprop.training.batches import Batch, weighed
from clearprop.training.features import all_finite
from clearprop.training.hooks import may_change
from clearprop.training.penalties import norm

if TYPE_CHECKING:
    from clearprop.model import State
    from clearprop.trace import LayerTrace, Trace
    from clearprop.training.callbacks import Callback
    from clearprop.training.loop import TrainingRun

__all__ = [
    "LastFinite",
    "check_finite",
    "explain_divergence",
    "explain_first_pass",
    "explain_parameters",
    "explain_step",
    "first_non_finite",
]

_SHARE = 0.05  # of the time that snapshots may take
_LEAST_SECONDS = 0.005  # between two: a tiny network's would else come with every run of steps
_MOST_BATCHES = 200
_MOST_BYTES = 1 << 26  # of batches that a snapshot may keep alive
_LARGE_VALUE = 100.0
_LARGE_TARGET = 1e6


@dataclass
class LastFinite:
    """Where a run stood when it was finite: to go back to, and with slots to repeat the steps since."""

    theta: Array
    buffers: Array
    slots: Slots
    step: int
    taken: float
    """When, and how long it took, in seconds."""
    seconds: float
    size: float = 0.0
    """The norm of theta when it was taken."""
    batches: list[Any] = field(default_factory=list)
    """The batches since: whole, or the indices of their examples (see `TrainingRun.again`)."""
    marks: list[tuple[int, int, Mapping[str, Any]]] = field(default_factory=list)
    """From which batch on, which epoch and which state of the schedule held."""

    @classmethod
    def take(cls, run: TrainingRun, now: float, slots: bool = True, copies: bool = True) -> LastFinite:
        """Return a copy of the run's position; without slots it tells the parameters only.

        Without copies they are the run's own, which then nobody may change but to others that are finite.
        """
        own = {name: slot.copy() for name, slot in run.slots.items()} if slots else {}
        theta, buffers = run.state.theta, run.state.buffers
        if copies:
            theta, buffers = theta.copy(), buffers.copy()
        snapshot = cls(theta, buffers, own, run.step, now, 0.0, norm(theta))
        snapshot.seconds = time.perf_counter() - now
        return snapshot

    def is_due(self, now: float) -> bool:
        """Return whether another may be taken, milliseconds later and not for more than 5 % of the time.

        It must be when the batches since have become many or large.
        """
        if len(self.batches) >= _MOST_BATCHES or now - self.taken > max(
            self.seconds / _SHARE, _LEAST_SECONDS
        ):
            return True
        first = self.batches[0] if self.batches else None
        return isinstance(first, tuple) and len(self.batches) * first[0].nbytes > _MOST_BYTES

    def mark(self, run: TrainingRun) -> None:
        """Note the run's epoch and schedule for the batches to come."""
        if not self.marks or self.marks[-1][1] != run.epoch:
            self.marks.append((len(self.batches), run.epoch, run.schedule_state))

    def restore(self, run: TrainingRun) -> None:
        """Put the run back to where it stood."""
        run.state.theta[:], run.state.buffers[:] = self.theta, self.buffers
        run.slots = {name: slot.copy() for name, slot in self.slots.items()}
        run.step = self.step

    def replay(self, run: TrainingRun) -> Iterator[Batch]:
        """Put the run back and yield each batch since, with the run's epoch and schedule as they were."""
        self.restore(run)
        marks = {start: (epoch, schedule_state) for start, epoch, schedule_state in self.marks}
        for i, item in enumerate(self.batches):
            if i in marks:
                run.epoch, run.schedule_state = marks[i][0], dict(marks[i][1])
            yield run.again(item)


def first_non_finite(trace: Trace) -> tuple[str, str] | None:
    """Return (address, quantity) of the first NaN or infinity in the order of computation, or None.

    Forward from the input to the cost, then backward from the cost to the first layer. What lies within a
    combinator comes before the combinator's own outputs.
    """
    layers = [trace[0], *_inner_first(trace)]
    for layer in layers:
        for name in layer.forward._fields:
            if not _finite(getattr(layer.forward, name)):
                return layer.address, name
    if not (_finite(trace.costs) and math.isfinite(trace.cost)):
        return layers[-1].address, "cost"
    for layer in reversed(layers[1:]):
        for name in layer.fields:
            if name == "dC_da" and trace.model.pair is not None and layer.address == trace[-1].address:
                continue  # the unfused gradient may be infinite where the fused delta is not
            if (name.startswith("dC_d") or name == "delta") and not _finite(getattr(layer, name)):
                return layer.address, name
    return None


def _inner_first(trace: Trace) -> Iterator[LayerTrace]:
    """Yield the layers in the order in which they finish: parts before their combinator."""

    def walk(chain: Any, prefix: str) -> Iterator[LayerTrace]:
        for i, layer in enumerate(chain, 1):
            for part, inner in layer.parts().items():
                yield from walk(inner, f"{prefix}{i}.{part}.")
            yield trace[f"{prefix}{i}"]

    return walk(trace.model.layers, "")


def _finite(value: Any) -> bool:
    return not isinstance(value, np.ndarray) or bool(np.all(np.isfinite(value)))


def explain_divergence(run: TrainingRun, snapshot: LastFinite) -> NoReturn:
    """Repeat the steps since the snapshot on the batch rung, leave the last finite parameters, and raise.

    Errors: always `DivergenceError`, naming epoch, step, layer, quantity and the likely cause.
    """
    state, failed_at = run.state, (run.epoch, run.step)
    sizes = [snapshot.size]
    for batch in snapshot.replay(run):
        before = state.theta.copy(), state.buffers.copy()
        where = _repeat(run, batch)
        if where is not None:
            state.theta[:], state.buffers[:] = before
            layer, quantity = where
            run.failed_step = run.step
            raise DivergenceError(
                f"training diverged in epoch {run.epoch}, step {run.step}: {quantity} of layer {layer} "
                "became NaN "
                f"or infinite. {_likely_cause(run, batch, quantity, sizes)} The parameters are those before "
                "that step."
            )
        sizes.append(norm(state.theta))
    snapshot.restore(run)
    epoch, step = failed_at
    names = _names(c for c in run.options.callbacks if may_change(c))
    changed = f"a callback ({names})" if names else f"rounding on the engine {run.engine.name!r}"
    raise DivergenceError(
        f"training diverged in epoch {epoch}, at or before step {step}: the cost or a parameter became NaN "
        "or infinite. "
        f"The steps alone, repeated on the batch rung, stay finite, so the likely cause is {changed}. "
        f"The parameters are those after step {snapshot.step}."
    )


def _names(callbacks: Iterable[Callback]) -> str:
    return ", ".join(sorted({type(c).__name__ for c in callbacks}))


def explain_step(run: TrainingRun, batch: Batch, size: float) -> NoReturn:
    """Raise for a batch whose cost is NaN or infinite at the parameters as they are, which stay.

    size: the norm of the parameters a while before.

    Errors: always `DivergenceError`, naming epoch, step, layer, quantity and the likely cause.
    """
    sizes = [size, norm(run.state.theta)]
    rung = engines()["batch"]
    batch, _ = weighed(batch, run.options)
    trace = rung.trace(run.model, run.state, batch.X, batch.y, batch.weights, run.draws(batch))
    where = first_non_finite(trace)
    run.step += 1
    run.failed_step = run.step
    if where is None:
        raise DivergenceError(
            f"training diverged in epoch {run.epoch}, step {run.step}: the cost became NaN or infinite. That "
            f"step, repeated on the batch rung, stays finite, so the likely cause is rounding on the engine "
            f"{run.engine.name!r}. The parameters are those before that step."
        )
    layer, quantity = where
    raise DivergenceError(
        f"training diverged in epoch {run.epoch}, step {run.step}: {quantity} of layer {layer} became NaN or "
        f"infinite. {_likely_cause(run, batch, quantity, sizes)} The parameters are those before that step."
    )


def explain_parameters(run: TrainingRun, found: State, snapshot: LastFinite) -> NoReturn:
    """Raise for parameters that an update made NaN or infinite, and leave those of the snapshot.

    found: with the parameters and buffers that are not finite.

    Errors: always `DivergenceError`, naming epoch, step and layer.
    """
    eta, (name, layer) = run.options.optimizer.eta, _first_in(run, found)
    at = _go_back(run, snapshot)
    if at == snapshot.step + 1:
        run.failed_step = at
    advice = f"the rate eta = {eta:g} is too high (try {eta / 10:g}, or clip_norm=1)"
    # There are no batches to repeat without it.
    between = _names(c for c in run.options.callbacks if c.every > 0 and may_change(c))
    if between:
        advice = f"a callback ({between}) changed something, or {advice}"
    raise DivergenceError(
        f"training diverged in epoch {run.epoch}, at or before step {at}: {name} after the update of "
        f"layer {layer} became NaN or infinite. Likely cause: {advice}. "
        f"The parameters are those after step {snapshot.step}."
    )


def check_finite(run: TrainingRun, snapshot: LastFinite | None) -> None:
    """Raise if theta or the buffers, finite after the run's last step, are not finite any more.

    snapshot: where to go back to; None before the first step: then they stay as they are.

    Errors: `DivergenceError`, naming epoch, layer and who may have changed them.
    """
    if all_finite(run.state.theta) and all_finite(run.state.buffers):
        return
    name, layer = _first_in(run, run.state)
    step = f"after step {run.step}" if run.step else "before the first step"
    names = _names(c for c in run.options.callbacks if may_change(c))
    who = f"a callback ({names})" if names else "code that ran between two steps"
    left = "stay as they are"
    if snapshot is not None:
        _go_back(run, snapshot)
        left = f"are those after step {snapshot.step}"
    raise DivergenceError(
        f"training cannot go on in epoch {run.epoch}, {step}: {who} made {name} of layer {layer} NaN or "
        f"infinite. The parameters {left}."
    )


def _first_in(run: TrainingRun, found: State) -> tuple[str, str]:
    """Return name and layer of the first parameter or buffer that is not finite."""
    for flat, layout in ((found.theta, run.model.layout), (found.buffers, run.model.buffer_layout)):
        for entry in layout.entries:
            if not _finite(flat[entry.block]):
                return entry.name, entry.layer
    return "a parameter", "unknown"


def _go_back(run: TrainingRun, snapshot: LastFinite) -> int:
    """Put theta and the buffers back to the snapshot's; return the step at which the run was."""
    run.state.theta[:], run.state.buffers[:] = snapshot.theta, snapshot.buffers
    at, run.step = run.step, snapshot.step
    return at


def explain_first_pass(run: TrainingRun, batch: Batch) -> NoReturn:
    """Raise for a cost that is NaN or infinite at the initial parameters, which stay as they are (L-BFGS).

    Errors: always `DivergenceError`, naming layer, quantity and the likely cause.
    """
    trace = engines()["batch"].trace(run.model, run.state, batch.X, batch.y, batch.weights, None)
    layer, quantity = first_non_finite(trace) or (trace[-1].address, "cost")
    raise DivergenceError(
        f"training cannot start: {quantity} of layer {layer} is NaN or infinite in epoch 1, step 1, at the "
        "initial "
        f"parameters. {_likely_cause(run, batch, quantity, [norm(run.state.theta)])}"
    )


def _repeat(run: TrainingRun, batch: Batch) -> tuple[str, str] | None:
    """Do a step again on the batch rung; return (address, quantity) of what is not finite, or None."""
    rung = engines()["batch"]
    batch, size = weighed(batch, run.options)
    pass_ = run.model, run.state, batch.X, batch.y, batch.weights, run.draws(batch)
    where = first_non_finite(rung.trace(*pass_))
    if where is not None:
        run.step += 1
        return where
    run.apply(rung.gradient(*pass_), size)
    if all_finite(run.state.theta) and all_finite(run.state.buffers):
        return None
    name, layer = _first_in(run, run.state)
    return layer, f"{name} after the update"


def _likely_cause(run: TrainingRun, batch: Batch, quantity: str, sizes: list[float]) -> str:
    eta = run.options.optimizer.eta
    # A rate that is far off is not mended by a tenth of it: then the optimiser's own is the better advice.
    lower = min(eta / 10, type(run.options.optimizer)().eta)
    largest_x, largest_y = (float(np.max(np.abs(rows))) for rows in (batch.X, batch.y))
    if sizes[-1] > 10 * max(sizes[0], 1e-30) or sizes[-1] > 1e3 * math.sqrt(run.state.theta.size):
        grew = "is too high, the parameters grew"
        return f"Likely cause: the rate eta = {eta:g} {grew}. Try {lower:g}, or clip_norm=1."
    if largest_y > _LARGE_TARGET:
        return f"Likely cause: targets as large as {largest_y:.3g}. Scale y."
    if largest_x > _LARGE_VALUE:
        return (
            f"Likely cause: inputs as large as {largest_x:.3g}. Scale them (preprocessing='standardize'), "
            f"or try eta = {lower:g}."
        )
    last = run.model.layers[-1]
    if (
        quantity in ("cost", "dC_da", "delta")
        and run.model.pair is None
        and isinstance(last, ActivationOwner)
    ):
        return (
            f"Likely cause: the cost {run.model.cost.name!r} or its slope is infinite at an output that the "
            f"activation {last.activation.name!r} can reach. Use the cost's own output activation, "
            f"{run.model.cost.default_output_activation!r}."
        )
    return f"Likely cause: the rate eta = {eta:g} is too high. Try {lower:g}, or clip_norm=1."
