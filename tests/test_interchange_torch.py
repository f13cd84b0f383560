"""PyTorch's models and ours: one model, two libraries, the same outputs and gradients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import ClearpropError, DTypeError, OptionError, ShapeError, UnsupportedError
from clearprop.io import safetensors

torch = pytest.importorskip("torch", reason="PyTorch is an oracle that need not be installed")
nn = torch.nn

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 6))
Y = np.argmax(X[:, :3], axis=1)

SHARED: dict[str, Callable[[], Any]] = {
    "elu": lambda: nn.ELU(0.7),
    "gelu": lambda: nn.GELU(),
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "hard_tanh": lambda: nn.Hardtanh(),
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "mish": lambda: nn.Mish(),
    "prelu": lambda: nn.PReLU(5, 0.1),
    "prelu shared": lambda: nn.PReLU(init=0.3),
    "relu": lambda: nn.ReLU(),
    "selu": lambda: nn.SELU(),
    "sigmoid": lambda: nn.Sigmoid(),
    "silu": lambda: nn.SiLU(),
    "softplus": lambda: nn.Softplus(),
    "softsign": lambda: nn.Softsign(),
    "tanh": lambda: nn.Tanh(),
}


def trained(*modules: Any, steps: int = 30, seed: int = 0) -> Any:
    """Return an nn.Sequential in float64 that has been trained with CrossEntropyLoss."""
    torch.manual_seed(seed)
    model = nn.Sequential(*modules).double().train()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.tensor(X)), torch.tensor(Y)).backward()
        optimizer.step()
    return model.eval()


def outputs(model: Any, rows: Any = X) -> Any:
    with torch.no_grad():
        return model(torch.tensor(rows)).numpy()


def gradients(model: Any) -> Any:
    """Return the gradient of the mean cross-entropy of a model without softmax, in PyTorch's own order."""
    model.zero_grad()
    nn.functional.cross_entropy(model(torch.tensor(X)), torch.tensor(Y)).backward()
    return np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])


def mlp(*between: Any) -> list[Any]:
    return [nn.Linear(6, 5), *between, nn.Linear(5, 3)]


@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
def test_every_activation_that_both_have_comes_in_and_goes_out(make: Callable[[], Any]) -> None:
    model = trained(*mlp(make()))
    ours = cp.from_torch(model, output="softmax")
    expected = torch.softmax(torch.tensor(outputs(model)), -1).numpy()
    np.testing.assert_allclose(ours.outputs(X), expected, **CLOSE)
    np.testing.assert_allclose(ours.gradient(X, Y), gradients(model), **CLOSE)
    back = cp.to_torch(ours, logits=True)
    assert list(back.state_dict()) == list(model.state_dict())
    np.testing.assert_allclose(outputs(back), outputs(model), **CLOSE)
    np.testing.assert_allclose(gradients(back), gradients(model), **CLOSE)
    np.testing.assert_allclose(outputs(cp.to_torch(ours)), expected, **CLOSE)


