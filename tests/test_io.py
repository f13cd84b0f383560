"""Saving and loading: the safetensors format, model files, and writing at one stroke.

The `safetensors` package is the oracle for the format; files that are wrong are made by hand.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from clearprop import io
from clearprop.activations import ActivationFunction, activations, per_neuron
from clearprop.costs import Cost, CrossEntropy, costs
from clearprop.errors import (
    ClearpropError,
    DTypeError,
    FileFormatError,
    OptionError,
    ShapeError,
    WouldOverwriteError,
)
from clearprop.initializers import Initializer, initializers
from clearprop.io import safetensors as st
from clearprop.layers import (
    Activation,
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
from clearprop.model import Model, State

POSIX = os.name == "posix"
VERSIONS = {"clearprop": "0.1.0", "numpy": "2.0.0", "python": "3.11.0"}

NETS: dict[str, tuple[int, list[Any]]] = {
    "nielsen": (4, [Dense(3, "sigmoid"), Dense(2, "sigmoid")]),
    "no biases": (4, [Dense(3, "relu", bias=False), Dense(2, "softmax", bias=False)]),
    "prelu": (4, [Dense(3, "prelu"), Dense(2, activations["prelu"](0.1, shared=True))]),
    "per neuron": (4, [Dense(5, per_neuron(["tanh", "relu"], (2, 3))), Dense(2, "per_neuron")]),
    "initializers": (4, [Dense(3, "tanh", initializer="orthogonal", bias_initializer="normal"), Dense(2)]),
    "norms": (4, [BatchNorm(1e-3, momentum=0.8), Dense(3), LayerNorm(), Activation("gelu"), Dense(2)]),
    "noise": (4, [Dropout(0.1), Dense(3, "selu"), AlphaDropout(0.3), Dense(2)]),
    "several inputs": (
        4,
        [Concatenate([[Dense(3, "tanh")], [BatchNorm(), Dense(2)]], inputs=[1, 3]), Dense(2)],
    ),
    "nested": (
        4,
        [
            Residual(
                [
                    Dense(6, "relu"),
                    Residual([BatchNorm(), Concatenate([[Dense(2, "prelu")], []]), Dense(6)]),
                    Dense(5),
                ],
                shortcut=Dense(5, bias=False),
            ),
            Dense(2, "softmax"),
        ],
    ),
    "no parameters": (4, [Dropout(0.5), Activation("tanh")]),
}


@dataclass(frozen=True)
class Cube(ActivationFunction):
    """f(z) = scale z^3."""

    name = "cube"
    scale: float = 1.0

    def f(self, z):
        return self.scale * z**3

    def df(self, z, a):
        return 3 * self.scale * z**2


@dataclass(frozen=True)
class Distance(Cost):
    """The Euclidean distance."""

    name = "distance"
    seed: int = 1 << 60


@dataclass(frozen=True)
class Ones(Initializer):
    """All ones."""

    name = "ones"

    def draw(self, shape, gain, stream):
        return np.ones(shape)


@dataclass(frozen=True)
class Wider(Dense):
    """A dense layer under a name of its own."""

    name = "wider"
    marks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Impostor(CrossEntropy):
    """Inherits the name of the registered cost."""


def make(n_in: int, chain: list[Any], cost: Any = "quadratic", dtype: str = "float64") -> dict[str, Any]:
    """Return a sized model and numbers for it, as the arguments of `save_model`."""
    model = Model(size_chain(chain, n_in), costs.make(cost))
    state = State.initial(model, 1, dtype)
    rng = np.random.default_rng(2)
    return {
        "model": model,
        "theta": rng.normal(size=state.theta.size).astype(dtype),
        "buffers": rng.uniform(1, 2, size=state.buffers.size).astype(dtype),
    }


def small(dtype: str = "float32") -> dict[str, Any]:
    """Return the tiny network of the golden bytes."""
    content = make(2, [Dense(1, "sigmoid"), BatchNorm()], dtype=dtype)
    content["theta"] = np.array([1.0, -2.0, 0.5, 1.0, 0.0], dtype)
    content["buffers"] = np.array([0.25, 4.0], dtype)
    return content


def save_small(path, **options):
    extra = {"labels": ["no", "yes"]}
    tensors = {"mean": np.array([0.1])}
    io.save_model(path, **small(), extra=extra, extra_tensors=tensors, versions=VERSIONS, **options)


@pytest.fixture
def model_path(tmp_path):
    path = tmp_path / "model.safetensors"
    save_small(path)
    return path


def assert_only(folder, *names):
    assert sorted(os.listdir(folder)) == sorted(names)


# -- the format ----------------------------------------------------------------------------------------

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
TENSORS = {name: np.arange(6).reshape(2, 3).astype(name) for name in DTYPES} | {
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "1.W": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every other": np.arange(10)[::2],
    "big-endian": np.arange(3, dtype=">f8"),
    "special": np.array([np.nan, -np.inf, -0.0, 5e-324]),
    "ünï": np.ones((1,) * 8),
}


def test_the_safetensors_package_reads_our_files(tmp_path):
    oracle = pytest.importorskip("safetensors")
    path = tmp_path / "a.safetensors"
    st.write(path, TENSORS, {"who": "we", "quotes": '"ü"\\'})
    with oracle.safe_open(path, framework="numpy") as file:
        assert file.metadata()["quotes"] == '"ü"\\'
        assert set(file.keys()) == set(TENSORS)
        for name, array in TENSORS.items():
            theirs = file.get_tensor(name)
            assert theirs.dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(theirs, array, strict=False)
            assert theirs.shape == array.shape


def test_we_read_files_of_the_safetensors_package(tmp_path):
    oracle = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "a.safetensors"
    native = {
        name: np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="))
        for name, array in TENSORS.items()
        if array.ndim
    }
    oracle.save_file(native, path, metadata={"who": "they"})
    tensors, metadata = st.read(path, require_checksum=False)
    assert metadata == {"who": "they"}
    assert set(tensors) == set(native)
    for name, array in native.items():
        assert tensors[name].dtype == array.dtype
        assert tensors[name].tobytes() == array.tobytes()
    with pytest.raises(FileFormatError, match="has no checksum"):
        st.read(path)


def test_round_trip_is_exact_and_arrays_are_the_callers_own(tmp_path):
    path = tmp_path / "a.safetensors"
    st.write(path, TENSORS, {"who": "we"})
    tensors, metadata = st.read(path)
    assert metadata["who"] == "we"
    for name, array in TENSORS.items():
        got = tensors[name]
        assert (got.dtype, got.shape) == (array.dtype.newbyteorder("="), array.shape)
        assert got.tobytes() == array.astype(got.dtype).tobytes()
        assert got.flags.writeable
        assert got.flags.aligned
    st.write(tmp_path / "b.safetensors", tensors, metadata)
    assert (tmp_path / "b.safetensors").read_bytes() == path.read_bytes()


def test_same_content_gives_the_same_bytes_in_any_order(tmp_path):
    st.write(tmp_path / "a", TENSORS, {"x": "1", "y": "2"})
    st.write(tmp_path / "b", dict(reversed(TENSORS.items())), {"y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_header_is_padded_and_data_are_aligned(tmp_path):
    for n in range(8):
        st.write(tmp_path / str(n), {"a": np.ones(3, np.float32), "b": np.ones(1)}, {"x": "y" * n})
        content = (tmp_path / str(n)).read_bytes()
        length = int.from_bytes(content[:8], "little")
        assert length % 8 == 0
        header = json.loads(content[8 : 8 + length])
        assert header["b"]["data_offsets"] == [0, 8]


def test_a_file_without_tensors(tmp_path):
    st.write(tmp_path / "a", {}, {})
    assert st.read(tmp_path / "a").tensors == {}


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "words"),
    [
        ({"a": np.array(["x"])}, {}, DTypeError, "'a' has the dtype <U1"),
        ({"a": np.array([object()])}, {}, DTypeError, "dtype object"),
        ({"a": np.ones(1, complex)}, {}, DTypeError, "dtype complex128"),
        ({"a": np.ones((1,) * 9)}, {}, OptionError, "9 axes"),
        ({"__metadata__": np.ones(1)}, {}, OptionError, "cannot be called"),
        ({5: np.ones(1)}, {}, OptionError, "cannot be called 5"),
        ({str(i): np.ones(1) for i in range(4097)}, {}, OptionError, "at most 4096 tensors"),
        ({}, {"a": 1}, DTypeError, "must be text"),
        ({}, {"a": "x" * (1 << 20)}, OptionError, "and 1 048 576 are allowed"),
        ({}, {"a": "\ud800"}, OptionError, "not Unicode"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, tensors, metadata, error, words):
    with pytest.raises(error, match=words):
        st.write(tmp_path / "a", tensors, metadata)
    assert_only(tmp_path)


# -- crafted files -------------------------------------------------------------------------------------


def entry(dtype="F32", shape=(2,), offsets=(0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def crafted(path, header: Any, data: bytes = b"\0" * 8, length: int | None = None):
    """Write a file with this header: an object for JSON, or bytes as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_a_sound_crafted_file_is_read(tmp_path):
    tensors, metadata = st.read(crafted(tmp_path / "a", {"w": entry()}), require_checksum=False)
    assert tensors["w"].tolist() == [0.0, 0.0]
    assert metadata == {}


