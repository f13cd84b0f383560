"""Keras 3's models: what Keras itself recorded is read without it; live ones where it is installed."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.keras_fixture import STEM, data, trained

import clearprop as cp
from clearprop.errors import (
    ClearpropError,
    DTypeError,
    FileFormatError,
    MissingDependencyError,
    OptionError,
    UnsupportedError,
)

pytest.importorskip("h5py", reason="reading Keras's files needs h5py (clearprop[keras])")
X, _ = data()
FILE = Path(f"{STEM}.keras")
RECORDED = dict(np.load(f"{STEM}.npz"))
OUTPUTS = RECORDED.pop("outputs")
WEIGHTS = [RECORDED[name] for name in sorted(RECORDED)]
LAYERS = [
    cp.Dense(6, bias=False),
    cp.BatchNorm(1e-3),
    cp.Activation("silu"),
    cp.Dropout(0.2),
    cp.Dense(5, {"name": "leaky_relu", "negative_slope": 0.2}),
    cp.LayerNorm(1e-3),
    cp.Dense(5, "prelu"),
    cp.Dense(4, "gelu"),
    cp.Dense(3, "softmax"),
]


def test_a_file_of_keras_is_read_without_keras() -> None:
    ours = cp.from_keras(FILE, dtype="float64")
    np.testing.assert_allclose(ours.outputs(X), OUTPUTS, rtol=2e-5, atol=2e-7)
    kinds = [layer.name for layer in ours.layers]
    assert kinds == [
        "dense",
        "batch_norm",
        "activation",
        "dropout",
        "dense",
        "layer_norm",
        "dense",
        "dense",
        "dense",
    ]
    assert ours.frozen == ("2.gamma",)
    assert isinstance(ours.preprocessing, cp.Affine)


def test_the_dtype_is_that_of_the_weights() -> None:
    ours = cp.from_keras(FILE, classes=["kelp", "moss", "fern"])
    assert ours.dtype == ours.outputs(X).dtype == np.float32
    np.testing.assert_allclose(ours.outputs(X), OUTPUTS, rtol=5e-5, atol=1e-6)
    assert list(ours.predict(X[:3])) == [["kelp", "moss", "fern"][k] for k in OUTPUTS[:3].argmax(axis=1)]


def weights_file(folder: Path, gamma: bool = True) -> Path:
    """Return the weights of the recorded file alone, as ``save_weights`` writes them, without the scaling."""
    import h5py

    with zipfile.ZipFile(FILE) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r+") as file:
        del file["layers/normalization"]
        if gamma:
            beta, *rest = (file[f"layers/batch_normalization/vars/{i}"][:] for i in range(3))
            del file["layers/batch_normalization/vars"]
            for i, array in enumerate([np.ones_like(beta), beta, *rest]):
                file[f"layers/batch_normalization/vars/{i}"] = array
    path = folder / "small.weights.h5"
    path.write_bytes(content.getvalue())
    return path


def scaled() -> Any:
    mean, variance = WEIGHTS[:2]
    return (X - mean) / np.sqrt(variance)


def test_weights_alone_fill_layers_that_are_given(tmp_path: Path) -> None:
    file = weights_file(tmp_path)
    ours = cp.from_keras(file, layers=LAYERS, dtype="float64")
    np.testing.assert_allclose(ours.outputs(scaled()), OUTPUTS, rtol=2e-5, atol=2e-7)
    with pytest.raises(OptionError, match=r"layers\[5\] needs alpha \(5,\); next among"):
        cp.from_keras(file, layers=[*LAYERS[:3], cp.Dense(5, "prelu"), cp.Dense(5, "prelu"), cp.Dense(3)])
    with pytest.raises(UnsupportedError, match="it has 3 arrays and the axis -1, where gamma, beta, running"):
        cp.from_keras(weights_file(tmp_path, gamma=False), layers=LAYERS)
    with pytest.raises(OptionError, match=r"holds weights of 'BatchNormalization', 'Dense', .* Give layers"):
        cp.from_keras(file, activations="relu")


def test_a_list_of_arrays_is_a_chain_of_dense_layers() -> None:
    rng = np.random.default_rng(0)
    K = [rng.normal(size=size) for size in ((4, 6), (6,), (6, 5), (5, 3), (3,))]
    ours = cp.from_keras(K, activations=["tanh", "relu", "identity"])
    expected = np.maximum(np.tanh(X @ K[0] + K[1]) @ K[2], 0) @ K[3] + K[4]
    np.testing.assert_allclose(ours.outputs(X), expected, rtol=1e-12)
    assert [layer.bias for layer in ours.layers] == [True, False, True]


def test_a_list_of_arrays_fills_normalisations() -> None:
    rng = np.random.default_rng(0)
    own = [rng.normal(size=(4, 6)), *np.abs(rng.normal(size=(5, 6))), rng.normal(size=(6, 2)), np.zeros(2)]
    ours = cp.from_keras(own, layers=[cp.Dense(6), cp.BatchNorm(), cp.Activation("relu"), cp.Dense(2)])
    K, b, gamma, beta, mean, variance, last, _ = own
    z = ((X @ K + b) - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(ours.outputs(X), np.maximum(z, 0) @ last, rtol=1e-9)


def changed(folder: Path, change: Any) -> Path:
    """Return a copy of the recorded file whose description was changed."""
    path = folder / "changed.keras"
    with zipfile.ZipFile(FILE) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return path


def set_in(layer: int, **values: Any) -> Any:
    return lambda config: config["config"]["layers"][layer]["config"].update(values)


CHANGES: list[tuple[Any, type[ClearpropError], str]] = [
    (set_in(4, activation="hard_sigmoid"), UnsupportedError, "activation 'hard_sigmoid', which cannot"),
    (set_in(3, axis=0), UnsupportedError, r"\(BatchNormalization\) cannot be carried over"),
    (set_in(1, invert=True), UnsupportedError, "it is inverted, or was not adapted"),
    (
        lambda c: c["config"]["layers"][5].update(class_name="GaussianNoise"),
        UnsupportedError,
        "no such layer",
    ),
    (lambda c: c.update(class_name="Mine"), UnsupportedError, "is a Mine, whose layers are joined in code"),
    (lambda c: c["config"].pop("layers"), FileFormatError, "does not describe its layers as Keras 3 does"),
]


@pytest.mark.parametrize(("change", "kind", "said"), CHANGES)
def test_what_cannot_come_in_is_said(
    change: Any, kind: type[ClearpropError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        cp.from_keras(changed(tmp_path, change))


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("LeakyReLU", {"name": "relu", "negative_slope": 0.3}, {"name": "leaky_relu", "negative_slope": 0.3}),
        ("ReLU", {"name": "tanh", "negative_slope": 0.0}, "relu"),
        ("ELU", {"name": "elu", "alpha": 0.5}, {"name": "elu", "alpha": 0.5}),
        ("Activation", {"name": "relu", "activation": "tanh"}, "tanh"),
    ],
)
def test_an_activation_object_in_a_layer_is_known_by_its_class(
    kind: str, config: Any, expected: Any, tmp_path: Path
) -> None:
    described = {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}
    plain = cp.from_keras(changed(tmp_path, set_in(4, activation="linear")))
    ours = cp.from_keras(changed(tmp_path, set_in(4, activation=described)))
    added = [layer for layer in ours.layers if layer not in plain.layers]
    wanted = cp.Activation(expected).activation
    assert wanted in [layer.activation for layer in added]
    own = {"module": "keras.layers", "class_name": "GLU", "config": {"name": "relu"}}
    with pytest.raises(UnsupportedError, match="has the activation 'GLU', which cannot"):
        cp.from_keras(changed(tmp_path, set_in(4, activation=own)))


def test_a_chain_of_the_functional_form_is_read(tmp_path: Path) -> None:
    def functional(config: Any) -> None:
        config["class_name"], before = "Functional", None
        for layer in config["config"]["layers"]:
            tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
            layer["inbound_nodes"] = [] if before is None else [{"args": [tensor], "kwargs": {}}]
            before = layer["config"]["name"]

    def branching(config: Any) -> None:
        functional(config)
        layers = config["config"]["layers"]
        layers[6]["inbound_nodes"] = layers[3]["inbound_nodes"]

    ours = cp.from_keras(changed(tmp_path, functional))
    np.testing.assert_array_equal(ours.outputs(X), cp.from_keras(FILE).outputs(X))
    with pytest.raises(UnsupportedError, match="from_keras reads models that are a plain chain"):
        cp.from_keras(changed(tmp_path, branching))


def test_what_is_no_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty.keras"
    empty.write_bytes(b"PK nothing")
    with pytest.raises(FileFormatError, match=r"empty.keras is not a sound .keras file of Keras 3"):
        cp.from_keras(empty)
    with pytest.raises(OptionError, match=r"reads .keras and .weights.h5 files. Got 'model.h5'"):
        cp.from_keras("model.h5")
    with pytest.raises(DTypeError, match="reads a Keras model"):
        cp.from_keras(3)
    with pytest.raises(UnsupportedError, match=r"weights\[0\] to weights\[0\] of the shapes \(2, 3, 4\)"):
        cp.from_keras([np.ones((2, 3, 4))], activations="relu")
    with pytest.raises(OptionError, match="a model says it itself"):
        cp.from_keras(FILE, activations="relu")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'clearprop\[keras\]'"):
        cp.from_keras(FILE)


# -- where Keras is installed --------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # Keras and its backends warn of themselves
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_live_model_is_the_recorded_one(dtype: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="Keras is an oracle that need not be installed")
    model = trained(keras, dtype)
    expected = model.predict(X, verbose=0)
    ours = cp.from_keras(model)
    assert ours.dtype == model.get_weights()[-1].dtype  # some backends have no float64 unless told to
    # Keras multiplies matrices in single precision even where layers and weights are float64 (3.15, PyTorch).
    rtol = 2e-6 if ours.dtype == np.float64 else 5e-5
    np.testing.assert_allclose(ours.outputs(X), expected, rtol=rtol, atol=1e-6)
    model.save(tmp_path / "live.keras")
    np.testing.assert_array_equal(cp.from_keras(tmp_path / "live.keras").theta, ours.theta)
    branch = keras.Input((4,))
    dense = keras.layers.Dense(3, "tanh")(branch)
    chain = keras.Model(branch, keras.layers.Dense(2)(dense))
    np.testing.assert_allclose(cp.from_keras(chain).outputs(X), chain.predict(X, verbose=0), rtol=1e-4)
    both = keras.Model(branch, keras.layers.Add()([dense, dense]))
    with pytest.raises(UnsupportedError, match="plain chain"):
        cp.from_keras(both)
