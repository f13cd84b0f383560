"""check_network, and checks of a single layer, activation or cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clearprop.activations import activations
from clearprop.arrays import Array, real_part
from clearprop.checks import as_flag, as_whole
from clearprop.costs import Cost, costs
from clearprop.engines import Engine, choose_engine
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError
from clearprop.gradcheck.arguments import as_floats, as_matrix, as_tolerance
from clearprop.gradcheck.check import check_gradient, check_point
from clearprop.gradcheck.equations import Blame, blame
from clearprop.gradcheck.functions import Functions
from clearprop.gradcheck.locate import first_wrong_equation
from clearprop.gradcheck.mistakes import mistakes
from clearprop.gradcheck.passes import Problem
from clearprop.gradcheck.points import point_of
from clearprop.gradcheck.verdict import Finding, Verdict
from clearprop.layers import Activation, ActivationOwner, layers, size_chain
from clearprop.model import Draws, Model, State
from clearprop.random import Purpose, stream

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["check_activation", "check_cost", "check_layer", "check_network"]


def check_network(
    net: Network,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    training: bool = False,
    engine: str | Engine | None = None,
    tolerance: float | None = None,
    entries: int = 2000,
    seed: int = 0,
) -> Verdict:
    """Check a network's gradient on a batch: of every parameter, and of the inputs ("0.a").

    The slopes are those of the forward pass, in float64 also where the network is in float32. A wrong verdict
    names the first wrong equation, going backward: BP1 (delta of the last layer), BP2 (delta before it),
    BP3 (dC_db), BP4 (dC_dW), each measured on its own; and the rule that explains the error.

    Parameters:
        net: the network; its numbers stay as they are.
        X, y, sample_weight: the batch, as in `Network.trace`. A few examples suffice.
        training: whether dropout is drawn (the same in each pass) and batch statistics are used.
        engine: the rung whose gradient is checked, by name, or an `Engine` of your own; left out, "batch".
        tolerance, entries, seed: see `check_gradient`.

    Errors: those of `Network.trace`.

    >>> import clearprop as cp
    >>> net = cp.Network([cp.Dense(4, "tanh"), cp.Dense(3, "softmax")], n_in=2, seed=0)
    >>> X, y = np.array([[0.5, -1.0], [2.0, 0.3]]), np.array([[1, 0, 0], [0, 0, 1]])
    >>> verdict = check_network(net, X, y)
    >>> bool(verdict), verdict.precision < 1e-10, verdict.method
    (True, True, 'complex step')
    """
    if not callable(getattr(net, "trace", None)) or not hasattr(net, "theta"):
        raise DTypeError(f"net must be a Network. Got {type(net).__name__}.")
    training = as_flag("training", training)
    trace = net.trace(X, y, sample_weight=sample_weight, training=training)
    if not len(trace.costs):
        raise DataError("there are no examples. Give a batch of at least one.")
    rung = choose_engine(engine or "batch", trace.model)[0] if not isinstance(engine, Engine) else engine
    examples = np.arange(len(trace.costs))
    problem = Problem(
        trace.model,
        net.theta.astype(np.float64),
        net.buffers.copy(),
        np.asarray(trace[0].a, np.float64),
        np.asarray(trace.y, np.float64),
        trace.weights if trace.weights is None else np.asarray(trace.weights, np.float64),
        Draws(net.seed, 0, examples) if training else None,
        rung,
        np.dtype(net.dtype),
    )
    return _check(problem, tolerance, entries, seed)


def _check(problem: Problem, tolerance: float | None, entries: int, seed: int) -> Verdict:
    point = point_of(problem.point.astype(problem.dtype), problem.names)
    functions = Functions(problem.cost, problem.gradient, point, complex_allowed=problem.complex_safe)
    precision = as_tolerance(tolerance) or (1e-7 if problem.dtype == np.float64 else 1e-4)

    def equation(x: Array, findings: Sequence[Finding]) -> Blame | None:
        return first_wrong_equation(problem, x, findings, precision) or blame(findings)

    def candidates(x: Array, wrong: Sequence[str]) -> Mapping[str, Mapping[str, Array]]:
        return mistakes(problem, x, wrong)

    verdict = check_point(
        functions,
        point,
        sizes=problem.sizes,
        tolerance=tolerance,
        entries=entries,
        seed=seed,
        trust_complex=problem.complex_safe,
        candidates=candidates,
        find_equation=equation,
    )
    return _with_units(verdict, problem)


def _with_units(verdict: Verdict, problem: Problem) -> Verdict:
    """Add which neurons sit on a kink."""
    if not any("kink" in note for note in verdict.notes):
        return verdict
    theta, X = problem.split(problem.point)
    said = []
    for number, record in enumerate(problem.forward(theta, 1, X), 1):
        layer = problem.layer(number)
        if isinstance(layer, ActivationOwner):
            said += _units(layer, number, real_part(record.z))
    return replace(verdict, notes=(*said[:4], *verdict.notes))


def _units(layer: ActivationOwner, number: int, z: Array) -> list[str]:
    said = []
    for kink in layer.activation.kinks:
        for x, unit in np.argwhere(np.abs(z - kink) <= 1e-12 * max(1.0, float(np.max(np.abs(z)))))[:2]:
            said.append(
                f"layer {number}: unit {unit} sits on a kink of {layer.activation.name}, z = {kink:g}, in "
                f"example {x}"
            )
    return said


@dataclass(frozen=True)
class _Linear(Cost):
    """C_x = Σ_j y_j a_j: its gradient by a is y, whatever is wanted as the error handed to a layer."""

    name: ClassVar[str] = "linear"

    def value(self, a: Array, y: Array) -> Array:
        """Return Σ_j y_j a_j."""
        return (a * y).sum(axis=-1)  # type: ignore[no-any-return]

    def dC_da(self, a: Array, y: Array) -> Array:
        """Return y."""
        return np.asarray(y + 0 * a)


def check_layer(
    layer: Any,
    n_in: int | None = None,
    *,
    X: Any = None,
    training: bool = False,
    tolerance: float | None = None,
    entries: int = 2000,
    seed: int = 0,
) -> Verdict:
    """Check the backward pass of one layer, of your own or of ours: of its parameters and of its inputs.

    The error handed to the layer is random and differs from neuron to neuron and example to example.

    Parameters:
        layer: a layer, a name, or a list of layers.
        n_in: the number of inputs, where the layer does not say it; or X, the inputs themselves (n, n_in).
        training: whether dropout is drawn and batch statistics are used.
        tolerance, entries, seed: see `check_gradient`.

    >>> from clearprop.layers import Dense
    >>> check_layer(Dense(3, "tanh"), n_in=4).kind
    'right'
    """
    chain = [layers.make(item) for item in (layer if isinstance(layer, list | tuple) else [layer])]
    if not chain:
        raise OptionError("there is no layer in the list. Give at least one.")
    training = as_flag("training", training)
    X = None if X is None else as_matrix("X", X, "features")
    n_in = _n_in(chain[0].n_in, n_in, X, type(chain[0]).__name__)
    model = Model(size_chain(chain, n_in), _Linear())
    numbers = stream(seed, Purpose.CHECK, 1)
    X = numbers.normal((6, n_in)) if X is None else X
    state = State.initial(model, seed, np.float64)
    theta = state.theta + 0.3 * stream(seed, Purpose.CHECK, 2).normal(state.theta.shape)
    buffers = 0.5 + stream(seed, Purpose.CHECK, 3).uniform(state.buffers.shape)
    y = stream(seed, Purpose.CHECK, 4).normal((len(X), model.n_out))
    draws = Draws(seed, 0, np.arange(len(X))) if training else None
    rung = choose_engine("batch", model)[0]
    problem = Problem(model, theta, buffers, X, y, None, draws, rung, np.dtype(np.float64))
    return _check(problem, tolerance, entries, seed)


def _n_in(own: int | None, given: Any, X: Array | None, name: str) -> int:
    """Return the number of inputs, as the argument says it, or X, or the layer itself."""
    n_in = None if given is None else as_whole("n_in", given, at_least=1)
    if X is not None:
        if n_in not in (None, X.shape[1]):
            raise ShapeError(
                f"n_in is {n_in}, X has {X.shape[1]} features. Make them agree, or give X alone."
            )
        return int(X.shape[1])
    n_in = own if n_in is None else n_in
    if n_in is None:
        raise OptionError(f"{name} does not say its number of inputs. Give n_in, or X.")
    return n_in


def check_activation(
    activation: Any, z: Any = None, *, tolerance: float | None = None, seed: int = 0
) -> Verdict:
    """Check the derivative of one activation, of your own or of ours, and of its parameters.

    z: the points (n, neurons) or (n,); left out, random ones from -6 to 6 and, on rows of their own, the
    kinks that the activation declares.

    >>> check_activation("gelu").kind, check_activation("relu").kind
    ('right', 'kink')
    """
    made = activations.make(activation)
    if z is None:
        z = 12.0 * stream(seed, Purpose.CHECK, 5).uniform((8, 4)) - 6.0
        z = np.concatenate([z, *(np.full((1, 4), kink) for kink in made.kinks)])
    z = as_floats("z", z)
    z = as_matrix("z", z[:, None] if z.ndim == 1 else z, "neurons")
    return check_layer(Activation(made), X=z, tolerance=tolerance, seed=seed)


def check_cost(
    cost: Any, a: Any = None, y: Any = None, *, tolerance: float | None = None, seed: int = 0
) -> Verdict:
    """Check that dC_da of a cost is the gradient of its value.

    a, y: outputs and targets (n, k); left out, random ones that the cost says it takes.

    >>> check_cost("cross_entropy").kind
    'right'
    """
    made = costs.make(cost)
    if (a is None) != (y is None):
        raise OptionError("a and y belong together. Give both or none.")
    if a is None:
        a, y = _outputs(made.outputs, seed), _targets(made.targets, seed)
    a, y = as_matrix("a", a, "outputs"), as_matrix("y", y, "outputs")
    if a.shape != y.shape:
        raise ShapeError(f"a has shape {a.shape}, y {y.shape}; both must be (examples, outputs).")
    made.check_targets(y)
    n, k = a.shape
    return check_gradient(
        lambda p: np.mean(made.value(p["a"], y)),
        lambda p: {"a": made.dC_da(p["a"], y) / n},
        at={"a": a},
        sizes={"n_outputs": k, "batch size": n},
        tolerance=tolerance,
        complex_step=made.complex_safe,
        seed=seed,
    )


def _outputs(what: str, seed: int) -> Array:
    a = stream(seed, Purpose.CHECK, 6).normal((6, 3))
    if what == "distribution":
        weights = np.exp(a)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))
    if what == "probability":
        return np.asarray(1 / (1 + np.exp(-a)))
    return np.exp(a) if what == "positive" else a


def _targets(what: str, seed: int) -> Array:
    u = stream(seed, Purpose.CHECK, 7).uniform((6, 3))
    if what == "distribution":
        return np.asarray((u + 0.1) / (u + 0.1).sum(axis=1, keepdims=True))
    if what == "sign":
        return np.where(u < 0.5, -1.0, 1.0)
    if what == "count":
        return np.floor(4 * u)
    return u if what == "probability" else 4 * u - 2