BIG = 1 << 62
CRAFTED: dict[str, tuple[Any, bytes, str]] = {
    "overlapping": ({"a": entry(), "b": entry(offsets=(4, 12))}, b"\0" * 12, "'b' overlaps the tensor 'a'"),
    "the same twice": ({"a": entry(), "b": entry()}, b"\0" * 8, "overlaps"),
    "gap": (
        {"a": entry(), "b": entry(offsets=(12, 20))},
        b"\0" * 20,
        "'b' leaves a gap after the tensor 'a'",
    ),
    "gap at the start": ({"a": entry(offsets=(4, 12))}, b"\0" * 12, "gap after the start"),
    "trailing": ({"a": entry()}, b"\0" * 9, "1 bytes at the end belong to nothing"),
    "missing data": ({"a": entry()}, b"\0" * 7, "the file is truncated"),
    "negative offset": ({"a": entry(offsets=(-8, 0))}, b"", "data_offsets"),
    "reversed offsets": ({"a": entry(offsets=(8, 0))}, b"\0" * 8, "data_offsets"),
    "one offset": ({"a": entry(offsets=(8,))}, b"\0" * 8, "data_offsets"),
    "offsets as floats": ({"a": entry(offsets=(0.0, 8.0))}, b"\0" * 8, "data_offsets"),
    "offsets as bools": ({"a": entry("U8", (1,), (False, True))}, b"\0", "data_offsets"),
    "offsets no list": ({"a": entry(offsets="08")}, b"\0" * 8, "data_offsets"),
    "huge offset": ({"a": entry(shape=(BIG,), offsets=(0, 4 * BIG))}, b"", "more than any memory holds"),
    "overflowing shape": ({"a": entry(shape=(BIG, 4), offsets=(0, 0))}, b"", "more than any memory"),
    "overflow behind a zero": (
        {"a": entry(shape=(0, BIG, BIG), offsets=(0, 0))},
        b"",
        "more than any memory",
    ),
    "wrong size": ({"a": entry(shape=(3,))}, b"\0" * 8, "needs 12 bytes; its data_offsets .* hold 8"),
    "negative shape": ({"a": entry(shape=(-1, -2))}, b"\0" * 8, "shape"),
    "shape as floats": ({"a": entry(shape=(2.0,))}, b"\0" * 8, "shape"),
    "shape no list": ({"a": entry(shape=2)}, b"\0" * 8, "shape"),
    "rank 9": ({"a": entry(shape=(2,) + (1,) * 8)}, b"\0" * 8, "at most 8"),
    "unknown dtype": ({"a": entry(dtype="BF16")}, b"\0" * 8, "dtype 'BF16'"),
    "dtype no text": ({"a": entry(dtype=["F32"])}, b"\0" * 8, "dtype"),
    "bool of 2": ({"a": entry("BOOL", (8,))}, b"\2" * 8, "other than 0 and 1"),
    "field missing": ({"a": {"dtype": "F32", "shape": [2]}}, b"\0" * 8, "not described by"),
    "field too many": ({"a": {**entry(), "x": 1}}, b"\0" * 8, "not described by"),
    "entry no object": ({"a": [1, 2]}, b"\0" * 8, "not described by"),
    "metadata no text": ({"__metadata__": {"a": 1}}, b"", "not text by name"),
    "metadata no object": ({"__metadata__": ["a"]}, b"", "not text by name"),
    "too many tensors": (
        {str(i): entry(shape=(0,), offsets=(0, 0)) for i in range(4097)},
        b"",
        "at most 4096",
    ),
    "duplicate name": (b'{"a":{},"a":{}}', b"", "the key 'a' occurs twice"),
    "duplicate field": (b'{"a":{"dtype":"F32","dtype":"F32"}}', b"", "the key 'dtype' occurs twice"),
    "duplicate metadata": (b'{"__metadata__":{"x":"1","x":"2"}}', b"", "the key 'x' occurs twice"),
    "NaN": (b'{"a":NaN}', b"", "NaN is no JSON number"),
    "infinite": (b'{"a":1e999}', b"", "too large"),
    "endless digits": (b'{"a":' + b"9" * 5000 + b"}", b"", "not sound JSON"),
    "deep lists": (b'{"a":' + b"[" * 500_000, b"", "nested too deeply"),
    "deep objects": (b'{"a":' * 200_000, b"", "nested too deeply"),
    "not UTF-8": (b'{"\xff":1}', b"", "not sound JSON"),
    "cut JSON": (b'{"a":', b"", "not sound JSON"),
    "two objects": (b"{}{}", b"", "not sound JSON"),
    "a list": (b"[]", b"", "not a safetensors file"),
    "an empty header": (b"", b"", "not sound JSON"),
    "leading space": (b" {}", b"", "no JSON header"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_files_are_refused(tmp_path, name):
    header, data, words = CRAFTED[name]
    path = crafted(tmp_path / "a.safetensors", header, data)
    with pytest.raises(FileFormatError, match=words) as caught:
        st.read(path, require_checksum=False)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("length", [(1 << 20) + 1, 1 << 63, (1 << 64) - 1])
def test_a_huge_header_is_refused_before_it_is_read(tmp_path, length):
    with pytest.raises(FileFormatError, match=f"promise a header of {length} bytes"):
        st.read(crafted(tmp_path / "a", {}, length=length))


def test_lone_surrogates_in_metadata_are_not_ours(tmp_path):
    path = crafted(tmp_path / "a", b'{"__metadata__":{"sha256":"\\ud800"}}', b"")
    with pytest.raises(FileFormatError, match="altered"):
        st.read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"{}", "holds 2 bytes, too few"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 90, "not a safetensors file .it looks like a PNG image"),
        (b"PK\x03\x04\x14\x00\x00\x00\x00\x00", "zip archive"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "NumPy .npy"),
        (b"a,b,c\n1,2,3\n", "it looks like text"),
        (b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02hi\x94.", "a Python pickle"),
        (b"\x10\0\0\0\0\0\0\0" + b"\0" * 16, "no JSON header"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path, content, words):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (st.read, io.load_model, io.verify):
        with pytest.raises(FileFormatError, match=words):
            read(path)


# -- golden bytes --------------------------------------------------------------------------------------

GOLDEN_HEADER = (
    b'{"1.W":{"data_offsets":[8,16],"dtype":"F32","shape":[1,2]},'
    b'"1.b":{"data_offsets":[16,20],"dtype":"F32","shape":[1]},'
    b'"2.beta":{"data_offsets":[20,24],"dtype":"F32","shape":[1]},'
    b'"2.gamma":{"data_offsets":[24,28],"dtype":"F32","shape":[1]},'
    b'"__metadata__":{"architecture":"{'
    b'\\"cost\\":{\\"kind\\":\\"cost\\",\\"name\\":\\"quadratic\\"},\\"layers\\":['
    b'{\\"activation\\":{\\"kind\\":\\"activation\\",\\"name\\":\\"sigmoid\\"},\\"bias\\":true,'
    b'\\"bias_initializer\\":null,\\"initializer\\":null,\\"kind\\":\\"layer\\",\\"n_in\\":2,\\"n_out\\":1,'
    b'\\"name\\":\\"dense\\"},'
    b'{\\"epsilon\\":1e-05,\\"kind\\":\\"layer\\",\\"momentum\\":0.9,\\"name\\":\\"batch_norm\\",\\"size\\":1}]}",'
    b'"clearprop_version":"0.1.0","dtype":"float32","extra":"{\\"labels\\":[\\"no\\",\\"yes\\"]}",'
    b'"format":"clearprop","format_version":"1","numpy_version":"2.0.0","python_version":"3.11.0",'
    b'"sha256":"8882f3af140f9735264ec8669c6c2038eee3f01c717f84fde2619e1cf90d3c3f"},'
    b'"buffers.2.running_mean":{"data_offsets":[28,32],"dtype":"F32","shape":[1]},'
    b'"buffers.2.running_variance":{"data_offsets":[32,36],"dtype":"F32","shape":[1]},'
    b'"extra.mean":{"data_offsets":[0,8],"dtype":"F64","shape":[1]}} '
)
GOLDEN_DATA = (
    "9a9999999999b93f"  # extra.mean: 0.1
    "0000803f000000c0"  # 1.W: 1, -2
    "0000003f"  # 1.b: 0.5
    "00000000"  # 2.beta: 0
    "0000803f"  # 2.gamma: 1
    "0000803e"  # buffers.2.running_mean: 0.25
    "00008040"  # buffers.2.running_variance: 4
)
GOLDEN = bytes.fromhex("4004000000000000") + GOLDEN_HEADER + bytes.fromhex(GOLDEN_DATA)


def test_golden_bytes(model_path):
    assert model_path.read_bytes() == GOLDEN


def test_golden_bytes_are_read(tmp_path):
    path = tmp_path / "golden.safetensors"
    path.write_bytes(GOLDEN)
    loaded = io.load_model(path)
    assert loaded.model == small()["model"]
    assert loaded.theta.tolist() == [1.0, -2.0, 0.5, 1.0, 0.0]
    assert loaded.buffers.tolist() == [0.25, 4.0]
    assert loaded.extra == {"labels": ["no", "yes"]}
    assert loaded.extra_tensors["mean"].tolist() == [0.1]
    assert loaded.versions == VERSIONS


def test_the_checksum_is_what_the_documentation_says():
    stated = io.FORMAT_VERSION == 1 and GOLDEN_HEADER.split(b'"sha256":"')[1][:64]
    assert hashlib.sha256(GOLDEN.replace(stated, b"0" * 64)).hexdigest() == stated.decode()


# -- model files ---------------------------------------------------------------------------------------


def assert_same(loaded: io.LoadedModel, content: dict[str, Any]):
    assert loaded.model == content["model"]
    for name in ("theta", "buffers"):
        got, wanted = getattr(loaded, name), content[name]
        assert got.dtype == content["theta"].dtype
        assert got.tobytes() == wanted.tobytes()
        assert got.flags.writeable
        assert got.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_round_trip_of_architectures(tmp_path, name, dtype):
    content = make(*NETS[name], dtype=dtype)
    io.save_model(tmp_path / "a", **content)
    loaded = io.load_model(tmp_path / "a")
    assert_same(loaded, content)
    X = np.random.default_rng(3).normal(size=(5, 4)).astype(dtype)
    outputs = []
    for model, theta, buffers in (content.values(), (loaded.model, loaded.theta, loaded.buffers)):
        state, a = State(model, theta, buffers), X
        for layer, params, own in zip(model.layers, state.params, state.buffer_tree, strict=True):
            a = layer.forward(a, params, own).a
        outputs.append(a)
    assert outputs[0].tobytes() == outputs[1].tobytes()
    io.save_model(tmp_path / "b", model=loaded.model, theta=loaded.theta, buffers=loaded.buffers)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def chains_of_registered_things():
    for name in activations:
        yield f"activation-{name}", [Dense(2, name)], "quadratic"
    for name in initializers:
        yield f"initializer-{name}", [Dense(2, initializer=name)], "quadratic"
    for name in costs:
        yield f"cost-{name}", [Dense(2)], name
    for name in layers:
        needs = {
            "dense": {"n_out": 2},
            "residual": {"body": [Dense(4)]},
            "concatenate": {"branches": [[], []]},
        }
        yield f"layer-{name}", [layers[name](**needs.get(name, {}))], "quadratic"


REGISTERED = {name: (chain, cost) for name, chain, cost in chains_of_registered_things()}


@pytest.mark.parametrize("name", REGISTERED)
def test_round_trip_of_everything_registered(tmp_path, name):
    chain, cost = REGISTERED[name]
    content = make(4, chain, cost)
    io.save_model(tmp_path / "a", **content)
    assert_same(io.load_model(tmp_path / "a"), content)


def test_tensors_are_named_by_address_for_other_tools(tmp_path):
    oracle = pytest.importorskip("safetensors.numpy")
    content = make(*NETS["nested"])
    io.save_model(tmp_path / "a", **content, extra_tensors={"mean": np.ones(4)})
    tensors = oracle.load_file(tmp_path / "a")
    model = content["model"]
    names = {e.address for e in model.layout.entries}
    names |= {f"buffers.{e.address}" for e in model.buffer_layout.entries} | {"extra.mean"}
    assert set(tensors) == names
    assert "1.body.2.body.2.branch1.1.alpha" in names
    for e in model.layout.entries:
        assert tensors[e.address].tobytes() == content["theta"][e.block].tobytes()
        assert tensors[e.address].shape == e.shape


def test_extra_data_come_back_exactly(tmp_path):
    extra = {
        "floats": [0.1, 1 / 3, 5e-324, -0.0, 1e308, 2.0**-1074],
        "whole": [0, -5, 10**30, True, None],
        "text": ["", "ü\n\"'\\", "\x00", "\ud800", "日本"],
        "nested": {"a": {"b": [[], {}]}},
    }
    tensors = {"scale": np.array([[np.pi, np.nan, np.inf]]), "mask": np.array([True, False])}
    io.save_model(tmp_path / "a", **small(), extra=extra, extra_tensors=tensors)
    loaded = io.load_model(tmp_path / "a")
    assert repr(loaded.extra) == repr({key: extra[key] for key in sorted(extra)})
    assert loaded.extra_tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        assert loaded.extra_tensors[name].dtype == array.dtype
        assert loaded.extra_tensors[name].tobytes() == array.tobytes()


def test_numpy_scalars_and_tuples_become_plain_data(tmp_path):
    extra = {"labels": (np.int64(3), np.str_("x"), np.float32(0.1), np.bool_(True))}
    io.save_model(tmp_path / "a", **small(), extra=extra)
    assert io.load_model(tmp_path / "a").extra == {"labels": [3, "x", float(np.float32(0.1)), True]}


def itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("extra", "error", "words"),
    [
        ({"a": [1.0, float("nan")]}, OptionError, r"extra\['a'\]\[1\] is nan"),
        ({"a": np.float32("inf")}, OptionError, r"extra\['a'\] is inf"),
        ({"a": np.ones(2)}, DTypeError, "Arrays go into extra_tensors"),
        ({"a": {1: 2}}, DTypeError, r"extra\['a'\] has the key 1"),
        ({"a": {1, 2}}, DTypeError, "is a set"),
        ({"a": b"x"}, DTypeError, "is a bytes"),
        ({"a": np.datetime64("2020-01-01")}, DTypeError, "datetime64"),
        ({"a": np.timedelta64(1, "s")}, DTypeError, "timedelta64"),
        ({"a": itself()}, OptionError, "contains itself"),
    ],
)
def test_extra_data_that_no_file_can_hold_are_refused(tmp_path, extra, error, words):
    with pytest.raises(error, match=words):
        io.save_model(tmp_path / "a", **small(), extra=extra)
    assert_only(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"theta": np.zeros(4, np.float32)},
            ShapeError,
            r"theta has shape \(4,\); this network needs \(5,\)",
        ),
        ({"theta": np.zeros((5, 1), np.float32)}, ShapeError, "theta has shape"),
        ({"buffers": np.zeros(3, np.float32)}, ShapeError, "buffers has shape"),
        ({"theta": np.zeros(5, np.float16)}, DTypeError, "theta has dtype float16"),
        ({"theta": np.zeros(5, int)}, DTypeError, "theta has dtype int64"),
        ({"buffers": np.zeros(2)}, DTypeError, "buffers has dtype float64 and theta float32"),
        ({"extra_tensors": {"": np.ones(1)}}, OptionError, "called ''"),
        ({"extra_tensors": {"a": np.array(["x"])}}, DTypeError, "'extra.a' has the dtype"),
        ({"model": Model((Dense(2),), costs.make("mse"))}, OptionError, r"layers\[1\] has the size None"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, error, words):
    with pytest.raises(error, match=words):
        io.save_model(tmp_path / "a", **(small() | change))
    assert_only(tmp_path)


