"""fit_many when something goes wrong: what it refuses, and what becomes of those that do not fail."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tests.many_cases import FOLDS, bits
from tests.native_cases import LABELS, WEIGHTS, N, X, noisy

import clearprop as cp
from clearprop.errors import (
    DataError,
    DivergenceError,
    DTypeError,
    FitManyError,
    OptionError,
    ShapeError,
    UnknownNameError,
)

MASKED = np.ma.masked_array(np.arange(N) < 30, mask=np.arange(N) == 3)


def test_one_that_diverges_does_not_lose_the_others() -> None:
    def make(i: int) -> cp.Network:
        return cp.Network([cp.Dense(8, "relu"), cp.Dense(1)], n_in=5, seed=i)

    rates = [0.01, 1e8, 0.02, 1e9]
    networks = [make(i) for i in range(4)]
    with pytest.raises(
        FitManyError, match=r"^2 of 4 networks failed.* networks\[1\]: training diverged"
    ) as caught:
        cp.fit_many(networks, X, X[:, 0], optimizer="sgd", each={"eta": rates}, epochs=5, threads=2)
    error = caught.value
    assert sorted(error.failures) == [1, 3]
    assert list(error.exceptions) == [error.failures[1], error.failures[3]]
    assert all(isinstance(e, DivergenceError) for e in error.exceptions)
    assert [history.stopped for history in error.histories] == ["epochs", "failed", "epochs", "failed"]
    assert error.histories == [network.history for network in networks]
    for place in (0, 2):
        alone = make(place)
        alone.fit(X, X[:, 0], optimizer="sgd", eta=rates[place], epochs=5)
        assert bits(alone) == bits(networks[place])
    for place in (1, 3):
        alone = make(place)
        with pytest.raises(DivergenceError, match="diverged") as single:
            alone.fit(X, X[:, 0], optimizer="sgd", eta=rates[place], epochs=5)
        assert bits(alone) == bits(networks[place])
        assert str(single.value) == str(error.failures[place])
    assert error.split(DivergenceError)[1] is None


def test_an_error_in_a_callback_is_that_of_its_network() -> None:
    class Broken(cp.Callback):
        def on_epoch_end(self, run, row):
            raise ZeroDivisionError("mine")

    networks = [noisy() for _ in range(3)]
    with pytest.raises(FitManyError) as caught:
        cp.fit_many(networks, X, LABELS, epochs=2, each={"callbacks": [[], [Broken()], []]})
    assert {place: str(error) for place, error in caught.value.failures.items()} == {1: "mine"}
    assert [len(network.history) for network in networks] == [2, 1, 2]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"etta": 1}, OptionError, "fit_many has no option 'etta'. Did you mean 'eta'"),
        ({"each": {"etta": [1, 2]}}, OptionError, "no option 'etta'"),
        ({"each": {"eta": [0.1]}}, OptionError, "has 1 items for 2 networks"),
        ({"each": {"eta": 0.1}}, DTypeError, "must be a list, one value per network"),
        ({"each": {"optimizer": "sgd"}}, DTypeError, "must be a list, one value per network"),
        ({"each": {"eta": {0.1, 0.2}}}, DTypeError, "must be a list, one value per network"),
        ({"each": {"eta": np.array(0.1)}}, DTypeError, "must be a list, one value per network"),
        ({"each": {"optimizer": b"ab"}}, DTypeError, "must be a list, one value per network"),
        ({"each": [1, 2]}, DTypeError, "each must be a dictionary"),
        ({"each": {"eta": [1, 2]}, "eta": 3}, OptionError, "eta is given for all networks and in each"),
        (
            {"each": {"eta": [0.1, -1]}},
            OptionError,
            r"^networks\[1\]: eta of Adam must be a finite number > 0",
        ),
        ({"callbacks": [cp.NormHistory()]}, OptionError, "a callback belongs to one fit"),
        (
            {"each": {"callbacks": [[cp.NormHistory()] * 2] * 2}},
            OptionError,
            r"given the same object in callbacks \(NormHistory\)",
        ),
        (
            {"each": {"early_stopping": [cp.EarlyStopping()] * 2}},
            OptionError,
            "the same object in early_stopping",
        ),
        ({"order": iter([np.arange(5)] * 2)}, OptionError, "the same object in order"),
        ({"rows": [FOLDS[0]]}, OptionError, "rows has 1 items for 2 networks"),
        ({"rows": 3}, DTypeError, "rows must be a list"),
        ({"rows": [[0, 1], [0, N]]}, OptionError, rf"rows\[1\] names the example {N}; there are {N}"),
        ({"rows": [[0, -1], None]}, OptionError, r"rows\[0\] names the example -1"),
        ({"rows": [[], None]}, OptionError, "at least one"),
        ({"rows": [None, np.ones(3, bool)]}, OptionError, r"rows\[1\] must be a list of whole numbers"),
        ({"rows": [[[0], [1, 2]], None]}, OptionError, r"rows\[0\] must be .* Got \[\[0\], \[1, 2\]\]"),
        ({"rows": np.array(3)}, DTypeError, "rows must be a list"),
        ({"rows": [None, 3]}, OptionError, r"rows\[1\] must be a list .* Got 3"),
        ({"rows": [None, MASKED]}, OptionError, r"rows\[1\] has masked entries"),
        ({"rows": [None, [0.5]]}, OptionError, "must be a list of whole numbers"),
        (
            {"validation_rows": FOLDS[:2], "X_val": X, "y_val": LABELS},
            OptionError,
            r"^networks\[0\]: give validation_rows, or X_val and y_val, not both",
        ),
        (
            {"validation_rows": FOLDS[:2], "validation_fraction": 0.1},
            OptionError,
            r"^networks\[0\]: .*not both",
        ),
        (
            {"sample_weight": WEIGHTS[:3], "rows": FOLDS[:2]},
            ShapeError,
            r"^networks\[0\]: sample_weight has shape \(3,\)",
        ),
        ({"threads": 0}, OptionError, "threads must be a whole number >= 1"),
        ({"progress": 1}, DTypeError, "progress must be True or False"),
        ({"X_val": X}, OptionError, r"^networks\[0\]: .*y_val is missing"),
    ],
)
def test_what_is_refused_leaves_all_as_they_were(options, error, message) -> None:
    networks = [noisy(), noisy()]
    before = [bits(network) for network in networks]
    with pytest.raises(error, match=message):
        cp.fit_many(networks, X, LABELS, **options)
    assert [bits(network) for network in networks] == before
    assert [network.history for network in networks] == [None, None]
    assert [network.targets for network in networks] == [None, None]


def test_values_in_a_table_are_taken_by_place() -> None:
    pandas = pytest.importorskip("pandas")
    rates = pandas.Series([0.1, 0.2, 0.3], index=[2, 1, 0])
    networks = [noisy(seed=i) for i in range(3)]
    histories = cp.fit_many(networks, X, LABELS, epochs=1, each={"eta": rates})
    assert [history["eta"][0] for history in histories] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(("n", "said"), [(1, "the network failed"), (2, "all 2 networks failed")])
def test_when_all_fail_none_is_said_to_be_trained(n: int, said: str) -> None:
    def order(epoch: int) -> list[int]:
        raise ZeroDivisionError("by me")

    with pytest.raises(FitManyError, match=rf"^{said}\. networks\[0\]: ZeroDivisionError: by me"):
        cp.fit_many([noisy(seed=i) for i in range(n)], X, LABELS, epochs=1, order=order)


def test_what_is_refused_says_of_which_network() -> None:
    networks = [noisy(seed=i) for i in range(5)]
    with pytest.raises(OptionError) as caught:
        cp.fit_many(networks, X, LABELS, each={"eta": [0.1, 0.1, 0.1, -1, 0.1]})
    assert str(caught.value) == "networks[3]: eta of Adam must be a finite number > 0. Got -1."
    with pytest.raises(UnknownNameError, match=r"^networks\[4\]: .*Did you mean 'sgd'"):
        cp.fit_many(networks, X, LABELS, each={"optimizer": ["sgd"] * 4 + ["sgdd"]})


def test_networks_and_data_that_are_refused() -> None:
    one = noisy()
    for same in (one, copy.copy(one)):
        with pytest.raises(OptionError, match=r"networks\[0\] and networks\[2\] are the same, or share"):
            cp.fit_many([one, noisy(), same], X, LABELS)
    with pytest.raises(OptionError, match="networks is empty"):
        cp.fit_many([], X, LABELS)
    for wrong in (one, [one, "b"], iter([one])):
        with pytest.raises(DTypeError, match="networks must be a list of Network objects"):
            cp.fit_many(wrong, X, LABELS)
    with pytest.raises(OptionError, match="not an iterable of batches"):
        cp.fit_many([one], iter([(X, LABELS)]), None)
    with pytest.raises(DataError, match="needs y"):
        cp.fit_many([one], X, None)
    with pytest.raises(ShapeError, match=rf"^networks\[0\]: X has {N} examples and its targets 3"):
        cp.fit_many([one], X, LABELS[:3])
    with pytest.raises(ShapeError, match=r"^networks\[1\]: .*layers\[1\] expects"):
        cp.fit_many([cp.Network([cp.Dense(3, "softmax")]), one], X[:, :2], LABELS)
    spoilt = X.copy()
    spoilt[7, 2] = np.nan
    with pytest.raises(DataError, match=r"^networks\[0\]: X holds nan in row 7, column 2"):
        cp.fit_many([one], spoilt, LABELS)
    assert one.history is None


def test_one_early_stopping_for_all_is_copied() -> None:
    stopper = cp.EarlyStopping(monitor="cost", patience=2)
    cp.fit_many([noisy(), noisy(seed=1)], X, LABELS, epochs=2, early_stopping=stopper)
    assert stopper.best_epoch == 0
    mine = [cp.EarlyStopping("cost"), cp.EarlyStopping("cost")]
    cp.fit_many([noisy(), noisy(seed=1)], X, LABELS, epochs=2, each={"early_stopping": mine})
    assert all(one.best_epoch for one in mine)
    assert mine[0].best != mine[1].best
