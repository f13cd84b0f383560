"""The page of pictures: one file, every picture with words, and true to the numbers it was given."""

from __future__ import annotations

import base64
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import clearprop as cp
from clearprop import report
from clearprop.errors import MissingDependencyError, WouldOverwriteError
from clearprop.report import answers
from clearprop.training.callbacks import Norms

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def history():
    found = cp.History()
    for epoch in range(1, 6):
        row = {"epoch": epoch, "step": 10 * epoch, "seconds": 0.1 * epoch, "eta": 0.1, "cost": 1 / epoch}
        found.append(
            {**row, "accuracy": 1 - 0.5 / epoch, "val_cost": 2 / epoch, "val_accuracy": 1 - 0.6 / epoch}
        )
        found.rolling.append(
            {"epoch": epoch, "step": 10 * epoch, "examples": 320, "cost": 1 / epoch, "accuracy": 0.9}
        )
    return found


@pytest.fixture(scope="module")
def norms():
    found = cp.NormHistory()
    found.rows = [
        Norms(step, {"1.W": 1 / step, "2.W": 0.0}, {"1.W": 1.0, "2.W": 1.0}) for step in range(1, 50)
    ]
    return found


def images(wrong: bool = True) -> report.Answers:
    true = np.arange(20) % 3
    predicted = true.copy()
    if wrong:
        predicted[4] = 0  # a 1 taken for a 0
    probabilities = np.full((20, 3), 0.1)
    probabilities[np.arange(20), predicted] = 0.8
    X = RNG.random((20, 16))
    names = tuple(f"p{j}" for j in range(16))
    return report.Answers(X, true, predicted, probabilities, ("0", "1", "2"), names, image_shape=(4, 4))


def points() -> report.Answers:
    X = RNG.standard_normal((40, 2))
    true = (X[:, 0] > 0).astype(int)
    return report.Answers(X, true, true, proba(X), ("left", "right"), ("x0", "x1"), outputs=proba)


def proba(X):
    share = 1 / (1 + np.exp(-5 * X[:, :1]))
    return np.concatenate([1 - share, share], axis=1)


def numbers(k: int = 1) -> report.Answers:
    X = RNG.standard_normal((30, 1))
    y = np.tile(X, (1, k)) if k > 1 else X[:, 0]
    return report.Answers(
        X, y, y + 0.5, feature_names=("x",), target="price", outputs=lambda rows: rows[:, 0] + 0.5
    )


def make(answers, history, norms=None, **more) -> report.Report:
    facts = [("Data", "made <b>up</b>"), ("Model", "a&b.safetensors")]
    return report.Report("clearprop: test", "Test accuracy 95%", facts, history, answers, norms=norms, **more)