def test_a_view_of_a_larger_array_is_saved_as_it_reads(tmp_path):
    content = small()
    content["theta"] = np.repeat(content["theta"], 2)[::2]
    io.save_model(tmp_path / "a", **content)
    np.testing.assert_array_equal(io.load_model(tmp_path / "a").theta, content["theta"])


def test_verify_summarises_without_building_the_network(tmp_path, model_path):
    summary = io.verify(model_path)
    assert (summary.format_version, summary.versions, summary.dtype) == (1, VERSIONS, "float32")
    assert summary.parameters == 5
    assert summary.tensors["1.W"] == ("F32", (1, 2))
    assert [layer["name"] for layer in summary.architecture["layers"]] == ["dense", "batch_norm"]
    assert summary.extra == {"labels": ["no", "yes"]}
    assert summary.sha256 == "8882f3af140f9735264ec8669c6c2038eee3f01c717f84fde2619e1cf90d3c3f"
    io.save_model(tmp_path / "own", **make(2, [Dense(1, Cube())]))
    assert io.verify(tmp_path / "own").parameters == 3


def test_running_versions_are_recorded(tmp_path):
    io.save_model(tmp_path / "a", **small())
    versions = io.load_model(tmp_path / "a").versions
    assert versions["numpy"] == np.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["clearprop"]


