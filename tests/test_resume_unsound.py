"""Checkpoints that are signed, but say what no run ever was: refused by name, before anything is changed."""

from __future__ import annotations

import copy
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from tests.resume_cases import LABELS, X
from trust.forge import change_meaning, sign, take_apart

import clearprop as cp
from clearprop.errors import ClearpropError, FileFormatError, UnwritableFileError
from clearprop.fitting import checkpoints
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
    assert net.theta.tobytes() == before
    assert net.history is None


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
    assert len(set(left)) == 1
    assert left[0] > 0


# What cannot be written --------------------------------------------------------------------------


def _write_fails(monkeypatch, first: int, last: int) -> None:
    """Let the checkpoints after these steps find the disk full."""
    write = checkpoints.write

    def full(path, network, run, position):
        if first <= position.numbers.step <= last:
            raise UnwritableFileError(f"{path} cannot be written: No space left on device.")
        write(path, network, run, position)

    monkeypatch.setattr(checkpoints, "write", full)


def test_a_full_disk_is_told_and_training_goes_on(tmp_path, monkeypatch) -> None:
    whole = go(make())
    _write_fails(monkeypatch, 4, 9)
    with pytest.warns(RuntimeWarning, match="after step [69] could not be written.*No space left") as told:
        net = go(make(), checkpoint=cp.Checkpoint(tmp_path / "run", every_steps=3))
    assert len(told) == 2  # after steps 6 and 9; the next, after 12, is written
    assert net.theta.tobytes() == whole.theta.tobytes()
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_a_last_checkpoint_that_cannot_be_written_is_an_error_at_the_end(tmp_path, monkeypatch) -> None:
    whole, net = go(make()), make()
    _write_fails(monkeypatch, 4, 10**9)
    with (
        pytest.warns(RuntimeWarning, match="could not be written"),
        pytest.raises(UnwritableFileError, match=r"training has come to its end.*No space left"),
    ):
        go(net, checkpoint=cp.Checkpoint(tmp_path / "run", every_steps=3))
    assert net.theta.tobytes() == whole.theta.tobytes()
    assert net.history.stopped == "epochs"
    monkeypatch.undo()
    resumed = go(make(), checkpoint=tmp_path / "run", resume=True)
    assert resumed.theta.tobytes() == whole.theta.tobytes()
    assert resumed.history.resumed == [3]


def test_a_first_checkpoint_that_cannot_be_written_ends_it_at_once(tmp_path, monkeypatch) -> None:
    _write_fails(monkeypatch, 0, 0)
    with pytest.raises(UnwritableFileError, match="No space left"):
        go(make(), checkpoint=tmp_path / "run")


def test_what_cannot_be_removed_keeps_nothing_else(tmp_path) -> None:
    (tmp_path / "run" / "checkpoint-000000.safetensors").mkdir(parents=True)
    asked = cp.Checkpoint(tmp_path / "run", every_steps=2, overwrite=True)
    go(make(), checkpoint=asked)
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 3


def test_a_resumed_run_knows_when_the_next_is_due(tmp_path, monkeypatch) -> None:
    asked, steps, write = cp.Checkpoint(tmp_path / "run", every_steps=1000), [], checkpoints.write
    go(make(), checkpoint=asked)
    monkeypatch.setattr(
        checkpoints, "write", lambda *given: [steps.append(given[3].numbers.step), write(*given)]
    )
    every = cp.Checkpoint(tmp_path / "run", every_steps=8)
    net = go(make(), checkpoint=every, resume=True, epochs=5)
    assert net.history.resumed == [12]
    assert steps[0] == 16  # at once, after step 13, if it did not know of the 12


# Options that are no plain data ------------------------------------------------------------------

SCRIPT = """
import sys
import numpy as np
import clearprop as cp

def one(n): return n
def two(n): return n

class Ruled(cp.Callback):
    def __init__(self, rule, at=float("nan")): self.rule, self.at = rule, at
    def state(self): return {}

X, y = cp.datasets.moons(60, noise=0.1, seed=0)
net = cp.Network([cp.Dense(4, "tanh"), cp.Dense(2, "softmax")], seed=0)
rules = {"one": one, "two": two, "object": type("Rule", (), {})()}
net.fit(X, y, epochs=int(sys.argv[2]), callbacks=[Ruled(rules[sys.argv[1]])], checkpoint="run", resume=True)
print(net.history.resumed)
"""


@pytest.mark.parametrize("rule", ["one", "object"])
def test_a_callback_with_a_function_goes_on_in_another_process(tmp_path, rule) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    run = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True)
    first, second, other = (
        run([sys.executable, "script.py", *given]) for given in ((rule, "1"), (rule, "2"), ("two", "3"))
    )
    assert first.stdout == "[]\n", first.stderr
    assert second.stdout == "[2]\n", second.stderr
    assert other.returncode == 1
    assert "its callbacks was" in other.stderr


class Growing(cp.Callback):
    """Remembers a number, and a count, of every step."""

    every = 1

    def __init__(self) -> None:
        self.costs = [0.1] * 60_000
        self.steps = list(range(60_000))

    def on_step_end(self, run) -> None:
        self.costs.append(float(run.state.theta[0]))
        self.steps.append(run.step)

    def state(self):
        return {"costs": self.costs, "steps": self.steps}

    def restore(self, run, state) -> None:
        self.costs, self.steps = state["costs"], state["steps"]


def test_a_list_that_grows_does_not_outgrow_the_header(tmp_path) -> None:
    whole, second = Growing(), Growing()
    go(make(), callbacks=[whole], epochs=2)
    go(make(), callbacks=[Growing()], epochs=1, checkpoint=tmp_path / "run")
    go(make(), callbacks=[second], epochs=2, checkpoint=tmp_path / "run", resume=True)
    assert (second.costs, second.steps) == (whole.costs, whole.steps)
    assert {type(second.costs), type(second.steps)} == {list}
    assert (type(second.costs[0]), type(second.steps[0])) == (float, int)


def find_arrays(value):
    if isinstance(value, dict | list):
        if "$array" in value:
            yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from find_arrays(inner)


@pytest.mark.parametrize("place", [("batch_size",), ("optimizer",), ("optimizer", "eta")])
def test_a_run_described_by_an_array_is_refused(whole, tmp_path, place) -> None:
    parts = take_apart(whole)
    header = copy.deepcopy(parts.header)
    kept = header["__metadata__"]["extra"]["extra"]["checkpoint"]
    array = next(find_arrays(kept))
    there = kept["run"]
    for key in place[:-1]:
        there = there[key]
    assert place[-1] in there
    there[place[-1]] = array
    path = tmp_path / "changed.safetensors"
    path.write_bytes(sign(header, parts.data))
    with pytest.raises(FileFormatError, match="is not sound"):
        go(make(), resume=path)
