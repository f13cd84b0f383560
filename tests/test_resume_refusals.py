"""What a run cannot be resumed with, and what it can: one sentence names what differs. Damaged files."""

from __future__ import annotations

import shutil
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.resume_cases import (
    LABELS,
    SHORT,
    WEIGHTS,
    Kill,
    Killed,
    X,
    assert_same,
    deep,
    plain,
    uninterrupted,
)

import clearprop as cp
from clearprop.errors import (
    DataError,
    DTypeError,
    FileFormatError,
    MissingFileError,
    OptionError,
    UnreadableFileError,
    UnsupportedError,
    WouldOverwriteError,
)

EARLY = {"early_stopping": cp.EarlyStopping(patience=3)}


@pytest.fixture
def folder(tmp_path) -> Path:
    """The checkpoints of a run that was killed in its second epoch."""
    stop(tmp_path / "run")
    return tmp_path / "run"


def stop(folder: Path, **options) -> None:
    given = {**SHORT, "checkpoint": cp.Checkpoint(folder, every_steps=1), "callbacks": [Kill(step=9)]}
    with pytest.raises(Killed):
        plain().fit(X, LABELS, **{**given, **EARLY, **options})


def resume(folder: Path, net: cp.Network | None = None, X=X, y=LABELS, **options) -> cp.Network:
    net = plain() if net is None else net
    net.fit(X, y, **{**SHORT, **EARLY, "checkpoint": folder, "resume": True, **options})
    return net


OTHERS = [
    ({"batch_size": 8}, OptionError, "its batch_size was 16, here it is 8"),
    ({"eta": 0.5}, OptionError, "its eta of optimizer was 0.001, here it is 0.5"),
    ({"optimizer": "sgd"}, OptionError, "its optimizer was 'adam', here it is 'sgd'"),
    ({"schedule": "cosine"}, OptionError, "its schedule was None, here it is 'cosine'"),
    ({"l2": 0.1}, OptionError, "its l2 of penalty was 0.0, here it is 0.1"),
    ({"clip_norm": 1.0}, OptionError, "its clip_norm was None, here it is 1.0"),
    ({"shuffle": False}, OptionError, "its shuffle was True, here it is False"),
    ({"drop_last": True}, OptionError, "its drop_last was False, here it is True"),
    ({"groups": {"1": {"rate": 0.1}}}, OptionError, "groups, frozen parameters"),
    ({"metrics": ["f1"]}, OptionError, "its metrics was"),
    ({"early_stopping": cp.EarlyStopping(patience=4)}, OptionError, "its callbacks was"),
    ({"early_stopping": False}, OptionError, "its callbacks was"),
    ({"order": [np.arange(83)] * 4}, OptionError, "its order was 'by the seed', here it is 'of your own'"),
    ({"sample_weight": WEIGHTS}, DataError, "its examples had no weights"),
    ({"X_val": X[:9], "y_val": LABELS[:9]}, DataError, "it had none"),
    ({"validation_fraction": 0.3}, DataError, "it trained on 83 examples, these are 59"),
    ({"engine": "batch"}, UnsupportedError, "its engine was 'native', here it is 'batch'"),
    ({"epochs": 1}, OptionError, "is in epoch 2 already. Give epochs=2 or more"),
]


@pytest.mark.parametrize(("options", "error", "message"), OTHERS, ids=lambda value: str(value)[:40])
def test_another_option_is_refused_and_the_network_left_alone(folder, options, error, message) -> None:
    net = plain()
    before = net.theta.copy()
    kept = sorted(folder.iterdir())
    with pytest.raises(error, match=message):
        resume(folder, net, **options)
    assert (net.theta == before).all()
    assert net.history is None
    assert sorted(folder.iterdir()) == kept


def changed_label() -> np.ndarray:
    y = LABELS.copy()
    y[40] = 0
    return y


DATA = [
    ({"X": X + 1e-15 * (np.arange(83) == 5)[:, None]}, "X differs"),
    ({"y": changed_label()}, "y differs"),
    ({"X": X[:-1], "y": LABELS[:-1]}, "it trained on 83 examples, these are 82"),
]


@pytest.mark.parametrize(("data", "message"), DATA)
def test_other_data_are_refused(folder, data, message) -> None:
    with pytest.raises(DataError, match=message):
        resume(folder, **data)


NETWORKS = [
    (lambda: plain(seed=6), "its seed was 5, here it is 6"),
    (lambda: plain(dtype="float32"), "its dtype was 'float64', here it is 'float32'"),
    (lambda: plain().freeze("1"), "groups, frozen parameters"),
    (lambda: deep(), "it has 2 layers, here there are 5"),
    (
        lambda: cp.Network([cp.Dense(6, "relu"), cp.Dense(3, "softmax")], n_in=4, seed=5),
        "layers.1. has the activation 'tanh', here 'relu'",
    ),
    (
        lambda: cp.Network([cp.Dense(6, "tanh"), cp.Dense(3, "softmax")], "quadratic", n_in=4, seed=5),
        "its cost is 'cross_entropy', here 'quadratic'",
    ),
]