# -- the user's own classes ----------------------------------------------------------------------------


def own_net() -> dict[str, Any]:
    chain = [
        Wider(3, Cube(0.5), initializer=Ones(), marks=((1, "a"), (2, "b"))),
        Residual([Dense(3, per_neuron([Cube(2.0), "relu", Cube(3.0)]))]),
        Dense(2),
    ]
    return make(4, chain, Distance())


@pytest.mark.parametrize(
    "custom", [[Cube, Distance, Ones, Wider], (Cube(9.0), Distance(), Ones(), Wider(7, "relu"))]
)
def test_own_classes_are_passed_in_as_classes_or_objects(tmp_path, custom):
    content = own_net()
    io.save_model(tmp_path / "a", **content)
    assert_same(io.load_model(tmp_path / "a", custom=custom), content)
    assert "cube" not in activations
    with pytest.raises(FileFormatError):  # they served that one call
        io.load_model(tmp_path / "a")


def test_an_unknown_name_says_what_to_pass(tmp_path):
    io.save_model(tmp_path / "a", **make(2, [Dense(1, Cube())]))
    with pytest.raises(FileFormatError) as caught:
        io.load_model(tmp_path / "a")
    assert str(caught.value) == (
        f"{tmp_path / 'a'} uses the activation 'cube', which is not registered here; "
        "pass it in: load(path, custom=[Cube()])."
    )


