"""check_gradient: right gradients pass, wrong ones do not, and each kind of mistake is named."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import clearprop as cp
from clearprop.gradcheck import check_gradient
from clearprop.gradcheck.equations import layer_of

ROOT = Path(__file__).resolve().parents[1]
SCALES = [1.0, 1e-5, 1e5, 1e-30, 1e30]


def random_networks():
    """Return the benchmark that makes random networks whose gradients are right."""
    spec = importlib.util.spec_from_file_location(
        "right_gradients", ROOT / "benchmarks" / "right_gradients.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Regression:
    """A linear regression with a hand-written gradient: 6 examples, W (3, 4), b (3,)."""

    def __init__(self, scale: float = 1.0, square: bool = False) -> None:
        rng = np.random.default_rng(0)
        k = 4 if square else 3
        self.X, self.y = rng.normal(size=(6, 4)), rng.normal(size=(6, k))
        self.point = {"W": rng.normal(size=(k, 4)), "b": rng.normal(size=k)}
        self.scale = scale

    def f(self, p):
        z = np.sinh(self.X @ p["W"].T / 4 + p["b"])
        return self.scale * 0.5 * np.mean(np.sum((z - self.y) ** 2, axis=1))

    def real_f(self, p):
        return float(self.f(p))

    def gradient(self, p):
        u = self.X @ p["W"].T / 4 + p["b"]
        delta = self.scale * (np.sinh(u) - self.y) * np.cosh(u)
        return {"W": delta.T @ self.X / 4 / 6, "b": delta.mean(axis=0)}

    def check(self, change=lambda p, g: g, f=None, **options):
        sizes = options.pop("sizes", {"batch size": 6, "n_outputs": len(self.point["b"])})
        return check_gradient(
            f or self.f, lambda p: change(p, self.gradient(p)), at=self.point, sizes=sizes, **options
        )


def in_W(rule):
    """Return a change of the gradient of W alone."""
    return lambda p, g: g | {"W": rule(g["W"])}


# -- right and wrong, at every size of gradient


@pytest.mark.parametrize("complex_step", [True, False])
@pytest.mark.parametrize("scale", SCALES)
def test_a_right_gradient_is_right(scale, complex_step):
    verdict = Regression(scale).check(complex_step=complex_step)
    assert verdict
    assert verdict.kind == "right"
    assert verdict.precision < 1e-7
    assert verdict.method == ("complex step" if complex_step else "central differences")


@pytest.mark.parametrize("complex_step", [True, False])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("factor", [1.001, 0.999, 1 + 1e-5, -1.0, 2.0])
def test_a_factor_is_caught_and_told(factor, scale, complex_step):
    verdict = Regression(scale).check(in_W(lambda W: factor * W), complex_step=complex_step)
    assert not verdict
    assert [finding.name for finding in verdict.wrong] == ["W"]
    assert verdict.factor == pytest.approx(factor, rel=1e-6)
    assert verdict.rate is None or verdict.rate == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("scale", SCALES)
def test_one_entry_that_is_off_by_a_thousandth_is_caught(scale):
    def change(W):
        W[1, 2] *= 1.001
        return W

    for f in (None, Regression(scale).real_f):
        verdict = Regression(scale).check(in_W(change), f=f)
        assert verdict.wrong[0].worst == (1, 2)
        assert verdict.wrong[0].wrong == 1
        assert "one of 12 entries is wrong" in str(verdict)


def test_a_function_that_drops_the_imaginary_part_is_measured_by_differences():
    """Then the complex step says 0, which differences contradict."""
    regression = Regression()

    def f(p):
        return regression.f({"W": p["W"].real, "b": p["b"].real})

    assert check_gradient(f, regression.gradient, at=regression.point).method == "central differences"
    verdict = check_gradient(f, lambda p: {"W": 0 * p["W"], "b": 0 * p["b"]}, at=regression.point)
    assert not verdict


def test_abs_of_a_complex_number_does_not_mislead():
    x = np.array([1.0, -2.0, 0.5])
    assert check_gradient(lambda x: np.sum(np.abs(x) ** 3), lambda x: 3 * x**2 * np.sign(x), at=x)
    assert not check_gradient(lambda x: np.sum(np.abs(x) ** 3 + x), lambda x: np.ones(3), at=x)


# -- what is wrong, in words

RULES = {
    "sum where a mean is meant": (
        lambda W: 6 * W,
        "the factor 6.000 = batch size: a sum where a mean is meant?",
    ),
    "mean where a sum is meant": (lambda W: W / 3, "0.333 = 1/n_outputs: a mean where a sum is meant?"),
    "sign": (lambda W: -W, "the factor -1.000: the sign is wrong"),
    "twice": (lambda W: 2 * W, "the factor 2.000: the factor 1/2 of a squared error forgotten"),
    "half": (lambda W: W / 2, "the factor 0.500: the 2 of a square's derivative forgotten?"),
    "mean over n - 1": (lambda W: W * 6 / 5, "= batch size / (batch size - 1): divided by one too few?"),
    "zero": (lambda W: 0 * W, "every entry is zero where it should not be"),
    "NaN": (lambda W: W * np.nan, "12 entries are NaN or infinite"),
    "reshaped": (lambda W: W.T.reshape(W.shape), "laid out in the wrong order"),
    "rolled": (lambda W: np.roll(W, 1, axis=1), "each column holds what belongs to the one before it"),
    "rolled back": (lambda W: np.roll(W, -1, axis=0), "each row holds what belongs to the one after it"),
    "upside down": (lambda W: W[::-1], "the order of its rows is reversed"),
    "columns in another order": (
        lambda W: W[:, [1, 0, 3, 2]],
        "its columns are in the wrong order: 1, 0, 3, 2",
    ),
    "anywhere": (lambda W: np.sort(W, axis=None).reshape(W.shape), "right but stand in the wrong places"),
    "one row": (lambda W: W * np.array([[1], [2], [1]]), "only row 1 is wrong, by the factor 2.000"),
    "one column zero": (lambda W: W * np.array([1, 1, 0, 1]), "only column 2 is wrong: it is zero"),
    "a factor for each row": (
        lambda W: W * np.array([[0.5], [2], [3]]),
        "each row is off by a factor of its own",
    ),
    "absolute values": (np.abs, "of the wrong sign, the sizes are right"),
    "clipped": (lambda W: np.clip(W, -0.01, 0.01), "cut off at ±0.01"),
    "an offset": (lambda W: W + 0.25, "every entry differs by the same number, 0.25"),
    "float32": (lambda W: W.astype(np.float32).astype(float), "the numbers are those of float32"),
    "one number": (lambda W: np.full(W.shape, W.sum()), "every entry has the same number"),
    "some zeros": (
        lambda W: W * np.array([[1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]),
        "2 of 12 entries are zero",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_each_rule_is_named(name):
    rule, words = RULES[name]
    for scale in (1.0, 1e-5):
        change = rule if name not in ("clipped", "an offset") else lambda W: scale * rule(W / scale)  # noqa: B023
        verdict = Regression(scale).check(in_W(change), tolerance=1e-9 if name == "float32" else None)
        assert not verdict
        expected = (
            words if name not in ("clipped", "an offset") or scale == 1 else words.split(",")[0].split("±")[0]
        )
        assert expected in str(verdict), str(verdict)
        assert "right: b" in str(verdict)


def test_transposed():
    verdict = Regression(square=True).check(in_W(lambda W: W.T))
    assert "transposed: entry [j, k] holds what belongs to [k, j]" in str(verdict)
    verdict = Regression(square=True).check(in_W(lambda W: 6 * W.T))
    assert "and off by the factor 6.000 = batch size" in str(verdict)


def test_a_shift_that_loses_the_edge():
    x = np.array([0.3, -1.0, 2.0, 0.7, 1.1])

    def gradient(x):
        return np.concatenate([[99.0], 2 * x[:-1]])

    verdict = check_gradient(lambda x: np.sum(x**2), gradient, at=x)
    assert "each entry holds what belongs to the one before it (off by one)" in str(verdict)


def test_a_penalty_in_the_gradient_alone():
    verdict = Regression().check(lambda p, g: g | {"W": g["W"] + 0.01 * p["W"]})
    assert "the difference is 0.01 times the parameters: a penalty (weight decay) in the gradient" in str(
        verdict
    )
    assert verdict.factor == pytest.approx(0.01)


def test_a_gradient_of_what_f_does_not_depend_on():
    verdict = check_gradient(
        lambda p: np.sum(p[0] ** 2), lambda p: (2 * p[0], p[1]), at=(np.ones(2), np.ones(3))
    )
    assert [finding.name for finding in verdict.wrong] == ["[1]"]
    assert "f does not depend on it" in str(verdict)


def test_one_factor_of_all_parts_is_told_once():
    verdict = Regression().check(lambda p, g: {key: 3 * value for key, value in g.items()})
    assert verdict.pattern == (
        "all 15 entries of W, b are off by the factor 3.000 = n_outputs: a sum where a mean is meant?"
    )
    assert str(verdict).count("3.000") == 1


def test_one_entry_at_the_bound_is_not_clipping():
    x = np.array([1.0, 2.0, 3.0])
    for bound, name in ((4.5, "some entries"), (3.0, "clipped")):
        verdict = check_gradient(
            lambda x: np.sum(x**2), lambda x, bound=bound: np.clip(2 * x, -bound, bound), at=x
        )
        assert verdict.wrong[0].pattern_name == name


def test_a_factor_with_two_readings_has_both():
    verdict = check_gradient(lambda x: np.sum(x**2), lambda x: x, at=np.array([1.0, 2.0]))
    assert "= 1/the number of entries of x: a mean where a sum is meant? Or the 2 of a square's" in str(
        verdict
    )


def test_a_sample_is_not_told_as_the_whole():
    x = np.random.default_rng(0).normal(size=6000)
    verdict = check_gradient(lambda x: np.sum(x**2), lambda x: 3 * x, at=x, entries=60)
    assert "all 60 measured entries (of 6000) are off by the factor 1.5" in str(verdict)
    noise = np.random.default_rng(1).normal(size=6000)
    verdict = check_gradient(lambda x: np.sum(x**2), lambda x: 2 * x + noise, at=x, entries=60)
    assert "60 of 60 measured entries (of 6000) are wrong; no simple rule" in str(verdict)


def test_no_rule():
    noise = np.random.default_rng(1).normal(size=(3, 4))
    verdict = Regression().check(in_W(lambda W: W + noise))
    assert "12 of 12 entries are wrong; no simple rule explains them" in str(verdict)


def test_the_whole_text():
    verdict = Regression().check(in_W(lambda W: 6 * W))
    worst = verdict.wrong[0]
    assert str(verdict).splitlines() == [
        "wrong: the gradient with respect to W (3, 4)",
        "  W: all 12 entries are off by the factor 6.000 = batch size: a sum where a mean is meant?",
        f"  worst W[{worst.worst[0]}, {worst.worst[1]}]: the gradient says {worst.claimed:.9g}, measured "
        f"{worst.measured:.9g} (error 5 of the largest entry)",
        "  right: b",
        "  measured by complex step; Taylor remainder of order 1.00 (2 right, 1 wrong)",
    ]


def test_as_plain_data():
    for change in (lambda p, g: g, in_W(lambda W: W * np.nan), in_W(lambda W: 2 * W)):
        verdict = Regression().check(change)
        back = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
        assert back["right"] == verdict.right
        assert [finding["name"] for finding in back["findings"]] == ["W", "b"]


# -- large arrays


def test_the_sample_of_a_large_array_holds_the_worst_entry():
    rng = np.random.default_rng(0)
    A, x = rng.normal(size=(60, 80)), rng.normal(size=(60, 80))

    def gradient(x):
        g = A * np.cos(x)
        g[41, 63] += 1e-3
        return g

    calls = []
    verdict = check_gradient(lambda x: calls.append(1) or np.sum(A * np.sin(x)), gradient, at=x, entries=300)
    assert verdict.wrong[0].worst == (41, 63)
    assert verdict.wrong[0].checked == 300
    assert len(calls) < 1500
    verdict = check_gradient(lambda x: np.sum(A * np.sin(x)), lambda x: 2 * A * np.cos(x), at=x, entries=300)
    assert "all 300 measured entries (of 4800) are off by the factor 2.000" in str(verdict)


def test_a_right_gradient_of_a_large_array_takes_few_evaluations():
    x = np.random.default_rng(0).normal(size=100_000)
    assert check_gradient(lambda x: np.sum(np.sin(x)), np.cos, at=x).evaluations < 100


# -- kinks


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("f", [lambda x: np.sum(relu(x)), lambda x: float(np.sum(relu(x)))])
def test_relu_at_exactly_0(f, slope):
    """Any slope between the two one-sided ones is right, and the verdict says so."""
    verdict = check_gradient(f, lambda x: 1.0 * (x > 0) + slope * (x == 0), at=np.array([1.0, 0.0, -2.0]))
    assert verdict
    assert verdict.kind in ("kink", "right")
    if verdict.kind == "kink":
        assert "x[1] sits on a kink: slope 0 on the left, 1 on the right" in str(verdict)


def test_the_kink_is_said_where_the_complex_step_takes_a_side():
    verdict = check_gradient(
        lambda x: np.sum(relu(x)), lambda x: 1.0 * (x > 0), at=np.array([1.0, 0.0, -2.0])
    )
    assert verdict.kind == "kink"
    assert "the gradient says 0; judged beside the kink" in verdict.notes[0]


def test_no_slope_at_a_kink():
    verdict = check_gradient(
        lambda x: np.sum(relu(x)), lambda x: 1.0 * (x > 0) + 5 * (x == 0), at=np.zeros(1)
    )
    assert not verdict
    assert "at the kink itself none of the slopes that meet there: between 0 and 1" in str(verdict)


@pytest.mark.parametrize("slope", [1.5, -0.5, 1.01, 2.9])
@pytest.mark.parametrize("others", [[1.0, 0.0, -2.0], [0.0, 0.0, 0.0, 1.0]])
def test_a_slope_beside_the_two_that_meet_at_a_kink(slope, others):
    x = np.array(others)
    verdict = check_gradient(
        lambda x: np.sum(relu(x) * (1 + x)), lambda x: (x > 0) * (1.0 + 2 * x) + slope * (x == 0), at=x
    )
    assert not verdict
    assert verdict.wrong[0].wrong == np.sum(x == 0)
    assert verdict.wrong[0].claimed == slope


def test_a_wide_margin_where_several_kinks_meet():
    """Of max(0, x) - max(0, y - 3x) at 0, each may take its own side: 0 too, which is not between 1 and 3."""

    def f(p):
        return relu(p[0]) - relu(p[1] - 3 * p[0])

    def gradient(p, s=0.0):
        first, second = (1.0 if z > 0 else s * (z == 0) for z in (p[0], p[1] - 3 * p[0]))
        return np.array([first + 3 * second, -second])

    for s in (0.0, 0.5, 1.0):
        verdict = check_gradient(f, lambda p, s=s: gradient(p, s), at=np.zeros(2))
        assert verdict.kind == "kink"
        assert "by its size alone at it: several kinks meet there" in verdict.notes[0]
    assert not check_gradient(f, lambda p: gradient(p, 9.0), at=np.zeros(2))


def test_a_kink_in_one_part_does_not_hide_an_error_at_the_point_in_another():
    def gradient(p):
        return {"a": np.sign(p["a"]), "b": (5 if (p["a"] == 0).any() else 2) * p["b"]}

    verdict = check_gradient(
        lambda p: np.sum(np.abs(p["a"])) + np.sum(p["b"] ** 2),
        gradient,
        at={"a": np.array([0.0, 1.0]), "b": np.array([1.0, 2.0])},
    )
    assert [finding.name for finding in verdict.wrong] == ["b"]
    assert verdict.factor == pytest.approx(2.5)


def test_a_wrong_gradient_at_a_kink_is_wrong():
    verdict = check_gradient(
        lambda x: np.sum(relu(x)), lambda x: 1.001 * (x > 0), at=np.array([1.0, 0.0, -2.0])
    )
    assert verdict.kind == "wrong"
    assert verdict.factor == pytest.approx(1.001)


# -- noise


def test_a_gradient_below_the_rounding_of_f_is_noise():
    x = np.array([1.0, 2.0, -1.0])
    for gradient in (lambda x: 2e-9 * x, lambda x: 2.2e-9 * x):
        verdict = check_gradient(lambda x: float(1e6 + 1e-9 * np.sum(x**2)), gradient, at=x)
        assert (verdict.right, verdict.kind) == (False, "noise")
        assert "f is too coarse at this point" in str(verdict)
        assert "Subtract what is constant from f" in str(verdict)


def test_a_gradient_that_is_far_too_large_is_wrong_and_not_noise():
    x = np.array([1.0, 2.0, -1.0])
    assert check_gradient(lambda x: float(1e6 + 1e-9 * np.sum(x**2)), lambda x: x, at=x).kind == "wrong"


def test_the_complex_step_sees_what_differences_cannot():
    x = np.array([1.0, 2.0, -1.0])

    def f(x):
        return np.sum(x[:1] ** 2) + 1e-14 * np.sum(x[1:] ** 2)

    def gradient(x, factor=2.0):
        return np.concatenate([2 * x[:1], factor * 1e-14 * x[1:]])

    parts = [("a", (1,)), ("b", (2,))]
    assert check_gradient(f, gradient, at=x, names=parts)
    verdict = check_gradient(f, lambda x: gradient(x, 2.02), at=x, names=parts)
    assert verdict.factor == pytest.approx(1.01)


def test_a_true_zero_is_right_although_both_are_rounding():
    """Softmax does not move when the same is added to every z."""
    z, y = np.array([0.3, -1.2, 2.0]), np.array([0.2, 0.5, 0.3])

    def f(p):
        v = p["z"] + p["shift"]
        return np.log(np.sum(np.exp(v))) - np.sum(y * v)

    def gradient(p):
        v = np.exp(p["z"] + p["shift"])
        delta = v / v.sum() - y
        return {"z": delta, "shift": delta.sum()}

    verdict = check_gradient(f, gradient, at={"z": z, "shift": 0.7})
    assert verdict.kind == "right"
    assert verdict.findings[1].kind == "zero"
    assert "the gradient of shift is zero here" in verdict.notes[0]
    wrong = check_gradient(f, lambda p: gradient(p) | {"shift": 1e-6}, at={"z": z, "shift": 0.7})
    assert [finding.name for finding in wrong.wrong] == ["shift"]


def test_float32():
    x = np.random.default_rng(0).normal(size=20).astype(np.float32)

    def gradient(x):
        assert x.dtype == np.float32
        return np.cos(x) * np.exp(np.sin(x))

    def f(x):
        return np.sum(np.exp(np.sin(x)))

    assert check_gradient(f, gradient, at=x)
    assert not check_gradient(f, lambda x: np.float32(1.001) * gradient(x), at=x)
    coarse = check_gradient(lambda x: f(x.real.astype(np.float32)), gradient, at=x)
    assert coarse.kind in ("right", "noise")


def test_half_precision_is_not_held_to_nothing():
    x = np.random.default_rng(0).normal(size=20).astype(np.float16)
    assert check_gradient(lambda x: np.sum(np.sin(x)), np.cos, at=x).tolerance == 1e-2
    assert not check_gradient(lambda x: np.sum(np.sin(x)), lambda x: np.float16(1.1) * np.cos(x), at=x)


def test_a_small_part_claimed_as_zero_in_single_precision_is_wrong():
    ones = np.ones(3, np.float32)
    verdict = check_gradient(
        lambda p: np.sum(p["a"] ** 2) + 1e-8 * np.sum(p["b"] ** 2),
        lambda p: {"a": 2 * p["a"], "b": 0 * p["b"]},
        at={"a": ones, "b": ones},
    )
    assert [finding.name for finding in verdict.wrong] == ["b"]


# -- names, structures, equations


@pytest.mark.parametrize(
    "at",
    [2.0, [1.0, 2.0], np.ones((2, 3)), (np.ones(2), 3.0), {"a": np.ones(2), "b": {"c": np.ones((1, 2))}}],
)
def test_any_structure(at):
    def total(p, power):
        if isinstance(p, dict):
            return sum(total(value, power) for value in p.values())
        if isinstance(p, tuple):
            return sum(total(value, power) for value in p)
        return np.sum(np.asarray(p) ** power)

    def gradient(p):
        if isinstance(p, dict):
            return {key: gradient(value) for key, value in reversed(p.items())}
        return tuple(gradient(value) for value in p) if isinstance(p, tuple) else 3 * np.asarray(p) ** 2

    assert check_gradient(lambda p: total(p, 3), gradient, at=at)
    assert check_gradient(lambda p: (total(p, 3), gradient(p)), at=at)
    assert not check_gradient(lambda p: total(p, 4), gradient, at=at)


def test_names_for_a_flat_vector_and_the_equation_they_tell():
    made = random_networks().plain_network(np.random.default_rng(3))
    assert check_gradient(made.f, made.gradient, at=made.theta, names=made.names)
    sizes = [int(np.prod(shape)) for _, shape in made.names]
    ends, last = np.cumsum(sizes), len(sizes) // 2

    def wrong(factors):
        def gradient(theta):
            parts = np.split(made.gradient(theta), ends[:-1])
            return np.concatenate(
                [factors.get(name, 1.0) * part for part, (name, _) in zip(parts, made.names, strict=True)]
            )

        return check_gradient(made.f, gradient, at=made.theta, names=made.names).equation

    assert wrong({f"{last}.W": 1.1}) == f"BP4 in layer {last}"
    assert wrong({f"{last}.b": 1.1}) == f"BP3 in layer {last}"
    assert wrong({name: 1.1 for name, _ in made.names}) == f"BP1 in layer {last}"
    assert wrong({"1.W": 1.1, "1.b": 1.1}) == "BP2 in layer 1"


@pytest.mark.parametrize(
    "shapes",
    [
        {"fc1.weight": (2, 3), "fc1.bias": (2,), "norm1.weight": (2,), "norm1.bias": (2,)},
        {"fc1.weight": (2, 3), "fc1.bias": (2,), "out2.weight": (2, 2), "out2.bias": (2,)},
        {"conv1.weight": (2, 3, 2), "conv1.bias": (2,)},
        {"1.weight": (3,), "1.bias": (3,)},
        {"W1": (2, 3), "b1": (7,)},
    ],
)
def test_no_equation_where_the_parts_are_not_those_of_dense_layers(shapes):
    at = {name: np.ones(shape) for name, shape in shapes.items()}
    verdict = check_gradient(
        lambda p: sum(np.sum(v**2) for v in p.values()), lambda p: {k: 3 * v for k, v in p.items()}, at=at
    )
    assert not verdict
    assert verdict.equation is None


def test_a_pair_is_told_from_value_and_gradient_by_the_structure_of_the_point():
    def both(p):
        return p[0] ** 2 + np.sum(p[1] ** 2), (2 * p[0], 2 * p[1])

    at = (1.0, np.ones(2))
    assert check_gradient(both, at=at)
    assert check_gradient(lambda p: both(p)[0], lambda p: both(p)[1], at=at)
    assert not check_gradient(lambda p: both(p)[0], lambda p: (3 * p[0], 2 * p[1]), at=at)
    assert check_gradient(lambda p: p[0] ** 2 + 3 * p[1], lambda p: (2 * p[0], 3.0), at=(1.0, 2.0))
    assert check_gradient(lambda p: p[0] ** 2 + 3 * p[1], lambda p: (2 * p[0], 3.0), at=[1.0, 2.0])
    with pytest.raises(cp.errors.ShapeError, match="the gradient has 1 array, the point has 2"):
        check_gradient(lambda p: both(p)[0], lambda p: (2 * p[1],), at=at)


def test_an_error_of_any_class_at_a_step_is_outside_the_region():
    def f(x):
        if x.real[0] < 0:
            raise RuntimeError("not positive")
        return x[0] ** 1.5

    assert check_gradient(f, lambda x: 1.5 * np.sqrt(x), at=np.array([1e-3]))
    assert check_gradient(lambda x: float(f(x)), lambda x: 1.5 * np.sqrt(x), at=np.array([1e-3]))


def test_names_of_other_conventions():
    assert layer_of("fc2.weight") == (2, "W")
    assert layer_of("hidden_1_bias") == (1, "b")
    assert layer_of("input 0") is None


# -- tests of the tests


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_with_a_rule_broken_by_a_thousandth(seed):
    """Right as they are, wrong with any one array's gradient, or any delta, off by 0.1 %."""
    rng = np.random.default_rng([9, seed])
    made = random_networks().plain_network(rng)
    ends = np.cumsum([int(np.prod(shape)) for _, shape in made.names])
    part = int(rng.integers(len(made.names)))
    g = made.gradient(made.theta)

    def broken(theta):
        parts = np.split(made.gradient(theta), ends[:-1])
        parts[part] = 1.001 * parts[part]
        return np.concatenate(parts)

    assert check_gradient(made.f, made.gradient, at=made.theta, names=made.names)
    is_zero = not np.split(g, ends[:-1])[part].any()
    verdict = check_gradient(made.f, broken, at=made.theta, names=made.names)
    assert verdict.right is is_zero
    if not is_zero:
        assert [finding.name for finding in verdict.wrong] == [made.names[part][0]]