@pytest.mark.parametrize(("make", "message"), NETWORKS)
def test_another_network_is_refused(folder, make, message) -> None:
    with pytest.raises(OptionError, match=message):
        resume(folder, make())


def test_what_may_be_another(folder) -> None:
    recorder = cp.FlightRecorder()
    net = resume(folder, epochs=6, time_limit=1e6, callbacks=[cp.Callback(), recorder])
    assert_same(net, uninterrupted(plain, **{**SHORT, **EARLY, "epochs": 6}))
    assert net.history.resumed == [8]
    assert recorder.run.steps.start == 9
    assert recorder.run.theta(len(net.history) * 6).tobytes() == net.theta.tobytes()


def test_a_schedule_that_spreads_over_all_epochs_keeps_their_number(tmp_path) -> None:
    stop(tmp_path / "run", schedule="cosine")
    with pytest.raises(OptionError, match="'cosine' spreads over all 4 epochs"):
        resume(tmp_path / "run", schedule="cosine", epochs=6)
    stop(tmp_path / "steps", schedule=cp.StepDecay(2))
    resume(tmp_path / "steps", schedule=cp.StepDecay(2), epochs=6)


def test_where_the_bits_cannot_be_had_only_the_inexact_goes_on(folder, monkeypatch) -> None:
    monkeypatch.setattr("clearprop.fitting.conditions.__version__", "9.9")
    with pytest.raises(UnsupportedError, match=r"its clearprop was .*exact=False"):
        resume(folder)
    net = resume(folder, checkpoint=cp.Checkpoint(folder, exact=False))
    assert len(net.history) == 4


# The folder --------------------------------------------------------------------------------------


def test_another_runs_checkpoints_are_not_replaced_unasked(folder) -> None:
    with pytest.raises(WouldOverwriteError, match="resume=True"):
        plain().fit(X, LABELS, **SHORT, checkpoint=folder)
    net = plain()
    net.fit(X, LABELS, **SHORT, checkpoint=cp.Checkpoint(folder, overwrite=True))
    assert net.history.resumed == []
    assert len(list(folder.iterdir())) == 2


def test_the_last_two_are_kept_and_no_temporary_file(folder) -> None:
    (folder / ".clearprop-0123.tmp").write_bytes(b"half")
    assert [p.name for p in sorted(folder.glob("check*"))] == [
        "checkpoint-000008.safetensors",
        "checkpoint-000009.safetensors",
    ]
    resume(folder)
    assert len(list(folder.iterdir())) == 2


def test_a_run_goes_on_in_another_folder(folder, tmp_path) -> None:
    net = resume(tmp_path / "new", resume=folder)
    assert_same(net, uninterrupted(plain, **SHORT, **EARLY))
    assert len(list((tmp_path / "new").iterdir())) == 1
    alone = resume(folder, checkpoint=None, resume=sorted(folder.iterdir())[0])
    assert alone.theta.tobytes() == net.theta.tobytes()
    assert alone.history.resumed == [7]


def test_a_checkpoint_is_a_model(folder) -> None:
    net = cp.load(sorted(folder.iterdir())[-1])
    assert net.steps_trained == 8
    assert cp.io.verify(sorted(folder.iterdir())[-1]).parameters == net.n_parameters


MISUSES = [
    ({"resume": True}, OptionError, "Give checkpoint="),
    ({"resume": "nowhere"}, MissingFileError, "no checkpoint in nowhere"),
    ({"resume": "a" * 5000}, UnreadableFileError, "cannot be read"),
    ({"resume": 3}, DTypeError, "resume must be"),
    ({"checkpoint": 3}, DTypeError, "checkpoint must be"),
    ({"checkpoint": "no/such/folder"}, MissingFileError, "no folder no/such"),
]


@pytest.mark.parametrize(("options", "error", "message"), MISUSES)
def test_misuse(tmp_path, monkeypatch, options, error, message) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        plain().fit(X, LABELS, **SHORT, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_steps": 0}, "every_steps of Checkpoint"),
        ({"every_minutes": 0}, "every_minutes of Checkpoint"),
        ({"every_epochs": 0}, "every_epochs of Checkpoint"),
        ({"keep": 1}, "keep of Checkpoint"),
        ({"exact": "yes"}, "exact of Checkpoint"),
        ({"folder": ""}, "a path must be"),
    ],
)
def test_options_of_checkpoint(options, message) -> None:
    with pytest.raises((OptionError, DTypeError), match=message):
        cp.Checkpoint(**{"folder": "run", **options})


def test_another_file_is_no_checkpoint(tmp_path) -> None:
    path = plain().save(tmp_path / "net.safetensors")
    with pytest.raises(FileFormatError, match="is no checkpoint"):
        plain().fit(X, LABELS, **SHORT, resume=path)