@pytest.mark.parametrize("custom", [["cube"], [int], [3], {"cube": Cube}])
def test_custom_must_hold_descriptions(model_path, custom):
    with pytest.raises(DTypeError, match="custom holds"):
        io.load_model(model_path, custom=custom)


def test_custom_cannot_replace_what_is_registered(model_path):
    with pytest.raises(
        OptionError, match="Impostor and CrossEntropy are both called the cost 'cross_entropy'"
    ):
        io.load_model(model_path, custom=[Impostor])


def test_an_inherited_name_is_not_saved_as_the_registered_thing(tmp_path):
    with pytest.raises(OptionError, match="Impostor cannot be saved under its name 'cross_entropy'"):
        io.save_model(tmp_path / "a", **make(2, [Dense(2, "softmax")], Impostor()))


def test_two_classes_of_one_name_are_not_saved(tmp_path):
    @dataclass(frozen=True)
    class OtherCube(Cube):
        pass

    with pytest.raises(OptionError, match="OtherCube and Cube are both called"):
        io.save_model(tmp_path / "a", **make(2, [Dense(2, Cube()), Dense(1, OtherCube())]))


def test_a_class_that_changes_its_options_is_not_saved(tmp_path):
    @dataclass(frozen=True)
    class Doubling(Cube):
        name = "doubling"

        def __post_init__(self):
            object.__setattr__(self, "scale", 2 * self.scale)

    with pytest.raises(OptionError, match="changes the options"):
        io.save_model(tmp_path / "a", **make(2, [Dense(1, Doubling())]))


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (float("inf"), "scale of activation 'cube' is inf"),
        (np.ones(2), "is a ndarray"),
        ({}, "is a dictionary"),
    ],
)
def test_an_option_that_is_no_plain_data_is_not_saved(tmp_path, scale, words):
    with pytest.raises(ClearpropError, match=words):
        io.save_model(tmp_path / "a", **make(2, [Dense(1, Cube(scale))]))