class Page(HTMLParser):
    """What a page holds: tags that are open and closed, images, text, and every address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images, self.addresses, self.open, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "img":
            self.images.append(found)
        elif tag not in ("meta", "link"):
            self.open.append(tag)
        self.addresses += [value for name, value in found.items() if name in ("src", "href", "action")]
        assert tag not in ("script", "link", "iframe")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


ANSWERS = {"images": images, "points": points, "numbers": numbers, "vectors": lambda: numbers(2)}


@pytest.fixture(scope="module")
def sections(history, norms):
    """The sections of a page of each kind, drawn once."""
    return {kind: report.sections(make(ANSWERS[kind](), history, norms)) for kind in ANSWERS}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_picture_is_sound_and_has_words(kind, sections):
    pictures = [picture for section in sections[kind] for picture in section.pictures]
    assert len(pictures) >= 4
    for picture in pictures:
        assert len(picture.alt) > 30
        assert len(picture.caption) > 20
        assert 0 < picture.width <= 960
        if picture.kind == "image/svg+xml":
            assert ET.fromstring(picture.data).tag.endswith("svg")
        else:
            assert picture.data.startswith(b"\x89PNG\r\n\x1a\n")
        assert base64.b64decode(picture.address.partition(";base64,")[2], validate=True) == picture.data


def test_page_is_one_sound_file(history, norms):
    found = make(images(), history, norms)
    text = report.page(found)
    page = Page(text)
    assert page.open == []
    assert len(page.images) == 7
    assert all(image["alt"] and image["width"] for image in page.images)
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "http" not in re.sub(r"data:image/[^\"]*", "", text)
    assert "made <b>up</b>" in page.text
    assert "<b>" not in text
    assert "a&amp;b.safetensors" in text
    assert report.page(found) == text  # the same report, the same bytes


def headings(sections):
    return [section.heading for section in sections]


def test_sections_suit_the_task(sections):
    assert headings(sections["images"])[:2] == ["Learning", "Images on the test part"]
    assert "The plane, with the points of the test part" in headings(sections["points"])
    assert "The function" in headings(sections["numbers"])
    assert headings(sections["vectors"])[1] == "Predictions on the test part"
    assert headings(sections["images"])[-1] == "Gradients"


def test_what_was_not_recorded_is_left_out():
    assert headings(report.sections(make(numbers(), cp.History()))) == [
        "The function",
        "Predictions on the test part",
    ]


def test_right_and_wrong_images_are_told_in_words(history):
    answers = images()
    sure = answers.probabilities[np.arange(20), answers.predicted]
    pixels = answers.X.reshape(20, 4, 4)
    wrong = report.wrong_images(pixels, answers.true, answers.predicted, sure, answers.class_names)
    assert wrong.alt == "1 images that were mistaken: 1 taken for 0."
    assert "Mistaken (1 of 20, all of them)" in wrong.caption
    right = report.right_images(pixels, answers.true, answers.predicted, sure, answers.class_names)
    assert "Recognised (19 of 20)" in right.caption


def test_no_mistake_is_said():
    answers = images(wrong=False)
    sure = np.ones(20)
    assert report.wrong_images(answers.X.reshape(20, 4, 4), answers.true, answers.true, sure, "012") is None
    section = report.sections(make(answers, cp.History()))[0]
    assert section.text == "No image on the test part was mistaken."
    nothing_right = (answers.true + 1) % 3
    assert report.right_images(answers.X.reshape(20, 4, 4), answers.true, nothing_right, sure, "012") is None


def test_the_surest_mistakes_come_first():
    true, predicted = np.zeros(30, int), np.ones(30, int)
    sure = np.linspace(0.5, 0.9, 30)
    picture = report.wrong_images(RNG.random((30, 2, 2)), true, predicted, sure, ("a", "b"), most=3)
    assert "the 3 it was surest of" in picture.caption


def test_confusion_matrix_by_hand():
    true, predicted = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 1, 1, 0, 0])
    counts = report.confusion_matrix(true, predicted, 3)
    assert counts.tolist() == [[1, 1, 0], [1, 2, 0], [1, 0, 0]]
    mistakes = report.most_frequent_mistakes(counts)
    assert [(m.true, m.predicted, m.times) for m in mistakes] == [(0, 1, 1), (1, 0, 1), (2, 0, 1)]
    assert report.most_frequent_mistakes(counts, most=1)[0].true == 0
    words = report.confusion_picture(true, predicted, ("a", "b", "c")).alt
    assert "3 of 6" in words
    assert "a taken for b (1), b taken for a (1), c taken for a (1)" in words


def test_every_count_of_the_confusion_matrix_can_be_read():
    def light(colour):
        parts = np.array(to_rgb(colour))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    counts = np.array([[40, 0, 7, 1], [0, 25, 25, 0], [3, 0, 0, 47], [0, 13, 0, 9]])
    figure = Figure()
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True)
    colours = answers._cell_colours(shares)
    answers._write_counts(axes, counts, shares)
    assert len(axes.texts) == 16
    for text in axes.texts:
        p, t = text.get_position()
        dark, bright = sorted((light(text.get_color()), light(colours[t, p])))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (t, p, text.get_text())


@pytest.mark.parametrize("n_classes", [2, 10, 26, 45])
def test_confusion_picture_takes_any_number_of_classes(n_classes):
    true = np.arange(n_classes)
    picture = report.confusion_picture(true, true[::-1], tuple(f"class {k}" for k in range(n_classes)))
    assert picture.width <= 800


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is drawn, laid out, for what its parts say and where they lie."""
    found = []
    save = Figure.savefig

    def saving(figure, *rest, **options):
        save(figure, *rest, **options)
        figure.draw_without_rendering()  # places at the figure's own resolution
        found.append(figure)

    monkeypatch.setattr(Figure, "savefig", saving)
    return found


