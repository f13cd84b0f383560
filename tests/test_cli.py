"""The command line: what it writes, what it prints, and one clear sentence for every mistake."""

from __future__ import annotations

import builtins
import csv
import html
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests import realdata

import clearprop as cp
from clearprop.cli import main
from clearprop.cli.output import confusion_lines
from clearprop.datasets import load_dataset
from clearprop.engines import engines
from clearprop.tabular import TabularModel

QUICK = ["--epochs", "2", "--hidden", "8", "--quiet"]
SMALL = [*QUICK, "--no-report"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def flowers(path: Path = Path("flowers.csv"), n: int = 90, seed: int = 0, **columns) -> Path:
    """Write a table of three kinds of flowers that two of its columns tell apart."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    table = {
        "length": kind + 0.1 * rng.standard_normal(n),
        "width": 2.0 - kind + 0.1 * rng.standard_normal(n),
        "noise": rng.standard_normal(n),
        "kind": [("rose", "tulip", "aster")[k] for k in kind],
    } | columns
    return write(path, table)


def write(path: Path, table: dict) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    return path


def prices(path: Path = Path("prices.csv")) -> Path:
    rng = np.random.default_rng(1)
    size, age = rng.random(120), rng.random(120)
    return write(path, {"size": size, "age": age, "price": 300000 + 100000 * size - 50000 * age})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Models that several tests read: of flowers, of prices, of digits."""
    folder = tmp_path_factory.mktemp("saved")
    jobs = {
        "flowers": [flowers(folder / "flowers.csv"), "--target", "kind", "--epochs", "60"],
        "prices": [prices(folder / "prices.csv"), "--target", "price", "--epochs", "60"],
        "digits": ["digits", "--epochs", "4", "--hidden", "32"],
    }
    for name, job in jobs.items():
        output = str(folder / f"{name}.safetensors")
        assert main(["train", *map(str, job), "--output", output, "--quiet", "--no-report"]) == 0
    return folder


# -- the main job ------------------------------------------------------------------------------


def test_train_digits_writes_a_model_and_a_page_and_says_where(clearprop):
    code, out, err = clearprop("train", "digits", "--epochs", "4", "--hidden", "32")
    assert code == 0
    assert "test accuracy" in out
    assert "confusion: rows are true classes, columns predicted ones" in out
    assert "model  digits.safetensors" in out
    assert "page   digits.html" in out
    assert "float32" in err
    assert err.count("engine: native") == 1
    assert "1,438 for training, 359 held out for the test" in err
    assert "accuracy" in err.split("epoch 4/4")[1]
    assert "\x1b" not in out + err  # no control characters where there is no terminal
    assert max(len(line) for line in err.splitlines() if line.startswith("epoch")) <= 80
    page = Path("digits.html").read_text()
    assert page.count("<img") == 7
    assert "http" not in page.split("data:")[0]


def test_the_saved_model_is_the_network_that_was_measured(clearprop):
    _, out, _ = clearprop("train", "digits", "--seed", "3", "--json", *SMALL)
    result = json.loads(out)
    net = cp.load("digits.safetensors")
    data = load_dataset("digits", test_fraction=0.2, seed=3)
    assert net.dtype == np.float32
    found = net.evaluate(data.X_test, data.y_test)
    assert found["accuracy"] == result["measured"]["accuracy"]
    assert found["cost"] == pytest.approx(result["measured"]["cost"], rel=1e-5)  # one BLAS thread there
    counts = np.array(result["measured"]["confusion"]["counts"])
    assert counts.sum() == result["measured"]["examples"] == 359
    assert np.trace(counts) / 359 == pytest.approx(result["measured"]["accuracy"])
    assert len(result["history"]["cost"]) == 2
    assert result["held_out"] == "test"
    assert result["model"] == "digits.safetensors"
    assert result["page"] is None


def test_the_same_seed_gives_the_same_bytes(clearprop):
    def train(name, seed):
        assert clearprop("train", "moons", "--seed", seed, "--output", name, *SMALL)[0] == 0
        net = cp.load(name)
        return net.theta.tobytes()

    assert train("a.safetensors", 5) == train("b.safetensors", 5)
    assert train("c.safetensors", 6) != train("d.safetensors", 5)


@pytest.mark.slow
def test_digits_reach_97_percent_for_seed_0_and_in_the_mean_of_ten_seeds(clearprop):
    found = []
    for seed in range(10):
        _, out, _ = clearprop(
            "train", "digits", "--seed", seed, "--json", "--quiet", "--no-report", "--force"
        )
        found.append(json.loads(out)["measured"]["accuracy"])
    assert found[0] >= 0.97
    assert np.mean(found) >= 0.97


@pytest.mark.slow
@realdata.needs("mnist.npz")
def test_mnist_reaches_98_percent_with_the_defaults(clearprop):
    code, out, _ = clearprop("train", "mnist", "--data", realdata.path("mnist.npz"), "--json", "--quiet")
    result = json.loads(out)
    assert code == 0
    assert len(result["history"]["epoch"]) <= 20
    assert result["measured"]["examples"] == 10_000
    assert result["measured"]["accuracy"] >= 0.98
    assert Path("mnist.html").stat().st_size < 3_000_000


# -- other data --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["moons", "circles", "spirals", "toy_step", "xor"])
def test_every_made_data_set_trains(clearprop, name):
    code, out, _ = clearprop("train", name, "--json", *SMALL)
    result = json.loads(out)
    assert code == 0
    assert result["data"]["task"] == ("regression" if name == "toy_step" else "classification")
    assert result["measured"]["part"] == ("training" if name == "xor" else "test")


def test_a_table_of_classes(clearprop, saved):
    net = cp.load(saved / "flowers.safetensors")
    assert net.targets.classes == ("aster", "rose", "tulip")
    assert net.extra["data"]["feature_names"] == ["length", "width", "noise"]
    code, out, _ = clearprop("evaluate", saved / "flowers.safetensors", saved / "flowers.csv")
    assert code == 0
    assert out.startswith("test accuracy 100.00% (18 of 18)")


def test_whole_numbers_in_the_target_are_classes_unless_asked_otherwise(clearprop):
    flowers(kind=[k % 3 for k in range(90)])
    code, _, err = clearprop("train", "flowers.csv", "--target", "kind", "--epochs", "2", "--no-report")
    assert code == 0
    assert "3 different whole numbers: read as classes" in err
    assert cp.load("flowers.safetensors").targets.classes == (0, 1, 2)
    task = ["--task", "regression", "--force"]
    assert clearprop("train", "flowers.csv", "--target", "kind", *task, *SMALL)[0] == 0
    assert cp.load("flowers.safetensors").targets.kind == "real"


def test_a_regression_speaks_in_the_unit_of_its_target(clearprop, saved):
    code, out, _ = clearprop("evaluate", saved / "prices.safetensors", saved / "prices.csv", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["part"] == "test"
    assert result["r2"] > 0.9
    net = TabularModel.load(saved / "prices.safetensors")
    assert 200_000 < net.predict({"size": [0.5], "age": [0.5]})[0] < 500_000
    assert "cost" not in result
    assert result["mean_squared_error"] == pytest.approx(result["root_mean_squared_error"] ** 2, rel=1e-4)


def test_a_regression_says_which_unit_its_costs_have(clearprop):
    prices()
    job = ["train", "prices.csv", "--target", "price", "--epochs", "30"]
    code, out, err = clearprop(*job)
    assert code == 0
    unit = "costs are in units of the target's variance"
    assert f"while training, {unit}" in err
    assert err.index(unit) < err.index("epoch  1/30")
    assert out.startswith("test mean squared error ")
    assert unit in html.unescape(Path("prices.html").read_text())
    result = json.loads(clearprop(*job, "--json", "--quiet", "--force")[1])
    assert result["training"]["cost_unit"] == "the target's variance"
    assert "cost" not in result["measured"]
    own_unit, scaled = result["measured"]["mean_squared_error"], result["history"]["val_cost"][-1]
    target = np.genfromtxt("prices.csv", delimiter=",", skip_header=1)[:, 2]
    assert own_unit / scaled == pytest.approx(target.var(), rel=0.3)
    assert json.loads(clearprop("train", "moons", "--json", *SMALL)[1])["training"]["cost_unit"] is None


def test_the_threads_in_force_are_recorded(clearprop, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for option, threads in (([], 1), (["--threads", "2"], 2)):
        code, out, _ = clearprop("train", "moons", "--json", "--force", *option, *SMALL)
        assert code == 0
        assert json.loads(out)["training"]["environment"]["blas_threads"] == threads
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    refused(
        clearprop("train", "moons", "--threads", "2", "--force", *SMALL), 1, 'pip install "clearprop[cli]"'
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = json.loads(clearprop("train", "moons", "--json", "--force", *SMALL)[1])
    assert found["training"]["environment"]["blas_threads"] == {"OMP_NUM_THREADS": "1"}


def test_no_hidden_layer_means_no_dropout(clearprop):
    code, out, _ = clearprop(
        "train", "digits", "--hidden", "none", "--epochs", "1", "--json", "--quiet", "--no-report"
    )
    assert code == 0
    assert json.loads(out)["training"]["settings"]["dropout"] == 0


def test_parquet_and_npz(clearprop):
    pandas = pytest.importorskip("pandas")
    pandas.read_csv(flowers()).to_parquet("flowers.parquet")
    assert clearprop("train", "flowers.parquet", "--target", "kind", *SMALL)[0] == 0
    X, y = np.random.default_rng(0).random((60, 5)), np.arange(60) % 2
    np.savez("rows.npz", x_train=X[:40], y_train=y[:40], x_test=X[40:], y_test=y[40:])
    code, out, _ = clearprop("train", "rows.npz", "--json", *SMALL)
    assert code == 0
    assert json.loads(out)["measured"]["examples"] == 20


def test_options_reach_the_network_and_the_training(clearprop):
    options = ["--hidden", "7,5", "--activation", "tanh", "--dropout", "0.25", "--optimizer", "momentum"]
    more = [
        "--eta",
        "0.05",
        "--schedule",
        "cosine",
        "--l2",
        "0.1",
        "--dtype",
        "float64",
        "--engine",
        "example",
    ]
    code, out, _ = clearprop(
        "train", "moons", "--json", "--no-report", "--quiet", "--epochs", "2", *options, *more
    )
    result, net = json.loads(out), cp.load("moons.safetensors")
    assert code == 0
    assert [type(layer).__name__ for layer in net.layers] == ["Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert (net.layers[0].n_out, net.layers[2].n_out, net.layers[1].rate) == (7, 5, 0.25)
    assert net.layers[0].activation.name == "tanh"
    assert net.dtype == np.float64
    assert net.penalty.l2 == 0.1
    assert result["training"]["engine"] == "engine: example, as asked."
    assert result["history"]["eta"][-1] < 0.01  # the cosine has come down


def test_lbfgs_takes_all_examples_at_once(clearprop):
    code, out, _ = clearprop(
        "train", "moons", "--optimizer", "lbfgs", "--hidden", "10", "--epochs", "30", "--quiet"
    )
    assert code == 0
    assert "test accuracy" in out
    assert Path("moons.html").is_file()


def test_early_stopping_takes_validation_data_from_the_training_part(clearprop):
    code, out, _ = clearprop(
        "train", "moons", "--early-stopping", "--epochs", "300", "--json", "--quiet", "--no-report"
    )
    result = json.loads(out)
    assert code == 0
    assert result["held_out"] == "validation"
    assert result["training"]["settings"]["validation"] == 0.1


def test_a_schedule_that_monitors_does_not_watch_the_test_part(clearprop):
    code, out, _ = clearprop(
        "train", "moons", "--schedule", "on_plateau", "--epochs", "3", "--json", "--quiet", "--no-report"
    )
    result = json.loads(out)
    assert code == 0
    assert result["held_out"] == "validation"
    assert result["training"]["settings"]["validation"] == 0.1


def test_lbfgs_stopped_before_its_first_iteration_is_still_saved(clearprop):
    code, out, err = clearprop("train", "moons", "--optimizer", "lbfgs", "--time-limit", "0.000001")
    assert code == 0
    assert "stopped: time limit" in err
    assert "test accuracy" in out
    assert Path("moons.html").is_file()


def test_a_time_limit_ends_training_and_keeps_the_network(clearprop):
    code, out, err = clearprop("train", "digits", "--time-limit", "0.01", "--no-report")
    assert code == 0
    assert "stopped: time limit" in err
    assert "test accuracy" in out


def test_a_table_too_wide_for_its_names_is_still_saved(clearprop):
    rng = np.random.default_rng(0)
    table = {f"{'feature' * 40}_{j}": rng.random(20) for j in range(400)}
    write(Path("wide.csv"), {**table, "kind": ["a", "b"] * 10})
    assert clearprop("train", "wide.csv", "--target", "kind", *SMALL)[0] == 0
    assert cp.load("wide.safetensors").extra["data"]["feature_names"] is None


def test_names_with_markup_and_other_scripts_are_printed_as_they_are(clearprop):
    flowers(kind=["[red]a", "ツリー", "$c[/]$_$"] * 30)
    code, out, _ = clearprop("train", "flowers.csv", "--target", "kind", *QUICK)
    assert code == 0
    assert "[red]a" in out
    assert "ツリー" in Path("flowers.html").read_text()


# -- predict, evaluate, show, ladder -------------------------------------------------------------


def test_predict_prints_one_label_per_line(clearprop, saved):
    flowers(Path("new.csv"), n=6, seed=9)
    code, out, err = clearprop("predict", saved / "flowers.safetensors", "new.csv")
    assert (code, out.split()) == (0, ["rose", "tulip", "aster"] * 2)
    assert "6 predictions" in err


def test_predict_finds_its_columns_in_any_order_and_needs_no_target(clearprop, saved):
    header, *rows = csv.reader((saved / "flowers.csv").read_text().splitlines())
    turned = [["extra", *header[2::-1]], *(["words", *row[2::-1]] for row in rows[:3])]
    Path("new.csv").write_text("\n".join(",".join(row) for row in turned) + "\n")
    _, out, _ = clearprop("predict", saved / "flowers.safetensors", "new.csv")
    assert out.split() == ["rose", "tulip", "aster"]


def test_evaluate_finds_its_columns_in_any_order(clearprop, saved):
    header, *rows = csv.reader((saved / "flowers.csv").read_text().splitlines())
    turned = [["extra", *header[::-1]], *(["words", *row[::-1]] for row in rows)]
    Path("turned.csv").write_text("\n".join(",".join(row) for row in turned) + "\n")
    code, out, _ = clearprop("evaluate", saved / "flowers.safetensors", "turned.csv")
    assert code == 0
    assert "accuracy 100.00%" in out


def test_predict_proba_json_and_csv_agree(clearprop, saved):
    data = [saved / "digits.safetensors", "digits"]
    result = json.loads(clearprop("predict", *data, "--json", "--proba")[1])
    assert result["part"] == "test"
    assert len(result["predictions"]) == 359
    assert np.sum(result["probabilities"], axis=1) == pytest.approx(1, abs=1e-5)
    assert clearprop("predict", *data, "--proba", "--output", "found.csv")[0] == 0
    header, *rows = csv.reader(Path("found.csv").read_text().splitlines())
    assert header == ["prediction", *"0123456789"]
    assert [row[0] for row in rows] == result["predictions"]
    shown = np.array([row[1:] for row in rows], dtype=np.float32)
    assert np.array_equal(shown, np.array(result["probabilities"], dtype=np.float32))
    assert clearprop("predict", *data)[1].split() == result["predictions"]


def test_predict_reads_rows_from_npy(clearprop, saved):
    np.save("rows.npy", np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0]]))
    assert clearprop("predict", saved / "flowers.safetensors", "rows.npy")[1].split() == ["rose", "aster"]


def test_predict_gives_numbers_for_a_regression(clearprop, saved):
    code, out, _ = clearprop("predict", saved / "prices.safetensors", saved / "prices.csv")
    assert code == 0
    assert len(out.split()) == 120
    assert 200_000 < float(out.split()[0]) < 500_000


def test_evaluate_keeps_apart_what_training_held_out(clearprop, saved):
    model = saved / "digits.safetensors"
    parts = {}
    for part in (None, "test", "train", "all"):
        asked = [] if part is None else ["--part", part]
        parts[part] = json.loads(clearprop("evaluate", model, "digits", "--json", *asked)[1])
    assert parts[None] == parts["test"]
    assert [parts[p]["examples"] for p in ("test", "train", "all")] == [359, 1438, 1797]
    about = cp.load(model).extra["training"]
    assert parts["test"]["accuracy"] == about["measured"]["accuracy"]


def test_evaluate_takes_all_of_data_that_the_model_has_not_seen(clearprop, saved):
    flowers(Path("flowers.csv"), seed=4)  # the same name, other rows
    result = json.loads(clearprop("evaluate", saved / "flowers.safetensors", "flowers.csv", "--json")[1])
    assert (result["part"], result["examples"]) == ("all", 90)


def test_a_network_saved_from_python_can_be_evaluated_and_shown(clearprop):
    data = load_dataset("moons", seed=0)
    net = cp.Network([cp.Dense(8, "tanh"), cp.Dense(1, "sigmoid")], seed=0)
    net.fit(data.X_train, data.y_train, epochs=5)
    net.save("mine.safetensors")
    result = json.loads(clearprop("evaluate", "mine.safetensors", "moons", "--json")[1])
    assert result["accuracy"] == net.evaluate(data.X_train, data.y_train)["accuracy"]
    assert clearprop("show", "mine.safetensors")[0] == 0
    assert set(clearprop("predict", "mine.safetensors", "moons")[1].split()) == {"0", "1"}


def test_show_describes_a_model(clearprop, saved):
    code, out, _ = clearprop("show", saved / "digits.safetensors")
    assert code == 0
    for piece in (
        "x ← x × 0.0625",
        "10 classes: 0, 1, 2",
        "float32",
        "1797 handwritten digits",
        "Dense",
        "softmax",
    ):
        assert piece in out
    result = json.loads(clearprop("show", saved / "digits.safetensors", "--json")[1])
    assert result["sha256"] in out
    assert result["parameters"] == cp.load(saved / "digits.safetensors").n_parameters
    assert result["preprocessing"] == {"shift": 0.0, "factor": 0.0625}


def test_show_system(clearprop):
    code, out, _ = clearprop("show", "--system")
    assert code == 0
    for name in ("NumPy", "BLAS threads", "scikit-learn", *engines()):
        assert name in out
    assert json.loads(clearprop("show", "--system", "--json")[1])["numpy"] == np.__version__


@pytest.mark.parametrize("data", ["digits", "toy_step"])
def test_ladder_measures_every_rung_and_its_exactness(clearprop, data):
    code, out, _ = clearprop("ladder", data, "--seconds", "0.02", "--json")
    result = json.loads(out)
    assert code == 0
    assert [rung["engine"] for rung in result["rungs"]] == list(engines())
    assert all(rung["examples_per_second"] > 0 for rung in result["rungs"])
    assert all(rung["gradient_difference"] <= 1e-12 for rung in result["rungs"])
    first, second = result["rungs"][:2]
    assert second["ratio"] == pytest.approx(second["examples_per_second"] / first["examples_per_second"])
    assert result["machine"]["cpus"] >= 1


def test_ladder_prints_a_table_and_what_a_rung_declines(clearprop, saved):
    code, out, _ = clearprop("ladder", saved / "flowers.csv", "--target", "kind", "--seconds", "0.02")
    assert code == 0
    assert all(name in out for name in engines())
    assert (
        clearprop(
            "ladder", saved / "flowers.csv", "--model", saved / "flowers.safetensors", "--seconds", "0.02"
        )[0]
        == 0
    )
    X, y = np.random.default_rng(0).random((20, 3)), np.arange(20) % 2
    net = cp.Network([cp.Dense(4, "relu"), cp.BatchNorm(), cp.Dense(2, "softmax")], seed=0)
    net.fit(X, y, epochs=1)
    net.save("normed.safetensors")
    np.savez("rows.npz", x_train=X, y_train=y)
    code, out, _ = clearprop("ladder", "rows.npz", "--model", "normed.safetensors", "--seconds", "0.02")
    assert code == 0
    assert "neuron declined: layers[2] BatchNorm couples the examples" in out


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "ladder", "show"])
def test_help_shows_an_example(clearprop, command):
    code, out, _ = clearprop(command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"clearprop {command} " in out.rsplit("Example", 1)[1]
    assert "--json" in out


def test_help_and_version(clearprop):
    assert clearprop("--version") == (0, f"clearprop {cp.__version__}\n", "")
    code, out, _ = clearprop()
    assert code == 0
    assert all(name in out for name in ("train", "predict", "evaluate", "ladder", "show"))


def test_confusion_table_keeps_within_the_width():
    names = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    counts = np.full((10, 10), 1000)
    for width in (80, 120):
        assert all(len(line) <= width for line in confusion_lines(counts, names, width))
    many = confusion_lines(np.eye(50, dtype=int), [str(k) for k in range(50)], 80)
    assert [str(line) for line in many] == ["no mistakes in 50 classes"]
    counts = np.eye(50, dtype=int)
    counts[3, 7] = 4
    assert "     4  3 taken for 7" in [
        str(line) for line in confusion_lines(counts, [str(k) for k in range(50)], 80)
    ]


# -- mistakes ----------------------------------------------------------------------------------


def refused(found, code: int, *pieces: str) -> None:
    """Check for one line on standard error with these pieces, no traceback, nothing on standard output."""
    got, out, err = found
    assert got == code, err
    assert out == ""
    *progress, last = err.strip().splitlines()
    assert last.startswith("clearprop: ")
    assert not any(line.startswith(("Traceback", "clearprop: ")) for line in progress)
    for piece in pieces:
        assert piece in last


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        ("train digitz", "Did you mean 'digits'?"),
        ("trian digits", "No such command 'trian'"),
        ("train", "Missing argument"),
        ("train digits --bogus", "--bogus"),
        ("train digits --hidden abc", "--hidden must be sizes of layers such as 128,64"),
        ("train digits --hidden 8,0", "Got '8,0'"),
        ("train digits --eta -1", "eta of Adam must be a finite number > 0. Got -1.0."),
        ("train digits --eta nan", "Got nan."),
        ("train digits --epochs 0", "--epochs"),
        ("train digits --epochs ten", "--epochs"),
        ("train digits --batch-size 0", "--batch-size"),
        ("train digits --seed -1", "--seed"),
        ("train digits --activation rellu", "Did you mean 'relu'?"),
        ("train digits --optimizer adm", "Did you mean 'adam'?"),
        ("train digits --schedule cosin", "Did you mean 'cosine'?"),
        ("train digits --engine batsh", "Did you mean 'batch'?"),
        ("train digits --dtype float16", "float32 or float64"),
        ("train digits --dropout 1", "rate of Dropout"),
        ("train digits --hidden none --dropout 0.5", "--dropout needs a hidden layer"),
        ("train digits --l2 -3", "l2 of Penalty"),
        ("train digits --time-limit 0", "--time-limit"),
        ("train digits --validation 1.5", "--validation must be in [0, 1)"),
        ("train digits --test-fraction 1", "--test-fraction must be in [0, 1)"),
        ("train digits --early-stopping --validation 0", "--early-stopping needs validation data"),
        ("train digits --schedule on_plateau --validation 0", "--schedule on_plateau follows the cost of"),
        ("train digits --optimizer lbfgs --eta 0.1", "--eta does not go with optimizer 'lbfgs'"),
        ("train digits --optimizer lbfgs --dropout 0.5", "--dropout does not go with optimizer 'lbfgs'"),
        ("train digits --target x", "--target goes with a table"),
        ("train digits --data x.npz", "--data goes with mnist and fashion_mnist"),
        ("train digits --output page.html", "--output is the path of the model"),
        ("train flowers.csv", "say which column is the target: one of 'length'"),
        ("train flowers.csv --target kindd", "Did you mean 'kind'?"),
        (
            "train flowers.csv --target kind --task clasification",
            "one of 'classification', 'regression'. Got 'clasification'. Did you mean",
        ),
        ("ladder --batch-size 0", "--batch-size"),
        ("ladder --seconds -1", "seconds must be a finite number > 0"),
        ("ladder --hidden 3 --model m.safetensors", "--hidden describes a new network"),
        ("show", "give the path of a model, or --system"),
        ("show m.safetensors --system", "give the path of a model, or --system"),
        ("predict m.safetensors digits --output x.csv --json", "Give one of them"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(clearprop, arguments, piece):
    flowers()
    refused(clearprop(*arguments.split()), 2, piece)
    assert sorted(os.listdir()) == ["flowers.csv"]


def test_unusable_files_are_one_sentence_and_code_1(clearprop):
    Path("text.npz").write_text("hello")
    Path("picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(50))
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("a,b\n")
    Path("folder").mkdir()
    flowers(Path("endless.csv"), n=6, noise=[1, 2, "inf", 4, 5, 6])
    flowers(Path("gap.csv"), n=6, kind=["a", "b", "", "a", "b", "a"])
    flowers(Path("one.csv"), n=30, kind=["rose"] * 30)
    flowers(Path("flat.csv"), n=30, kind=[3.5] * 30)
    for arguments, piece in {
        "train nope.csv --target a": "there is no file nope.csv",
        "train ./folder": "is a folder",
        "train text.npz": "text.npz is not an .npz file",
        "train picture.csv --target a": "picture.csv is not a text table",
        "train empty.csv --target a": "empty.csv is empty",
        "train header.csv --target a": "header.csv has a header but no rows",
        "train gap.csv --target kind": "column 'kind' has no value in data row 3",
        "train endless.csv --target kind": "column 'noise' is infinite in data row 3",
        "train one.csv --target kind": "one.csv: the target holds one class only, 'rose'",
        "train flat.csv --target kind": "flat.csv: the target 'kind' is 3.5 in every row",
        "train mnist --data nope.npz": "there is no file nope.npz",
        "train mnist --data text.npz": "text.npz is not an .npz file",
        "train mnist --data folder": "has neither train-images-idx3-ubyte",
        "evaluate nope.safetensors digits": "there is no file nope.safetensors",
        "evaluate text.npz digits": "not a safetensors file",
        "show header.csv": "not a safetensors file",
    }.items():
        refused(clearprop(*arguments.split()), 1, piece)


def test_files_that_cannot_be_written_are_told_before_training(clearprop):
    Path("digits.html").write_text("mine")
    Path("folder").mkdir()
    there = "digits.html exists. Add --force to replace, or --output PATH to write elsewhere."
    refused(clearprop("train", "digits"), 1, there)
    assert Path("digits.html").read_text() == "mine"
    assert not Path("digits.safetensors").exists()
    for folder in ("folder", ".", ".."):
        said = f"'{folder}' is a folder; give the name of a file"
        refused(clearprop("train", "digits", "--output", folder), 1, said)
        refused(clearprop("predict", "m.safetensors", "digits", "--output", folder), 1, said)
    refused(clearprop("train", "digits", "--output", "no/model.safetensors"), 1, "there is no folder no")
    assert clearprop("train", "digits", "--no-report", *QUICK)[0] == 0
    refused(clearprop("train", "digits", "--no-report"), 1, "digits.safetensors exists")
    assert clearprop("train", "digits", "--force", *QUICK)[0] == 0
    assert Path("digits.html").read_text() != "mine"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told_before_training(clearprop):
    Path("locked").mkdir(mode=0o500)
    refused(clearprop("train", "digits", "--output", "locked/model.safetensors"), 1, "does not permit it")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_file_system_that_takes_no_files_is_told_before_training(clearprop):
    code, out, err = clearprop("train", "digits", "--output", "/proc/model.safetensors")
    refused((code, out, err), 1, "/proc/model.safetensors cannot be written", "does not permit it")
    assert "epoch" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("option", ["--json", "--no-report"])
def test_a_full_standard_output_says_where_the_model_is(option):
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "clearprop", "train", "moons", option, *QUICK],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert found.returncode == 1, found.stderr
    assert found.stderr.startswith("clearprop: standard output could not be written (No space left on")
    assert "The model was saved as moons.safetensors" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert cp.load("moons.safetensors").is_built


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("option", ["--json", "--proba"])
def test_a_full_standard_output_is_told_by_predict(saved, option):
    arguments = [saved / "flowers.safetensors", saved / "flowers.csv", option]
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "clearprop", "predict", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert found.returncode == 1, found.stderr
    assert found.stderr.splitlines()[-1].startswith("clearprop: standard output could not be written")


def test_a_model_and_data_that_do_not_fit(clearprop, saved):
    model, table = saved / "flowers.safetensors", saved / "flowers.csv"
    flowers(Path("other.csv"), kind=["oak", "elm", "ash"] * 30)
    np.save("rows.npy", np.zeros((2, 5)))
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused(
        clearprop("evaluate", model, "other.csv"), 1, "holds the class 'ash', which the model does not know"
    )
    refused(
        clearprop("evaluate", model, saved / "prices.csv"), 1, "has no column 'length', which the model needs"
    )
    refused(
        clearprop("predict", model, saved / "prices.csv"), 1, "has no column 'length', which the model needs"
    )
    refused(clearprop("predict", model, "rows.npy"), 1, "has 5 columns; the model was trained on 3")
    refused(clearprop("predict", model, "objects.npy"), 1, "not a sound .npy file of numbers")
    refused(clearprop("predict", saved / "digits.safetensors", "moons"), 1, "features=2", "features=64")
    refused(clearprop("predict", saved / "prices.safetensors", saved / "prices.csv", "--proba"), 2, "--proba")
    refused(clearprop("evaluate", saved / "prices.safetensors", "moons"), 1, "predicts numbers")
    refused(clearprop("evaluate", model, table, "--part", "tset"), 2, "Did you mean 'test'?")
    refused(clearprop("predict", model, "rows.npy", "--part", "test"), 2, "--part")
    refused(clearprop("predict", model, table, "--output", "other.csv"), 1, "exists. Add --force")


def test_a_damaged_model_is_told(clearprop, saved):
    content = (saved / "flowers.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(content[:1000])
    Path("altered.safetensors").write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    for command in (["show"], ["evaluate"], ["predict"]):
        data = [] if command == ["show"] else [saved / "flowers.csv"]
        refused(clearprop(*command, "cut.safetensors", *data), 1, "truncated")
        refused(clearprop(*command, "altered.safetensors", *data), 1, "has been altered")


def test_divergence_is_one_sentence_and_saves_nothing(clearprop):
    steep = ["--optimizer", "sgd", "--eta", "1e9", "--schedule", "none", "--quiet"]
    refused(clearprop("train", "digits", *steep), 1, "training diverged in epoch 1", "eta")
    assert os.listdir() == []


def test_debug_shows_the_traceback(clearprop):
    code, _, err = clearprop("train", "digitz", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert err.strip().splitlines()[-1].startswith("clearprop: there is no data set")


def test_a_bug_is_told_as_one(clearprop, monkeypatch):
    monkeypatch.setattr("clearprop.cli.show.machine", lambda: 1 / 0)
    refused(clearprop("show", "--system"), 1, "unexpected ZeroDivisionError", "--debug")


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_typer_or_rich_it_says_what_to_install(clearprop, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    refused(clearprop("show", "--system"), 1, 'pip install "clearprop[cli]"')


def test_without_matplotlib_it_says_so_before_training(clearprop, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused(clearprop("train", "moons"), 1, 'pip install "clearprop[plots]"')
    assert clearprop("train", "moons", *SMALL)[0] == 0


def test_without_scikit_learn_it_says_what_to_install(clearprop, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    refused(clearprop("train", "digits"), 1, "clearprop[sklearn]")


# -- as a program --------------------------------------------------------------------------------


def test_module_runs_as_a_program():
    run = subprocess.run(
        [sys.executable, "-m", "clearprop", "train", "moons", "--json", *SMALL],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["command"] == "train"
    assert run.stderr == ""


def test_a_terminal_that_knows_only_ascii_is_no_reason_to_fail():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run(
        [sys.executable, "-m", "clearprop", "train", "moons", "--epochs", "2", "--no-report"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("module", ["typer", "clearprop.cli.app"])
def test_ctrl_c_while_the_command_is_being_imported_is_one_line(clearprop, monkeypatch, module):
    imported = builtins.__import__

    def interrupted(name, *args, **kwargs):
        if name == module:
            raise KeyboardInterrupt
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    code, out, err = clearprop("show", "--system")
    assert (code, out, err) == (130, "", "clearprop: interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT as a terminal does")
def test_ctrl_c_keeps_the_network_so_far():
    arguments = ["train", "digits", "--epochs", "100000", "--schedule", "none"]
    program = subprocess.Popen(
        [sys.executable, "-u", "-m", "clearprop", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    for line in program.stderr:
        if line.startswith("epoch"):
            break
    time.sleep(0.2)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=120)
    assert program.returncode == 130, err
    assert "stopped: interrupted" in err
    assert "interrupted after" in out
    assert cp.load("digits.safetensors").extra["training"]["stopped"] == "interrupted"
    assert Path("digits.html").is_file()
