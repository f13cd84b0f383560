"""GlassBox: what a network says about itself, `explain`, `why`, `diagnose`, `embed`, and in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from clearprop.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clearprop import diagnosis, embedding, notebook
    from clearprop import explain as explaining
    from clearprop.arrays import Array
    from clearprop.explain import (
        Explanation,
        LayerExplanation,
        LayerReasons,
        NetworkExplanation,
        NetworkReasons,
        Reason,
    )
    from clearprop.network import Network
    from clearprop.optimizers import Optimizer
    from clearprop.training.history import History
else:
    diagnosis = Lazy("clearprop.diagnosis")
    embedding = Lazy("clearprop.embedding")
    explaining = Lazy("clearprop.explain")
    notebook = Lazy("clearprop.notebook")

__all__ = ["GlassBox"]


class GlassBox:
    """The part of `Network` that explains its gradients, and what keeps it from learning."""

    __slots__ = ()

    def explain(
        self,
        x: Any,
        y: Any = None,
        layer: int | str | None = None,
        *,
        weight: tuple[int, int] | None = None,
        bias: int | None = None,
        neuron: int | None = None,
        parameter: tuple[Any, ...] | None = None,
        training: bool = False,
        paths: int = 5,
        terms: int = 8,
        digits: int | None = None,
    ) -> Explanation | LayerExplanation | NetworkExplanation:
        """Explain the gradient of one weight, bias or neuron for one example: symbols, numbers and words.

            ∂C/∂w^l_jk = ∂C/∂a^l_j · ∂a^l_j/∂z^l_j · ∂z^l_j/∂w^l_jk

        Every factor is shown with its number, which is the one of `trace`; for a hidden layer the sum over
        the neurons behind it is written out (BP2); and the gradient as a sum over the paths through the
        network, the largest first.

        Parameters:
            x, y: one example and its target; the axis of the examples may be left out.
            layer: number or address, such as 2 or "3.body.1"; left out, the equations of every layer.
            weight: (j, k), the weight to neuron j from input k. bias: of neuron j.
            neuron: j, its error ∂C/∂z (∂C/∂a where the layer has no z); of layer 0, an input.
            parameter: any other parameter by name and index, such as ("gamma", 3).
                None of these: BP1 to BP4 for the whole layer, with shapes and numbers.
            training: whether dropout is drawn, as in `trace`.
            paths: how many paths are shown. terms: how many terms of a sum.
            digits: significant digits shown; left out, 9 of one gradient and 5 of whole arrays.

        The result can be printed, shows itself in a notebook, and has `to_latex`, `to_html`, `to_dict` and
        `to_json`. Errors: `DataError` without y or with several examples; `UnknownNameError` and `ShapeError`
        for a layer or a neuron that does not exist, naming those that do.
        Source: Nielsen, Neural Networks and Deep Learning, chapter 2, equations BP1 to BP4.

        >>> import clearprop as cp
        >>> net = cp.Network([2, 2, 2], seed=0)
        >>> net.W[1], net.b[1] = [[0.15, 0.20], [0.25, 0.30]], [0.35, 0.35]
        >>> net.W[2], net.b[2] = [[0.40, 0.45], [0.50, 0.55]], [0.60, 0.60]
        >>> found = net.explain([0.05, 0.10], [0.01, 0.99], layer=1, weight=(0, 0), digits=6)
        >>> print("\\n".join(str(found).splitlines()[:8]))
        ∂C/∂w^1_{0,0}: weight from input 0 to neuron 0 of layer 1, Dense 2 → 2, sigmoid
          One example, inference mode; C = 0.298371 (quadratic), penalties left out.
        <BLANKLINE>
        The chain rule (BP2 and BP4)
          ∂C/∂w^1_{0,0} = ∂C/∂a^1_0 · ∂a^1_0/∂z^1_0 · ∂z^1_0/∂w^1_{0,0}
                        = (Σ_i w^2_{i,0} · δ^2_i) · f'(z^1_0) · a^0_0
                        = 0.0363503 · 0.241301 · 0.05
                        = 0.000438568
        """
        return explaining.explain_network(
            cast("Network", self),
            x,
            y,
            layer,
            weight=weight,
            bias=bias,
            neuron=neuron,
            parameter=parameter,
            training=training,
            paths=paths,
            terms=terms,
            digits=digits,
        )

    def why(
        self,
        X: Any,
        y: Any = None,
        layer: int | str | None = None,
        *,
        weight: tuple[int, int] | None = None,
        bias: int | None = None,
        neuron: int | None = None,
        training: bool = False,
        digits: int = 4,
    ) -> Reason | LayerReasons | NetworkReasons:
        """Say why a gradient is small or large over a batch, and name the factor that makes it so.

            ∂C_x/∂W_jk = a_prev_k · f'(z_j) · ∂C_x/∂a_j

        A weight learns slowly where its input is near 0, where its neuron is saturated or dead, or where
        little error arrives from behind. Each factor is measured as its mean size over the examples, against
        what is typical in the layer and against a yardstick: 1 for the input, the steepest slope of the
        activation for f', the largest error at the outputs (1 where outputs are bounded) for the error.

        Parameters:
            X, y: a batch, or one example.
            layer: number or address of a layer with weights; left out, all of them.
            weight: (j, k). bias, neuron: j. None of these: the causes in the whole layer, ranked.
            training: whether dropout is drawn and batch statistics are used.
            digits: significant digits shown.

        A factor below a tenth of its yardstick counts as small. The result can be printed, shows itself in a
        notebook, and has `to_latex`, `to_html`, `to_dict` and `to_json`. Errors: as `explain`.
        Source: Nielsen, Neural Networks and Deep Learning, chapter 2, "the four fundamental equations".

        >>> import clearprop as cp
        >>> net = cp.Network([2, 3, 1], seed=0)
        >>> net.b[2] = [-8.0]
        >>> found = net.why([[0.0, 1.0], [1.0, 1.0]], [[1.0], [1.0]], layer=2, weight=(0, 0))
        >>> found.culprit
        'slope'
        >>> print(found.verdict.split(":")[0])
        It is small because neuron 0 is saturated
        >>> [(each.name, round(each.ratio, 4)) for each in found.influences]
        [('input', 0.7066), ('slope', 0.0018), ('error', 0.9996)]
        """
        return explaining.why_network(
            cast("Network", self),
            X,
            y,
            layer,
            weight=weight,
            bias=bias,
            neuron=neuron,
            training=training,
            digits=digits,
        )

    def diagnose(
        self,
        X: Any,
        y: Any,
        history: History | None = None,
        eta: float | None = None,
        *,
        optimizer: str | Optimizer | None = None,
        batch_size: int = 32,
        sample_weight: Any = None,
        class_weight: str | Mapping[Any, float] | None = None,
        X_val: Any = None,
        y_val: Any = None,
        max_examples: int = 1000,
    ) -> diagnosis.Diagnosis:
        """Look for what keeps the network from learning: findings, each with evidence and one thing to try.

        Looked at are the data, one pass, the history and, given a rate, what a few steps do to copies of the
        network; it stays as it is. Parameters and errors: those of `clearprop.diagnose`.

        >>> import clearprop as cp
        >>> X, y = cp.datasets.moons(200, noise=0.1, seed=0)
        >>> net = cp.Network([cp.Dense(16, "tanh"), cp.Dense(2, "softmax")], seed=0)
        >>> net.diagnose(X, y, optimizer="sgd", eta=100).kinds
        ('learning_rate_too_high',)
        >>> net.diagnose(100 * X, y).kinds
        ('data_not_scaled', 'saturated_units')
        """
        return diagnosis.diagnose(
            cast("Network", self),
            X,
            y,
            history,
            eta,
            optimizer=optimizer,
            batch_size=batch_size,
            sample_weight=sample_weight,
            class_weight=class_weight,
            X_val=X_val,
            y_val=y_val,
            max_examples=max_examples,
        )

    def embed(self, X: Any, layer: int | str | None = None, engine: str | None = None) -> Array:
        """Return the activations of a layer in inference mode, (n, n_out of that layer).

        Parameters:
            X: as for `predict`; the preprocessing is applied.
            layer: number or address, such as 2 or "3.body.1"; left out, the last hidden layer: the one that
                the last layer with weights reads.
            engine: the rung, as for `predict`.

        Errors: `UnknownNameError` for a layer that is not there; `OptionError` where no layer is hidden;
        `UnsupportedError` inside a branch that reads columns of its own.

        >>> import clearprop as cp
        >>> net = cp.Network([cp.Dense(3, "relu"), cp.Dense(2, "softmax")], n_in=2, seed=0)
        >>> net.embed([[1.0, 2.0]]).shape, net.embed([[1.0, 2.0]], layer=2).sum().round(6)
        ((1, 3), np.float64(1.0))
        """
        return embedding.embed(cast("Network", self), X, layer, engine)

    def _repr_html_(self) -> str:
        return notebook.network_html(cast("Network", self))