def test_a_newer_option_with_a_default_does_not_break_old_files(tmp_path, monkeypatch):
    """A file that lacks an option of today is read with the default."""
    path = tmp_path / "a"
    io.save_model(path, **small())

    def forget_bias(metadata, tensors):
        architecture = json.loads(metadata["architecture"])
        del architecture["layers"][0]["bias"]
        metadata["architecture"] = json.dumps(architecture)

    assert io.load_model(resaved(path, forget_bias)).model == small()["model"]


# -- damage --------------------------------------------------------------------------------------------


def test_every_truncation_is_refused(model_path):
    content = model_path.read_bytes()
    for length in range(len(content)):
        model_path.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=r"truncated|empty"):
            io.load_model(model_path)


def test_every_flipped_bit_is_refused(model_path):
    content = bytearray(model_path.read_bytes())
    with open(model_path, "r+b", buffering=0) as file:
        for i in range(len(content)):
            for bit in range(8):
                file.seek(i)
                file.write(bytes([content[i] ^ 1 << bit]))
                with pytest.raises(FileFormatError):
                    io.load_model(model_path)
            file.seek(i)
            file.write(content[i : i + 1])
    assert_same(io.load_model(model_path), small())


def test_truncated_says_how_many_bytes(model_path):
    model_path.write_bytes(GOLDEN[:-10])
    with pytest.raises(
        FileFormatError, match="holds 1 122 bytes, its header promises 1 132: the file is trunc"
    ):
        io.load_model(model_path)
    model_path.write_bytes(GOLDEN[:500])
    with pytest.raises(FileFormatError, match="holds 500 bytes, its header alone takes 1 096"):
        io.load_model(model_path)


def test_altered_and_appended_are_told_apart(model_path):
    model_path.write_bytes(GOLDEN[:-1] + b"\x41")
    with pytest.raises(
        FileFormatError, match=r"has been altered: its content has the checksum .*, it states 8882f3"
    ):
        io.load_model(model_path)
    with pytest.raises(FileFormatError, match="altered"):  # a checksum that is there counts
        st.read(model_path, require_checksum=False)
    model_path.write_bytes(GOLDEN + b"\0\0")
    with pytest.raises(FileFormatError, match="2 bytes at the end"):
        io.load_model(model_path)


def test_a_respelled_header_is_refused(model_path):
    """The same JSON with one space more: not the bytes that the checksum covers."""
    header = GOLDEN_HEADER.rstrip().replace(b'{"1.W":', b'{"1.W": ')
    assert len(header) == len(GOLDEN_HEADER)
    model_path.write_bytes(GOLDEN.replace(GOLDEN_HEADER, header))
    with pytest.raises(FileFormatError, match="its header is not as clearprop writes it"):
        io.load_model(model_path)


def resaved(path, change):
    """Change the metadata and the tensors of a model file and save it with a right checksum."""
    tensors, metadata = st.read(path)
    change(metadata, tensors)
    st.write(path, tensors, metadata, overwrite=True)
    return path


def setting(key, value):
    return lambda metadata, tensors: metadata.__setitem__(key, value)


def without(key):
    return lambda metadata, tensors: metadata.pop(key)


def tensor(name, value):
    return lambda metadata, tensors: tensors.__setitem__(name, value)


def lacking(name):
    return lambda metadata, tensors: tensors.pop(name)


def nested(depth: int) -> str:
    layer = '{"kind":"layer","name":"activation","activation":{"kind":"activation","name":"relu"},"size":2}'
    residual = '{"kind":"layer","name":"residual","n_in":2,"shortcut":[],"body":['
    return (
        f'{{"cost":{{"kind":"cost","name":"quadratic"}},"layers":[{residual * depth}{layer}{"]}" * depth}]}}'
    )


def architecture(layer: dict[str, Any] | None = None, cost: Any = None, **options: Any) -> str:
    """Return the architecture of the golden file with its first layer or cost changed."""
    relu = {"kind": "activation", "name": "sigmoid"}
    dense = {"kind": "layer", "name": "dense", "n_in": 2, "n_out": 1, "activation": relu} | options
    norm = {"kind": "layer", "name": "batch_norm", "size": 1}
    quadratic = {"kind": "cost", "name": "quadratic"}
    return json.dumps({"layers": [layer or dense, norm], "cost": cost or quadratic})


def bomb(counts: int) -> dict[str, Any]:
    relu = {"kind": "activation", "name": "relu"}
    return {"kind": "activation", "name": "per_neuron", "choices": [relu], "counts": [counts], "repeat": True}