def plane(names):
    true = np.arange(120) % len(names)
    X = np.random.default_rng(0).standard_normal((120, 2))
    shares = np.eye(len(names))
    return report.boundary(
        X, true, true[::-1], lambda rows: shares[np.arange(len(rows)) // 2000 % len(names)], names, "ab"
    )


def inside(figure, part) -> bool:
    box, room = part.get_window_extent(), figure.bbox
    return room.x0 <= box.x0 and room.y0 <= box.y0 and box.x1 <= room.x1 and box.y1 <= room.y1


def test_the_key_of_the_plane_leaves_out_classes_whose_colours_repeat(figures):
    picture = plane([f"class {k}" for k in range(60)])
    assert "Of 60 classes several share a colour." in picture.caption
    plane([f"class {k}" for k in range(3)])
    keys = [figure.axes[0].get_legend() for figure in figures]
    said = [[text.get_text() for text in key.get_texts()] for key in keys]
    assert said == [["mistaken"], ["class 0", "class 1", "class 2", "mistaken"]]
    assert all(map(inside, figures, keys))


def test_long_names_are_shortened_where_they_differ_least(figures):
    names = ["a name of $300 " + "x" * 300 + end for end in "abc"]
    plane(names)
    true = np.arange(30) % 3
    report.confusion_picture(true, true, names)
    short = [f"a name o…xxxxxx{end}" for end in "abc"]
    key, matrix = figures[0].axes[0].get_legend(), figures[1].axes[0]
    assert [text.get_text() for text in key.get_texts()] == [*short, "mistaken"]
    assert inside(figures[0], key)
    assert [text.get_text() for text in matrix.get_yticklabels()] == short
    parts = [*matrix.get_yticklabels(), *matrix.get_xticklabels(), matrix.xaxis.label, matrix.yaxis.label]
    assert all(inside(figures[1], part) for part in parts)


def test_long_names_above_images_stay_over_their_own(figures):
    true = np.arange(20) % 2
    names = ["a rather long name, first", "a rather long name, last"]
    report.wrong_images(np.zeros((20, 4, 4)), true, 1 - true, np.ones(20), names)
    boxes = [axes.title.get_window_extent() for axes in figures[0].axes[:10]]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))


def test_curves_name_what_was_held_out(history):
    picture = report.curves(history, "test")
    assert "test accuracy 0.88" in picture.alt
    assert "validation" not in picture.alt


def test_gradient_norms_take_a_layer_whose_gradient_vanished(norms):
    picture = report.gradient_norms(norms)
    assert "layer 1 0.025" in picture.alt
    assert report.gradient_norms(cp.NormHistory()) is None


def test_rolling_needs_two_rows():
    assert report.rolling(cp.History()) is None


def test_residuals_are_told_in_words():
    answers = numbers()
    picture = report.predicted_against_true(answers.true, answers.predicted, "price")
    assert "for 30 examples" in picture.alt
    assert "mean 0.5, standard deviation" in picture.alt


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(WouldOverwriteError):
        report.write_page(path, make(numbers(), cp.History()))
    assert path.read_text() == "mine"
    assert report.write_page(path, make(numbers(), cp.History()), overwrite=True) == path
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_the_users_own_matplotlib_settings_stay_and_do_not_count(history):
    import matplotlib

    plain = report.curves(history).data
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert report.curves(history).data == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_without_matplotlib_it_says_what_to_install(monkeypatch, history):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install \"clearprop\[plots\]\""):
        report.curves(history)


def test_importing_it_loads_no_matplotlib():
    code = "import sys, clearprop.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
