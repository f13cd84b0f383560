"""Event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import DTypeError, OptionError, UnwritableFileError
from clearprop.interchange.event_file import EventFile

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="TensorBoard is an oracle that need not be installed",
)
X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def network() -> Any:
    return cp.Network([cp.Dense(4, "tanh"), cp.BatchNorm(), cp.Dense(2, "softmax")], n_in=3, seed=0)


def read(folder: Path) -> Any:
    """Return what TensorBoard sees in a folder, nothing left out."""
    sizes = dict.fromkeys(("scalars", "histograms", "tensors"), 0)
    found = accumulator.EventAccumulator(str(folder), size_guidance=sizes)
    found.Reload()
    return found


def scalars(events: Any, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def text(events: Any, tag: str) -> str:
    (event,) = events.Tensors(tag)
    assert events.SummaryMetadata(tag).plugin_data.plugin_name == "text"
    return str(event.tensor_proto.string_val[0].decode())


def test_tensorboard_reads_the_figures_of_every_epoch(tmp_path: Path) -> None:
    board = cp.TensorBoard(tmp_path, gradients_every=1)
    history = network().fit(X, Y, epochs=4, validation_fraction=0.25, l2=0.1, callbacks=[board])
    training, validation = read(tmp_path / "training"), read(tmp_path / "validation")
    for column in ("cost", "accuracy", "eta", "penalty"):
        expected = [(k, np.float32(v)) for k, v in enumerate(history[column], 1)]
        assert scalars(training, column) == expected
    for column in ("cost", "accuracy"):
        expected = [(k, np.float32(v)) for k, v in enumerate(history[f"val_{column}"], 1)]
        assert scalars(validation, column) == expected
    assert set(validation.Tags()["scalars"]) == {"cost", "accuracy"}
    addresses = ("1.W", "1.b", "2.gamma", "2.beta", "3.W", "3.b")
    kinds = ("norm", "gradient")
    figures = {"cost", "accuracy", "eta", "penalty"}
    assert set(training.Tags()["scalars"]) == figures | {f"{k}/{a}" for k in kinds for a in addresses}


def test_norms_are_those_of_the_network(tmp_path: Path) -> None:
    net, seen = network(), []

    class Watch(cp.Callback):
        every = 1

        def on_gradient(self, run: Any, gradient: Any) -> None:
            seen.append(float(np.linalg.norm(gradient[run.model.layout.find("1.W").block])))

    net.fit(X, Y, epochs=2, batch_size=20, callbacks=[cp.TensorBoard(tmp_path, gradients_every=3), Watch()])
    events = read(tmp_path / "training")
    assert scalars(events, "norm/1.W")[-1] == (2, np.float32(np.linalg.norm(net.W[1])))
    assert scalars(events, "gradient/1.W") == [(1, np.float32(seen[2])), (2, np.float32(seen[5]))]


def test_tensorboard_reads_histograms(tmp_path: Path) -> None:
    net = network()
    net.fit(X, Y, epochs=4, callbacks=[cp.TensorBoard(tmp_path, histograms=2, norms=False)])
    events = read(tmp_path / "training")
    assert set(events.Tags()["histograms"]) == {"1.W", "1.b", "2.gamma", "2.beta", "3.W", "3.b"}
    first, last = events.Histograms("1.W")
    assert (first.step, last.step) == (2, 4)
    found, W = last.histogram_value, net.W[1].ravel()
    assert (found.min, found.max, found.num) == (W.min(), W.max(), W.size)
    assert (found.sum, found.sum_squares) == pytest.approx((W.sum(), W @ W))
    counts, edges = np.histogram(W, 30)
    assert (found.bucket, found.bucket_limit) == (counts.tolist(), edges[1:].tolist())
    assert not any("/" in tag for tag in events.Tags()["scalars"])


@pytest.mark.parametrize("value", [0.1, -3.0, 1e17, 0.0, 5e-324])
@pytest.mark.parametrize("units", [0, 1, 5, 40])
def test_values_a_few_units_of_rounding_apart_have_a_histogram(
    value: float, units: int, tmp_path: Path
) -> None:
    values = np.array([value, value + units * np.spacing(abs(value)), value])
    file = EventFile(tmp_path)
    file.histogram("close", values, 1)
    file.close()
    (found,) = read(tmp_path).Histograms("close")
    histogram = found.histogram_value
    assert sum(histogram.bucket) == 3
    assert np.all(np.diff(histogram.bucket_limit) > 0)


def test_tensorboard_reads_the_architecture(tmp_path: Path) -> None:
    net = network()
    net.fit(X, Y, epochs=1, optimizer=cp.Adam(0.01), callbacks=[cp.TensorBoard(tmp_path)])
    events = read(tmp_path / "training")
    assert [line[4:] for line in text(events, "architecture").splitlines()] == net.summary().splitlines()
    assert "- optimizer: `Adam(eta=0.01" in text(events, "training")
    assert text(events, "stopped") == "epochs"


def test_a_second_fit_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    net, board = network(), cp.TensorBoard(tmp_path)
    costs = [cost for _ in range(2) for cost in net.fit(X, Y, epochs=2, callbacks=[board])["cost"]]
    assert len(list((tmp_path / "training").iterdir())) == 2
    found = scalars(read(tmp_path / "training"), "cost")
    assert found == [(k, np.float32(cost)) for k, cost in enumerate(costs, 1)]


def test_the_parameters_are_those_of_a_fit_without_it(tmp_path: Path) -> None:
    with_it, without = network(), network()
    with_it.fit(X, Y, epochs=2, callbacks=[cp.TensorBoard(tmp_path, histograms=1, gradients_every=2)])
    without.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(with_it.theta, without.theta)


def test_numbers_of_every_kind_come_back(tmp_path: Path) -> None:
    values = [0.0, -1.5, 1e30, float("inf"), float("-inf"), 1e-40]
    file = EventFile(tmp_path)
    for step, value in enumerate(values):
        file.scalar("größe/ñ", value, step * 2**33 - 1)
    file.scalar("nan", float("nan"), 0)
    file.histogram("odd", [1.0, np.nan, np.inf, 3.0], 0)
    file.histogram("none", [np.nan], 0)
    file.close()
    events = read(tmp_path)
    expected = [(step * 2**33 - 1, np.float32(value)) for step, value in enumerate(values)]
    assert scalars(events, "größe/ñ") == expected
    assert np.isnan(events.Scalars("nan")[0].value)
    assert events.Tags()["histograms"] == ["odd"]
    assert events.Histograms("odd")[0].histogram_value.num == 2


def test_every_flipped_bit_is_noticed_by_the_reader(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    file = EventFile(tmp_path)
    file.scalar("cost", 0.5, 1)
    file.close()
    content = file.path.read_bytes()
    assert len(list(RawEventFileLoader(str(file.path)).Load())) == 2
    for bit in range(0, 8 * len(content), 7):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        file.path.write_bytes(damaged)
        assert len(list(RawEventFileLoader(str(file.path)).Load())) < 2


def test_what_is_written_is_there_before_the_end(tmp_path: Path) -> None:
    class Look(cp.Callback):
        seen = 0

        def on_epoch_end(self, run: Any, row: Any) -> None:
            self.seen = len(scalars(read(tmp_path / "training"), "cost"))
            assert self.seen == run.epoch

    look = Look()
    network().fit(X, Y, epochs=2, callbacks=[cp.TensorBoard(tmp_path), look])
    assert look.seen == 2


def test_the_files_are_closed_when_training_fails(tmp_path: Path) -> None:
    board = cp.TensorBoard(tmp_path)
    with pytest.raises(cp.DivergenceError):
        cp.Network([3, 4, 1], seed=0).fit(1e200 * X, 1e200 * X[:, :1], eta=1e300, callbacks=[board])
    assert text(read(tmp_path / "training"), "stopped") == "failed"
    assert pickle.loads(pickle.dumps(board)).folder == tmp_path


def test_bad_options_are_said(tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="folder of TensorBoard must be the path of a folder"):
        cp.TensorBoard(3)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="histograms of TensorBoard must be a whole number >= 0"):
        cp.TensorBoard("runs", histograms=-1)
    with pytest.raises(DTypeError, match="norms of TensorBoard must be True or False"):
        cp.TensorBoard("runs", norms=1)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("here")
    with pytest.raises(UnwritableFileError, match="event file cannot be written to"):
        network().fit(X, Y, epochs=1, callbacks=[cp.TensorBoard(tmp_path / "file")])
