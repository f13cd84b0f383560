"""A zoo of networks that iterates the registries, and the checks that the tests share.

`python -m tests.networks` prints the table of what each rung declines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clearprop.activations import PReLU, activations, per_neuron
from clearprop.arrays import real_part
from clearprop.costs import BinaryCrossEntropy, BinaryFocal, CrossEntropy, Focal, Pinball, costs, fused_pairs
from clearprop.engines import TrainingOptions, engines, forward_backward
from clearprop.layers import (
    Activation,
    ActivationOwner,
    AlphaDropout,
    BatchNorm,
    Concatenate,
    Dense,
    Dropout,
    LayerNorm,
    Residual,
    layers,
    size_chain,
)
from clearprop.model import Draws, Model, State

N_IN, N_OUT = 4, 3
TABLE = Path(__file__).resolve().parents[1] / "docs" / "what-each-rung-declines.md"
OPTIONS = TrainingOptions("sgd", "float64")

# One of every registered layer, with 4 inputs. A large epsilon keeps batches of two well conditioned.
LAYERS: dict[str, Any] = {
    "dense": Dense(5, "tanh"),
    "activation": Activation("softplus"),
    "dropout": Dropout(0.4),
    "alpha_dropout": AlphaDropout(0.3),
    "batch_norm": BatchNorm(epsilon=0.1),
    "layer_norm": LayerNorm(epsilon=0.01),
    "residual": Residual([Dense(6, "tanh"), Dense()]),
    "concatenate": Concatenate([Dense(3, "tanh"), [], [Dense(2, "sigmoid"), Dense(2, "softplus")]]),
}


class Case(NamedTuple):
    """A network to run."""

    name: str
    layers: list[Any]
    cost: Any = "quadratic"
    n_in: int = N_IN

    def model(self) -> Model:
        return Model(size_chain(self.layers, self.n_in), costs.make(self.cost))


class Problem(NamedTuple):
    """A network with its numbers and one batch."""

    model: Model
    state: State
    X: Any
    y: Any
    weights: Any
    draws: Draws | None


def fits(activation: Any, outputs: str) -> bool:
    """Return whether an output activation gives what a cost needs, going by its values."""
    if outputs == "real":
        return True
    if outputs == "distribution":
        return activation.distribution
    a = activation.forward(np.linspace(-5.0, 5.0, 101), {"alpha": np.array([0.25])})
    return bool(a.min() > 0 and (outputs == "positive" or a.max() < 1))


def activation_cases() -> Iterator[Case]:
    for name in activations:
        hidden = [Dense(5, "tanh"), Dense(4, name), Dense(N_OUT, "softplus")]
        yield Case(f"hidden-{name}", hidden)
        yield Case(f"layer-{name}", [Dense(4, bias=False), Activation(name), Dense(N_OUT)])
        for cost in costs:
            activation = activations.make(name)
            if fits(activation, costs[cost].outputs):
                yield Case(f"{name}+{cost}", [Dense(5, "tanh"), Dense(N_OUT, activation)], cost)


def layer_cases() -> Iterator[Case]:
    for name, layer in LAYERS.items():
        yield Case(f"{name}-inside", [Dense(4, "tanh"), layer, Dense(N_OUT, "tanh")])
        yield Case(f"{name}-first", [layer, Dense(N_OUT, "softmax")], "cross_entropy")
        yield Case(f"{name}-last", [Dense(4, "tanh"), layer], "mean_squared_error")
    yield Case("activation-fused", [Dense(N_OUT), Activation("softmax")], "cross_entropy")


def special_cases() -> Iterator[Case]:
    inner = Concatenate([Residual([Dense(5, "tanh"), LayerNorm(), Dense()]), [], Dropout(0.3)])
    nested = Residual([inner, AlphaDropout(0.2), Dense(6, "sigmoid")], shortcut=[Dense(5, "tanh"), Dense()])
    yield Case("nested", [Dense(4, "tanh"), nested, Dense(N_OUT, "softmax")], "cross_entropy")
    two = Concatenate([[Dense(3, "tanh"), Dense(2)], Activation("tanh"), []], inputs=[2, 3, 1])
    yield Case("several-inputs", [two, Dense(N_OUT, "sigmoid")], "binary_cross_entropy", 6)
    norms = Concatenate([[Dense(4, "tanh"), BatchNorm(epsilon=0.1)], [LayerNorm(), Dense(2)]])
    yield Case("norms-in-branches", [norms, Dense(N_OUT, "tanh")], "huber")
    chosen = per_neuron(["sigmoid", "relu", "tanh", "identity"])
    yield Case("per-neuron", [Dense(4, chosen), Dense(N_OUT, per_neuron(["tanh", "identity", "gelu"]))])
    yield Case("prelu-shared", [Dense(5, PReLU(shared=True)), Dense(N_OUT, "prelu", bias=False)])
    yield Case(
        "no-bias", [Dense(5, "tanh", bias=False), Dense(N_OUT, "softmax", bias=False)], "cross_entropy"
    )
    yield Case("smoothed", [Dense(N_OUT, "softmax")], CrossEntropy(0.1))
    yield Case("smoothed-binary", [Dense(N_OUT, "sigmoid")], BinaryCrossEntropy(0.2))
    yield Case("quantiles", [Dense(5, "tanh"), Dense(N_OUT)], Pinball((0.1, 0.5, 0.9)))
    yield Case("rising-quantiles", [Dense(5, "tanh"), Dense(N_OUT, "increasing")], Pinball((0.1, 0.5, 0.9)))
    yield Case("ordered-classes", [Dense(5, "tanh"), Dense(7, "ordinal")], CrossEntropy(0.1))
    yield Case("two-classes-in-order", [Dense(2, "ordinal")], "cross_entropy")
    yield Case("sharper", [Dense(5, "tanh"), Dense(N_OUT, "softmax")], Focal(0.5))
    yield Case("sharper-binary", [Dense(5, "tanh"), Dense(N_OUT, "sigmoid")], BinaryFocal(3.0))
    yield Case("one-neuron", [Dense(1, "sigmoid")], "quadratic", 1)
    yield Case(
        "deep", [*[Dense(4, "tanh") for _ in range(8)], Dense(N_OUT, "sigmoid")], "binary_cross_entropy"
    )


def zoo() -> list[Case]:
    """Return every case: all registered activations, costs, fused pairs and layers, and combinations."""
    return [*activation_cases(), *layer_cases(), *special_cases()]


def covering() -> list[Case]:
    """Return fewer cases that still hold every registered activation, cost, pair and layer."""
    usual = {f"{costs[name].default_output_activation}+{name}" for name in costs}
    usual |= {f"{pair.activation}+{pair.cost}" for pair in fused_pairs().values()}
    chosen = [case for case in activation_cases() if case.name in usual or case.name.startswith("hidden-")]
    return [*chosen, *[case for case in layer_cases() if case.name.endswith("-inside")], *special_cases()]


def targets(kind: str, n: int, k: int, rng: np.random.Generator) -> Any:
    if kind == "count":
        return rng.poisson(2.0, size=(n, k)).astype(float)
    if kind == "sign":
        return rng.choice([-1.0, 1.0], size=(n, k))
    if kind == "distribution":
        y = rng.uniform(0.1, 1.0, size=(n, k))
        return y / y.sum(axis=-1, keepdims=True)
    return rng.uniform(0.05, 0.95, size=(n, k)) if kind == "probability" else rng.normal(size=(n, k))


def problem(
    case: Case,
    n: int = 5,
    *,
    training: bool = False,
    weighted: bool = False,
    seed: int = 0,
    dtype: Any = np.float64,
) -> Problem:
    """Return the case with numbers, none of them at its initial value."""
    model, rng = case.model(), np.random.default_rng([seed, n])
    theta = State.initial(model, seed, np.float64).theta
    theta = theta + 0.3 * rng.normal(size=theta.shape)
    buffers = rng.uniform(0.5, 1.5, size=model.buffer_layout.size)
    X, y = rng.normal(size=(n, model.n_in)), targets(model.cost.targets, n, model.n_out, rng)
    weights = rng.uniform(0.2, 2.0, size=n)
    state = State(model, theta.astype(dtype), buffers.astype(dtype))
    draws = Draws(seed, 3, np.arange(n) * 7 + 2) if training else None
    rescaled = (weights / weights.mean()).astype(dtype) if weighted else None
    return Problem(model, state, X.astype(dtype), y.astype(dtype), rescaled, draws)


def cost_of(p: Problem, theta: Any, X: Any) -> Any:
    """Return the cost as a function of the parameters and inputs: the forward pass alone."""
    state = State(p.model, theta, p.state.buffers)
    noise = p.model.draw(p.draws)
    last = forward_backward(
        p.model, state.params, state.buffer_tree, X, p.y, p.weights, noise, p.draws is not None
    ).forward[-1]
    each = p.model.costs(last, p.y)
    return np.mean(each if p.weights is None else p.weights * each)


def kink_distance(p: Problem) -> float:
    """Return how far every z and the outputs are from the nearest kink; inf if all is smooth."""
    trace = engines()["batch"].trace(*p)
    nearest = [float(np.min(p.model.cost.kinks(trace.a, p.y)))]
    for layer in trace.layers.values():
        if isinstance(layer.layer, ActivationOwner):
            nearest += [float(np.min(np.abs(real_part(layer.z) - k))) for k in layer.layer.activation.kinks]
    return min(nearest)


def smooth_problem(case: Case, n: int = 5, **options: Any) -> Problem:
    """Return the case at a point at least 0.001 away from every kink."""
    for seed in range(200):
        p = problem(case, n, seed=seed, **options)
        if kink_distance(p) > 1e-3:
            return p
    raise AssertionError(f"no point of {case.name} is away from its kinks")


def complex_safe(model: Model) -> bool:
    owners = [layer for _, layer in model.walk() if isinstance(layer, ActivationOwner)]
    return model.cost.complex_safe and all(layer.activation.complex_safe for layer in owners)


def relative(measured: Any, expected: Any) -> float:
    """Return the largest difference relative to the largest entry; 0 if both are all zero.

    Numbers whose largest is below 1e-14 are zero but for rounding, and have no scale of their own: the
    difference itself is returned.
    """
    measured, expected = np.asarray(measured), np.asarray(expected)
    assert measured.shape == expected.shape, (measured.shape, expected.shape)
    if not expected.size or not np.max(np.abs(expected - measured)):
        return 0.0
    largest = float(np.max(np.abs(expected)))
    return float(np.max(np.abs(measured - expected)) / (largest if largest > 1e-14 else 1.0))


def numeric_gradient(function: Any, x: Any, complex_step: bool) -> Any:
    """Return d function / dx entry by entry, by complex step or central differences."""
    gradient, flat = np.empty(x.size), x.reshape(-1)
    for i in range(x.size):
        if complex_step:
            moved = flat.astype(complex)
            moved[i] += 1e-30j
            gradient[i] = function(moved.reshape(x.shape)).imag / 1e-30
        else:
            up, down = flat.copy(), flat.copy()
            up[i] += 1e-5
            down[i] -= 1e-5
            gradient[i] = (function(up.reshape(x.shape)) - function(down.reshape(x.shape))) / 2e-5
    return gradient.reshape(x.shape)


def gradient_error(p: Problem, complex_step: bool) -> float:
    """Return the larger relative error of the batch rung's gradients, of parameters and of inputs."""
    trace = engines()["batch"].trace(*p)
    error = relative(
        trace[0].dC_da / len(p.X), numeric_gradient(lambda X: cost_of(p, p.state.theta, X), p.X, complex_step)
    )
    if not p.state.theta.size:
        return error
    by_theta = numeric_gradient(lambda theta: cost_of(p, theta, p.X), p.state.theta, complex_step)
    flat = engines()["batch"].gradient(*p).gradient
    return float(np.max([error, relative(trace.gradient, by_theta), relative(flat, by_theta)]))