def test_random_right_networks_raise_no_alarm():
    """`python benchmarks/right_gradients.py --count 1000` does the same at length."""
    module = random_networks()
    for i in range(24):
        what, verdict = (module.check_plain, module.check_clearprop)[i % 2](np.random.default_rng([2, i]))
        assert verdict, f"{i} {what}: {verdict}"


# -- what cannot be checked


def nested(levels: int, kind: type = list) -> object:
    """Return a number in so many lists or dicts."""
    found: object = 1.0
    for _ in range(levels):
        found = [found] if kind is list else {"a": found}
    return found


@pytest.mark.parametrize(
    ("f", "gradient", "at", "error", "words"),
    [
        (None, np.cos, np.ones(2), cp.errors.DTypeError, "f must be a function of the point. Got NoneType"),
        (np.sum, np.ones(2), np.ones(2), cp.errors.DTypeError, "grad must be a function of the point"),
        (np.sin, np.cos, np.ones(2), cp.errors.ShapeError, "f must return one number. Got an array of shape"),
        (lambda x: "a", np.cos, np.ones(2), cp.errors.DTypeError, "f must return one number. Got str"),
        (lambda x: np.nan, np.cos, np.ones(2), cp.errors.DataError, "f is nan at the point"),
        (np.sum, lambda x: x[:1], np.ones(2), cp.errors.ShapeError, r"has shape \(1,\); x has shape \(2,\)"),
        (np.sum, lambda x: x.T, np.ones((2, 3)), cp.errors.ShapeError, r"\(transpose it\)"),
        (np.sum, np.cos, np.array([np.nan]), cp.errors.DataError, "holds NaN or infinity"),
        (np.sum, np.cos, np.zeros(0), cp.errors.ShapeError, "the point has no entries"),
        (np.sum, np.cos, {}, cp.errors.ShapeError, "the point holds no array"),
        (np.sum, np.cos, nested(10_000), cp.errors.ShapeError, "more than 100 deep"),
        (
            lambda p: p["a"],
            lambda p: nested(10_000, dict),
            {"a": 1.0},
            cp.errors.ShapeError,
            "more than 100 deep",
        ),
        (np.sum, np.cos, np.array(["a"]), cp.errors.DTypeError, "needs real numbers"),
        (lambda p: 1.0, lambda p: {"b": 1.0}, {"a": 1.0}, cp.errors.ShapeError, "lacks a and has b, which"),
    ],
)
def test_bad_input(f, gradient, at, error, words):
    with pytest.raises(error, match=words):
        check_gradient(f, gradient, at=at)


