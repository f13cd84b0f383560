"""Pictures as files: stills, films, and the command `clearprop plot`."""

from __future__ import annotations

import base64
import builtins
import itertools
import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clearprop as cp
from clearprop import plots
from clearprop.errors import (
    DataError,
    DTypeError,
    MissingDependencyError,
    OptionError,
    ShapeError,
    WouldOverwriteError,
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def size_and_frames(path):
    """Return the size in pixels and the number of frames of an image file."""
    with Image.open(path) as image:
        return image.size, getattr(image, "n_frames", 1)


@pytest.fixture(scope="module")
def film():
    """Return the boundary of a small network through three snapshots."""
    X, y = cp.datasets.moons(30, seed=0)
    net = cp.Network([cp.Dense(3, "tanh"), cp.Dense(2, "softmax")], seed=0)
    snapshots = plots.Snapshots(epochs=3)
    net.fit(X, y, epochs=6, callbacks=snapshots)
    return plots.animate_boundary(net, snapshots, X, y, points=12)


# -- stills ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_figure_is_saved_in_the_format_of_its_ending_and_the_same_bytes_each_time(kind, head):
    path = plots.save(plots.activation("tanh"), f"tanh.{kind}")
    assert path == Path(f"tanh.{kind}")
    first = path.read_bytes()
    assert first.startswith(head)
    assert len(first) > 4000
    plots.save(plots.activation("tanh"), path, overwrite=True)
    assert path.read_bytes() == first


def test_the_size_in_dots_is_inches_times_dpi():
    figure = plots.activation("tanh")
    width, height = figure.get_size_inches()
    plots.save(figure, "a.png", dpi=50)
    assert size_and_frames("a.png")[0] == (int(width * 50), int(height * 50))
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook shows


def test_saving_overwrites_nothing_unasked_and_knows_its_endings(film):
    figure = plots.activation("relu")
    plots.save(figure, "a.png")
    with pytest.raises(WouldOverwriteError, match=r"a\.png exists"):
        plots.save(figure, "a.png")
    with pytest.raises(OptionError, match=r"must end in one of 'png', 'svg', 'pdf'. Got 'a\.sgv'"):
        plots.save(figure, "a.sgv")
    with pytest.raises(OptionError, match=r"must end in one of 'gif', 'mp4', 'html'"):
        plots.save(film, "a.png", overwrite=True)
    with pytest.raises(DTypeError, match="needs a figure or an animation"):
        plots.save(3, "a.png")


def test_the_house_style_leaves_the_users_settings_alone():
    import matplotlib

    matplotlib.rcParams["font.size"] = 17.0
    try:
        figure = plots.activation("relu")
        assert figure.axes[0].xaxis.label.get_fontsize() == 10
        assert matplotlib.rcParams["font.size"] == 17.0
    finally:
        matplotlib.rcdefaults()


def test_numbers_need_no_matplotlib_and_pictures_say_what_to_install(monkeypatch):
    import_ = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return import_(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    data = plots.activation_data("tanh", points=3)
    assert data.a[0, 1] == 0
    with pytest.raises(MissingDependencyError, match=r'pip install "clearprop\[plots\]"'):
        plots.activation("tanh")


def test_import_clearprop_imports_no_pictures():
    code = (
        "import sys, clearprop; print(any('plots' in name or 'matplotlib' in name for name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_every_public_name_of_plots_is_there():
    assert sorted(plots.__all__) == [name for name in dir(plots) if name in plots.__all__]
    for name in plots.__all__:
        assert getattr(plots, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nugde'"):
        _ = plots.nugde


# -- snapshots and films -----------------------------------------------------------------------


def test_snapshots_keep_the_start_every_kth_epoch_and_the_end():
    X, y = cp.datasets.xor()
    net = cp.Network([2, 3, 1], seed=0)
    start, snapshots = net.theta.copy(), plots.Snapshots(epochs=2)
    history = net.fit(X, y, epochs=5, batch_size=4, callbacks=snapshots)
    assert [s.epoch for s in snapshots.kept] == [0, 2, 4, 5]
    assert np.array_equal(snapshots.kept[0].theta, start)
    assert np.array_equal(snapshots.kept[-1].theta, net.theta)
    assert snapshots.kept[1].cost == history["cost"][1]
    assert np.array_equal(snapshots.network(net, 0).theta, start)
    again = cp.Network([2, 3, 1], seed=0)
    again.fit(X, y, epochs=4, batch_size=4)
    assert np.array_equal(snapshots.kept[2].theta, again.theta)


def test_snapshots_are_bounded_however_long_training_is():
    snapshots = plots.Snapshots(most=5)
    cp.Network([2, 2, 1], seed=0).fit(*cp.datasets.xor(), epochs=41, batch_size=4, callbacks=snapshots)
    epochs = [s.epoch for s in snapshots.kept]
    assert epochs[0] == 0
    assert epochs[-1] == 41
    assert len(epochs) <= 6
    assert len(set(np.diff(epochs[:-1]))) == 1


def test_each_frame_is_what_the_network_then_answered(film):
    X, y = cp.datasets.moons(30, seed=0)
    net = cp.Network([cp.Dense(3, "tanh"), cp.Dense(2, "softmax")], seed=0)
    net.fit(X, y, epochs=3)
    then = film.frames[1]
    assert film.captions[1].startswith("epoch 3, cost 0.")
    plane = np.array([[a, b] for b in then.x1 for a in then.x0])
    np.testing.assert_allclose(then.shares.reshape(-1, 2), net.predict_proba(plane), rtol=1e-12)
    assert film.figure(1).axes[0].get_title(loc="left").startswith("Epoch 3, cost")


def test_representations_keep_their_axes_and_limits_through_training():
    X, y = cp.datasets.moons(30, seed=0)
    net = cp.Network([cp.Dense(3, "tanh"), cp.Dense(1, "sigmoid")], seed=0)
    snapshots = plots.Snapshots()
    net.fit(X, y, epochs=3, callbacks=snapshots)
    moving = plots.animate_representations(net, snapshots, X, y)
    last = net.trace(X, y)[1].a
    np.testing.assert_allclose(
        moving.frames[-1][1].points, moving.frames[-1][1].plane.project(last), rtol=1e-12
    )
    assert all(frame[1].plane is moving.frames[0][1].plane for frame in moving.frames)
    first, final = (moving.figure(i).axes[1].get_xlim() for i in (0, -1))
    assert first == final
    every = np.concatenate([frame[1].points for frame in moving.frames])
    assert first[0] < every[:, 0].min() < every[:, 0].max() < first[1]


def test_a_gif_has_a_frame_for_each_snapshot(film):
    plots.save(film, "film.gif", dpi=40)
    with Image.open("film.gif") as gif:
        assert gif.n_frames == len(film) == 3
        assert gif.size == (224, 160)
        pixels = []
        for i in range(3):
            gif.seek(i)
            pixels.append(np.asarray(gif.convert("RGB")))
    assert all(np.any(a != b) for a, b in itertools.pairwise(pixels))


def test_the_page_holds_its_frames_and_a_slider_and_loads_nothing(film):
    film.save("film.html", dpi=40)
    page = Path("film.html").read_text(encoding="utf-8")
    images = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="([^"]*)"( hidden)?>', page)
    assert len(images) == 3
    assert all(base64.b64decode(data).startswith(b"\x89PNG") for data, _, _ in images)
    assert [bool(hidden) for *_, hidden in images] == [False, True, True]
    assert '<input type="range" min="0" max="2"' in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_an_mp4_goes_through_ffmpeg_frame_by_frame(film, tmp_path, monkeypatch):
    import matplotlib

    fake = tmp_path / "ffmpeg"  # stands for the program: writes how many bytes of pixels it was given
    fake.write_text(
        f"#!{sys.executable}\nimport sys\ndata = sys.stdin.buffer.read()\n"
        "size = sys.argv[sys.argv.index('-s') + 1]\n"
        "open(sys.argv[-1], 'w').write(f'{size} {len(data)}')\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setitem(matplotlib.rcParams, "animation.ffmpeg_path", str(fake))
    film.save("film.mp4", dpi=40)
    size, given = Path("film.mp4").read_text().split()
    width, height = map(int, size.split("x"))
    assert (width, height) == (224, 160)
    assert int(given) == 3 * width * height * 4


def test_without_ffmpeg_an_mp4_is_refused_in_one_sentence(film, monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "animation.ffmpeg_path", "no-such-ffmpeg")
    with pytest.raises(
        MissingDependencyError, match=r"program ffmpeg, which is not installed .* \.gif or \.html"
    ):
        film.save("film.mp4")
    assert not Path("film.mp4").exists()


def test_an_animation_needs_snapshots_of_this_network():
    X, y = cp.datasets.xor()
    net, snapshots = cp.Network([2, 3, 1], seed=0), plots.Snapshots()
    with pytest.raises(DataError, match=r"empty. Train with them first"):
        plots.animate_boundary(net, snapshots, X, y)
    with pytest.raises(DTypeError, match="needs the Snapshots"):
        plots.animate_boundary(net, [net.theta], X, y)
    net.fit(X, y, epochs=1, callbacks=snapshots)
    with pytest.raises(ShapeError, match="of 13 parameters; this one has 9"):
        plots.animate_boundary(cp.Network([2, 2, 1]), snapshots, X, y)


# -- the command -------------------------------------------------------------------------------

TINY = ("--epochs", "1", "--hidden", "3,2", "--quiet")
QUICK = (*TINY, "--examples", "20")
KINDS = [
    ("activation", "gelu"),
    ("data", "moons"),
    ("network", "moons", *QUICK),
    ("nudge", "moons", "--layer", "2", "--weight", "1,2", *QUICK),
    ("nudge", "moons", "--bias", "1", *QUICK),
    ("boundary", "circles", *QUICK),
    ("predictions", "moons", *QUICK),
    ("representations", "moons", "--layer", "1", *QUICK),
    ("weights", "digits", *TINY),
    ("step-sizes", "xor", *QUICK),
    ("norms", "moons", *TINY),
    ("history", "moons", *TINY),
    ("check", "circles", *QUICK),
]


@pytest.mark.parametrize("arguments", KINDS, ids=lambda arguments: "-".join(arguments[:2]))
def test_every_kind_of_picture_is_written(clearprop, arguments):
    code, out, err = clearprop("plot", *arguments)
    assert (code, err) == (0, "")
    assert out == f"picture  {arguments[0]}.png\n"
    assert size_and_frames(f"{arguments[0]}.png")[0][0] > 400


def test_effort_is_written_with_its_numbers(clearprop, monkeypatch):
    measured = tuple(plots.measure_effort(hidden, examples=3) for hidden in (2, 3))
    monkeypatch.setattr(plots, "effort_data", lambda: measured)
    code, out, _ = clearprop("plot", "effort", "--json")
    rows = json.loads(out)["numbers"]
    assert code == 0
    assert [row["parameters"] for row in rows] == [72, 103]
    assert rows[1]["differences"]["forward"] == 206


def test_json_says_what_was_drawn_of_what(clearprop):
    code, out, _ = clearprop("plot", "nudge", "xor", "--bias", "0", "--output", "n.svg", "--json", *QUICK)
    found = json.loads(out)
    assert code == 0
    assert (found["kind"], found["file"], found["parameters"]) == ("nudge", "n.svg", 2 * 3 + 3 + 6 + 2 + 6)
    assert found["numbers"]["place"] == {"layer": "1", "name": "b", "index": [0], "flat": 6}
    assert found["numbers"]["curves"][0]["slope"] == 1.0  # dz/db


def test_json_has_the_numbers_of_a_boundary_and_of_all_activations(clearprop):
    code, out, _ = clearprop("plot", "boundary", "moons", "--json", *QUICK)
    numbers = json.loads(out)["numbers"]
    shares = np.array(numbers["shares"])
    assert code == 0
    assert shares.shape == (len(numbers["x1"]), len(numbers["x0"]), 2)
    assert shares.sum(axis=2) == pytest.approx(1.0, abs=1e-6)
    assert np.shape(numbers["X"]) == (20, 2)
    code, out, _ = clearprop("plot", "activation", "--json")
    curves = {curve["name"]: curve for curve in json.loads(out)["numbers"]}
    assert code == 0
    assert len(curves) == len(cp.activations.activations)
    assert curves["relu"]["a"][0] == [max(z, 0.0) for z in curves["relu"]["z"]]


@pytest.mark.parametrize("kind", ["film-boundary", "film-representations"])
def test_json_has_the_epoch_and_cost_of_each_frame(clearprop, kind):
    asked = ("moons", "--epochs", "2", "--hidden", "2", "--examples", "20", "--quiet")
    code, out, _ = clearprop("plot", kind, *asked, "--json")
    frames = json.loads(out)["numbers"]
    assert code == 0
    assert [frame["epoch"] for frame in frames] == [0, 1, 2]
    assert frames[0]["cost"] is None  # before the first step
    assert all(0 < frame["cost"] < 10 for frame in frames[1:])
    assert size_and_frames(f"{kind}.gif")[1] == len(frames)


def test_films_are_written(clearprop):
    assert clearprop("plot", "film-boundary", "moons", "--output", "f.html", *QUICK)[0] == 0
    assert Path("f.html").read_text().count("<img") == 2
    code, out, _ = clearprop("plot", "film-representations", "moons", "--layer", "2", *QUICK)
    assert (code, out) == (0, "picture  film-representations.gif\n")
    assert size_and_frames("film-representations.gif")[1] == 2


def test_a_saved_model_is_drawn(clearprop):
    assert clearprop("train", "moons", "--epochs", "2", "--hidden", "4", "--quiet", "--no-report")[0] == 0
    code, out, _ = clearprop("plot", "boundary", "moons", "--model", "moons.safetensors", "--json")
    assert code == 0
    assert json.loads(out)["parameters"] == cp.load("moons.safetensors").n_parameters
    for kind, words in [("norms", "shows a training"), ("data", "shows no network")]:
        code, _, err = clearprop("plot", kind, "moons", "--model", "moons.safetensors")
        assert code == 2
        assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("bondary",), "Did you mean 'boundary'? There are: activation, data,"),
        (("activation", "gleu"), "Did you mean 'gelu'?"),
        (("activation", "--hidden", "3"), "--hidden is of a network, and activation shows none"),
        (("weights", "moons", "--bias", "1"), "--bias does not go with weights"),
        (("boundary", "digits", *QUICK), "plane of two inputs; this network has 64. Layers: 0 (input, 64)"),
        (("nudge", "xor", "--weight", "5,0", *QUICK), "1.W has no entry (5, 0): j (to neuron) in 0 … 2"),
        (("nudge", "xor", "--layer", "7", *QUICK), "no layer '7'. Layers: 0 (input, 2), 1 (Dense, 3)"),
        (("nudge", "xor", "--weight", "1", *QUICK), "--weight must be j,k, such as 3,7"),
        (("nudge", "nowhere.csv", "--weight=--3,1"), "--weight must be j,k, such as 3,7"),
        (("activation", "relu", "--example", "77"), "--example does not go with activation"),
        (("activation", "relu", "--examples", "3"), "--examples does not go with activation"),
        (("activation", "relu", "--target", "a"), "activation shows no data. Leave --target out."),
        (("effort", "moons", "--task", "regression"), "effort shows no data. Leave --task and 'moons' out."),
        (("effort", "--examples", "500"), "--examples does not go with effort"),
        (("boundary", "moons", "--example", "0"), "--example does not go with boundary"),
        (("weights", "digits", "--examples", "3"), "--examples does not go with weights"),
        (("history", "moons", "--examples", "3"), "--examples does not go with history"),
        (("nudge", "xor", "--weight", "0,0", "--bias", "0", *QUICK), "give --weight or --bias"),
        (("boundary", "--output", "a.gif"), "must end in one of 'png', 'svg', 'pdf'"),
        (("film-boundary", "--output", "a.png"), "must end in one of 'gif', 'mp4', 'html'"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(clearprop, arguments, words):
    code, out, err = clearprop("plot", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not list(Path().iterdir())


def test_nothing_is_overwritten_and_nothing_trained_before_that_is_known(clearprop):
    Path("boundary.png").write_bytes(b"mine")
    code, _, err = clearprop("plot", "boundary", "moons", *QUICK)
    assert code == 1
    assert "boundary.png exists. Add --force" in err
    assert Path("boundary.png").read_bytes() == b"mine"
    assert clearprop("plot", "boundary", "moons", "--force", *QUICK)[0] == 0
    assert Path("boundary.png").read_bytes() != b"mine"
