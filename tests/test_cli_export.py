"""`clearprop export`: the files it writes, what it prints, and one sentence for every mistake."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.export_cases import compile_c, needs_compiler, needs_node, run_node

import clearprop as cp


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A classifier whose classes have names, and a network never fitted."""
    folder = tmp_path_factory.mktemp("saved")
    X = np.array([[kind + 0.1 * i % 0.3, 2 - kind] for i in range(20) for kind in range(3)])
    kinds = np.array(["rose", "tulip", "aster"] * 20)
    layers = [cp.Dense(64, "relu"), cp.Dense(3, "softmax")]
    net = cp.Network(layers, dtype="float32", preprocessing="standardize", seed=0)
    net.fit(X, kinds, optimizer=cp.Adam(0.01), epochs=30)
    net.save(folder / "two-flowers.safetensors")
    cp.Network([2, 1]).save(folder / "line.safetensors")
    return folder


def test_the_format_may_be_named_or_be_told_by_the_ending(clearprop, saved):
    model = saved / "two-flowers.safetensors"
    for given, path in (
        (["--to", "c"], "two-flowers.c"),
        (["--to", "js"], "two-flowers.mjs"),
        (["--to", "onnx"], "two-flowers.onnx"),
        (["--out", "a.C"], "a.C"),
        (["--out", "a.js"], "a.js"),
        (["--to", "c", "--out", "a.txt"], "a.txt"),
    ):
        code, out, err = clearprop("export", model, *given)
        assert (code, err) == (0, "")
        size = Path(path).stat().st_size
        assert out.splitlines()[0].split(None, 1) == ["file", f"{path}, {size:,} bytes"]
        assert "aster, rose, tulip" in out
        assert ("memory" in out) == (path != "a.js" and not path.endswith((".mjs", ".onnx")))


def test_json_tells_what_was_written(clearprop, saved):
    code, out, _ = clearprop("export", saved / "two-flowers.safetensors", "--to", "c", "--json")
    found = json.loads(out)
    net = cp.load(saved / "two-flowers.safetensors")
    assert code == 0
    assert found["labels"] == ["aster", "rose", "tulip"]
    assert (found["command"], found["format"], found["name"]) == ("export", "c", "two_flowers")
    assert (found["n_in"], found["n_out"], found["dtype"]) == (2, 3, "float32")
    assert found["constant_bytes"] == 4 * (net.n_parameters + 4)  # and the preprocessing of two columns
    assert found["bytes"] == Path(found["path"]).stat().st_size


@needs_compiler
def test_the_c_file_speaks_the_words_of_the_table(clearprop, saved, tmp_path):
    clearprop("export", saved / "two-flowers.safetensors", "--out", "net.c", "--name", "flower")
    caller = """
#include <stdio.h>
int main(void)
{
    const float x[FLOWER_N_IN] = {2.0F, 0.0F};
    float out[FLOWER_N_OUT];
    puts(flower_labels[flower_class(x, out)]);
    return 0;
}
"""
    made = compile_c(Path("net.c").read_text("ascii") + caller, tmp_path)
    done = subprocess.run([str(made)], capture_output=True, text=True, check=True)
    assert done.stdout == "aster\n"


@needs_node
def test_the_module_speaks_the_words_of_the_table(clearprop, saved, tmp_path):
    clearprop("export", saved / "two-flowers.safetensors", "--to", "js")
    script = 'import { predictLabel } from "./two-flowers.mjs"; console.log(predictLabel([2, 0]));'
    assert run_node(script, tmp_path) == "aster\n"


def test_onnx_has_the_words_of_the_table_and_the_dtype_asked_for(clearprop, saved):
    onnxruntime = pytest.importorskip("onnxruntime")
    clearprop("export", saved / "two-flowers.safetensors", "--to", "onnx", "--dtype", "float64")
    session = onnxruntime.InferenceSession("two-flowers.onnx", providers=["CPUExecutionProvider"])
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    (chosen,) = session.run(["class"], {"x": np.array([[2.0, 0.0], [0.0, 2.0]])})
    assert [labels[k] for k in chosen] == ["aster", "rose"]


def test_a_file_is_replaced_only_with_force(clearprop, saved):
    Path("net.c").write_text("mine")
    code, out, err = clearprop("export", saved / "line.safetensors", "--out", "net.c")
    assert (code, out) == (1, "")
    assert err == "clearprop: net.c exists. Add --force to replace, or --out PATH to write elsewhere.\n"
    assert Path("net.c").read_text() == "mine"
    assert clearprop("export", saved / "line.safetensors", "--out", "net.c", "--force")[0] == 0
    assert "void net_predict(const double *x, double *out);" in Path("net.c").read_text()


@pytest.mark.parametrize(
    ("given", "code", "sentence"),
    [
        ([], 2, "export needs a format. Give --to onnx, c or js, or --out with one of their endings."),
        (["--to", "onx"], 2, "--to must be onnx, c or js. Did you mean 'onnx'? Got 'onx'."),
        (["--out", "net.txt"], 2, "the ending of --out net.txt names no format. Give --to onnx, c or js."),
        (["--to", "js", "--name", "x"], 2, "--name is what functions in C are called; --to js has none."),
        (["--to", "c", "--name", "9"], 2, "name must be a C identifier"),
        (["--to", "c", "--dtype", "half"], 2, "dtype must be one of 'float32', 'float64'. Got 'half'."),
        (["--to", "c", "--out", "no/net.c"], 1, "no/net.c cannot be written: there is no folder no."),
    ],
)
def test_every_mistake_is_one_sentence(clearprop, saved, given, code, sentence):
    found, out, err = clearprop("export", saved / "line.safetensors", *given)
    assert (found, out) == (code, "")
    assert err.startswith(f"clearprop: {sentence}")
    assert len(err.splitlines()) == 1
    assert not list(Path.cwd().iterdir())


def test_a_model_that_is_not_there_is_named(clearprop, saved):
    code, _, err = clearprop("export", saved / "lines.safetensors", "--to", "c")
    assert code == 1
    assert "there is no file" in err
    assert "Did you mean 'line.safetensors'?" in err


def test_a_table_model_is_refused_as_its_encoding_would_be_left_out(clearprop):
    Path("flowers.csv").write_text("length,kind\n" + "1,rose\n2,tulip\n" * 20, "utf-8")
    job = ["train", "flowers.csv", "--target", "kind", "--epochs", "1", "--quiet", "--no-report"]
    assert clearprop(*job)[0] == 0
    code, out, err = clearprop("export", "flowers.safetensors", "--to", "c")
    assert (code, out) == (2, "")
    assert "flowers.safetensors is a table model" in err