def test_a_random_function():
    rng = np.random.default_rng(0)
    with pytest.raises(cp.errors.DataError, match="at the same point: it is random"):
        check_gradient(lambda x: np.sum(x) + rng.normal(), np.ones_like, at=np.ones(2))


def test_a_random_gradient():
    rng = np.random.default_rng(0)
    with pytest.raises(cp.errors.DataError, match="the gradient is another the second time"):
        check_gradient(np.sum, lambda x: rng.normal(size=2), at=np.ones(2))


def test_options_out_of_range():
    for options, words in (
        ({"tolerance": 0.0}, "tolerance must be between 0 and 1"),
        ({"entries": 0}, "entries"),
    ):
        with pytest.raises(cp.errors.OptionError, match=words):
            check_gradient(np.sum, np.ones_like, at=np.ones(2), **options)
    with pytest.raises(cp.errors.ShapeError, match="the shapes in names have 3 entries, the point has 2"):
        check_gradient(np.sum, np.ones_like, at=np.ones(2), names=[("a", (3,))])


def test_the_arguments_are_copies():
    x = np.array([1.0, 2.0])

    def gradient(v):
        g = 2 * v
        v[:] = 0.0
        return g

    assert check_gradient(lambda v: np.sum(v**2), gradient, at=x)
    assert x.tolist() == [1.0, 2.0]