def test_every_activation_of_ours_is_carried_over_or_declined() -> None:
    declined = set()
    for name in cp.activations.activations:
        ours = cp.Network([cp.Dense(4, name), cp.Dense(2)], n_in=6, seed=0)
        try:
            model = cp.to_torch(ours)
        except UnsupportedError:
            declined.add(name)
            continue
        np.testing.assert_allclose(outputs(model, 30 * X), ours.outputs(30 * X), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(cp.from_torch(model).theta, ours.theta)
    assert declined == {"exponential", "increasing", "ordinal", "per_neuron", "scaled_tanh"}


def test_a_module_that_stands_at_several_places_acts_at_each() -> None:
    relu = nn.ReLU()
    inner = nn.Sequential(nn.Linear(5, 5), relu)
    model = trained(nn.Linear(6, 5), relu, inner, nn.Linear(5, 5), relu, nn.Linear(5, 3))
    ours = cp.from_torch(model)
    assert [layer.activation.name for layer in ours.layers] == ["relu"] * 3 + ["identity"]
    np.testing.assert_allclose(ours.outputs(X), outputs(model), **CLOSE)


@pytest.mark.parametrize("kind", ["module", "weight", "statistics"])
def test_tied_weights_are_declined(kind: str) -> None:
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    norm, other = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
    if kind == "weight":
        second.weight = first.weight
    model = nn.Sequential(first, norm, first if kind == "module" else second, other).double()
    if kind == "statistics":
        other.running_mean = norm.running_mean
    with pytest.raises(UnsupportedError, match=r"cannot be carried over: its numbers are those of '[01]'"):
        cp.from_torch(model)


def test_normalisations_and_dropout_come_in_and_go_out() -> None:
    model = trained(
        nn.Flatten(),
        nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8, momentum=0.3), nn.ReLU()),
        nn.Dropout(0.25),
        nn.Linear(8, 5),
        nn.LayerNorm(5, eps=1e-4),
        nn.SiLU(),
        nn.AlphaDropout(0.1),
        nn.Identity(),
        nn.Linear(5, 3),
    )
    ours = cp.from_torch(model, output="softmax")
    expected = torch.softmax(torch.tensor(outputs(model)), -1).numpy()
    np.testing.assert_allclose(ours.outputs(X), expected, **CLOSE)
    np.testing.assert_allclose(ours.gradient(X, Y), gradients(model), **CLOSE)
    kinds = [type(layer).__name__ for layer in ours.layers]
    norms = ["Dense", "BatchNorm", "Activation", "Dropout", "Dense", "LayerNorm", "Activation"]
    assert kinds == [*norms, "AlphaDropout", "Dense"]
    assert ours.layers[1].momentum == pytest.approx(0.7)
    back = cp.to_torch(ours, logits=True)
    np.testing.assert_allclose(outputs(back), outputs(model), **CLOSE)
    np.testing.assert_allclose(gradients(back), gradients(model), **CLOSE)
    assert isinstance(back[3], nn.Dropout)
    assert back[3].p == 0.25
    assert not back.training


