"""`clearprop diagnose`: the findings as text and JSON, exit codes, and one sentence for every mistake."""

from __future__ import annotations

import json

import numpy as np
import pytest

import clearprop as cp
from clearprop.cli import main
from clearprop.diagnosis import KINDS


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A sound model of the two moons, and a sick one of twenty sigmoid layers."""
    folder = tmp_path_factory.mktemp("saved")
    sound, sick = folder / "moons.safetensors", folder / "sick.safetensors"
    job = ["train", "moons", "--epochs", "20", "--hidden", "16", "--quiet", "--no-report"]
    assert main([*job, "--output", str(sound)]) == 0
    X, y = cp.datasets.moons(1000, seed=0)
    net = cp.Network([cp.Dense(8, "sigmoid")] * 20 + [cp.Dense(2, "softmax")], n_in=2, seed=0)
    net.fit(X, y, epochs=1)
    net.save(sick)
    return folder


def test_a_sound_model_has_no_finding_and_steps_at_its_own_rate(clearprop, saved):
    code, out, err = clearprop("diagnose", saved / "moons.safetensors", "moons")
    assert code == 0, err
    assert "nothing found" in out
    assert "‖ΔW‖/‖W‖" in out  # the file says how it was trained
    lines = out.splitlines()
    assert [line.split()[:3] for line in lines[3:5]] == [["1", "Dense", "relu"], ["2", "Dense", "softmax"]]
    assert "\x1b" not in out


def test_a_sick_model_names_the_finding_and_the_exit_code_is_1(clearprop, saved):
    code, out, _ = clearprop("diagnose", saved / "sick.safetensors", "moons")
    assert code == 1
    assert "critical: vanishing_gradients in layer 1" in out
    assert "Try: " in out
    assert "‖ΔW‖" not in out  # it does not say how it was trained


def test_json_is_one_object_with_everything(clearprop, saved):
    code, out, _ = clearprop(
        "diagnose", saved / "sick.safetensors", "moons", "--json", "--max-examples", "100"
    )
    found = json.loads(out)
    assert code == 1
    assert (found["command"], found["data"], found["part"], found["examples"]) == (
        "diagnose", "moons", "all", 100
    )  # fmt: skip
    assert found["findings"][0]["kind"] == "vanishing_gradients"
    assert {f["kind"] for f in found["findings"]} <= set(KINDS)
    assert [layer["address"] for layer in found["layers"]] == [str(i) for i in range(1, 22)]
    assert found["trial"] is None
    assert not found["healthy"]


def test_a_rate_may_be_tried_before_training_with_it(clearprop, saved):
    code, out, _ = clearprop(
        "diagnose", saved / "moons.safetensors", "moons", "--optimizer", "sgd", "--eta", "1000", "--json"
    )
    found = json.loads(out)
    assert code == 1
    assert [f["kind"] for f in found["findings"]] == ["learning_rate_too_high"]
    assert (found["trial"]["optimizer"], found["trial"]["eta"]) == ("sgd", 1000.0)
    assert "1000" in found["trial"]["after"]


def test_a_table_with_a_column_out_of_scale(clearprop, saved):
    rng = np.random.default_rng(0)
    size, age = rng.random(200), rng.random(200)
    rows = [f"{s},{a},{'big' if s > 0.5 else 'small'}" for s, a in zip(size, age, strict=True)]
    with open("houses.csv", "w") as file:
        file.write("\n".join(["size,age,kind", *rows]))
    job = ["train", "houses.csv", "--target", "kind", "--epochs", "20", "--quiet", "--no-report"]
    assert clearprop(*job)[0] == 0
    assert clearprop("diagnose", "houses.safetensors", "houses.csv")[0] == 0
    with open("metres.csv", "w") as file:
        rows = [f"{1000 * s},{a},{'big' if s > 0.5 else 'small'}" for s, a in zip(size, age, strict=True)]
        file.write("\n".join(["size,age,kind", *rows]))
    code, out, _ = clearprop("diagnose", "houses.safetensors", "metres.csv")
    assert code == 1
    assert "data_not_scaled in the input" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.safetensors", "moons"], 1, "there is no file missing.safetensors"),
        (["{sound}", "digits"], 1, "holds the class '2', which the model does not know"),
        (["{sound}", "moons", "--optimizer", "sdg"], 2, "Did you mean 'sgd'?"),
        (["{sound}", "moons", "--eta", "-1"], 2, "eta of Adam must be a finite number > 0. Got -1.0."),
        (["{sound}", "moons", "--optimizer", "lbfgs", "--eta", "1"], 2, "has no learning rate"),
        (["{sound}", "moons", "--part", "trian"], 2, "Did you mean 'train'?"),
        (["{sound}", "moons", "--max-examples", "0"], 2, "--max-examples"),
    ],
)
def test_mistakes_are_one_line(clearprop, saved, arguments, code, said):
    sound = str(saved / "moons.safetensors")
    found, out, err = clearprop("diagnose", *[a.replace("{sound}", sound) for a in arguments])
    assert found == code
    assert said in err
    assert err.splitlines()[-1].startswith("clearprop: ")
    assert out == ""
