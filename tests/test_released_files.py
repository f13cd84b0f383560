"""Files that released versions wrote are read by this one, and mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.files import make

import clearprop as cp

HERE = Path(__file__).parent / "files"
VERSIONS = sorted(path.name for path in HERE.iterdir() if path.name.startswith("v"))
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32, and on whatever processor


@pytest.fixture(params=VERSIONS)
def folder(request) -> Path:
    """What one version wrote."""
    return HERE / request.param


@pytest.fixture
def expected(folder):
    """What its files must give."""
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def test_there_are_files_of_some_version() -> None:
    assert "v0.1" in VERSIONS


def test_every_file_is_whole(folder) -> None:
    files = sorted(folder.glob("*.safetensors"))
    assert [path.stem for path in files] == ["checkpoint", "model", "recording"]
    assert all(cp.io.verify(path).format_version == 1 for path in files)


def test_a_model(folder, expected) -> None:
    net = cp.load(folder / "model.safetensors")
    assert net.theta.tolist() == expected["theta"]
    X, _ = make.data()
    np.testing.assert_allclose(net.outputs(X), expected["outputs"], **CLOSE)
    assert net.predict(X).tolist() == expected["predicted"]


def test_a_recording(folder, expected) -> None:
    run = cp.load_recording(
        folder / "recording.safetensors", *make.data(), validation_fraction=0.25, exact=False
    )
    assert len(run.steps) == expected["steps"]
    assert run.theta(expected["steps"]).tolist() == expected["theta"]
    assert run.trace(5)[1].delta.shape == (len(run.batch(5)), 5)


def test_a_checkpoint(folder, expected, tmp_path) -> None:
    net = make.network()
    asked = cp.Checkpoint(tmp_path / "run", exact=False)
    path = folder / "checkpoint.safetensors"
    net.fit(*make.data(), **make.OPTIONS, validation_fraction=0.25, checkpoint=asked, resume=path)
    assert net.history.resumed == [expected["resumed_after"]]
    np.testing.assert_allclose(net.theta, expected["theta"], **CLOSE)
    np.testing.assert_allclose(net.history["cost"], expected["cost"], **CLOSE)