def test_a_training_pass_of_batch_norm_has_the_gradient_of_pytorch() -> None:
    model = trained(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    ours = cp.from_torch(model, output="softmax")
    np.testing.assert_allclose(ours.gradient(X, Y, training=True), gradients(model.train()), **CLOSE)


def test_what_a_normalisation_does_not_learn_is_frozen() -> None:
    model = trained(
        nn.Linear(6, 8), nn.BatchNorm1d(8, affine=False), nn.LayerNorm(8, bias=False), nn.Linear(8, 3)
    )
    ours = cp.from_torch(model, output="softmax")
    assert ours.frozen == ("2.gamma", "2.beta", "3.beta")
    back = cp.to_torch(ours, logits=True)
    np.testing.assert_allclose(outputs(back), outputs(model), **CLOSE)
    learned = [name for name, p in back.named_parameters() if p.requires_grad]
    assert learned == ["0.weight", "0.bias", "2.weight", "3.weight", "3.bias"]


def test_a_network_of_ours_goes_out_with_its_preprocessing() -> None:
    ours = cp.Network([cp.Dense(7, "gelu"), cp.BatchNorm(), cp.Dense(3, "softmax")], seed=0)
    ours.preprocessing = "standardize"
    ours.fit(5 * X + 2, Y, epochs=3)
    model = cp.to_torch(ours)
    np.testing.assert_allclose(outputs(model, 5 * X + 2), ours.outputs(5 * X + 2), rtol=1e-11, atol=1e-14)
    assert int(model[2].num_batches_tracked) == ours.steps_trained


@pytest.mark.parametrize("scaled", [30.0, 400.0, 2800.0])
def test_a_shift_in_the_weights_costs_the_digits_that_are_said(scaled: float) -> None:
    shift, factor = 2000.0, scaled / 2000.0
    ours = cp.Network([cp.Dense(3)], n_in=6, dtype="float32", seed=0, preprocessing=cp.Affine(shift, factor))
    rows = (shift + X / factor).astype(np.float32)
    error = np.abs(outputs(cp.to_torch(ours), rows) - ours.outputs(rows)).max()
    eps, W = np.finfo(np.float32).eps, np.abs(ours.W[1]).sum(axis=1).max()
    assert eps * W < error < 2 * eps * scaled * W


def test_a_shift_that_would_cost_half_the_digits_is_refused() -> None:
    far = cp.Affine(np.array([0, 0, 0, 0, 0, 30_000.0]), 0.1)
    with pytest.raises(UnsupportedError, match=r"shifts a feature by 3e\+03 .* lose more than half"):
        cp.to_torch(cp.Network([cp.Dense(3)], n_in=6, dtype="float32", preprocessing=far))
    cp.to_torch(cp.Network([cp.Dense(3)], n_in=6, dtype="float64", preprocessing=far))


def test_dropout_of_inputs_that_are_shifted_is_refused() -> None:
    layers = [cp.Dropout(0.2), cp.Dense(3)]
    with pytest.raises(UnsupportedError, match=r"layers\[1\] Dropout acts on inputs whose shift"):
        cp.to_torch(cp.Network(layers, n_in=6, preprocessing=cp.Affine(1.0, 2.0)))
    scaled = cp.Network(layers, n_in=6, preprocessing=cp.Affine(0.0, 2.0))
    np.testing.assert_allclose(outputs(cp.to_torch(scaled)), scaled.outputs(X), **CLOSE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_stays(dtype: str) -> None:
    ours = cp.Network([cp.Dense(7, "prelu"), cp.BatchNorm(), cp.Dense(3, "softmax")], n_in=6, dtype=dtype)
    model = cp.to_torch(ours)
    assert {str(p.dtype) for p in model.parameters()} == {f"torch.{dtype}"}
    assert cp.from_torch(model).dtype == dtype
    assert outputs(model, X.astype(dtype)).dtype == dtype


def test_half_precision_is_asked_about() -> None:
    for half in (torch.float16, torch.bfloat16):
        model = nn.Sequential(nn.Linear(2, 2)).to(half)
        expected = model[0].weight.detach().float().numpy()
        np.testing.assert_array_equal(cp.from_torch(model, dtype="float32").W[1], expected)
    with pytest.raises(DTypeError, match=r"the weights are float16; a network computes in float32"):
        cp.from_torch(nn.Sequential(nn.Linear(2, 2)).half())


def test_going_out_draws_none_of_pytorchs_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    cp.to_torch(cp.Network([cp.Dense(4, "prelu"), cp.LayerNorm(), cp.Dense(2)], n_in=3))
    assert torch.equal(torch.rand(3), expected)


# -- bare weights --------------------------------------------------------------------------------


class Own(nn.Module):  # type: ignore[misc]
    """What many people write: modules by name, joined in code."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.apart = nn.Linear(8, 4)
        self.end = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        return self.end(torch.relu(self.apart(torch.tanh(self.norm(self.hidden(x))))))


def own_model() -> Any:
    torch.manual_seed(3)
    model = Own().double().train()
    model(torch.tensor(X))
    return model.eval()


def test_a_state_dict_with_its_activations_is_the_model() -> None:
    model = own_model()
    ours = cp.from_torch(model.state_dict(), activations=["tanh", "relu", "identity"])
    np.testing.assert_allclose(ours.outputs(X), outputs(model), **CLOSE)


def test_a_state_dict_with_layers_is_the_model() -> None:
    model = own_model()
    layers = [cp.Dense(8), cp.BatchNorm(), cp.Activation("tanh"), cp.Dense(4, "relu"), cp.Dense()]
    np.testing.assert_allclose(
        cp.from_torch(model.state_dict(), layers=layers).outputs(X), outputs(model), **CLOSE
    )


def test_a_residual_block_is_filled_from_a_state_dict() -> None:
    torch.manual_seed(0)
    first, a, b, last = (nn.Linear(*size).double() for size in ((6, 5), (5, 4), (4, 5), (5, 2)))
    state = nn.Sequential(first, a, b, last).state_dict()
    layers = [cp.Dense(5, "relu"), cp.Residual([cp.Dense(4, "tanh"), cp.Dense(5)]), cp.Dense(2)]
    with torch.no_grad():
        h = torch.relu(first(torch.tensor(X)))
        expected = last(h + b(torch.tanh(a(h)))).numpy()
    np.testing.assert_allclose(cp.from_torch(state, layers=layers).outputs(X), expected, **CLOSE)


def test_the_numbers_of_a_sequential_say_where_the_activation_stands() -> None:
    behind = trained(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Sigmoid(), nn.Linear(5, 3))
    before = trained(nn.Linear(6, 5), nn.Sigmoid(), nn.BatchNorm1d(5), nn.Linear(5, 3))
    for model in (behind, before):
        ours = cp.from_torch(model.state_dict(), activations="sigmoid")
        np.testing.assert_allclose(ours.outputs(X), outputs(model), **CLOSE)


def test_prelu_and_layer_norm_come_in_from_bare_weights() -> None:
    model = trained(nn.Linear(6, 5), nn.LayerNorm(5), nn.PReLU(5), nn.Linear(5, 3))
    layers = [cp.Dense(5), cp.LayerNorm(), cp.Activation("prelu"), cp.Dense(3)]
    ours = cp.from_torch(model.state_dict(), layers=layers)
    np.testing.assert_allclose(ours.outputs(X), outputs(model), **CLOSE)


def test_a_safetensors_file_of_pytorchs_is_read_without_pytorch(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = trained(*[m for n in range(6) for m in (nn.Linear(6, 6), nn.Tanh())], nn.Linear(6, 3))
    save_file(model.state_dict(), tmp_path / "deep.safetensors")  # "10.weight" sorts before "2.weight"
    np.save(tmp_path / "X.npy", X)
    source = (
        "import sys, numpy as np, clearprop as cp\n"
        "net = cp.from_torch('deep.safetensors', activations='tanh')\n"
        "np.save('found.npy', net.outputs(np.load('X.npy')))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", source], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), outputs(model), **CLOSE)


def test_our_arrays_are_a_file_that_pytorch_loads(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    ours = cp.Network([cp.Dense(5, "tanh"), cp.BatchNorm(), cp.Dense(3, "softmax")], n_in=6, seed=2)
    ours.fit(X, Y, epochs=2)
    state = cp.to_torch_state_dict(ours, arrays=True)
    safetensors.write(tmp_path / "out.safetensors", state, {})
    model = nn.Sequential(
        nn.Linear(6, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 3), nn.Softmax(-1)
    ).double()
    model.load_state_dict(load_file(tmp_path / "out.safetensors"))
    np.testing.assert_allclose(outputs(model.eval()), ours.outputs(X), **CLOSE)
    tensors = cp.to_torch_state_dict(ours)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {n: a.shape for n, a in state.items()}


def test_labels_are_answered_when_they_are_given() -> None:
    model = trained(*mlp(nn.ReLU()))
    ours = cp.from_torch(model, output="softmax", classes=["kelp", "moss", "fern"])
    assert list(ours.predict(X[:4])) == [
        ["kelp", "moss", "fern"][k] for k in outputs(model)[:4].argmax(axis=1)
    ]
    assert ours.evaluate(X, np.array(["kelp", "moss", "fern"])[Y])["accuracy"] > 0.5
    one = cp.from_torch(nn.Sequential(nn.Linear(6, 1)), output="sigmoid", classes=["no", "yes"])
    assert set(one.predict(X)) <= {"no", "yes"}


# -- what is declined ----------------------------------------------------------------------------


class Doubled(nn.Sequential):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


REFUSED: list[tuple[Callable[[], Any], dict[str, Any], type[ClearpropError], str]] = [
    (
        lambda: nn.Sequential(nn.Conv2d(1, 1, 3)),
        {},
        UnsupportedError,
        r"'0' \(Conv2d\) cannot be carried over",
    ),
    (lambda: nn.Sequential(nn.LogSoftmax(-1)), {}, UnsupportedError, r"'0' \(LogSoftmax\) cannot be"),
    (lambda: nn.Sequential(nn.Softplus(2)), {}, UnsupportedError, r"\(Softplus\) cannot .* beta=2"),
    (lambda: nn.Sequential(nn.Hardtanh(0, 6)), {}, UnsupportedError, "this one between 0 and 6"),
    (lambda: nn.Sequential(nn.Softmax(0)), {}, UnsupportedError, "it goes along axis 0"),
    (lambda: nn.Sequential(nn.LayerNorm((2, 3))), {}, UnsupportedError, "it normalises over 2 axes"),
    (
        lambda: nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)),
        {},
        UnsupportedError,
        "it has no running statistics",
    ),
    (lambda: nn.Sequential(nn.BatchNorm1d(3, momentum=None)), {}, UnsupportedError, "no fixed momentum"),
    (lambda: Own(), {}, UnsupportedError, "Own says that in code"),
    (lambda: Doubled(nn.Linear(2, 2)), {}, UnsupportedError, "Doubled says that in code"),
    (lambda: nn.Sequential(Own()), {}, UnsupportedError, r"'0' \(Own\) cannot be carried over"),
    (lambda: nn.Sequential(nn.ReLU()), {}, OptionError, "there is no layer with weights in it"),
    (dict, {"activations": "relu"}, OptionError, "there is no layer with weights in it"),
    (lambda: nn.Sequential(nn.Linear(2, 2)), {"activations": "relu"}, OptionError, "says it itself"),
    (lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2)), {}, ShapeError, r"layers\[2\] Dense expects 3"),
    (lambda: Own().state_dict(), {}, OptionError, "Give either activations="),
    (lambda: Own().state_dict(), {"activations": ["relu"]}, OptionError, "each of the 3 Dense layers"),
    (
        lambda: Own().state_dict(),
        {"layers": [cp.Dense(8)]},
        OptionError,
        "3 parts of the weights find no layer",
    ),
    (lambda: Own().state_dict(), {"layers": [cp.Dense(9)]}, OptionError, r"layers\[1\] needs W \(9, 6\)"),
    (
        lambda: {"b.weight": np.ones((3, 2)), "a.weight": np.ones((2, 4))},
        {"activations": "relu"},
        ShapeError,
        r"'a' reads 4 inputs, and 'b' before it gives 3. If the layers act in another order, say it: order",
    ),
    (
        lambda: {"a.weight": np.ones((2, 4))},
        {"activations": "relu", "order": ["b"]},
        OptionError,
        "order must list 'a', each once",
    ),
    (
        lambda: {"a.weight": np.ones((2, 4))},
        {"activations": "relu", "order": [1, "a"]},
        OptionError,
        "order must",
    ),
    (
        lambda: {"a.weight": np.ones((2, 4))},
        {"activations": "relu", "order": "a"},
        DTypeError,
        "must be a list",
    ),
    (
        lambda: {"a.weight": np.ones((2, 4))},
        {"activations": "relu", "order": np.zeros((3, 2))},
        OptionError,
        "order must list 'a'",
    ),
    (dict, {"activations": "relu", "order": np.zeros((3, 2))}, OptionError, "order must be left out"),
    (lambda: {"a.lora": np.ones((2, 4))}, {"activations": "relu"}, UnsupportedError, "holds 'a.lora'"),
    (lambda: {"a.weight": np.ones((2, 4, 1))}, {"activations": "relu"}, UnsupportedError, "it is no Linear"),
    (lambda: "model.pt", {"activations": "relu"}, OptionError, r"load it with torch\.load"),
    (lambda: 3, {"activations": "relu"}, DTypeError, "reads an nn.Sequential, a state_dict or the path"),
]


@pytest.mark.parametrize(("make", "options", "kind", "said"), REFUSED)
def test_what_cannot_come_in_is_said(
    make: Callable[[], Any], options: dict[str, Any], kind: type[ClearpropError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        cp.from_torch(make(), **options)


def test_weight_norm_is_noticed() -> None:
    with pytest.raises(UnsupportedError, match="Linear"):
        cp.from_torch(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))))
    hooked = nn.Linear(2, 2)
    hooked.register_forward_pre_hook(lambda module, x: x)
    with pytest.raises(UnsupportedError, match="has forward hooks"):
        cp.from_torch(nn.Sequential(hooked))


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([cp.Residual([cp.Dense(6)])], r"layers\[1\] Residual cannot be carried over"),
        ([cp.Dense(2, cp.per_neuron(["relu", "tanh"]))], "'per_neuron', which cannot be carried over"),
    ],
)
def test_what_cannot_go_out_is_said(layers: list[Any], said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        cp.to_torch(cp.Network(layers, n_in=6))


def test_preprocessing_without_a_dense_layer_cannot_go_out() -> None:
    ours = cp.Network([cp.LayerNorm(), cp.Dense(2)], n_in=6, preprocessing=cp.Affine(1.0, 2.0))
    with pytest.raises(UnsupportedError, match="the first layer is not Dense"):
        cp.to_torch(ours)
