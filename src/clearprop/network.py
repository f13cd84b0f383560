"""Network: the face people use. Thin: every method calls what lies below and keeps the numbers."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_flag, as_whole
from clearprop.costs import Cost
from clearprop.engines import Engine, choose_engine, engine_names
from clearprop.engines.native_few_rows import FewRows
from clearprop.errors import DTypeError, NotInitializedError, ShapeError
from clearprop.fitting import (
    check_patterns,
    check_sizes,
    few_outputs,
    fit,
    make_metrics,
    outputs_of,
    penalized_gradient,
    read_examples,
    ready_for,
    targets_of,
)
from clearprop.glass_box import GlassBox
from clearprop.layers import Layer, size_chain
from clearprop.lazy import Lazy
from clearprop.model import Draws, Model, State, collapse
from clearprop.specification import check_dtype, check_engine, check_preprocessing, check_seed, describe
from clearprop.training.data import Affine
from clearprop.training.history import History
from clearprop.training.measure import measure
from clearprop.training.penalties import Penalty
from clearprop.training.targets import Targets, check_classes
from clearprop.views import ParameterViews, class_probabilities, numbers_like, summary_table

if TYPE_CHECKING:
    from pathlib import Path

    from clearprop import persistence
    from clearprop.trace import Trace
else:
    persistence = Lazy("clearprop.persistence")

__all__ = ["Network", "load"]


class Network(GlassBox):
    """A feed-forward network: layers, a cost, and one flat vector `theta` of parameters.

    Parameters:
        layers: a list of layers, or Nielsen's list of sizes ``[784, 30, 10]``: sigmoid layers, quadratic
            cost.
        cost: a name or a `Cost`; left out, the last activation's partner (softmax: cross-entropy, sigmoid:
            binary cross-entropy, exponential: Poisson, else mean squared error; a list of sizes: quadratic).
        n_in: number of inputs; left out, taken from the first layer or from the data at the first use.
        initializer: of every Dense layer that names none; "normal" also draws the biases of a list of
            sizes, as Nielsen's programs do. Left out, tied to each layer's activation.
        seed: initial weights, order of examples and dropout are functions of it.
        dtype: "float64" (what checking needs) or "float32" (twice as fast).
        engine: the rung of the ladder: "auto", "batch", "example", "neuron" or "graph".
        task: "classification" or "regression" where y alone does not tell.
        classes: all labels, where y may not show each of them.
        preprocessing: None, "standardize" (to the first training data), or an `Affine`.

    Layers count from 1: ``net.W[1]`` belongs to the first. An option that does not fit is refused.

    >>> net = Network([2, 3, 1], initializer="normal", seed=1)
    >>> net.W[1].shape, net.b[1].shape, net.theta.shape
    ((3, 2), (3,), (13,))
    """

    def __init__(
        self,
        layers: Sequence[Any],
        cost: str | Cost | None = None,
        *,
        n_in: int | None = None,
        initializer: Any = None,
        seed: int = 0,
        dtype: Any = "float64",
        engine: str = "auto",
        task: str | None = None,
        classes: Sequence[Any] | None = None,
        preprocessing: str | Affine | None = None,
    ) -> None:
        self._description = describe(layers, cost, n_in, initializer)
        self.cost = self._description.cost
        self.seed = check_seed(seed)
        self.dtype = check_dtype(dtype)
        self.engine = check_engine(engine)
        self.classes = check_classes(classes, task)
        self.task = task
        self.preprocessing = check_preprocessing(preprocessing, self._description.n_in)
        self.targets: Targets | None = None
        self.history: History | None = None
        self.penalty = Penalty()
        self.frozen: tuple[str, ...] = ()
        self.extra: dict[str, Any] = {}
        self.epochs_trained = self.steps_trained = 0
        self._model: Model | None = None
        self._state: State | None = None
        self._few_rows: tuple[str, FewRows] | None = None
        if self._description.is_complete:
            self.build()

    # -- architecture and parameters ---------------------------------------------------------------

    def build(self, n_in: int | None = None, n_out: int | None = None) -> Network:
        """Fix all sizes and draw the initial parameters; fit does it by itself.

        n_in: number of inputs, where none was given yet. n_out: for a last layer whose size was left out.
        A network that is built already stays as it is; `initialize` draws anew.
        Errors: `ShapeError` naming both sizes and the layer; `NotInitializedError` without n_in.
        """
        n_in = None if n_in is None else as_whole("n_in", n_in, at_least=1)
        n_out = None if n_out is None else as_whole("n_out", n_out, at_least=1)
        if self._model is not None:
            check_sizes(self._model, n_in, n_out)
            return self
        known = self._description.n_in
        if n_in is not None and known is not None and n_in != known:
            raise ShapeError(f"this network was made for {known} inputs. Got n_in={n_in}.")
        n_in = known if n_in is None else n_in
        if n_in is None:
            raise NotInitializedError(
                "this network does not know its number of inputs yet. Give n_in to build."
            )
        model = Model(size_chain(self._description.layers, n_in, "", n_out), self.cost)
        self._state = State.initial(model, self.seed, self.dtype)
        self._model = model
        return self

    def initialize(self, seed: int | None = None) -> Network:
        """Draw the initial parameters anew, from `seed` if one is given; views of them stay views.

        `epochs_trained` and `steps_trained`, from which the randomness of training goes on, are 0 again.
        """
        if seed is not None:
            self.seed = check_seed(seed)
        fresh = State.initial(self.model, self.seed, self.dtype)
        self.theta[:], self.buffers[:] = fresh.theta, fresh.buffers
        self.epochs_trained = self.steps_trained = 0
        return self

    @property
    def is_built(self) -> bool:
        """Whether all sizes are known, so that there are parameters."""
        return self._model is not None

    @property
    def knows_outputs(self) -> bool:
        """Whether the number of outputs is given, not left to the targets."""
        return self._description.knows_outputs

    @property
    def model(self) -> Model:
        """The frozen architecture, all sizes known. Errors: `NotInitializedError` before they are."""
        if self._model is None:
            raise NotInitializedError(
                "this network does not know all its sizes yet. Give n_in to Network and a size to the last "
                "layer, or call fit or build first."
            )
        return self._model

    @property
    def state(self) -> State:
        """theta and the buffers with their views."""
        _ = self.model
        assert self._state is not None
        return self._state

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers; sized once the number of inputs is known."""
        return self._model.layers if self._model is not None else self._description.layers

    @property
    def theta(self) -> Array:
        """Every parameter as one flat vector; writing to it changes the network. `parameters` names them."""
        return self.state.theta

    @theta.setter
    def theta(self, values: Any) -> None:
        n = self.n_parameters
        if np.shape(values) != (n,):
            raise ShapeError(
                f"theta has shape {np.shape(values)}; this network has {n} parameters, so it must be ({n},)."
            )
        self.theta[:] = numbers_like(self.theta, values, "theta")

    @property
    def buffers(self) -> Array:
        """What is kept but not learned (running statistics), flat."""
        return self.state.buffers

    @property
    def parameters(self) -> dict[str, Array]:
        """Every parameter as a view of theta, by address: "1.W", "3.body.1.b"."""
        return {e.address: self.theta[e.block].reshape(e.shape) for e in self.model.layout.entries}

    @property
    def W(self) -> ParameterViews:
        """The weights by layer, as views: ``net.W[1]`` is (n_out, n_in)."""
        return ParameterViews(self.model, self.state, "W")

    @property
    def b(self) -> ParameterViews:
        """The biases by layer, as views: ``net.b[1]`` is (n_out,)."""
        return ParameterViews(self.model, self.state, "b")

    @property
    def n_parameters(self) -> int:
        """Number of parameters, the length of theta."""
        return self.model.layout.size

    def freeze(self, *patterns: str | int) -> Network:
        """Keep the parameters whose address matches a pattern fixed in training: "1", "2.W", "*.b".

        A whole number means that layer. Running statistics are no parameters and go on.
        Errors: `UnknownNameError` for a pattern that matches nothing.
        """
        wanted = [str(pattern) for pattern in patterns]
        check_patterns(self.model, wanted)
        self.frozen = tuple(dict.fromkeys([*self.frozen, *wanted]))
        return self

    def unfreeze(self) -> Network:
        """Let all parameters be trained again."""
        self.frozen = ()
        return self

    # -- training ----------------------------------------------------------------------------------

    fit = fit

    # -- use ---------------------------------------------------------------------------------------

    def outputs(self, X: Any, engine: str | None = None) -> Array:
        """Return the outputs a^L of the network in inference mode, (n, n_out)."""
        a = few_outputs(self, X) if engine is None else None
        return outputs_of(self, X, engine) if a is None else a

    def predict(self, X: Any, engine: str | None = None) -> Array:
        """Return predictions in the form that y had in fit: labels, one-hot rows, or real numbers.

        Labels have the dtype of y, real numbers that of the network; before fit, the outputs themselves.
        """
        a = self.outputs(X, engine)
        return a if self.targets is None else self.targets.decode(a)

    def predict_proba(self, X: Any, engine: str | None = None) -> Array:
        """Return the probability of each class, (n, number of classes).

        The outputs of a softmax; [1 - a, a] of one sigmoid output; of several, each divided by their sum, or,
        where labels do not exclude one another, the outputs as they are.
        Errors: `OptionError` where the outputs are no probabilities.
        """
        return class_probabilities(self.model.layers[-1], self.targets, self.outputs(X, engine))

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        metrics: Sequence[Any] = (),
        sample_weight: Any = None,
        engine: str | None = None,
    ) -> dict[str, float]:
        """Return {"cost": …, "accuracy": … (for classes), and each metric asked for} in inference mode.

        Weights enter the cost and the metrics; the accuracy is the plain share of examples.
        """
        network = ready_for(self, X, y)
        targets = targets_of(network, y)
        examples = read_examples(network, X, y, targets, sample_weight)
        chosen = make_metrics(metrics, targets)
        output = partial(network._engine(engine).output, network.model, network.state)
        return measure(output, network.model, targets, examples, chosen)

    # -- looking inside ----------------------------------------------------------------------------

    def trace(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        training: bool = False,
        engine: str | None = None,
    ) -> Trace:
        """Return the open record of one forward and backward pass: ``trace[2].delta``, ``trace[1].dC_dW``.

        training: whether dropout is drawn and batch statistics are used (as in step 0 of training).
        The default engine is "batch", the reference. A network whose sizes are not known takes them from X
        and y.

        >>> net = Network([2, 2, 1], seed=0)
        >>> trace = net.trace([[1.0, 0.0]], [[1.0]])
        >>> trace[2].delta.shape, trace[1].dC_dW.shape
        ((1, 1), (2, 2))
        """
        network = ready_for(self, X, y)
        examples = read_examples(network, X, y, targets_of(network, y), sample_weight)
        everyone = np.arange(len(examples))
        rows, encoded, weights = examples.take(everyone)
        draws = Draws(self.seed, 0, everyone) if as_flag("training", training) else None
        rung = network._engine("batch" if engine is None else engine)
        trace = rung.trace(network.model, network.state, rows, encoded, weights, draws)
        self._model, self._state = network._model, network._state
        return trace

    def gradient(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        training: bool = False,
        penalty: bool | Penalty = False,
        engine: str | None = None,
    ) -> Array:
        """Return ∂C/∂theta of this batch, flat like theta. penalty=True adds that of the last fit."""
        if not isinstance(penalty, bool | Penalty):
            raise DTypeError(f"penalty must be True, False or a Penalty. Got {penalty!r}.")
        trace = self.trace(X, y, sample_weight=sample_weight, training=training, engine=engine)
        chosen = self.penalty if penalty is True else penalty
        return penalized_gradient(trace, self.theta, chosen) if chosen else trace.gradient

    def collapse(self) -> tuple[Array, Array]:
        """Return (W*, b*) of the one affine map z = x @ W*.T + b* that a net of linear layers amounts to.

        The last layer's activation may be any; W* and b* then give its z (so linear layers before one sigmoid
        are logistic regression). W*: (n_out, n_in), b*: (n_out,). Preprocessing comes before it.
        Errors: `UnsupportedError` for a layer in between that is not linear.

        >>> from clearprop import Dense
        >>> net = Network([Dense(2), Dense(1)], n_in=3, seed=0)
        >>> W, b = net.collapse()
        >>> X = np.ones((1, 3))
        >>> bool(np.allclose(X @ W.T + b, net.outputs(X)))
        True
        """
        return collapse(self.model, self.state)

    def summary(self) -> str:
        """Return a table of the layers: address, kind, outputs, activation, parameters.

        >>> print(Network([2, 3, 1]).summary())
        layer  kind   outputs  activation  parameters
        1      Dense        3  sigmoid              9
        2      Dense        1  sigmoid              4
        cost quadratic, 13 parameters, float64
        """
        return summary_table(self.model, self.dtype)

    def __repr__(self) -> str:
        inner = ", ".join(type(layer).__name__ for layer in self.layers)
        size = f"{self.n_parameters} parameters" if self._model is not None else "sizes not known yet"
        return f"<Network [{inner}], cost {self.cost.name}, {size}>"

    # -- copies and files --------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_few_rows": None}  # made again when it is wanted

    def copy(self) -> Network:
        """Return an independent copy: changing one leaves the other alone."""
        return copy.deepcopy(self)

    def save(
        self, path: str | Path, *, overwrite: bool = False, extra: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the network to a safetensors file and return its path; nothing is overwritten unasked.

        extra: plain data to keep with it, found again in ``net.extra``. The history is not saved.
        """
        return persistence.save(self, path, overwrite=overwrite, extra=extra)

    def _engine(self, name: str | None) -> Engine:
        return choose_engine(self.engine if name is None else name, self.model)[0]


def load(path: str | Path, *, custom: Sequence[Any] = ()) -> Network:
    """Return the network that `Network.save` wrote to `path`.

    custom: classes of your own activations, costs or layers that it uses; nothing in the file is ever run.
    Errors: `FileFormatError` for a file that is truncated, altered, newer, or something else.
    """
    if not isinstance(path, str | os.PathLike):
        raise DTypeError(f"load needs the path of a file. Got {path!r}.")
    loaded = persistence.load_model(path, custom=custom)
    network = Network(loaded.model.layers, loaded.model.cost, dtype=loaded.theta.dtype)
    network._model = loaded.model
    network._state = State(loaded.model, loaded.theta, loaded.buffers)
    return persistence.restore(network, loaded, path, engine_names())