# Damaged -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_newest_one_is_passed_over_loudly(folder, damage) -> None:
    newest = sorted(folder.iterdir())[-1]
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"flip": content, "cut": content[:-5], "empty": b""}[damage])
    with pytest.warns(RuntimeWarning, match=r"checkpoint-000009.*goes on from .*000008.* after step 7"):
        net = resume(folder, checkpoint=cp.Checkpoint(folder, every_steps=1))
    assert_same(net, uninterrupted(plain, **SHORT, **EARLY))
    assert all(cp.io.verify(path).parameters for path in folder.iterdir())


def test_of_several_only_the_whole_ones_are_kept_until_there_are_others(folder) -> None:
    whole, damaged = sorted(folder.iterdir())
    damaged.write_bytes(b"")
    with pytest.warns(RuntimeWarning), pytest.raises(Killed):
        resume(folder, checkpoint=cp.Checkpoint(folder, every_steps=1), callbacks=[Kill(step=9)])
    assert whole in folder.iterdir()
    assert damaged not in folder.iterdir()


def test_where_none_is_whole_that_is_said(folder) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"no")
    with pytest.raises(FileFormatError, match=r"no checkpoint in .* is whole"):
        resume(folder)


def test_two_runs_in_one_folder_are_told(folder) -> None:
    class Meddle(cp.Callback):
        every = 12

        def on_step_end(self, run):
            shutil.copy(sorted(folder.iterdir())[-1], folder / "checkpoint-000013.safetensors")

    with pytest.raises(WouldOverwriteError, match="another run writes"):
        resume(folder, checkpoint=cp.Checkpoint(folder, every_steps=1), callbacks=[Meddle()])


# Callbacks ---------------------------------------------------------------------------------------


class Counting(cp.Callback):
    """Counts steps, and has every kind of value in its state."""

    every = 1

    def __init__(self):
        self.kept = {"n": 0, "worst": float("-inf"), "none": None, "text": "a$b", "sums": np.zeros(2)}

    def on_step_end(self, run):
        sums = self.kept["sums"] + [run.step, float(run.state.theta.sum())]
        self.kept = {**self.kept, "n": self.kept["n"] + 1, "sums": sums}

    def state(self):
        return {"kept": self.kept, "list": [1, 2.5, True]}

    def restore(self, run, state):
        assert state["list"] == [1, 2.5, True]
        self.kept = state["kept"]


@pytest.mark.parametrize("engine", ["native", "batch"])
def test_a_callback_of_ones_own_goes_on(tmp_path, engine) -> None:
    whole, first, second = Counting(), Counting(), Counting()
    uninterrupted(plain, **SHORT, engine=engine, callbacks=lambda: [whole])
    options = {"engine": engine, "early_stopping": False}
    stop(tmp_path / "run", callbacks=[first, Kill(step=9)], **options)
    resume(tmp_path / "run", callbacks=[second], **options)
    assert (first.kept["n"], second.kept["n"]) == (9, 24)
    assert second.kept["sums"].tobytes() == whole.kept["sums"].tobytes()
    assert {**second.kept, "sums": 0} == {**whole.kept, "sums": 0}


def test_a_state_that_no_file_can_hold_is_told_before_the_first_step(tmp_path) -> None:
    class Strange(cp.Callback):
        def state(self):
            return {"thing": object()}

    net = plain()
    with pytest.raises(DTypeError, match=r"callbacks.*thing"):
        net.fit(X, LABELS, **SHORT, checkpoint=tmp_path / "run", callbacks=[Strange()])
    assert net.steps_trained == 0


# Threads, and many networks ----------------------------------------------------------------------


def test_in_a_thread(tmp_path) -> None:
    found = []
    net = plain()
    fit = partial(net.fit, X, LABELS, **SHORT, checkpoint=tmp_path / "run")
    thread = threading.Thread(target=lambda: found.append(fit()))
    thread.start()
    thread.join()
    assert found[0].stopped == "epochs"
    assert net.theta.tobytes() == uninterrupted(plain, **SHORT).theta.tobytes()


def test_many_networks_have_a_folder_each(tmp_path) -> None:
    networks = [plain(seed=seed) for seed in range(3)]
    with pytest.raises(OptionError, match="Give one for each network"):
        cp.fit_many(networks, X, LABELS, checkpoint=tmp_path / "run")
    each = {"checkpoint": [cp.Checkpoint(tmp_path / str(i), every_steps=1) for i in range(3)]}
    cp.fit_many(networks, X, LABELS, **{**SHORT, "epochs": 2}, each=each)
    again = [plain(seed=seed) for seed in range(3)]
    cp.fit_many(again, X, LABELS, **SHORT, each={**each, "resume": [True] * 3})
    for seed, net in enumerate(again):
        assert net.theta.tobytes() == uninterrupted(lambda s=seed: plain(seed=s), **SHORT).theta.tobytes()
        assert net.history.resumed == [12]
