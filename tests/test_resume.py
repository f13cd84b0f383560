"""A run that is killed and resumed is the run that was never stopped, bit for bit."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
from tests.resume_cases import (
    LABELS,
    NUMBERS,
    SHORT,
    WEIGHTS,
    Kill,
    X,
    assert_same,
    deep,
    plain,
    stopped_and_resumed,
    uninterrupted,
    wide,
)

import clearprop as cp
from clearprop.optimizers import optimizers

RUNGS = ("native", "batch", "example", "neuron", "graph")
OPTIMIZERS = [name for name in optimizers if not optimizers[name].full_batch]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("engine", ["native", "batch"])
def test_every_optimiser(tmp_path, engine, optimizer, dtype) -> None:
    options = SHORT | {"optimizer": optimizer, "engine": engine}
    make = partial(deep, dtype=dtype)
    resumed = stopped_and_resumed(tmp_path / "run", make, Kill(step=9), **options)
    assert_same(resumed, uninterrupted(make, **options))


@pytest.mark.parametrize("engine", RUNGS)
def test_every_rung(tmp_path, engine) -> None:
    options = {"epochs": 2, "batch_size": 16, "engine": engine, "l2": 1e-3}
    resumed = stopped_and_resumed(tmp_path / "run", wide, Kill(step=8), **options)
    assert_same(resumed, uninterrupted(wide, **options))


@pytest.mark.parametrize("engine", ["native", "batch"])
@pytest.mark.parametrize("kill", [Kill(step=s) for s in (1, 5, 8)] + [Kill(epoch=e) for e in (1, 3)])
@pytest.mark.parametrize("every", [{"every_steps": 1}, {"every_steps": 4}, {"every_epochs": 1}])
def test_killed_anywhere(tmp_path, engine, kill, every) -> None:
    options = SHORT | {"engine": engine, "validation_fraction": 0.2, "metrics": ["f1"]}
    options |= {"early_stopping": partial(cp.EarlyStopping, patience=2, min_delta=0.01)}
    resumed = stopped_and_resumed(tmp_path / "run", deep, kill, every=every, **options)
    assert_same(resumed, uninterrupted(deep, **options))


SCHEDULES = [
    "cosine",
    "one_cycle",
    cp.OnPlateau(0.5, patience=0, min_delta=0.05),
    cp.OnPlateau(0.1, patience=0, min_delta=1.0, convention="sklearn", minimum=0.05),
    cp.Warmup(10),
]


@pytest.mark.parametrize("engine", ["native", "batch"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kill", [Kill(step=9), Kill(epoch=2)])
def test_schedules(tmp_path, engine, schedule, kill) -> None:
    options = SHORT | {"engine": engine, "schedule": schedule}
    resumed = stopped_and_resumed(tmp_path / "run", deep, kill, **options)
    assert_same(resumed, uninterrupted(deep, **options))


OTHER = {
    "weights": {"sample_weight": WEIGHTS},
    "class_weight": {"class_weight": {0: 1, 1: 2, 2: 5}},
    "groups": {"groups": {"1": {"rate": 0.1}, "*.b": {"decay": 0}}, "optimizer": "adamw"},
    "limits": {"clip_norm": 0.5, "max_norm": 1.0, "l1": 1e-4},
    "unshuffled": {"shuffle": False},
    "drop_last": {"drop_last": True},
    "order": {"order": [np.arange(83)[::-1], np.arange(83), np.arange(40), np.arange(83)[::3]]},
    "norms": {"callbacks": lambda: [cp.NormHistory(every=2)]},
    "best": {"early_stopping": lambda: cp.EarlyStopping("accuracy", patience=1)},
}


@pytest.mark.parametrize("engine", ["native", "batch"])
@pytest.mark.parametrize("case", OTHER)
def test_other_options(tmp_path, engine, case) -> None:
    options = SHORT | {"engine": engine} | OTHER[case]
    resumed = stopped_and_resumed(tmp_path / "run", deep, Kill(step=9), **options)
    assert_same(resumed, uninterrupted(deep, **options))


def test_an_order_that_an_iterator_gives_is_taken_from_its_beginning(tmp_path) -> None:
    def orders():
        rng = np.random.default_rng(3)
        return (rng.permutation(83) for _ in range(4))

    options = SHORT | {"order": orders}
    resumed = stopped_and_resumed(tmp_path / "run", deep, Kill(step=9), **options)
    assert_same(resumed, uninterrupted(deep, **options))


def test_regression_and_preprocessing(tmp_path) -> None:
    def make():
        return cp.Network([cp.Dense(5, "tanh"), cp.Dense(1)], preprocessing="standardize", seed=1)

    data = (10 * X + 3, NUMBERS)
    resumed = stopped_and_resumed(tmp_path / "run", make, Kill(step=8), data=data, **SHORT)
    whole = uninterrupted(make, data=data, **SHORT)
    assert_same(resumed, whole)
    assert resumed.preprocessing.shift.tobytes() == whole.preprocessing.shift.tobytes()


# L-BFGS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 6, 11])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs(tmp_path, epoch, dtype) -> None:
    options = {"optimizer": "lbfgs", "epochs": 20, "l2": 1e-3, "validation_fraction": 0.2}
    make = partial(plain, dtype=dtype)
    resumed = stopped_and_resumed(tmp_path / "run", make, Kill(epoch=epoch), **options)
    whole = uninterrupted(make, **options)
    assert_same(resumed, whole)
    again = make()
    again.fit(X, LABELS, **options, checkpoint=tmp_path / "run", resume=True)  # of a run that has ended
    assert_same(again, whole)


def test_lbfgs_asks_for_nothing_twice(tmp_path, monkeypatch) -> None:
    options = {"optimizer": "lbfgs", "epochs": 12, "l2": 1e-3}
    whole = uninterrupted(plain, **options)
    asked = []
    engine = type(cp.engines.engines()["batch"])
    gradient = engine.gradient
    monkeypatch.setattr(engine, "gradient", lambda *args, **kw: asked.append(1) or gradient(*args, **kw))
    resumed = stopped_and_resumed(tmp_path / "run", partial(plain, engine="batch"), Kill(epoch=8), **options)
    both = len(asked)
    asked.clear()
    at_once = uninterrupted(partial(plain, engine="batch"), **options)
    assert both <= len(asked) + 3
    assert resumed.theta.tobytes() == at_once.theta.tobytes()
    assert whole.history["step"] == resumed.history["step"]


def test_lbfgs_beyond_its_memory_computes_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("clearprop.training.evaluations._MOST_BYTES", 2000)
    options = {"optimizer": dataclasses.replace(cp.LBFGS(), memory=3), "epochs": 15, "l2": 1e-3}
    resumed = stopped_and_resumed(tmp_path / "run", plain, Kill(epoch=9), **options)
    assert_same(resumed, uninterrupted(plain, **options))


# Iterables of batches ----------------------------------------------------------------------------


class Batches:
    """The same batches in every epoch."""

    def __iter__(self):
        for start in range(0, 80, 16):
            yield X[start : start + 16], LABELS[start : start + 16]


class Shuffled(Batches):
    """Other batches in every epoch, from a generator that goes on."""

    def __init__(self):
        self.rng = np.random.default_rng(7)

    def __iter__(self):
        order = self.rng.permutation(83)
        for start in range(0, 80, 16):
            some = order[start : start + 16]
            yield X[some], LABELS[some], WEIGHTS[some]


@pytest.mark.parametrize("engine", ["native", "batch"])
@pytest.mark.parametrize("source", [Batches, Shuffled])
@pytest.mark.parametrize("kill", [Kill(step=3), Kill(step=13), Kill(epoch=3)])
def test_iterables_that_give_their_batches_again(tmp_path, engine, source, kill) -> None:
    options = {"epochs": 5, "engine": engine}
    resumed = stopped_and_resumed(tmp_path / "run", deep, kill, data=(source,), **options)
    assert_same(resumed, uninterrupted(deep, data=(source,), **options))


def test_a_generator_of_one_epoch(tmp_path) -> None:
    options = {"epochs": 1}
    data = (lambda: iter(Batches()),)
    resumed = stopped_and_resumed(tmp_path / "run", deep, Kill(step=3), data=data, **options)
    assert_same(resumed, uninterrupted(deep, data=data, **options))


class Live:
    """Batches that nobody can have again."""

    def __init__(self):
        self.rng = np.random.default_rng()

    def __iter__(self):
        for _ in range(5):
            some = self.rng.integers(0, 83, 16)
            yield X[some], LABELS[some]


@pytest.mark.parametrize("kill", [Kill(step=3), Kill(epoch=2)])
def test_iterables_that_cannot_be_replayed_are_refused(tmp_path, kill) -> None:
    with pytest.raises(cp.errors.DataError, match="cannot be replayed"):
        stopped_and_resumed(tmp_path / "run", deep, kill, data=(Live,), epochs=4)
