"""diagnose: nets made sick on purpose get the right finding, healthy ones none, and every figure is right."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from benchmarks import diagnose_networks as study
from tests import realdata

import clearprop as cp
from clearprop.diagnosis import KINDS, SEVERITIES, THRESHOLDS, Diagnosis, Finding, diagnose
from clearprop.initializers import Constant, Normal

X, Y = cp.datasets.moons(200, noise=0.1, seed=0)


def net(*hidden, n_in=2, outputs=2, seed=0, **options):
    return cp.Network([*hidden, cp.Dense(outputs, "softmax")], n_in=n_in, seed=seed, **options)


def only(found: Diagnosis, kind: str) -> Finding:
    (finding,) = [f for f in found.findings if f.kind == kind]
    return finding


def digits() -> tuple[np.ndarray, np.ndarray]:
    data = cp.datasets.digits()
    return data.X_train / 16, data.y_train


# -- sick and healthy -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", study.SICK)
@pytest.mark.parametrize("part", study.OFFSET)
def test_what_was_done_to_a_network_is_named(name, part):
    expected = study.SICK[name][1]
    named = [expected in study.patient(name, part, seed).diagnose().kinds for seed in range(3)]
    assert sum(named) >= 2  # one draw in three may be no worse than a healthy network


@pytest.mark.parametrize("name", study.HEALTHY)
def test_a_healthy_network_has_no_finding(name):
    found = [study.patient(name, "tune", seed).diagnose() for seed in range(6)]
    assert [f.kinds for f in found] == [()] * 6
    assert all(f.healthy for f in found)


@pytest.mark.parametrize("f", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_digits_by_the_defaults_are_healthy_before_and_after_training(f, depth):
    pixels, labels = digits()
    network = net(*[cp.Dense(32, f)] * depth, n_in=64, outputs=10)
    assert diagnose(network, pixels, labels, optimizer="adam").kinds == ()
    network.fit(pixels, labels, epochs=10, validation_fraction=0.2)
    assert diagnose(network, pixels, labels, optimizer="adam").kinds == ()


def test_healthy_layers_of_every_kind():
    layers = [
        cp.Dense(24, "relu"),
        cp.BatchNorm(),
        cp.Dropout(0.2),
        cp.Residual([cp.LayerNorm(), cp.Dense(24, "gelu"), cp.Dense(24)]),
        cp.Concatenate([[cp.Dense(8, "tanh")], [cp.Dense(8, "prelu")]]),
        cp.Dense(12, cp.per_neuron(["relu", "tanh"], counts=[6, 6])),
    ]
    found = diagnose(net(*layers), X, Y, optimizer="adam")
    assert found.kinds == ()
    addresses = [s.address for s in found.layers]
    assert "4.body.2" in addresses
    assert any(address.startswith("5.") for address in addresses)
    assert "3" not in addresses  # Dropout learns nothing and has no activation
    assert all(math.isfinite(s.delta_norm) for s in found.layers)


# -- the named illnesses, with their evidence -------------------------------------------------------


def test_twenty_sigmoid_layers_vanish_by_about_a_quarter_a_layer():
    deep = net(*[cp.Dense(30, "sigmoid")] * 20)
    finding = only(diagnose(deep, X, Y), "vanishing_gradients")
    trace = deep.trace(X, Y)
    norms = [np.sqrt((trace[i].delta ** 2).sum(axis=1).mean()) for i in range(1, 21)]
    assert finding.severity == "critical"
    assert finding.layer == "1"
    assert finding.numbers["ratio"] == pytest.approx(norms[0] / norms[-1], rel=1e-12)
    assert finding.numbers["factor"] == pytest.approx((norms[0] / norms[-1]) ** (1 / 19), rel=1e-12)
    assert 0.2 < finding.numbers["factor"] < 0.27  # σ' is 1/4 at most
    assert list(finding.numbers["delta_norms"]) == [str(i) for i in range(1, 21)]
    assert "relu" in finding.advice


@pytest.mark.parametrize(("f", "factor"), [("identity", 16.0), ("tanh", 3.0)])
def test_large_weights_in_a_deep_net_explode(f, factor):
    """64 inputs of weight N(0, 4): √(64 · 4) = 16 in a linear layer; of tanh, few slopes are not flat."""
    finding = only(
        diagnose(net(*[cp.Dense(64, f)] * 12, initializer=Normal(2.0)), X, Y), "exploding_gradients"
    )
    assert finding.severity == "critical"
    assert finding.numbers["factor"] == pytest.approx(factor, rel=0.2)
    assert "initializer" in finding.advice


def test_exploding_activations_name_the_last_hidden_layer():
    found = diagnose(net(*[cp.Dense(64, "identity")] * 12, initializer=Normal(2.0)), X, Y)
    finding = only(found, "exploding_activations")
    assert finding.layer == "12"
    assert finding.numbers["growth"] == pytest.approx(found["12"].rms / found["1"].rms)


def test_relu_with_biases_of_minus_five_is_dead():
    sick = net(cp.Dense(20, "relu"), cp.Dense(30, "relu", bias_initializer=Constant(-5.0)))
    found = diagnose(sick, X, Y)
    finding = only(found, "dead_units")
    assert (finding.layer, finding.severity) == ("2", "critical")
    assert finding.numbers == {"dead": 30, "units": 30, "zero_share": 1.0}
    assert found["1"].dead == np.count_nonzero((sick.trace(X, Y)[1].z <= 0).all(axis=0))
    assert "vanishing_gradients" not in found.kinds  # it follows from the dead layer


def test_units_whose_slope_is_nearly_0_are_dead_and_not_said_to_be_at_0():
    sick = net(cp.Dense(16, "elu", bias_initializer=Constant(-15.0)))
    finding = only(diagnose(sick, X, Y), "dead_units")
    assert (finding.numbers["dead"], finding.numbers["zero_share"]) == (16, 0.0)
    assert "have a slope below 0.0001 in all 200 examples" in finding.evidence
    largest = np.exp(sick.trace(X, Y)[1].z).max()  # elu'(z) = exp(z) below 0
    assert 0 < largest < 1e-4
    limits = dataclasses.replace(THRESHOLDS, dead_slope=largest / 2)
    assert diagnose(sick, X, Y, thresholds=limits)["1"].dead < 16


def test_few_examples_make_no_unit_dead():
    sick = net(cp.Dense(30, "relu", bias_initializer=Constant(-5.0)))
    assert "dead_units" not in diagnose(sick, X[:5], Y[:5]).kinds


def test_saturated_units_are_counted():
    sick = net(cp.Dense(40, "tanh", initializer=Normal(30.0)))
    found = diagnose(sick, X, Y)
    a = sick.trace(X, Y)[1].a
    flat = np.abs(a) >= 1 - 0.02
    assert found["1"].saturated_share == pytest.approx(flat.mean())
    assert found["1"].saturated == np.count_nonzero(flat.mean(axis=0) >= 0.95)
    assert only(found, "saturated_units").layer == "1"


def test_outputs_at_the_wrong_end_count_only_where_the_cost_does_not_undo_it():
    def sick(cost):
        return cp.Network(
            [cp.Dense(8, "tanh"), cp.Dense(1, "sigmoid", bias_initializer=Constant(8.0))],
            cost,
            n_in=2,
            seed=0,
        )

    finding = only(diagnose(sick("quadratic"), X, Y), "saturated_units")
    assert finding.layer == "2"
    assert finding.numbers["share"] == pytest.approx(0.5)  # the examples of class 0
    assert "saturated_units" not in diagnose(sick("binary_cross_entropy"), X, Y).kinds


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_equal_weights_are_symmetric(value):
    found = diagnose(net(cp.Dense(10, "tanh"), cp.Dense(7, "tanh"), initializer=Constant(value)), X, Y)
    assert [f.layer for f in found.findings if f.kind == "symmetric_units"] == ["1", "2"]
    assert found.findings[0].numbers == {"copies": 10, "units": 10}


def test_symmetry_stays_after_training_and_equal_rows_alone_are_none():
    sick = net(cp.Dense(10, "tanh"), initializer=Constant(0.5))
    sick.fit(X, Y, epochs=3)
    assert "symmetric_units" in diagnose(sick, X, Y).kinds
    parting = net(cp.Dense(10, "tanh"))
    parting.W[1] = np.full((10, 2), 0.5)  # what comes back differs, so they part in the first step
    assert "symmetric_units" not in diagnose(parting, X, Y).kinds


def test_a_last_layer_of_zeros_is_a_way_to_start():
    layers = [cp.Dense(16, "relu"), cp.Dense(2, "softmax", initializer="zeros")]
    assert diagnose(cp.Network(layers, n_in=2, seed=0), X, Y).kinds == ()
    assert diagnose(cp.Network([cp.Dense(2, "softmax", initializer="zeros")], n_in=2), X, Y).kinds == ()


def test_eta_100_is_too_high_and_the_advice_is_lower():
    network = net(cp.Dense(16, "tanh"))
    before = network.theta.copy()
    found = diagnose(network, X, Y, optimizer="sgd", eta=100.0)
    finding = only(found, "learning_rate_too_high")
    assert finding.severity == "critical"
    assert found.trial.after[1.0] > found.constant_cost
    assert found["1"].update_ratio > 0.1
    assert float(finding.advice.split("=")[1].rstrip(".")) <= 10
    np.testing.assert_array_equal(network.theta, before)
    assert (network.epochs_trained, network.history, network.targets) == (0, None, None)


def test_a_millionth_is_too_low_and_the_advice_helps():
    network = net(cp.Dense(16, "tanh"))
    finding = only(diagnose(network, X, Y, optimizer="sgd", eta=1e-6), "learning_rate_too_low")
    better = float(finding.advice.split("=")[1].rstrip("."))
    assert better >= 1e-3
    assert diagnose(network, X, Y, optimizer="sgd", eta=better).kinds == ()


def test_the_update_ratio_is_the_mean_of_what_the_steps_did():
    network = net(cp.Dense(16, "tanh"))
    found = diagnose(network, X, Y, optimizer="sgd", eta=0.1, batch_size=200)
    W, copy, seen = network.W[1].copy(), network.copy(), []
    for _ in range(THRESHOLDS.trial_steps):
        before = copy.W[1].copy()
        copy.fit(X, Y, optimizer="sgd", eta=0.1, epochs=1, batch_size=200)
        seen.append(np.linalg.norm(copy.W[1] - before) / np.linalg.norm(W))
    assert found["1"].update_ratio == pytest.approx(np.mean(seen), rel=1e-9)


def test_the_history_alone_tells_of_a_rate_too_high_or_too_low():
    high, low = net(cp.Dense(16, "tanh")), net(cp.Dense(16, "tanh"))
    high.fit(X, Y, eta=10.0, epochs=8)
    history = low.fit(X, Y, optimizer="sgd", eta=1e-6, epochs=8)
    assert "learning_rate_too_high" in diagnose(high, X, Y).kinds
    assert diagnose(low, X, Y).kinds == ("learning_rate_too_low",)
    low.history = None
    assert diagnose(low, X, Y).kinds == ()
    assert diagnose(low, X, Y, history).kinds == ("learning_rate_too_low",)


def test_overfitting_by_the_history_and_by_validation_data():
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(120, 20)), np.arange(120) % 2
    network = net(cp.Dense(64, "relu"), n_in=20)
    network.fit(noise[:60], labels[:60], eta=0.01, epochs=60, X_val=noise[60:], y_val=labels[60:])
    finding = only(diagnose(network, noise[:60], labels[:60]), "overfitting")
    assert finding.numbers["last"] > finding.numbers["least"]
    assert "validation data was least in epoch" in finding.evidence
    network.history = None
    assert diagnose(network, noise[:60], labels[:60]).kinds == ()
    told = diagnose(network, noise[:60], labels[:60], X_val=noise[60:], y_val=labels[60:])
    assert only(told, "overfitting").numbers["accuracy"] == 1.0


# -- data ---------------------------------------------------------------------------------------------


def test_columns_out_of_scale_are_named_and_preprocessing_mends_them():
    far = np.column_stack([X[:, 0] + 3000, 1e-4 * X[:, 1]])
    finding = only(diagnose(net(cp.Dense(8, "tanh")), far, Y), "data_not_scaled")
    assert finding.layer == "0"
    assert finding.numbers["column"] == 0
    assert finding.numbers["size"] == pytest.approx(np.sqrt((far[:, 0] ** 2).mean()))
    assert finding.numbers["offset"] == pytest.approx(far[:, 0].mean() / far[:, 0].std(), rel=1e-6)
    assert finding.numbers["range_ratio"] == pytest.approx(np.ptp(far[:, 0]) / np.ptp(far[:, 1]))
    mended = net(cp.Dense(8, "tanh"), preprocessing="standardize")
    assert diagnose(mended, far, Y).kinds == ()
    assert mended.preprocessing == "standardize"


def test_constant_columns_but_not_the_margin_of_a_picture():
    columns = np.column_stack([X, np.full(200, 7.0), np.zeros(200)])
    finding = only(diagnose(net(cp.Dense(8, "tanh"), n_in=4), columns, Y), "constant_columns")
    assert finding.numbers == {"columns": [2], "value": 7.0}


def test_rows_with_nan_are_left_out_and_named():
    holes = X.copy()
    holes[3, 1], holes[9, 0] = np.nan, np.inf
    network = net(cp.Dense(8, "tanh"))
    found = diagnose(network, holes, Y)
    assert only(found, "data_not_finite").numbers == {
        "entries": 2, "rows": 2, "columns": [0, 1], "row": 3, "column": 1
    }  # fmt: skip
    good = np.delete(np.arange(200), [3, 9])
    assert found.n_examples == 198
    assert found.cost == pytest.approx(network.evaluate(X[good], Y[good])["cost"])
    nothing = diagnose(network, np.full((5, 2), np.nan), Y[:5])
    assert (nothing.kinds, nothing.layers, nothing.cost) == (("data_not_finite",), (), None)
    assert "diagnosis of 0 examples" in str(nothing)


def test_frames_and_sparse_matrices():
    pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    network, expected = net(cp.Dense(8, "tanh")), diagnose(net(cp.Dense(8, "tanh")), X, Y).to_dict()
    frame = pandas.DataFrame(X, columns=["a", "b"])
    assert diagnose(network, frame, pandas.Series(Y)).to_dict() == expected
    assert diagnose(network, sparse.csr_array(X), Y).cost == pytest.approx(expected["cost"])
    frame.loc[4, "b"] = np.nan
    assert "data_not_finite" in diagnose(network, frame, Y).kinds


def test_unbalanced_labels_and_weights_that_balance_them():
    labels = np.where(np.arange(200) < 10, "rare", "often")
    finding = only(diagnose(net(cp.Dense(8, "tanh")), X, labels), "labels_unbalanced")
    assert finding.numbers == {"most": "often", "least": "rare", "shares": [0.95, 0.05]}
    assert "accuracy of 95.0%" in finding.evidence
    weights = np.where(labels == "rare", 19.0, 1.0)
    assert diagnose(net(cp.Dense(8, "tanh")), X, labels, sample_weight=weights).kinds == ()
    few = np.where(np.arange(20) < 1, "rare", "often")
    assert diagnose(net(cp.Dense(8, "tanh")), X[:20], few).kinds == ()


def rare_class() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (np.arange(1000) % 20 == 0).astype(int)
    columns = rng.normal(size=(1000, 4))
    columns[:, 0] += 0.8 * labels
    return columns, labels


def test_who_follows_the_advice_on_a_rare_class_has_no_finding_left():
    columns, labels = rare_class()
    network = net(cp.Dense(8, "relu"), n_in=4)
    advised = only(diagnose(network, columns, labels), "labels_unbalanced")
    assert 'class_weight="balanced"' in advised.advice
    weights = np.where(labels == 1, 19.0, 1.0)
    network.fit(columns, labels, epochs=40, eta=0.01, class_weight="balanced")
    for told in ({}, {"class_weight": "balanced"}, {"sample_weight": weights, "class_weight": {}}):
        found = diagnose(network, columns, labels, optimizer="adam", **told)
        assert found.kinds == ()
        assert found.constant_cost == pytest.approx(math.log(2))  # as often one class as the other
        expected = network.evaluate(columns, labels, sample_weight=weights)["cost"]
        assert found.cost == pytest.approx(expected)
        assert found.trial.before == pytest.approx(found.cost, rel=1e-15)  # sums round by where arrays lie
    plain = diagnose(network, columns, labels, class_weight={})
    assert plain.kinds == ("labels_unbalanced",)
    assert plain.constant_cost == pytest.approx(-0.05 * math.log(0.05) - 0.95 * math.log(0.95))


def test_a_history_by_weights_that_are_not_known_is_not_compared():
    columns, labels = rare_class()
    weights = np.where(labels == 1, 19.0, 1.0)
    network = net(cp.Dense(8, "relu"), n_in=4)
    network.fit(columns, labels, epochs=40, eta=0.01, sample_weight=weights)
    assert diagnose(network, columns, labels).kinds == ("labels_unbalanced",)
    assert diagnose(network, columns, labels, sample_weight=weights).kinds == ()
    slow = net(cp.Dense(8, "relu"), n_in=4)
    slow.fit(columns, labels, epochs=8, optimizer="sgd", eta=1e-6, sample_weight=weights)
    assert diagnose(slow, columns, labels, sample_weight=weights).kinds == ("learning_rate_too_low",)
    assert diagnose(slow, columns, labels).kinds == ("labels_unbalanced",)
    batches = [(columns, labels, weights)]
    assert slow.fit(batches, epochs=1).sample_weighted
    assert not slow.fit([(columns, labels)], epochs=1).sample_weighted


def test_class_weights_need_classes():
    network = cp.Network([cp.Dense(8, "tanh"), cp.Dense(1)], n_in=2, seed=0)
    with pytest.raises(cp.errors.OptionError, match="class_weight needs one class per example"):
        diagnose(network, X, X[:, 0], class_weight="balanced")


@pytest.mark.parametrize(
    "cost",
    ["mean_absolute_error", "pinball", "huber", "log_cosh", "mean_squared_error", "quadratic"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_constant_is_the_best_one(cost, weighted):
    y = np.column_stack([np.where(np.arange(200) % 10 == 0, 10.0, 0.0), X[:, 0]])
    weights = np.arange(1.0, 201.0) if weighted else np.ones(200)
    network = cp.Network([cp.Dense(8, "tanh"), cp.Dense(2)], cost, n_in=2, seed=0)
    grid = np.linspace(-2, 10, 12001)
    one_each = [
        min(
            np.average(network.model.cost.value(np.stack([np.full(200, c)] * 2, -1), target), weights=weights)
            for c in grid[:: 1 if j else 20]
        )
        for j, target in enumerate(np.repeat(y.T[:, :, None], 2, axis=2))
    ]
    found = diagnose(network, X, y, sample_weight=weights).constant_cost
    assert found == pytest.approx(sum(one_each) / 2, rel=3e-3)  # every target stood there twice


def test_targets_out_of_scale():
    network = cp.Network([cp.Dense(8, "tanh"), cp.Dense(1)], n_in=2, seed=0)
    finding = only(diagnose(network, X, 5000.0 * X[:, 0]), "targets_not_scaled")
    assert finding.numbers["size"] == pytest.approx(5000 * np.sqrt((X[:, 0] ** 2).mean()))
    assert diagnose(network, X, X[:, 0]).kinds == ()


# -- the published case -------------------------------------------------------------------------------


def thousand_images() -> tuple[np.ndarray, np.ndarray]:
    with np.load(realdata.path("mnist.npz")) as file:
        return file["x_train"][:1000].reshape(1000, -1) / 256, file["y_train"][:1000]


@realdata.needs("mnist.npz")
def test_nielsens_two_hidden_layers_learn_more_slowly_in_front():
    """Nielsen, chapter 5: ‖⟨δ⟩‖ is 0.07 and 0.31 in one draw of [784, 30, 30, 10] with cross-entropy.

    The draw is that of his network2.py: weights N(0, 1/n_in), biases N(0, 1).
    """
    pixels, labels = thousand_images()
    speeds = []
    for seed in range(30):
        layers = [
            cp.Dense(n, "sigmoid", initializer="lecun_normal", bias_initializer="normal")
            for n in (30, 30, 10)
        ]
        network = cp.Network(layers, "binary_cross_entropy", n_in=784, seed=seed, task="classification")
        found = diagnose(network, pixels, labels)
        assert found.kinds == ("vanishing_gradients",)
        assert found.findings[0].layer == "1"
        assert "The front learns more slowly" in found.findings[0].evidence
        speeds.append([found[layer].mean_delta_norm for layer in (1, 2)])
    front, back = np.array(speeds).T
    delta = network.trace(pixels, labels)[1].delta
    assert front[-1] == pytest.approx(np.linalg.norm(delta.mean(axis=0)), rel=1e-12)
    assert (front < 0.5 * back).all()
    assert front.min() < 0.07 < front.max()
    assert back.min() < 0.31 < back.max()
    assert np.mean((front > 0.03) & (front < 0.10)) > 0.9
    assert np.mean((back > 0.15) & (back < 0.45)) > 0.9


@realdata.needs("mnist.npz")
def test_weights_of_variance_one_are_slower_in_front_too_and_saturate():
    pixels, labels = thousand_images()
    network = cp.Network(
        [784, 30, 30, 10], "binary_cross_entropy", initializer="normal", seed=0, task="classification"
    )
    found = diagnose(network, pixels, labels)
    assert found.kinds == ("saturated_units", "vanishing_gradients")
    assert {f.layer for f in found.findings} == {"1"}


@realdata.needs("mnist.npz")
def test_001_6_a_real_deep_net_layer_by_layer():
    """001.6: what goes wrong when a deep model multiplies many gradients, on real images."""
    pixels, labels = (part[:500] for part in thousand_images())
    sigmoid = net(*[cp.Dense(30, "sigmoid")] * 12, n_in=784, outputs=10)
    large = net(*[cp.Dense(30, "tanh")] * 12, n_in=784, outputs=10, initializer=Normal(2.0))
    well = net(*[cp.Dense(30, "relu")] * 12, n_in=784, outputs=10)
    for network, kind, factor in (
        (sigmoid, "vanishing_gradients", (0.2, 0.27)),
        (large, "exploding_gradients", (1.8, 3.5)),
    ):
        finding = only(diagnose(network, pixels, labels), kind)
        norms = list(finding.numbers["delta_norms"].values())
        assert factor[0] < finding.numbers["factor"] < factor[1]
        growing = kind == "exploding_gradients"
        assert all((a > b) == growing for a, b in pairwise(norms))
    assert diagnose(well, pixels, labels).kinds == ()


# -- numbers that are none ----------------------------------------------------------------------------


def test_nan_in_a_parameter_names_it_and_tries_no_steps():
    network = net(cp.Dense(8, "tanh"))
    network.b[2][0] = np.nan
    found = diagnose(network, X, Y, eta=0.01)
    finding = only(found, "values_not_finite")
    assert finding.layer == "2"
    assert "2.b" in finding.evidence
    assert found.trial is None
    json.dumps(found.to_dict())


def test_activations_that_overflow_name_the_first_layer_that_does():
    network = net(*[cp.Dense(8, "relu", initializer=Normal(1e120))] * 4)
    found = diagnose(network, X, Y)
    finding = only(found, "values_not_finite")
    first = next(i for i in range(1, 6) if not np.isfinite(_activations(network, i)).all())
    assert finding.layer == str(first)


def _activations(network, layer):
    with np.errstate(all="ignore"):
        return network.trace(X, Y)[layer].a


# -- the record -----------------------------------------------------------------------------------------


def test_findings_come_by_severity_and_their_kinds_are_on_the_list():
    found = diagnose(net(*[cp.Dense(10, "sigmoid")] * 20), 1000 * X, np.arange(200) < 10)
    order = [(SEVERITIES.index(f.severity), list(KINDS).index(f.kind)) for f in found.findings]
    assert order == sorted(order)
    assert len(found.findings) >= 3
    assert {f.kind for f in found.findings} <= set(KINDS)
    assert not found.healthy
    assert {kind for _, kind in study.SICK.values()} <= set(KINDS)


def test_kinds_and_severities_are_closed_and_frozen():
    with pytest.raises(cp.errors.OptionError, match="Did you mean 'dead_units'"):
        Finding("dead_unit", "warning", "", "")
    with pytest.raises(cp.errors.OptionError, match="severity of Finding must be one of 'critical'"):
        Finding("dead_units", "bad", "", "")
    found = diagnose(net(cp.Dense(8, "tanh")), X, Y)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.findings = ()
    with pytest.raises(cp.errors.UnknownNameError, match="the diagnosis has no layer '3'"):
        found[3]


def test_text_html_and_data_say_the_same():
    found = diagnose(net(*[cp.Dense(10, "sigmoid")] * 20), X, Y, optimizer="sgd", eta=0.1)
    text, page, data = str(found), found._repr_html_(), found.to_dict()
    assert max(map(len, text.splitlines())) <= 140
    lines = text.splitlines()
    assert lines[0].startswith("diagnosis of 200 examples, cost ")
    assert [line.split()[0] for line in lines[3:24]] == [str(i) for i in range(1, 22)]
    for finding in found.findings:
        assert finding.title in text
        assert finding.title in page
        assert " ".join(finding.evidence.split()) in " ".join(text.split())
    assert page.count("<tr>") == 22
    assert "<script" not in page
    assert "http" not in page
    assert json.loads(json.dumps(data))["findings"][0]["kind"] == found.kinds[0]
    assert data["layers"][0]["delta_norm"] == found["1"].delta_norm
    without = diagnose(net(cp.Dense(8, "tanh")), X, Y)
    assert "‖ΔW‖" in text
    assert "‖ΔW‖" not in str(without)
    assert "nothing found" in str(without)


def test_numbers_that_json_cannot_hold_are_none():
    network = cp.Network([cp.Dense(16, "relu"), cp.Dense(1)], "mean_squared_error", n_in=2, seed=0)
    found = diagnose(network, 100 * X, X[:, 0], optimizer="sgd", eta=100.0)
    assert found.trial.after[1.0] == math.inf
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data == found.to_dict() == json.loads(found.to_json())
    assert data["trial"]["after"]["100"] is None
    assert only(found, "learning_rate_too_high").numbers["after"]["100"] == math.inf  # the record keeps it
    network.theta[0] = np.nan
    assert json.loads(diagnose(network, X, X[:, 0]).to_json())["cost"] is None


def test_a_page_of_its_own_holds_the_same_html():
    found = diagnose(net(cp.Dense(8, "tanh")), X, Y)
    page = found.to_html(whole_page=True)
    assert page.startswith("<!DOCTYPE html>")
    assert found.to_html() == found._repr_html_()
    assert found.to_html() in page


def test_html_is_escaped():
    labels = np.where(np.arange(200) < 10, "<b>rare</b>", "often")
    page = diagnose(net(cp.Dense(8, "tanh")), X, labels)._repr_html_()
    assert "&lt;b&gt;rare" in page
    assert "<b>rare" not in page


# -- how it is called -------------------------------------------------------------------------------------


def test_it_is_a_function_of_the_library_and_a_method_of_the_network():
    assert cp.diagnose is diagnose
    network = net(cp.Dense(8, "tanh"))
    assert (
        network.diagnose(X, Y, eta=100, optimizer="sgd").to_dict()
        == diagnose(network, X, Y, eta=100, optimizer="sgd").to_dict()
    )


def test_the_network_stays_as_it_is_and_the_answer_is_the_same_twice():
    network = net(cp.Dense(8, "tanh"))
    network.fit(X, Y, epochs=2)
    before = network.theta.copy(), network.buffers.copy(), len(network.history), network.steps_trained
    first, second = (diagnose(network, X, Y, eta=0.01).to_dict() for _ in range(2))
    assert first == second
    after = network.theta, network.buffers, len(network.history), network.steps_trained
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_without_sizes_is_left_without():
    network = cp.Network([cp.Dense(8, "tanh"), cp.Dense(activation="softmax")], seed=0)
    assert diagnose(network, X, Y).kinds == ()
    assert not network.is_built


def test_many_examples_are_thinned_evenly():
    order = np.argsort(Y, kind="stable")
    found = diagnose(net(cp.Dense(8, "tanh")), X[order], Y[order], max_examples=50)
    assert found.n_examples == 50
    assert found.constant_cost == pytest.approx(math.log(2), rel=1e-3)  # both classes, as many of each


def test_float32_works_alike():
    assert diagnose(net(cp.Dense(8, "tanh"), dtype="float32"), X, Y, optimizer="adam").kinds == ()


def test_options_that_do_not_fit_are_refused():
    network = net(cp.Dense(8, "tanh"))
    with pytest.raises(cp.errors.OptionError, match="y_val is missing"):
        diagnose(network, X, Y, X_val=X)
    with pytest.raises(cp.errors.OptionError, match="has no learning rate"):
        diagnose(network, X, Y, optimizer="lbfgs", eta=0.1)
    with pytest.raises(cp.errors.UnknownNameError, match="Did you mean 'adam'"):
        diagnose(network, X, Y, optimizer="adm")
    with pytest.raises(cp.errors.ShapeError, match="X has 200 examples and y has 100"):
        diagnose(network, X, Y[:100])
    with pytest.raises(cp.errors.ShapeError, match="expects"):
        diagnose(network, X[:, :1], Y)
    with pytest.raises(cp.errors.DTypeError, match="history must be the History"):
        diagnose(network, X, Y, [0.3, 0.2])
    with pytest.raises(cp.errors.OptionError, match="max_examples must be"):
        diagnose(network, X, Y, max_examples=0)
    assert diagnose(network, X, Y, optimizer="lbfgs").trial is None