def gradients_are_right(p: Problem) -> bool:
    """Return whether the batch rung's gradients are those of its cost."""
    right = gradient_error(p, complex_step=False) < 1e-7
    return right and (not complex_safe(p.model) or gradient_error(p, complex_step=True) < 1e-12)


def largest_difference(p: Problem, engine: str) -> float:
    """Return the largest relative difference of a rung from `batch` in anything that a pass computes."""
    rung, batch = engines()[engine], engines()["batch"]
    found, expected = rung.trace(*p), batch.trace(*p)
    assert list(found.layers) == list(expected.layers)
    once, reference = rung.gradient(*p), batch.gradient(*p)
    errors = {
        "outputs": relative(rung.outputs(*p[:3]), batch.outputs(*p[:3])),
        "cost": abs(found.cost - expected.cost) / abs(expected.cost),
        "costs": relative(found.costs, expected.costs),
        "gradient": relative(once.gradient, reference.gradient),
        "trace.gradient": relative(found.gradient, expected.gradient),
        "buffers": relative(once.buffers, reference.buffers),
        "output": relative(once.output.a, reference.output.a),
    }
    for address, layer in expected.layers.items():
        assert found[address].fields == layer.fields
        for name in layer.fields:
            mine, theirs = getattr(found[address], name), getattr(layer, name)
            if theirs is None or isinstance(theirs, bool):
                assert mine == theirs, (address, name)
            else:
                errors[f"{address}.{name}"] = relative(mine, theirs)
    if p.draws is None or not p.model.couples_examples:
        errors["per example"] = relative(found.per_example_gradient, expected.per_example_gradient)
        norms = np.linalg.norm(expected.per_example_gradient, axis=1)
        errors["per example norms"] = relative(found.per_example_gradient_norms, norms)
    return float(np.max(list(errors.values())))  # NaN stays NaN, and fails


