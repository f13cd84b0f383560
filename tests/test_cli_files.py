"""What a command writes never takes the place of what it reads, nor of another thing that it writes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from clearprop.cli import main

JOB = ["--epochs", "2", "--hidden", "4", "--quiet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table, and a model that was trained on it."""
    folder = tmp_path_factory.mktemp("made")
    x = np.random.default_rng(0).random((60, 2))
    np.savetxt(folder / "t.csv", np.c_[x, x.sum(axis=1)], "%.4f", ",", header="a,b,y", comments="")
    job = ["train", str(folder / "t.csv"), "--target", "y", *JOB, "--no-report"]
    assert main([*job, "--output", str(folder / "m.safetensors")]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch, made):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    Path("link.csv").symlink_to("t.csv")
    os.link("t.csv", "hard.csv")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("predict m.safetensors t.csv --output m.safetensors", "the model"),
        ("predict m.safetensors t.csv --output t.csv", "the data"),
        ("predict m.safetensors t.csv --output link.csv", "the data"),
        ("predict m.safetensors link.csv --output ./t.csv", "the data"),
        ("predict m.safetensors t.csv --output hard.csv", "the data"),
        ("train t.csv --target y --output t.csv", "the data"),
        ("train t.csv --target y --output new.safetensors --record t.csv", "the data"),
        ("explain m.safetensors t.csv --html t.csv", "the data"),
        ("explain m.safetensors t.csv --html m.safetensors", "the model"),
        ("export m.safetensors --to c --out m.safetensors", "the model"),
    ],
)
@pytest.mark.parametrize("more", [["--force"], []])
def test_no_output_takes_the_place_of_an_input(clearprop, command, what, more):
    before = {path: path.read_bytes() for path in map(Path, ("t.csv", "m.safetensors"))}
    code, _, err = clearprop(*command.split(), *more)
    assert code == 2
    assert f"that is the file of {what}, which would be lost. Give another path." in err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("model", "record", "what"),
    [
        ("r.safetensors", "r.safetensors", "the model and the record"),
        ("r.safetensors", "./r.safetensors", "the model and the record"),
        ("r.safetensors", "r.html", "the page and the record"),
    ],
)
@pytest.mark.parametrize("more", [["--force"], []])
def test_no_output_takes_the_place_of_another(clearprop, model, record, what, more):
    files = ["--output", model, "--record", record]
    code, _, err = clearprop("train", "t.csv", "--target", "y", *JOB, *files, *more)
    assert code == 2
    assert f"{what} cannot both go to {Path(record)}: one would replace the other" in err
    assert not Path("r.safetensors").exists()  # it was refused before training


def test_a_file_of_the_name_of_a_data_set_is_not_its_data(clearprop):
    Path("xor").write_text("old")
    code, _, err = clearprop("train", "xor", *JOB, "--no-report", "--output", "xor", "--force")
    assert code == 0, err
    assert Path("xor").read_bytes() != b"old"
