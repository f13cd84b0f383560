"""Recordings as files, and the command line that reads them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.recorder_cases import LABELS, N, X, everything, network, plain, recorded, sha256, sums

import clearprop as cp
from clearprop.compiled import native
from clearprop.io import safetensors

QUICK = ["--epochs", "3", "--hidden", "8", "--quiet", "--no-report"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "rmsprop", "l2": 1e-3, "max_norm": 1.0, "groups": {"1": {"rate": 0.5}}},
        {"schedule": cp.OnPlateau(0.5, patience=0), "optimizer": cp.Adam(0.01)},
        {"order": [np.arange(40), [np.arange(9), np.arange(60, 80)], np.arange(N), np.arange(5)]},
        {"clip_norm": 0.1, "shuffle": False, "drop_last": True, "optimizer": "sgd"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_recording_comes_back_with_every_bit(options, dtype):
    run = recorded(network(dtype=dtype), **options)
    kept = everything(network(dtype=dtype), **options)
    path = run.save("run.safetensors")
    loaded = cp.load_recording(path, X, LABELS)
    assert loaded.steps == run.steps
    assert loaded.kept == run.kept
    assert {step: sha256(loaded.theta(step)) for step in kept.theta} == sums(kept.theta)
    assert {step: sha256(loaded.gradient(step)) for step in loaded.steps} == sums(kept.gradients)
    assert [loaded.eta(step) for step in loaded.steps] == list(kept.etas.values())
    assert loaded.verify() == len(run.kept) - 1
    assert loaded.differs(run) is None
    assert loaded.conditions == run.conditions


def test_the_same_recording_gives_the_same_bytes():
    recorded().save("a.safetensors")
    recorded().save("b.safetensors")
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


def test_weights_validation_and_preprocessing_are_given_as_to_fit():
    given = {"sample_weight": 1.0 + np.arange(N) % 4, "class_weight": "balanced", "validation_fraction": 0.2}
    net = network(preprocessing="standardize")
    run = recorded(net, **given)
    loaded = cp.load_recording(run.save("run.safetensors"), X, LABELS, **given)
    assert loaded.differs(run) is None
    again, history = loaded.resume(8)
    assert sha256(again.theta) == sha256(net.theta)
    assert history["val_cost"][-1] == net.history["val_cost"][-1]


def test_a_loaded_recording_can_be_resumed_and_saved_again():
    longer = everything(epochs=6)
    loaded = cp.load_recording(recorded().save("a.safetensors"), X, LABELS)
    recorder = cp.FlightRecorder(every=4)
    loaded.resume(14, epochs=6, callbacks=recorder)
    second = cp.load_recording(recorder.run.save("b.safetensors"), X, LABELS)
    assert second.steps == range(15, 37)
    assert {step: sha256(second.theta(step)) for step in range(14, 37)} == {
        step: total for step, total in sums(longer.theta).items() if step >= 14
    }


def test_the_same_file_loads_as_the_network_at_the_end():
    net = network(preprocessing="standardize")
    run = recorded(net)
    loaded = cp.load(run.save("run.safetensors", extra={"who": "me"}))
    assert sha256(loaded.theta) == sha256(net.theta)
    assert np.array_equal(loaded.predict(X), net.predict(X))
    assert loaded.extra["who"] == "me"


def test_layers_of_ones_own_are_passed_in():
    @dataclass(frozen=True)
    class Cubic(cp.activations.ActivationFunction):
        name = "cubic_of_this_test"

        def f(self, z):
            return z**3

        def df(self, z, a):
            return 3 * z**2

    def mine():
        return cp.Network([cp.Dense(4, Cubic()), cp.Dense(3, "softmax")], n_in=4, seed=0)

    path = recorded(mine()).save("run.safetensors")
    with pytest.raises(cp.errors.FileFormatError, match="not registered here; pass it in"):
        cp.load_recording(path, X, LABELS)
    assert cp.load_recording(path, X, LABELS, custom=[Cubic]).verify() == 5


def test_other_data_are_named_by_what_differs():
    path = recorded().save("run.safetensors")
    nudged = X.copy()
    nudged[5, 2] = np.nextafter(nudged[5, 2], 9)
    for data, labels, options, message in (
        (X[:50], LABELS[:50], {}, r"it trained on 83 examples, these are 50 for training"),
        (X, LABELS, {"validation_fraction": 0.2}, r"these are 66 for training.* validation_fraction"),
        (nudged, LABELS, {}, r"X differs"),
        (X[::-1], LABELS, {}, r"X differs"),
        (X, LABELS[::-1], {}, r"y differs"),
        (X, LABELS, {"sample_weight": 1.0 + np.arange(N)}, r"its examples had no weights"),
    ):
        with pytest.raises(cp.errors.DataError, match=message):
            cp.load_recording(path, data, labels, **options)
    with pytest.raises(cp.errors.ShapeError, match="features"):
        cp.load_recording(path, X[:, :3], LABELS)
    with pytest.raises(cp.errors.DataError, match="not an iterable of batches"):
        cp.load_recording(path, [(X, LABELS)], None)
    weighted = recorded(sample_weight=1.0 + np.arange(N)).save("weighted.safetensors")
    with pytest.raises(cp.errors.DataError, match=r"the weights differ"):
        cp.load_recording(weighted, X, LABELS, sample_weight=2.0 + np.arange(N))


def test_validation_data_are_those_of_the_run():
    X_val, y_val = X[:20] + 0.25, LABELS[:20]
    net = network(preprocessing="standardize")
    run = recorded(net, X_val=X_val, y_val=y_val)
    path = run.save("run.safetensors")
    _, history = cp.load_recording(path, X, LABELS, X_val=X_val, y_val=y_val).resume(8)
    assert history["val_cost"][-1] == net.history["val_cost"][-1]
    for data, labels, message in (
        (X_val + 1, y_val, "X_val differs from what it measured"),
        (X_val, y_val[::-1], "y_val differs"),
        (X_val[:9], y_val[:9], "it had 20 examples for it, X_val has 9"),
    ):
        with pytest.raises(cp.errors.DataError, match=message):
            cp.load_recording(path, X, LABELS, X_val=data, y_val=labels)
    without = recorded().save("without.safetensors")
    with pytest.raises(
        cp.errors.DataError, match=r"not the validation data of without.safetensors: it had none"
    ):
        cp.load_recording(without, X, LABELS, X_val=X_val, y_val=y_val)


def test_the_share_split_off_for_validation_is_compared_too():
    path = recorded(validation_fraction=0.2).save("run.safetensors")
    used = cp.load_recording(path, X, LABELS, validation_fraction=0.2)._course.validation
    data = X.copy()
    data[(data == used.X[0]).all(axis=1)] += 1.0
    with pytest.raises(cp.errors.DataError, match="X of the validation share differs"):
        cp.load_recording(path, data, LABELS, validation_fraction=0.2)


def test_resuming_by_validation_data_that_were_left_out_is_refused():
    X_val, y_val = X[:20] + 0.25, LABELS[:20]
    given = {"X_val": X_val, "y_val": y_val}
    watched = recorded(schedule=cp.OnPlateau(0.5, patience=0), **given).save("watched.safetensors")
    left_out = cp.load_recording(watched, X, LABELS)
    second = cp.load_recording(left_out.save("second.safetensors"), X, LABELS)
    for run in (left_out, second):
        with pytest.raises(cp.errors.OptionError, match="OnPlateau watches the validation cost"):
            run.resume(8)
    assert second.resume(8, schedule=None)[1]["step"][-1] == 24
    assert second.resume(8, **given)[1]["val_cost"]
    plain_run = cp.load_recording(recorded(**given).save("plain.safetensors"), X, LABELS)
    with pytest.raises(cp.errors.OptionError, match="EarlyStopping watches the validation cost"):
        plain_run.resume(8, callbacks=cp.EarlyStopping())
    assert plain_run.resume(8, callbacks=cp.EarlyStopping("cost"))[1]["step"]


def test_files_that_hold_no_recording_are_refused():
    net = plain()
    run = recorded(net)
    net.save("net.safetensors")
    with pytest.raises(cp.errors.FileFormatError, match="no recording of its training"):
        cp.load_recording("net.safetensors", X, LABELS)
    with pytest.raises(cp.errors.MissingFileError, match="there is no file"):
        cp.load_recording("nothing.safetensors", X, LABELS)
    path = run.save("run.safetensors")
    with pytest.raises(cp.errors.WouldOverwriteError):
        run.save(path)
    run.save(path, overwrite=True)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(cp.errors.FileFormatError, match="has been altered"):
        cp.load_recording(path, X, LABELS)


@pytest.mark.parametrize(
    ("key", "value"),
    [("options", {}), ("steps", None), ("engine", 3), ("states", 5), ("data", {}), ("starts", "none")],
)
def test_a_recording_that_was_not_written_so_is_refused(key, value):
    path = recorded().save("run.safetensors")
    tensors, metadata = safetensors.read(path)
    extra = json.loads(metadata["extra"])
    if key == "starts":
        del tensors["extra.recording.starts"]
    else:
        extra["extra"]["recording"][key] = value
    metadata["extra"] = json.dumps(extra, sort_keys=True, separators=(",", ":"))
    safetensors.write(path, tensors, metadata, overwrite=True)
    with pytest.raises(cp.errors.FileFormatError, match=r"run.safetensors holds a recording that"):
        cp.load_recording(path, X, LABELS)


def test_a_recording_of_another_build_is_refused_unless_allowed():
    path = recorded().save("run.safetensors")
    tensors, metadata = safetensors.read(path)
    metadata["extra"] = metadata["extra"].replace(f'"clearprop":"{cp.__version__}"', '"clearprop":"9.9"')
    safetensors.write(path, tensors, metadata, overwrite=True)
    run = cp.load_recording(path, X, LABELS)
    with pytest.raises(cp.errors.UnsupportedError, match=r"its clearprop was '9.9'.*Install clearprop 9.9"):
        run.trace(7)
    loose = cp.load_recording(path, X, LABELS, exact=False)
    assert loose.trace(7).cost == pytest.approx(recorded().trace(7).cost)


# -- the command line --------------------------------------------------------------------------


def flowers(path: str = "flowers.csv") -> str:
    """Write a table of three kinds of flowers, and their height."""
    rng = np.random.default_rng(0)
    kind = np.arange(90) % 3
    length, width = kind + 0.1 * rng.standard_normal(90), 2.0 - kind + 0.1 * rng.standard_normal(90)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "width", "height", "kind"])
        names = [("rose", "tulip", "aster")[k] for k in kind]
        writer.writerows(zip(length, width, 30 * length + 5 * width, names, strict=True))
    return path


@pytest.fixture
def digits(clearprop):
    """Record a short run on the digits."""
    code, out, _ = clearprop("train", "digits", *QUICK, "--record", "run.safetensors")
    assert code == 0
    assert "record  run.safetensors" in out
    return "run.safetensors"


def test_replay_describes_a_run(clearprop, digits):
    code, out, _ = clearprop("replay", digits, "digits")
    assert code == 0
    assert "steps 1 to 135, ended by: epochs; seed 0" in out
    assert "dtype float32" in out


def test_replay_shows_a_step_and_its_numbers(clearprop, digits):
    code, out, _ = clearprop("replay", digits, "digits", "--step", "60")
    assert code == 0
    assert "60 in epoch 2" in out
    assert "norm of dC_dW" in out
    code, out, _ = clearprop("replay", digits, "digits", "--step", "60", "--layer", "2")
    assert code == 0
    assert "delta of layer 2" not in out  # dropout has none
    assert "mask of layer 2, 32 × 8" in out
    _, out, _ = clearprop("replay", digits, "digits", "--step", "60", "--layer", "3", "--json")
    found = json.loads(out)["step"]
    assert np.shape(found["layer"]["dC_dW"]) == (10, 8)
    assert len(found["batch"]) == 32
    cost = -np.log(np.array(found["layer"]["a"])[np.array(found["layer"]["delta"]) < 0]).mean()
    assert found["cost"] == pytest.approx(cost, rel=1e-5)


def test_replay_says_where_two_runs_first_differ(clearprop, digits):
    assert (
        clearprop("train", "digits", *QUICK, "--eta", "0.004", "--record", "b.safetensors", "--force")[0] == 0
    )
    code, out, _ = clearprop("replay", digits, "digits", "--compare", "b.safetensors")
    assert code == 0
    assert "the two runs first differ at step 1, eta: " in out
    _, out, _ = clearprop("replay", digits, "digits", "--compare", "b.safetensors", "--json")
    found = json.loads(out)["compare"]["difference"]
    assert (found["step"], found["quantity"]) == (1, "eta")
    code, out, _ = clearprop("replay", digits, "digits", "--compare", digits)
    assert "the two runs are the same, bit for bit, to step 135" in out


@pytest.mark.parametrize(
    "job",
    [
        ["--target", "kind"],
        ["--target", "height", "--drop", "kind"],
        ["--target", "kind", "--early-stopping"],
        ["--target", "height", "--drop", "kind", "--engine", "batch", "--validation", "0.2"],
        ["--target", "kind", "--drop", "height", "--optimizer", "lbfgs"],
    ],
    ids=["classes", "numbers", "early-stopping", "batch", "lbfgs"],
)
def test_replay_reads_tables_as_train_did(clearprop, job):
    table = flowers()
    assert clearprop("train", table, *job, *QUICK, "--record", "run.safetensors")[0] == 0
    code, out, err = clearprop("replay", "run.safetensors", table, "--step", "3", "--json")
    assert (code, err) == (0, "")
    network_then = cp.load("run.safetensors")
    assert json.loads(out)["step"]["step"] == 3
    assert network_then.extra["data"]["target"] == job[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["digits", "--step", "500"], 2, "step 500 was not recorded: this recording has steps 1 to 135"),
        (["digits", "--step", "5", "--layer", "9"], 2, "there is no layer '9'. Layers: 0, 1, 2, 3"),
        (["digits", "--layer", "9"], 2, "Give --step too"),
        (["moons", "--step", "5"], 1, "these are not the data of run.safetensors: it trained on 1797"),
        (["digits", "--compare", "none.safetensors"], 1, "there is no file none.safetensors"),
        (["digits", "--compare", "digits.safetensors"], 1, "holds a network, but no recording"),
    ],
    ids=["step", "layer", "no step", "data", "missing", "no recording"],
)
def test_replay_refuses_in_one_sentence(clearprop, digits, arguments, code, message):
    found, out, err = clearprop("replay", digits, *arguments)
    assert found == code
    assert message in err
    assert out == ""
    assert err.count("\n") == 1


@pytest.mark.skipif(native is None or len(native.instruction_sets()) < 2, reason="one instruction set only")
def test_replay_elsewhere_needs_inexact(clearprop, digits, monkeypatch):
    monkeypatch.setenv("CLEARPROP_ISA", native.instruction_sets()[-1])
    code, _, err = clearprop("replay", digits, "digits", "--step", "5")
    assert code == 2
    assert "--inexact" in err
    assert clearprop("replay", digits, "digits", "--step", "5", "--inexact")[0] == 0


def test_train_refuses_before_training_to_overwrite_a_record(clearprop, digits):
    code, _, err = clearprop("train", "digits", *QUICK, "--output", "other.safetensors", "--record", digits)
    assert code == 1
    assert "run.safetensors exists" in err
    assert not Path("other.safetensors").exists()


def test_recording_does_not_change_what_train_gives(clearprop, digits):
    assert clearprop("train", "digits", *QUICK, "--output", "alone.safetensors")[0] == 0
    assert sha256(cp.load("alone.safetensors").theta) == sha256(cp.load("digits.safetensors").theta)
    assert sha256(cp.load("alone.safetensors").theta) == sha256(cp.load(digits).theta)


def test_the_cost_of_a_step_is_that_of_the_history(clearprop):
    table = flowers()
    job = ["--target", "kind", "--batch-size", "72", "--hidden", "8", "--dropout", "0", "--epochs", "3"]
    _, out, _ = clearprop(
        "train", table, *job, "--json", "--no-report", "--quiet", "--record", "run.safetensors"
    )
    costs = json.loads(out)["history"]["cost"]
    for step, cost in enumerate(costs, start=1):  # one step is an epoch
        _, out, _ = clearprop("replay", "run.safetensors", table, "--step", str(step), "--json")
        assert json.loads(out)["step"]["cost"] == pytest.approx(cost, rel=1e-6)


@pytest.mark.parametrize("path", [3, None, b"run.safetensors"])
def test_what_is_no_path_is_refused_in_a_sentence(path):
    with pytest.raises(cp.errors.DTypeError, match="a path must be a string or"):
        recorded(network()).save(path)


@pytest.mark.parametrize("extra", [3, "a", [1]])
def test_extra_that_is_no_mapping_is_refused_and_nothing_written(extra):
    with pytest.raises(cp.errors.DTypeError, match="extra must be a mapping"):
        recorded(network()).save("run.safetensors", extra=extra)
    assert not Path("run.safetensors").exists()
