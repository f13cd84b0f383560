"""Bad input gets one clear sentence, and a refused fit leaves the network as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse

import clearprop as cp
from clearprop.errors import (
    ClearpropError,
    DataError,
    DTypeError,
    MissingFileError,
    OptionError,
    ShapeError,
    UnknownNameError,
    UnreadableFileError,
    UnsupportedError,
)

N = 20
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)]


def put(row, column, value, x=X):
    x = x.copy()
    x[row, column] = value
    return x


def unbuilt():
    return cp.Network([cp.Dense(4, "tanh"), cp.Dense(activation="softmax")], seed=0)


def built():
    return cp.Network([cp.Dense(4, "tanh"), cp.Dense(2, "softmax")], n_in=3, seed=0)


def trained():
    net = built()
    net.fit(X, Y, epochs=1)
    return net


def random_net():
    return cp.Network([cp.Dense(4), cp.Dropout(0.1), cp.Dense(2, "softmax")], n_in=3)


WEIGHTS = np.ones(N)
DATA = {
    "no y": ((X,), {}, DataError, "fit needs y, one target per example"),
    "one dimension": ((X[:, 0], Y), {}, ShapeError, r"X has shape \(20,\); .*X.reshape\(-1, 1\)"),
    "features": (
        (X[:, :2], Y),
        {},
        ShapeError,
        r"X has shape \(examples=20, features=2\); layers\[1\] expects",
    ),
    "no rows": ((X[:0], Y[:0]), {}, DataError, r"X is empty: its shape is \(0, 3\)"),
    "no columns": ((X[:, :0], Y), {}, DataError, r"X is empty: its shape is \(20, 0\)"),
    "empty list": (([], []), {}, ShapeError, r"X has shape \(0,\)"),
    "empty tuple": (((), Y), {}, DataError, "X is an empty tuple"),
    "tuple lengths": (((X, X[:3]), Y), {}, ShapeError, r"different numbers of examples: \[20, 3\]"),
    "complex": ((X + 1j, Y), {}, DTypeError, "X holds values of type complex128"),
    "text": ((X.astype(str), Y), {}, DTypeError, "X holds values of type <U"),
    "objects": (([[1, 2, 3], [1, "x", 2]], Y[:2]), {}, DTypeError, "X holds values of type <U"),
    "object array": ((put(3, 1, "x", X.astype(object)), Y), {}, DTypeError, "X holds 'x' in row 3, column 1"),
    "missing": ((put(3, 1, None, X.astype(object)), Y), {}, DataError, "X misses a value in row 3, column 1"),
    "dates": ((np.full((N, 3), "2020-01-01", "datetime64[D]"), Y), {}, DTypeError, "datetime64"),
    "ragged": (([[1, 2, 3], [4, 5]], ["a", "b"]), {}, ShapeError, "X holds rows of different lengths"),
    "path": (("train.csv", Y), {}, DTypeError, "X must be an array, a frame, .* Got a str"),
    "dictionary": (({"X": X}, Y), {}, DTypeError, "X must be an array, a frame, .* Got a dict"),
    "number": ((3.0, Y), {}, DTypeError, "X must be an array, .* Got a float"),
    "None": ((None, Y), {}, DTypeError, "X must be an array, .* Got a NoneType"),
    "masked": ((np.ma.array(X, mask=X > 1), Y), {}, DataError, "X has masked values"),
    "nan": ((put(7, 2, np.nan), Y), {}, DataError, "X holds nan in row 7, column 2. Remove or replace"),
    "infinity": ((put(0, 1, -np.inf), Y), {}, DataError, "X holds -inf in row 0, column 1"),
    "nan, several inputs": (
        ((X[:, :1], put(7, 1, np.nan)[:, 1:]), Y),
        {},
        DataError,
        "X holds nan in row 7, column 1",
    ),
    "nan in y": ((X, np.where(X[:, 0] > 0, 1.0, np.nan)), {}, DataError, r"y holds nan in row \d"),
    "y longer": ((X[:-1], Y), {}, ShapeError, "X has 19 examples and y has 20"),
    "y shorter": ((X, Y[:-1]), {}, ShapeError, "X has 20 examples and y has 19"),
    "one class": ((X, ["a"] * N), {}, DataError, "one class only"),
    "three classes": (
        (X, np.arange(N) % 3),
        {},
        ShapeError,
        "y holds 3 classes; the last layer has 2 outputs",
    ),
    "y_val alone": ((X, Y), {"y_val": Y}, OptionError, "X_val is missing"),
    "X_val alone": ((X, Y), {"X_val": X}, OptionError, "y_val is missing"),
    "X_val nan": (
        (X, Y),
        {"X_val": put(4, 0, np.nan), "y_val": Y},
        DataError,
        "X_val holds nan in row 4, column 0",
    ),
    "X_val features": (
        (X, Y),
        {"X_val": X[:, :2], "y_val": Y},
        ShapeError,
        r"X_val has shape \(examples=20, features=2\)",
    ),
    "X_val length": (
        (X, Y),
        {"X_val": X[:3], "y_val": Y[:2]},
        ShapeError,
        "X_val has 3 examples and y_val has 2",
    ),
    "y_val label": (
        (X, Y),
        {"X_val": X[:1], "y_val": ["c"]},
        DataError,
        "y_val holds the label 'c' in row 0",
    ),
    "y_val kind": (
        (X, Y),
        {"X_val": X[:1], "y_val": [1]},
        DataError,
        "y_val holds numbers; .* labels such as 'a'",
    ),
    "X_val a stream": ((X, Y), {"X_val": iter([]), "y_val": Y}, DTypeError, "X_val must be an array"),
    "weights length": (
        (X, Y),
        {"sample_weight": WEIGHTS[1:]},
        ShapeError,
        r"sample_weight has shape \(19,\); there are 20 examples",
    ),
    "weights column": ((X, Y), {"sample_weight": WEIGHTS[:, None]}, ShapeError, r"it must be \(20,\)"),
    "weights negative": (
        (X, Y),
        {"sample_weight": WEIGHTS - 3 * (np.arange(N) == 5)},
        DataError,
        "it holds -2 in row 5",
    ),
    "weights nan": (
        (X, Y),
        {"sample_weight": WEIGHTS * np.nan},
        DataError,
        "sample_weight must be finite and >= 0; it holds nan in row 0",
    ),
    "weights zero": ((X, Y), {"sample_weight": 0 * WEIGHTS}, DataError, "is 0 for every example"),
    "weights text": ((X, Y), {"sample_weight": ["a"] * N}, DTypeError, "sample_weight must hold numbers"),
    "class weight": (
        (X, Y),
        {"class_weight": "balance"},
        OptionError,
        "Got 'balance'. Did you mean 'balanced'",
    ),
    "class weight list": ((X, Y), {"class_weight": [1, 2]}, OptionError, "dictionary label -> weight"),
    "class weight label": (
        (X, Y),
        {"class_weight": {"d": 1}},
        OptionError,
        "label 'd', which is none of the classes 'a', 'b'",
    ),
    "class weight negative": (
        (X, Y),
        {"class_weight": {"a": -1}},
        OptionError,
        r"class_weight\['a'\] must be a finite number >= 0",
    ),
    "class weight text": (
        (X, Y),
        {"class_weight": {"a": "much"}},
        DTypeError,
        r"class_weight\['a'\] must be a finite number",
    ),
}

OPTIONS = {
    "epochs text": ({"epochs": "3"}, DTypeError, "epochs must be a whole number >= 1. Got '3'"),
    "epochs 0": ({"epochs": 0}, OptionError, "epochs must be a whole number >= 1. Got 0"),
    "epochs 1.5": ({"epochs": 1.5}, DTypeError, "epochs must be a whole number"),
    "batch_size 0": ({"batch_size": 0}, OptionError, "batch_size must be a whole number >= 1. Got 0"),
    "batch_size -1": ({"batch_size": -1}, OptionError, "batch_size must be a whole number >= 1. Got -1"),
    "batch_size 2.5": ({"batch_size": 2.5}, DTypeError, "batch_size must be a whole number >= 1. Got 2.5"),
    "batch_size True": ({"batch_size": True}, DTypeError, "batch_size must be a whole number >= 1. Got True"),
    "optimizer": ({"optimizer": "adm"}, UnknownNameError, "unknown optimizer 'adm'. Did you mean 'adam'"),
    "optimizer type": ({"optimizer": 3}, DTypeError, "expected an optimizer .* got 3"),
    "eta": ({"eta": -1}, OptionError, "eta of Adam must be a finite number > 0. Got -1"),
    "eta text": ({"eta": "fast"}, DTypeError, "eta of Adam must be a finite number > 0. Got 'fast'"),
    "eta for lbfgs": ({"optimizer": "lbfgs", "eta": 1}, OptionError, "'lbfgs' has no learning rate"),
    "schedule": ({"schedule": "cosin"}, UnknownNameError, "unknown schedule 'cosin'. Did you mean 'cosine'"),
    "schedule and order": (
        {"schedule": "cosine", "order": lambda e: range(N)},
        OptionError,
        "needs to know the number of steps",
    ),
    "engine": ({"engine": "bach"}, UnknownNameError, "unknown engine 'bach'. Did you mean 'batch'"),
    "engine list": ({"engine": ["batch"]}, UnknownNameError, r"unknown engine \['batch'\]"),
    "engine array": (
        {"engine": np.array(["batch", "native"])},
        UnknownNameError,
        r"unknown engine array\(",
    ),
    "engine number": ({"engine": 3}, UnknownNameError, "unknown engine 3. Known: 'auto'"),
    "engine bytes": ({"engine": b"x"}, UnknownNameError, "unknown engine b'x'"),
    "metric": (
        {"metrics": ["acuracy"]},
        UnknownNameError,
        "unknown metric 'acuracy'. Did you mean 'accuracy'",
    ),
    "metric task": ({"metrics": "r2"}, OptionError, "metric 'r2' is for 'regression'; this task is 'binary'"),
    "metric type": ({"metrics": 5}, DTypeError, "expected a metric"),
    "metric classes": ({"metrics": "top_k_accuracy"}, OptionError, "top_k_accuracy"),
    "penalty beyond all gradients": (
        {"l1": 1e300},
        OptionError,
        r"l1 of Penalty is 1e\+300: squares of such",
    ),
    "penalty": ({"l2": -1}, OptionError, "l2 of Penalty must be a finite number >= 0. Got -1"),
    "penalty twice": ({"l2": 0.1, "penalty": cp.Penalty(l1=0.1)}, OptionError, "not both"),
    "penalty type": ({"penalty": 0.1}, DTypeError, "penalty must be a Penalty"),
    "max_norm": ({"max_norm": 0}, OptionError, "max_norm must be a finite number > 0. Got 0"),
    "clip_norm": ({"clip_norm": "1"}, DTypeError, "clip_norm must be a finite number > 0. Got '1'"),
    "clip_value": (
        {"clip_value": float("nan")},
        OptionError,
        "clip_value must be a finite number > 0. Got nan",
    ),
    "time_limit": ({"time_limit": -3}, OptionError, "time_limit must be a finite number > 0. Got -3"),
    "shuffle": ({"shuffle": "no"}, DTypeError, "shuffle must be True or False. Got 'no'"),
    "progress": ({"progress": "x"}, DTypeError, "progress must be True or False. Got 'x'"),
    "fraction 1.5": (
        {"validation_fraction": 1.5},
        OptionError,
        "validation_fraction must be .* >= 0 and < 1. Got 1.5",
    ),
    "fraction text": ({"validation_fraction": "0.2"}, DTypeError, "validation_fraction must be .* Got '0.2'"),
    "fraction too small": ({"validation_fraction": 0.001}, OptionError, "leaves none for validation"),
    "fraction and X_val": ({"validation_fraction": 0.2, "X_val": X, "y_val": Y}, OptionError, "not both"),
    "early_stopping": (
        {"early_stopping": 5},
        DTypeError,
        "early_stopping must be True, False or an EarlyStopping",
    ),
    "callbacks": ({"callbacks": [print]}, DTypeError, "derived from clearprop.Callback. Got <built-in"),
    "callbacks number": ({"callbacks": 5}, DTypeError, "derived from clearprop.Callback. Got 5"),
    "callback class": (
        {"callbacks": cp.NormHistory},
        DTypeError,
        r"class NormHistory; make an object: NormHistory\(\)",
    ),
    "callback twice": ({"callbacks": [cp.NormHistory()] * 2}, OptionError, "same NormHistory twice"),
    "groups": ({"groups": {"7": {"rate": 1}}}, UnknownNameError, "no parameter matches '7'. There are: 1.W"),
    "groups key": (
        {"groups": {"1": {"rte": 1}}},
        OptionError,
        r"groups\['1'\] has 'rte'.* Did you mean 'rate'",
    ),
    "groups value": ({"groups": {"1": {"rate": -1}}}, OptionError, r"rate of groups\['1'\] must be"),
    "groups shape": ({"groups": {"1": 0.1}}, DTypeError, "groups must be a dictionary such as"),
    "groups all 0": (
        {"groups": {"*": {"rate": 0}}},
        OptionError,
        "nothing to train: every parameter is frozen",
    ),
    "drop_last and order": (
        {"drop_last": True, "order": [range(N)] * 10},
        OptionError,
        "drop_last does not go with order",
    ),
    "order type": ({"order": 5}, DTypeError, "order must be a function of the epoch or an iterable"),
    "order short": ({"order": [range(N)]}, OptionError, "order has 1 items for 10 epochs"),
    "lbfgs and clipping": (
        {"optimizer": "lbfgs", "clip_norm": 1},
        OptionError,
        "clip_norm does not go with optimizer 'lbfgs'",
    ),
    "lbfgs and schedule": (
        {"optimizer": "lbfgs", "schedule": "step"},
        OptionError,
        "schedule does not go with",
    ),
    "lbfgs and order": ({"optimizer": "lbfgs", "order": [range(N)]}, OptionError, "order does not go with"),
    "lbfgs and rates": (
        {"optimizer": "lbfgs", "groups": {"1": {"rate": 0.5}}},
        OptionError,
        "'rate' in groups must be 0 or 1",
    ),
}


# Looked at in another way, or no more than a way to the outputs that is kept.
APART = ("_model", "_state", "history", "_few_rows")


def everything(net):
    """Return all that a fit may change."""
    arrays = [net.theta.tobytes(), net.buffers.tobytes()] if net.is_built else []
    kept = {name: value for name, value in vars(net).items() if name not in APART}
    rows = None if net.history is None else copy.deepcopy(net.history.rows)
    return net.is_built, arrays, kept, rows, id(net.history)


def refused(net, error, message, args, options):
    before = everything(net)
    with pytest.raises(error, match=message) as caught:
        net.fit(*args, **options)
    assert isinstance(caught.value, ClearpropError)
    assert "\n" not in str(caught.value)
    assert everything(net) == before


# A network without sizes takes them from these data; a trained one may go on with one class.
FINE = {(unbuilt, "features"), (unbuilt, "three classes"), (trained, "one class")}
CASES = [(make, case) for case in DATA for make in (unbuilt, built, trained) if (make, case) not in FINE]


@pytest.mark.parametrize(("make", "case"), CASES)
def test_bad_data(make, case):
    args, options, error, message = DATA[case]
    if make is trained and case == "three classes":
        error, message = DataError, "labels such as 'a'"
    refused(make(), error, message, args, options)


@pytest.mark.parametrize(("make", "case"), sorted(FINE, key=str))
def test_what_is_no_bad_input(make, case):
    args, options, *_ = DATA[case]
    make().fit(*args, **options, epochs=1)


@pytest.mark.parametrize("make", [unbuilt, trained])
@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options(case, make):
    options, error, message = OPTIONS[case]
    refused(make(), error, message, (X, Y), options)


def test_random_networks_have_no_lbfgs():
    refused(
        random_net(),
        OptionError,
        "'lbfgs' needs a cost that is the same each time",
        (X, Y),
        {"optimizer": "lbfgs"},
    )


def test_an_engine_that_declines_says_why():
    net = cp.Network([cp.Dense(3), cp.BatchNorm(), cp.Dense(2, "softmax")], n_in=3)
    refused(net, UnsupportedError, "engine 'neuron' cannot run this network: ", (X, Y), {"engine": "neuron"})


def test_a_network_without_parameters_cannot_be_trained():
    refused(
        cp.Network([cp.Activation("softmax")]),
        OptionError,
        "this network has no parameters",
        (np.abs(X), np.eye(3)[np.arange(N) % 3]),
        {},
    )
    net = built().freeze("*")
    refused(net, OptionError, r"every parameter is frozen. Call unfreeze\(\)", (X, Y), {})


def test_a_cost_says_which_targets_it_needs():
    for cost, y, message in [
        (
            "poisson",
            -np.ones((N, 1)),
            "poisson needs targets that are not negative, but y at row 0, column 0 is -1",
        ),
        ("hinge", 0.5 * np.ones((N, 1)), r"hinge needs targets that are -1 or \+1"),
    ]:
        refused(cp.Network([cp.Dense(1)], cost), DataError, message, (X, y), {})


CONSTRUCTOR = {
    "no layers": (([],), {}, OptionError, r"layers must be a list of layers or of sizes .* Got \[\]"),
    "a number": ((5,), {}, OptionError, "layers must be a list .* Got 5"),
    "a name": (("dense",), {}, OptionError, "layers must be a list"),
    "one layer": ((cp.Dense(1),), {}, OptionError, "layers must be a list"),
    "one size": (([5],), {}, OptionError, r"at least one layer. Got \[5\]"),
    "size 0": (([3, 0, 1],), {}, OptionError, r"sizes\[1\] must be a whole number >= 1. Got 0"),
    "sizes and layers": (
        ([784, cp.Dense(3)],),
        {},
        OptionError,
        "sizes or layers, not both: give n_in=784. Got 784 among layers",
    ),
    "layers and sizes": (([cp.Dense(3), 5],), {}, OptionError, r"not both: write Dense\(5, activation\)"),
    "size True": (([3, True],), {}, DTypeError, r"sizes\[1\] must be a whole number >= 1. Got True"),
    "layer name": (
        ([cp.Dense(1), "dens"],),
        {},
        UnknownNameError,
        "unknown layer 'dens'. Did you mean 'dense'",
    ),
    "layer type": (([cp.Dense(1), 3.5],), {}, DTypeError, "expected a layer .* got 3.5"),
    "activation": (([cp.Dense, "relu"],), {}, UnknownNameError, "unknown layer 'relu'"),
    "cost": (
        ([2, 1], "crossentropy"),
        {},
        UnknownNameError,
        "unknown cost 'crossentropy'. Did you mean 'cross_entropy'",
    ),
    "cost type": (([2, 1], 5), {}, DTypeError, "expected a cost"),
    "engine": (
        ([2, 1],),
        {"engine": "bach"},
        UnknownNameError,
        "unknown engine 'bach'. Did you mean 'batch'",
    ),
    "dtype": (
        ([2, 1],),
        {"dtype": "float16"},
        DTypeError,
        "must be 'float32' or 'float64'. Got 'float16'. Did you mean",
    ),
    "dtype type": (([2, 1],), {"dtype": int}, DTypeError, "must be 'float32' or 'float64'"),
    "task": (
        ([2, 1],),
        {"task": "regresion"},
        OptionError,
        "task must be one of .* Did you mean 'regression'",
    ),
    "seed": (([2, 1],), {"seed": -1}, OptionError, "seed"),
    "seed type": (([2, 1],), {"seed": "a"}, DTypeError, "seed"),
    "n_in": (([cp.Dense(1)],), {"n_in": 2.5}, DTypeError, "n_in must be a whole number >= 1. Got 2.5"),
    "n_in twice": (
        ([2, 1],),
        {"n_in": 3},
        OptionError,
        "n_in=3 contradicts layers, which begin with 2 inputs",
    ),
    "n_in layer": (([cp.Dense(1, n_in=4)],), {"n_in": 3}, OptionError, "n_in=3 contradicts layers"),
    "initializer": (
        ([2, 1],),
        {"initializer": "norml"},
        UnknownNameError,
        "unknown initializer 'norml'. Did you mean 'normal'",
    ),
    "preprocessing": (([2, 1],), {"preprocessing": "standardise"}, OptionError, "Did you mean 'standardize'"),
    "preprocessing type": (
        ([2, 1],),
        {"preprocessing": 5},
        DTypeError,
        "preprocessing must be None, 'standardize' or an Affine",
    ),
    "affine size": (
        ([2, 1],),
        {"preprocessing": cp.Affine([1, 2, 3])},
        ShapeError,
        r"shift of Affine has shape \(3,\); X has 2 features",
    ),
    "sizes": (
        ([cp.Dense(3, n_in=2), cp.Dense(1, n_in=4)],),
        {},
        ShapeError,
        r"layers\[2\] Dense expects 4 inputs; .* gives 3",
    ),
}


@pytest.mark.parametrize("case", CONSTRUCTOR)
def test_bad_networks(case):
    args, options, error, message = CONSTRUCTOR[case]
    with pytest.raises(error, match=message) as caught:
        cp.Network(*args, **options)
    assert isinstance(caught.value, ClearpropError)


def test_an_unknown_activation_has_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"unknown activation 'rleu'\. Did you mean 'relu'"):
        cp.Dense(3, "rleu")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cp.Affine("a"), DTypeError, "shift of Affine must be a number"),
        (lambda: cp.Affine([[1.0], [2.0, 3.0]]), ShapeError, "shift of Affine holds rows of different"),
        (lambda: cp.Affine(factor=np.nan), OptionError, "factor of Affine must be finite"),
        (lambda: cp.Affine(np.ones((2, 2))), OptionError, r"a number or \(features,\)"),
        (lambda: cp.Affine()(scipy.sparse.csr_matrix(X)), OptionError, r"sparse X .* X.toarray\(\)"),
        (
            lambda: cp.Network([cp.Dense(1)], preprocessing=cp.Affine([1, 2])).fit(X, X[:, 0]),
            ShapeError,
            "X has 3 features",
        ),
    ],
)
def test_bad_preprocessing(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_activation_of_ones_own_without_options_needs_no_dataclass():
    class Squared(cp.activations.ActivationFunction):
        name = "squared"

    one = Squared()
    assert one == one
    assert one != Squared()
    assert len({one, Squared()}) == 2
    assert "Squared object at" in repr(cp.Dense(3, one))
    with pytest.raises(DTypeError, match="expected an activation"):
        cp.Dense(2, [one, "relu"])


@pytest.mark.parametrize("engine", [np.array([]), np.array(["auto"]), ["auto"], 0, None])
def test_an_engine_is_a_name(engine):
    with pytest.raises(UnknownNameError, match="unknown engine"):
        cp.Network([2, 1], engine=engine)


@pytest.mark.parametrize("read", [cp.datasets.read_npz, cp.datasets.mnist, cp.datasets.read_table, cp.load])
@pytest.mark.parametrize("path", ["a" * 5000, "a/" * 4000 + "a", "/root/" + "a" * 5000 + "/a"])
def test_a_name_that_is_too_long_is_that_of_no_file(read, path):
    with pytest.raises((MissingFileError, UnreadableFileError), match=r"there is no file|cannot be read"):
        read(path)


def test_n_in_is_held_to():
    net = cp.Network([cp.Dense()], n_in=4)
    refused(net, ShapeError, "made for 4 inputs. Got n_in=3", (X, X[:, 0]), {})


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (
            lambda net: net.predict(X[:, :2]),
            ShapeError,
            r"X has shape \(examples=20, features=2\); layers\[1\]",
        ),
        (lambda net: net.predict(X[0]), ShapeError, r"for one example X.reshape\(1, -1\)"),
        (lambda net: net.predict(put(3, 1, np.nan)), DataError, "X holds nan in row 3, column 1"),
        (lambda net: net.predict(iter([X])), DTypeError, "Got a list_iterator"),
        (lambda net: net.outputs(X, engine="bach"), UnknownNameError, "Did you mean 'batch'"),
        (lambda net: net.outputs(X[:1], engine=3), UnknownNameError, "unknown engine 3. Known: 'auto'"),
        (lambda net: net.outputs(X, engine=""), UnknownNameError, "unknown engine ''"),
        (lambda net: net.predict(X, engine=["batch"]), UnknownNameError, r"unknown engine \['batch'\]"),
        (lambda net: net.trace(X, Y, engine=0), UnknownNameError, "unknown engine 0"),
        (lambda net: net.evaluate(X, Y[:-1]), ShapeError, "X has 20 examples and y has 19"),
        (lambda net: net.evaluate(X, Y, metrics=["log_los"]), UnknownNameError, "Did you mean 'log_loss'"),
        (lambda net: net.evaluate(X, Y, sample_weight=[1]), ShapeError, r"sample_weight has shape \(1,\)"),
        (lambda net: net.trace(X, ["c"] * N), DataError, "label 'c' in row 0"),
        (lambda net: net.trace(X, Y)[9], UnknownNameError, "there is no layer 9"),
        (lambda net: net.gradient(X, Y, penalty=0.1), DTypeError, "penalty must be True, False or a Penalty"),
        (lambda net: net.history["costs"], UnknownNameError, "no column 'costs'. Did you mean 'cost'"),
        (lambda net: net.history[1.5], UnknownNameError, "no column 1.5"),
    ],
)
def test_bad_use(use, error, message):
    net = trained()
    before = everything(net)
    with pytest.raises(error, match=message):
        use(net)
    assert everything(net) == before


@pytest.mark.parametrize("batch_size", [1, 3, 9])
def test_a_batch_of_one_in_front_of_batch_norm_is_refused_before_any_step(batch_size):
    net = cp.Network([cp.Dense(4), cp.BatchNorm(), cp.Dense(1)], n_in=2, seed=0)
    before = net.theta.copy()
    X, y = np.random.default_rng(0).normal(size=(10, 2)), np.arange(10.0)
    with pytest.raises(cp.ClearpropError, match="at least 2 examples in each batch"):
        net.fit(X, y, batch_size=batch_size, epochs=1)
    np.testing.assert_array_equal(net.theta, before)
    if batch_size > 1:
        net.fit(X, y, batch_size=batch_size, epochs=1, drop_last=True)


def test_load_wants_a_path():
    with pytest.raises(cp.errors.DTypeError, match=r"load needs the path of a file\. Got 123"):
        cp.load(123)