# --- What each rung declines


def _sample(kind: str, name: str) -> Model:
    if kind == "activation":
        return Case(name, [Dense(4, name), Dense(N_OUT)]).model()
    if kind == "cost":
        return Case(name, [Dense(N_OUT, costs[name].default_output_activation)], name).model()
    return Case(name, [LAYERS[name], Dense(N_OUT)]).model()


def declines_table() -> str:
    """Return the committed page: every registered thing on every rung."""
    rungs = engines()
    notes: dict[str, int] = {}
    lines = [
        "# What each rung declines",
        "",
        "Asked of every rung for every registered layer, activation and cost; a test keeps this page true.",
        "Write it anew with `python -m tests.networks > docs/what-each-rung-declines.md`.",
    ]
    for title, registry in (("layer", layers), ("activation", activations), ("cost", costs)):
        lines += ["", f"| {title} | {' | '.join(rungs)} |", f"|---|{'---|' * len(rungs)}"]
        for name in registry:
            model = _sample(title, name)
            cells = []
            for engine in rungs.values():
                anything, training = engine.supports(model), engine.supports(model, OPTIONS)
                reason = anything or training
                if reason is None:
                    cells.append("yes")
                    continue
                number = notes.setdefault(reason, len(notes) + 1)
                cells.append(f"{'no' if anything else 'inference only'} [{number}]")
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", *[f"{number}. {reason}" for reason, number in notes.items()]]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(declines_table(), end="")
