"""The `batch` rung: the whole mini-batch at once with NumPy. The reference for all other rungs.

The pass is one pure function, `forward_backward`: it runs unchanged on ``jax.numpy`` arrays under
``jax.jit``. The four equations stand in `clearprop.layers.Dense` (BP2, BP3, BP4) and here (BP1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from clearprop.arrays import Array
from clearprop.engines.base import Engine, Pass, TrainingOptions, new_buffers, register_engine, weighted
from clearprop.layers import Tree, chain_backward, chain_forward
from clearprop.lazy import Lazy
from clearprop.model import Draws, Gradient, Model, State

if TYPE_CHECKING:
    from clearprop import trace as tracing
    from clearprop.trace import Trace
else:
    tracing = Lazy("clearprop.trace")

__all__ = ["BatchEngine", "Records", "forward_backward"]


class Records(NamedTuple):
    """The records of one pass."""

    forward: tuple[Any, ...]
    """One forward record per layer."""
    backward: tuple[Any, ...]
    """One backward record per layer."""


def forward_backward(
    model: Model,
    params: Sequence[Tree],
    buffers: Sequence[Tree],
    X: Array,
    y: Array,
    weights: Array | None = None,
    noise: Sequence[Tree] | None = None,
    training: bool = False,
    inputs: bool = True,
    out: Sequence[Tree] | None = None,
) -> Records:
    """Return the records of one forward and backward pass of a batch.

    X: (n, n_in); y: (n, n_out); weights: (n,) with mean 1, or None. `inputs`: whether the gradient with
    respect to X is wanted. Pure: writes to nothing, draws nothing.
    """
    n = X.shape[0]
    forward = chain_forward(model.layers, X, params, buffers, noise, training)
    if model.pair is None:
        dC_da = weighted(model.cost.dC_da(forward[-1].a, y), weights)  # BP1: ∇_a C; the layer adds ⊙ f'(z)
        return Records(forward, chain_backward(model.layers, forward, dC_da, params, n, inputs, out))
    *hidden, last = model.layers
    delta = weighted(model.pair.delta(model.cost, forward[-1].z, forward[-1].a, y), weights)  # BP1, fused
    place = None if out is None else out[-1]
    output = last.backward_from_delta(forward[-1], delta, params[-1], n, inputs or bool(hidden), place)  # type: ignore[attr-defined]
    before = chain_backward(hidden, forward[:-1], output.dC_da_prev, params[:-1], n, inputs, out)
    return Records(forward, (*before, output))


@register_engine
class BatchEngine(Engine):
    """The whole mini-batch with NumPy."""

    name: ClassVar[str] = "batch"
    summary: ClassVar[str] = "the whole mini-batch with NumPy; the reference"

    def supports(self, model: Model, options: TrainingOptions | None = None) -> str | None:
        """Return None: the reference runs every network."""
        return None

    def output(self, model: Model, state: State, X: Array) -> Any:
        """Return the last layer's forward record in inference mode."""
        return chain_forward(model.layers, X, state.params, state.buffer_tree)[-1]

    def trace(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
    ) -> Trace:
        """Return the open record of one pass."""
        noise, training = model.draw(draws), draws is not None
        records = forward_backward(model, state.params, state.buffer_tree, X, y, weights, noise, training)
        output = records.forward[-1]
        return tracing.make_trace(
            model,
            X=X,
            y=y,
            weights=weights,
            costs=model.costs(output, y),
            forward=records.forward,
            backward=records.backward,
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
        """Return the outputs and ∂C/∂theta of one batch, without what only a trace needs."""
        noise, training = model.draw(draws), draws is not None
        forward, backward = forward_backward(
            model,
            state.params,
            state.buffer_tree,
            X,
            y,
            weights,
            noise,
            training,
            inputs=False,
            out=None if out is None else out.trees,
        )
        if out is not None and model.places_gradients:
            flat = out.flat
        else:
            gradients = [layer.gradients(r) for layer, r in zip(model.layers, backward, strict=True)]
            flat = model.layout.flatten(gradients) if out is None else out.gather(gradients)
        return Pass(forward[-1], flat, new_buffers(model, state, forward, draws))