UNSOUND = {
    "another format": (setting("format", "pt"), "holds no clearprop network"),
    "no format": (without("format"), "holds no clearprop network"),
    "newer": (
        setting("format_version", "2"),
        "format version '2', written by clearprop 0.1.0.* Update clearprop",
    ),
    "no version": (without("format_version"), "format version ''"),
    "no architecture": (without("architecture"), "metadata lack 'architecture'"),
    "no extra": (without("extra"), "metadata lack 'extra'"),
    "extra a list": (setting("extra", "[]"), "not by name"),
    "extra NaN": (setting("extra", '{"a":NaN}'), "NaN is no JSON number"),
    "extra deep": (setting("extra", "[" * 100_000), "nested too deeply"),
    "bad JSON": (setting("architecture", "{"), "architecture is not sound JSON"),
    "duplicate": (setting("architecture", '{"layers":[],"layers":[]}'), "occurs twice"),
    "no layers": (setting("architecture", '{"cost":{}}'), "not a list of layers and a cost"),
    "empty layers": (
        setting("architecture", '{"cost":{"kind":"cost","name":"quadratic"},"layers":[]}'),
        "no layers",
    ),
    "architecture a list": (setting("architecture", "[]"), "not a list of layers and a cost"),
    "deep layers": (setting("architecture", nested(2000)), "nested too deeply"),
    "dtype": (setting("dtype", "float16"), "its dtype is 'float16'"),
    "another dtype": (setting("dtype", "float64"), "tensor '1.W' is float32 of shape .*; .* needs float64"),
    "missing tensor": (lacking("1.b"), r"lacks the tensor '1.b' of layers\[1\]"),
    "missing buffer": (lacking("buffers.2.running_mean"), "lacks the tensor 'buffers.2.running_mean'"),
    "unexpected tensor": (tensor("3.W", np.ones(1)), "holds a tensor '3.W' that its architecture has not"),
    "transposed": (tensor("1.W", np.ones((2, 1), np.float32)), r"shape \(2, 1\); layers\[1\] needs"),
    "doubles": (tensor("1.W", np.ones((1, 2))), "is float64 of shape"),
    "cost as layer": (
        setting("architecture", architecture({"kind": "cost", "name": "mse"})),
        "a layer belongs",
    ),
    "layer as cost": (
        setting("architecture", architecture(cost={"kind": "layer", "name": "dense"})),
        "a cost belongs",
    ),
    "a name alone": (setting("architecture", architecture(cost="quadratic")), "describes data where a cost"),
    "no kind": (setting("architecture", architecture({"name": "dense"})), "of the kind 'None'"),
    "kind a list": (setting("architecture", architecture({"kind": [], "name": "x"})), "of the kind"),
    "name a list": (setting("architecture", architecture({"kind": "layer", "name": []})), "and the name"),
    "a module": (
        setting("architecture", architecture(activation={"kind": "os", "name": "system"})),
        "of the kind 'os'",
    ),
    "unknown layer": (
        setting("architecture", architecture({"kind": "layer", "name": "my_conv"})),
        r"uses the layer 'my_conv', .*custom=\[MyConv\(\)\]",
    ),
    "wrong kind inside": (
        setting("architecture", architecture(activation={"kind": "cost", "name": "quadratic"})),
        "describes the layer 'dense' wrongly",
    ),
    "unknown option": (setting("architecture", architecture(colour="red")), "'colour'"),
    "private option": (setting("architecture", architecture(__class__="x")), "__class__"),
    "option of another type": (setting("architecture", architecture(n_out="one")), "n_out of Dense"),
    "size 0": (setting("architecture", architecture(n_out=0)), "n_out of Dense"),
    "size left out": (setting("architecture", architecture(n_in=None)), "has the size None"),
    "size true": (
        setting("architecture", architecture({"kind": "layer", "name": "dropout", "size": True})),
        "size of Dropout must be a whole number >= 1. Got True",
    ),
    "negative size": (
        setting("architecture", architecture({"kind": "layer", "name": "dropout", "size": -1})),
        "size of Dropout must be a whole number >= 1. Got -1",
    ),
    "sizes that differ": (setting("architecture", architecture(n_out=3)), "expects 1 inputs"),
    "a network of the size of the world": (setting("architecture", architecture(n_out=10**30)), "neurons"),
    "a bomb of counts": (setting("architecture", architecture(activation=bomb(10**12))), "neurons"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_model_files_are_refused(model_path, name):
    change, words = UNSOUND[name]
    with pytest.raises(FileFormatError, match=words) as caught:
        io.load_model(resaved(model_path, change))
    assert str(model_path) in str(caught.value)


def test_the_architecture_that_the_unsound_ones_vary_is_sound(model_path):
    assert_same(io.load_model(resaved(model_path, setting("architecture", architecture()))), small())


# -- reading files -------------------------------------------------------------------------------------


def test_a_missing_file_suggests_its_neighbour(tmp_path, model_path):
    for read in (st.read, io.load_model, io.verify):
        with pytest.raises(FileNotFoundError, match=r"Did you mean 'model\.safetensors'") as caught:
            read(tmp_path / "modle.safetensors")
        assert isinstance(caught.value, ClearpropError)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        io.load_model(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        io.load_model(model_path / "inside a file")


def test_a_folder_and_a_device_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match="is a folder"):
        io.load_model(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileFormatError, match="is a pipe or a device"):
            io.load_model(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["", "a\0b", b"bytes", 5, None])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ClearpropError, match="a path must be"):
        io.load_model(path)
    with pytest.raises(ClearpropError, match="a path must be"):
        io.replace_file(path, b"")


def test_an_unreadable_file_is_named(model_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(io.UnreadableFileError, match=r"model.safetensors cannot be read: Permission denied"):
        io.load_model(model_path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(model_path, monkeypatch):
    """Its size is asked first; what is then missing must not pass as data."""
    true_fstat = os.fstat

    def as_if_whole(descriptor):
        return os.stat_result((*true_fstat(descriptor)[:6], len(GOLDEN), 0, 0, 0))

    model_path.write_bytes(GOLDEN[:-4])
    monkeypatch.setattr(os, "fstat", as_if_whole)
    with pytest.raises(FileFormatError):
        io.load_model(model_path)


AUDIT = """
import sys
from clearprop import io
seen = []
def watch(event, args):
    if event.split(".")[0] in {"import", "exec", "compile", "open", "os", "subprocess", "pickle", "ctypes",
                               "marshal", "code", "socket", "shutil", "builtins", "cpython", "glob", "sys"}:
        seen.append((event, str(args[0]) if args else ""))
sys.addaudithook(watch)
ACT
for event, what in list(seen):
    print(event, what)
"""


def events_of(action: str, path) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", AUDIT.replace("ACT", action), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_loading_opens_the_file_and_does_nothing_else(tmp_path):
    path = tmp_path / "a"
    io.save_model(path, **make(*NETS["nested"]), extra={"labels": ["a"]}, extra_tensors={"mean": np.ones(4)})
    assert events_of("io.load_model(sys.argv[1])", path) == [f"open {path}"]


def test_the_audit_would_see_an_import_and_an_evaluation(tmp_path):
    events = events_of("import colorsys; eval('1')", tmp_path)
    assert "import colorsys" in events
    assert any(event.startswith("exec") for event in events)


# -- writing files -------------------------------------------------------------------------------------


def test_nothing_is_overwritten_unasked(model_path):
    with pytest.raises(
        WouldOverwriteError, match=r"exists. Pass overwrite=True \(or --force\) to replace it."
    ):
        save_small(model_path)
    with pytest.raises(FileExistsError):
        io.replace_text(model_path, "x")
    assert model_path.read_bytes() == GOLDEN
    io.save_model(model_path, **make(*NETS["nielsen"]), overwrite=True)
    assert model_path.read_bytes() != GOLDEN
    assert_only(model_path.parent, model_path.name)


def test_text_is_written_as_utf_8_with_its_own_line_ends(tmp_path):
    io.replace_text(tmp_path / "a.txt", "ü\nx\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xbc\nx\r\n"


def test_chunks_of_every_kind(tmp_path):
    io.replace_file(str(tmp_path / "a"), (chunk for chunk in (b"a", bytearray(b"b"), memoryview(b"c"))))
    assert (tmp_path / "a").read_bytes() == b"abc"
    io.replace_file(tmp_path / "b", bytearray(b"xy"))
    assert (tmp_path / "b").read_bytes() == b"xy"


def fail(error):
    def raiser(*args, **options):
        raise error

    return raiser


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("call", ["fsync", "replace or link"])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), MemoryError()])
def test_a_failure_leaves_everything_as_it_was(tmp_path, monkeypatch, overwrite, call, error):
    path = tmp_path / "a"
    before = []
    if overwrite:
        path.write_bytes(b"old")
        before = ["a"]
    name = call if call == "fsync" else ("replace" if overwrite else "link")
    monkeypatch.setattr(os, name, fail(error))
    expected = io.UnwritableFileError if error is FULL else type(error)
    with pytest.raises(expected) as caught:
        io.replace_file(path, b"new", overwrite=overwrite)
    if error is FULL:
        assert "a cannot be written: No space left on device. Nothing was changed." in str(caught.value)
    assert_only(tmp_path, *before)
    assert not overwrite or path.read_bytes() == b"old"


def test_a_failing_source_leaves_everything_as_it_was(tmp_path):
    def chunks():
        yield b"half"
        raise ZeroDivisionError

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        io.replace_file(tmp_path / "a", chunks(), overwrite=True)
    assert_only(tmp_path, "a")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "a"

    def chunks():
        yield b"mine"
        path.write_bytes(b"theirs")

    with pytest.raises(WouldOverwriteError):
        io.replace_file(path, chunks())
    assert path.read_bytes() == b"theirs"
    assert_only(tmp_path, "a")


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", fail(PermissionError(errno.EPERM, "Operation not permitted")))
    io.replace_file(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
    assert_only(tmp_path, "a")

    def chunks():
        yield b"mine"
        (tmp_path / "b").write_bytes(b"theirs")

    with pytest.raises(WouldOverwriteError):
        io.replace_file(tmp_path / "b", chunks())
    assert (tmp_path / "b").read_bytes() == b"theirs"


@pytest.mark.skipif(not POSIX, reason="Windows syncs no folders")
def test_file_and_folder_are_synced_in_order(tmp_path, monkeypatch):
    calls = []

    def note(name, real):
        def noted(*args, **options):
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            calls.append("fsync folder" if is_folder else name)
            return real(*args, **options)

        monkeypatch.setattr(os, name, noted)

    for name in ("fsync", "replace", "link"):
        note(name, getattr(os, name))
    io.replace_file(tmp_path / "a", b"x")
    io.replace_file(tmp_path / "a", b"y", overwrite=True)
    assert calls == ["fsync", "link", "fsync folder", "fsync", "replace", "fsync folder"]


@pytest.mark.skipif(not POSIX, reason="Windows syncs no folders")
@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch, number, fails):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with pytest.raises(io.UnwritableFileError, match="its folder cannot be synced"):
            io.replace_file(tmp_path / "a", b"x")
    else:
        io.replace_file(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


@pytest.mark.skipif(not POSIX, reason="permission bits of POSIX")
def test_permissions_follow_the_umask_and_a_replaced_file(tmp_path):
    old = os.umask(0o027)
    try:
        io.replace_file(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o640
    os.chmod(tmp_path / "a", 0o600)
    io.replace_file(tmp_path / "a", b"y", overwrite=True)
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o600


@pytest.mark.skipif(not POSIX, reason="symbolic links need rights on Windows")
def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a")
    io.replace_file(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "a").read_bytes() == b"x"
    with pytest.raises(WouldOverwriteError):
        io.replace_file(tmp_path / "link", b"y")


def test_no_folder_and_no_file_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere\. Make it first\."):
        io.replace_file(tmp_path / "nowhere" / "a", b"x")
    with pytest.raises(io.UnwritableFileError, match="is a folder"):
        io.replace_file(tmp_path, b"x", overwrite=True)
    with pytest.raises(OSError, match="cannot be written"):
        io.replace_file(tmp_path / ("x" * 300), b"x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(io.UnwritableFileError, match="is a pipe or a device"):
        io.replace_file(tmp_path / "pipe", b"x", overwrite=True)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


FILE_SIZE_LIMIT = """
import resource, sys
import numpy as np
from clearprop.io import UnwritableFileError, safetensors
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    safetensors.write(sys.argv[1], {"W": np.ones(100_000)}, {}, overwrite=True)
except UnwritableFileError as error:
    print(error)
"""


@pytest.mark.skipif(not POSIX, reason="needs RLIMIT_FSIZE")
def test_a_file_too_large_for_the_disk_leaves_the_old_one(model_path):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FILE_SIZE_LIMIT, str(model_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert f"{model_path} cannot be written: File too large. Nothing was changed." in run.stdout
    assert_only(model_path.parent, model_path.name)
    assert model_path.read_bytes() == GOLDEN


def test_a_loaded_model_is_frozen(model_path):
    loaded = io.load_model(model_path)
    with pytest.raises(AttributeError):
        loaded.theta = np.zeros(5)
    assert replace(loaded, extra={}).extra == {}
