"""Checkpoints that are signed, but say what no run ever was: refused by name, before anything is changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tests.resume_cases import LABELS, X
from trust.forge import change_meaning, sign, take_apart

import clearprop as cp
from clearprop.errors import ClearpropError, FileFormatError
from clearprop.fitting.checkpoints import newest
from clearprop.io.architecture import REGISTRIES

GIVEN = {"epochs": 3, "batch_size": 16, "schedule": "on_plateau", "metrics": ["f1"]}


def make() -> cp.Network:
    return cp.Network([cp.Dense(3, "tanh"), cp.BatchNorm(), cp.Dense(3, "softmax")], n_in=4, seed=0)


def go(net: cp.Network, **options) -> cp.Network:
    early = cp.EarlyStopping(patience=3)
    net.fit(X, LABELS, **{**GIVEN, "early_stopping": early, "validation_fraction": 0.25, **options})
    return net


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A checkpoint from within an epoch."""
    folder = tmp_path_factory.mktemp("run")
    go(make(), checkpoint=cp.Checkpoint(folder, every_steps=1), time_limit=1e-6)
    return newest(folder).read_bytes()


TALLY = {"examples": 3, "cost": 0.0, "correct": 0, "penalty": 0.0, "kept": {}}
CHANGES = [
    ("seconds", "abc"),
    ("step", -5),
    ("step", 1e300),
    ("step", 10**6),
    ("epoch", "x"),
    ("epoch", 2),
    ("resumed", 5),
    ("schedule_state", {}),
    ("schedule_state", {"best": "x", "bad_epochs": 0, "cooldown": 0, "factor": 1.0, "exhausted": False}),
    ("schedule_state", {"best": 1, "bad_epochs": 0, "cooldown": 0, "factor": 1e300, "exhausted": False}),
    ("callbacks", []),
    ("callbacks", [["EarlyStopping", {}]]),
    ("callbacks", [["EarlyStopping", {"best": [], "best_epoch": 0}]]),
    ("tally", None),
    ("tally", TALLY),
    ("tally", {**TALLY, "examples": -3}),
    ("before", [-1, -1]),
    ("before", [1]),
    ("eta", "x"),
    ("eta", {"$float": "nan"}),
    ("stop_reason", 5),
    ("recent", None),
    ("rows", {"names": [], "values": [], "kinds": []}),
    ("rolling", None),
    ("run", {}),
    ("slots", {}),
    ("seen", {"order": "x"}),
    ("start", 3),
    ("evaluations", {}),
]


@pytest.mark.parametrize(("key", "value"), CHANGES, ids=lambda value: str(value)[:30])
def test_what_no_run_ever_was_is_refused(whole, tmp_path, key, value) -> None:
    parts = take_apart(whole)
    header = copy.deepcopy(parts.header)
    header["__metadata__"]["extra"]["extra"]["checkpoint"][key] = value
    path, net = tmp_path / "changed.safetensors", make()
    path.write_bytes(sign(header, parts.data))
    before = net.theta.tobytes()
    with pytest.raises(FileFormatError, match="is not sound"):
        go(net, resume=path)
    assert net.theta.tobytes() == before and net.history is None


@pytest.mark.parametrize("name", ["data", "conditions", "validation"])
@pytest.mark.parametrize("value", [3, [], {}, {"X": 1}])
def test_a_run_that_is_described_otherwise_is_refused(whole, tmp_path, name, value) -> None:
    parts = take_apart(whole)
    header = copy.deepcopy(parts.header)
    header["__metadata__"]["extra"]["extra"]["checkpoint"]["run"][name] = value
    path = tmp_path / "changed.safetensors"
    path.write_bytes(sign(header, parts.data))
    with pytest.raises(FileFormatError, match="is not sound"):
        go(make(), resume=path)


def test_whatever_is_changed_a_refusal_has_a_name(whole, tmp_path) -> None:
    parts, path = take_apart(whole), tmp_path / "changed.safetensors"
    names = sorted(name for registry in REGISTRIES.values() for name in registry)
    refused = 0
    for number in range(150):
        path.write_bytes(change_meaning(parts, names, np.random.default_rng(number)))
        net = make()
        try:
            go(net, resume=path)
        except ClearpropError:  # any other error fails the test
            refused += 1
            assert net.history is None
    assert refused > 75


def test_the_time_limit_counts_from_this_call(whole, tmp_path) -> None:
    path = tmp_path / "whole.safetensors"
    path.write_bytes(whole)
    left: list[float] = []

    class Ask(cp.Callback):
        def on_fit_begin(self, run):
            left.append(run._whole_runs._seconds_left(run.called))

        def on_epoch_begin(self, run):
            left.append(run._whole_runs._seconds_left(run.called))
            run.started -= 1e6  # as after a resume of a run that took long

    net = make()
    early = cp.EarlyStopping(patience=3)
    net.fit(
        *(X, LABELS),
        **GIVEN,
        early_stopping=early,
        validation_fraction=0.25,
        callbacks=[Ask()],
        time_limit=1e5,
        resume=path,
        engine="native",
    )
    assert len(left) > 1
    assert len(set(left)) == 1 and left[0] > 0
