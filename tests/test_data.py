"""Every kind of X trains to the bits of the plain array; what is in a file is never read whole."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import clearprop as cp
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError
from clearprop.training.data import Examples, as_features
from clearprop.training.features import Columns, is_mapped
from clearprop.training.weights import class_weights, mean_one

N, D = 60, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D)).round(2)
Y = RNG.integers(0, 3, size=N)


def network(**options):
    return cp.Network([cp.Dense(5, "tanh"), cp.Dense(3, "softmax")], seed=1, **options)


def trained(features, y=Y, **options):
    net = network(**options)
    net.fit(features, y, epochs=2, batch_size=8)
    return net


@pytest.fixture(scope="module")
def expected():
    return trained(X).theta


def mapped(tmp_path, values=X, dtype="float64"):
    path = tmp_path / "X.bin"
    np.ascontiguousarray(values, dtype).tofile(path)
    return np.memmap(path, dtype=dtype, mode="r", shape=values.shape)


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


KINDS = {
    "fortran": np.asfortranarray,
    "not contiguous": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "read-only": read_only,
    "list": lambda x: x.tolist(),
    "objects": lambda x: x.astype(object),
    "big-endian": lambda x: x.astype(">f8"),
    "images": lambda x: x.reshape(N, 2, 3),
    "colour images": lambda x: x.reshape(N, 1, 2, 3),
    "csr": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_matrix,
    "coo": scipy.sparse.coo_matrix,
    "csr array": scipy.sparse.csr_array,
    "two inputs": lambda x: (x[:, :2], x[:, 2:]),
    "two inputs, one sparse": lambda x: (x[:, :2], scipy.sparse.csr_matrix(x[:, 2:])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_gives_the_bits_of_the_plain_one(kind, expected):
    given = KINDS[kind](X)
    net = trained(given)
    np.testing.assert_array_equal(net.theta, expected)
    np.testing.assert_array_equal(net.outputs(given), trained(X).outputs(X))


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "float16", "longdouble"])
def test_every_dtype_of_numbers_is_converted(dtype):
    values = (np.abs(X) * 3).astype(dtype)
    np.testing.assert_array_equal(trained(values).theta, trained(values.astype(np.float64)).theta)


def test_frames_give_the_bits_of_the_plain_array(expected):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    names = [f"f{i}" for i in range(D)]
    for frame in (pandas.DataFrame(X, columns=names), polars.DataFrame(X, schema=names)):
        np.testing.assert_array_equal(trained(frame).theta, expected)
    column = pandas.Series(Y, index=np.arange(N) + 7, name="y")
    np.testing.assert_array_equal(trained(pandas.DataFrame(X), column).theta, expected)
    np.testing.assert_array_equal(trained(X, polars.Series(Y)).theta, expected)
    np.testing.assert_array_equal(trained(pandas.DataFrame(X).astype("Float64")).theta, expected)


def test_a_frame_of_numbers_and_booleans():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0, "c": np.arange(N, dtype="uint8")})
    plain = np.stack([X[:, 0], X[:, 1] > 0, np.arange(N)], axis=1)
    np.testing.assert_array_equal(as_features(frame), plain)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_mapped_data_give_the_bits_of_the_plain_array(tmp_path, dtype):
    plain = X.astype(dtype)
    given = mapped(tmp_path, X, dtype)
    np.testing.assert_array_equal(trained(given).theta, trained(plain).theta)
    both = (given[:, :2], given[:, 2:])
    np.testing.assert_array_equal(trained(both).theta, trained(plain).theta)
    for option in ({"validation_fraction": 0.25}, {"order": [np.arange(N)[::-1]] * 2}):
        nets = network(), network()
        rows = [net.fit(x, Y, epochs=2, **option).rows for net, x in zip(nets, (given, plain), strict=True)]
        np.testing.assert_array_equal(nets[0].theta, nets[1].theta)
        assert [{**r, "seconds": 0} for r in rows[0]] == [{**r, "seconds": 0} for r in rows[1]]


def test_views_of_a_mapped_file_count_as_mapped(tmp_path):
    given = mapped(tmp_path)
    assert all(map(is_mapped, (given, given[3:], np.asarray(given), given.reshape(N, 2, 3)[:, 0])))
    assert not any(map(is_mapped, (X, given * 2, given[[1, 2]])))
    assert isinstance(as_features((given, X)), Columns)


@pytest.mark.parametrize("kind", ["array", "sparse", "mapped", "float32"])
def test_preprocessing_is_the_same_for_every_kind(tmp_path, kind):
    values = X + 1000.0
    given = {
        "array": values,
        "sparse": scipy.sparse.csr_matrix(values),
        "mapped": mapped(tmp_path, values),
        "float32": values,
    }[kind]
    net = trained(given, preprocessing="standardize", dtype="float32" if kind == "float32" else "float64")
    scaled = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(net.preprocessing(values), scaled, rtol=1e-12, atol=1e-12)
    plain = trained(scaled, dtype=net.dtype)
    # float32 too: the shift is taken before rounding
    np.testing.assert_allclose(net.theta, plain.theta, rtol=0, atol=1e-12 if kind != "float32" else 1e-6)
    np.testing.assert_allclose(net.outputs(given), plain.outputs(scaled), rtol=0, atol=1e-6)


def test_standardize_leaves_a_constant_feature_at_zero():
    values = X.copy()
    values[:, 2] = 1e8
    net = trained(values, preprocessing="standardize")
    assert np.all(net.preprocessing(values)[:, 2] == 0)


@pytest.mark.parametrize("power", [-310, -300, -200, -20, 0, 20, 200, 300])
@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_matrix])
def test_standardize_does_not_depend_on_the_unit(power, kind):
    unit = 10.0**power
    plain = (X - X.mean(axis=0)) / X.std(axis=0)
    found = cp.Affine.standardize(kind(X * unit))(X * unit)
    if power == -310:  # deviations that are no normal numbers have no inverse: as if constant
        assert np.all(np.isfinite(found))
    else:
        np.testing.assert_allclose(found, plain, atol=1e-12)


def test_standardize_takes_columns_of_any_unit_side_by_side():
    columns = X * 10.0 ** np.array([200, -200, 0, 100, -100, 3])
    net, plain = network(preprocessing="standardize"), network(preprocessing="standardize")
    net.fit(columns, Y, epochs=2)
    plain.fit(X, Y, epochs=2)
    np.testing.assert_allclose(net.theta, plain.theta, rtol=1e-9)


def test_affine_on_integers_does_not_round_its_factor():
    np.testing.assert_array_equal(cp.Affine(factor=1 / 4)(np.array([[1, 2]])), [[0.25, 0.5]])
    assert cp.Affine(factor=1 / 4)(np.ones((1, 2), np.float32)).dtype == np.float32
    assert cp.Affine([1, 2], 3) == cp.Affine(np.array([1.0, 2.0]), 3.0) != cp.Affine([1, 2], 4)


def test_several_inputs_go_to_their_branches():
    layers = [cp.Concatenate([cp.Dense(2, "tanh"), cp.Dense(3)], inputs=[2, 4]), cp.Dense(3, "softmax")]
    net = cp.Network(layers, seed=0)
    net.fit((X[:, :2], X[:, 2:]), Y, epochs=1)
    np.testing.assert_array_equal(net.outputs((X[:, :2], X[:, 2:])), net.outputs(X))
    with pytest.raises(ShapeError, match=r"have \[4, 2\] features; layers\[1\] expects \[2, 4\]"):
        net.outputs((X[:, 2:], X[:, :2]))


# Streams -----------------------------------------------------------------------------------------


class Batches:
    """Can be iterated again; counts how often it was."""

    def __init__(self, weights=None, size=8):
        self.weights, self.size, self.begun = weights, size, 0

    def __iter__(self):
        self.begun += 1
        for start in range(0, N, self.size):
            part = slice(start, start + self.size)
            yield (X[part], Y[part]) if self.weights is None else (X[part], Y[part], self.weights[part])


def fixed(**options):
    net = cp.Network([cp.Dense(5, "tanh"), cp.Dropout(0.3), cp.Dense(3, "softmax")], n_in=D, seed=1)
    net.fit(X, Y, epochs=2, batch_size=8, shuffle=False, **options)
    return net


def stream_net():
    return cp.Network([cp.Dense(5, "tanh"), cp.Dropout(0.3), cp.Dense(3, "softmax")], seed=1)


def test_an_iterable_of_batches_trains_like_the_array_in_order():
    source, net = Batches(), stream_net()
    history = net.fit(source, epochs=2)
    np.testing.assert_array_equal(net.theta, fixed().theta)
    assert source.begun == 3  # one look at the first batch
    assert history["step"] == [8, 16]
    assert net.predict(X).dtype == Y.dtype


def test_a_list_of_batches_and_a_generator():
    net = stream_net()
    net.fit(list(Batches()), epochs=2)
    np.testing.assert_array_equal(net.theta, fixed().theta)
    once, again = stream_net(), stream_net()
    once.fit(iter(Batches()), epochs=1)
    again.fit(Batches(), epochs=1)
    np.testing.assert_array_equal(once.theta, again.theta)


def test_a_generator_for_two_epochs_is_refused_before_training():
    net = stream_net()
    with pytest.raises(OptionError, match=r"iterated only once, but there are 2 epochs.*epochs=1"):
        net.fit(iter(Batches()), epochs=2)
    assert not net.is_built


def test_weights_come_with_the_batches():
    weights = np.linspace(0.5, 1.5, N)
    net = stream_net()
    net.fit(Batches(weights), epochs=2)
    np.testing.assert_allclose(net.theta, fixed(sample_weight=weights).theta, rtol=1e-9)


def test_a_source_that_reuses_its_array_is_safe():
    class Reusing:
        def __iter__(self):
            rows, labels = np.empty((6, D)), np.empty(6, int)
            for start in range(0, N, 6):
                rows[:], labels[:] = X[start : start + 6], Y[start : start + 6]
                yield rows, labels

    net, plain = stream_net(), stream_net()
    net.fit(Reusing(), epochs=2)
    plain.fit(Batches(size=6), epochs=2)
    np.testing.assert_array_equal(net.theta, plain.theta)


GOOD = (X[:8], Y[:8])
BAD_STREAMS = {
    "empty": (iter([]), DataError, "is empty"),
    "no pair": (iter([X[:8]]), DataError, r"Batch 1 is a ndarray"),
    "four": (iter([(X, Y, X, Y)]), DataError, r"Batch 1 is a tuple of 4"),
    "one": ([(X,)], DataError, r"batch 1 .* malformed.*must be \(X, y\) or .* is a tuple of 1"),
    "text": (["ab"], DataError, r"batch 1 .* malformed.*Batch 1 is a str"),
    "none": ([None], DataError, r"batch 1 .* malformed.*Batch 1 is a NoneType"),
    "later one": ([GOOD, (X,)], DataError, r"batch 2 .* malformed.*Batch 2 is a tuple of 1"),
    "lengths": (iter([(X[:8], Y[:7])]), ShapeError, "X of batch 1 has 8 examples and y of batch 1 has 7"),
    "later width": ([GOOD, (X[:8, :3], Y[:8])], ShapeError, r"X of batch 2 has shape .*features=6"),
    "later nan": ([GOOD, (np.full((8, D), np.nan), Y[:8])], DataError, "X of batch 2 holds nan in row 0"),
    "later label": ([GOOD, (X[:8], Y[:8] + 7)], DataError, r"y of batch 2 holds the label \d+"),
    "mixed weights": ([GOOD, (*GOOD, np.ones(8))], DataError, "batch 2 of the iterable has weights, unlike"),
    "bad weights": ([(*GOOD, -np.ones(8))], DataError, r"weights of batch 1 must be finite and >= 0"),
    "weights shape": ([(*GOOD, np.ones(7))], ShapeError, r"weights of batch 1 has shape \(7,\)"),
}


@pytest.mark.parametrize("case", BAD_STREAMS)
def test_bad_batches_are_named_by_their_number(case):
    source, error, message = BAD_STREAMS[case]
    with pytest.raises(error, match=message):
        stream_net().fit(source, epochs=1)


@pytest.mark.parametrize("rows", [X.tolist(), list(X), [tuple(row) for row in X.tolist()], []])
def test_a_list_of_rows_without_y_is_no_stream(rows):
    with pytest.raises(DataError, match="fit needs y"):
        stream_net().fit(rows)


@pytest.mark.parametrize("option", ["y", "sample_weight", "class_weight", "order"])
def test_what_does_not_go_with_a_stream(option):
    value = {"class_weight": "balanced"}.get(option, [1, 2])
    with pytest.raises(OptionError, match=f"{option} does not go with an iterable of batches"):
        stream_net().fit(Batches(), **{option: value})


def test_options_that_need_all_data_are_refused_for_a_stream():
    for options, message in [
        ({"validation_fraction": 0.2}, "validation_fraction needs all data"),
        ({"drop_last": True}, "drop_last does not go with an iterable"),
        ({"optimizer": "lbfgs"}, "'lbfgs' needs all data at once"),
        ({"schedule": "cosine"}, "needs to know the number of steps"),
    ]:
        net = stream_net()
        with pytest.raises(OptionError, match=message):
            net.fit(Batches(), **options)
        assert not net.is_built
    with pytest.raises(OptionError, match=r"needs all data at once\. Give an Affine"):
        cp.Network([cp.Dense(3, "softmax")], preprocessing="standardize").fit(Batches())


# Weights and Examples ----------------------------------------------------------------------------


def test_weights_have_mean_one_and_survive_huge_ones():
    np.testing.assert_array_equal(mean_one([1, 2, 3], 3, "float64"), [0.5, 1.0, 1.5])
    np.testing.assert_allclose(mean_one([1e308, 1e308, 0.0], 3, "float32"), [1.5, 1.5, 0.0])
    assert mean_one([1, 2], 2, "float32").dtype == np.float32


def test_balanced_weights_make_classes_count_alike():
    indices = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(class_weights("balanced", indices, ("a", "b")), [2 / 3, 2 / 3, 2 / 3, 2])
    np.testing.assert_array_equal(class_weights({"b": 5}, indices, ("a", "b")), [1, 1, 1, 5])


def test_a_part_of_examples_has_its_own_weights():
    examples = Examples.prepare(X, Y[:, None].astype(float), mean_one(np.arange(N), N, "float64"), "float64")
    part = examples.part(np.array([2, 5]))
    rows, y, weights = part.take(np.array([1]))
    np.testing.assert_array_equal(rows, X[[5]])
    np.testing.assert_array_equal(y, [[Y[5]]])
    np.testing.assert_allclose(weights, [10 / 7])


def test_examples_do_not_alias_what_they_give_out():
    examples = Examples.prepare(X, Y[:, None].astype(float), None, "float64")
    rows, *_ = examples.take(np.arange(3))
    rows[:] = 0
    assert examples.X is X
    assert not np.all(X[:3] == 0)


def test_too_large_for_float32_is_said_not_rounded_to_infinity():
    large = X.copy()
    large[4, 2] = 1e300
    with pytest.raises(DataError, match=r"X holds 1e\+300 in row 4, column 2, too large for float32"):
        trained(large, dtype="float32")
    with pytest.raises(DataError, match=r"row 4, column 2, too large for float32"):
        trained(scipy.sparse.csr_matrix(large), dtype="float32")
    net = cp.Network([cp.Dense(1)], dtype="float32")
    with pytest.raises(DataError, match=r"y holds 1e\+300 in row 4, column 0, too large for float32"):
        net.fit(X, large[:, 2])


def test_sparse_nan_names_its_row_and_column():
    values = X.copy()
    values[7, 3] = np.nan
    with pytest.raises(DataError, match="X holds nan in row 7, column 3"):
        trained(scipy.sparse.csc_matrix(values))


def spoilt(form, name, place, value):
    """Return X as a sparse matrix, one of whose arrays says what is not so."""
    made = getattr(scipy.sparse, f"{form}_matrix")(X)
    getattr(made, name)[place] = value
    return made


def with_longer_indptr():
    made = scipy.sparse.csr_matrix(X)
    made.indptr = np.append(made.indptr, made.indptr[-1])
    return made


def without_some_entries():
    made = scipy.sparse.coo_matrix(X)
    made.data = made.data[:-3]
    return made


ILL_FORMED = {
    "column beyond": (lambda: spoilt("csr", "indices", 5, 700), "indices must lie from 0 to 5. Got 700"),
    "column below": (lambda: spoilt("csr", "indices", 5, -3), "indices must lie from 0 to 5. Got -3"),
    "start beyond": (lambda: spoilt("csr", "indptr", 3, 10**6), "indptr must be 61 numbers that rise from 0"),
    "start below": (lambda: spoilt("csr", "indptr", 3, -1), "indptr must be 61 numbers that rise"),
    "first start": (lambda: spoilt("csr", "indptr", 0, 1), "indptr must be 61 numbers that rise"),
    "end beyond": (lambda: spoilt("csr", "indptr", -1, 10**6), "indptr must be .* to at most 359"),
    "too many starts": (with_longer_indptr, "indptr must be 61 numbers"),
    "csc row": (lambda: spoilt("csc", "indices", 5, 60), "indices must lie from 0 to 59. Got 60"),
    "csc start": (lambda: spoilt("csc", "indptr", 2, 10**6), "indptr must be 7 numbers"),
    "bsr": (lambda: spoilt("bsr", "indices", 0, 9999), "indices must lie from 0 to .* Got 9999"),
    "coo row": (lambda: spoilt("coo", "row", 5, 60), "row must lie from 0 to 59. Got 60"),
    "coo column": (lambda: spoilt("coo", "col", 5, -1), "col must lie from 0 to 5. Got -1"),
    "coo lengths": (without_some_entries, "row must have .* entries like data. Got"),
}


@pytest.mark.parametrize("engine", ["auto", "batch"])
@pytest.mark.parametrize("case", ILL_FORMED)
def test_an_ill_formed_sparse_matrix_is_refused(case, engine):
    make, wrong = ILL_FORMED[case]
    net = trained(X, engine=engine)
    before = net.theta.copy()
    message = f"X is an ill-formed sparse matrix: its {wrong}"
    for use in (lambda: net.fit(make(), Y), lambda: net.outputs(make()), lambda: net.evaluate(make(), Y)):
        with pytest.raises(DataError, match=message):
            use()
    with pytest.raises(DataError, match=r"X\[1\] is an ill-formed"):
        net.outputs((X, make()))
    np.testing.assert_array_equal(net.theta, before)


def test_ill_formed_sparse_targets_are_refused():
    targets = scipy.sparse.csr_matrix(np.eye(3)[Y])
    targets.indices[4] = 900
    with pytest.raises(DataError, match="y is an ill-formed sparse matrix: its indices must lie from 0 to 2"):
        trained(X, targets)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"])
def test_sparse_matrices_of_every_form_and_none_of_their_entries_are_fine(form):
    made = getattr(scipy.sparse, f"{form}_matrix")
    np.testing.assert_array_equal(as_features(made(X)).toarray(), X)
    np.testing.assert_array_equal(as_features(made(np.zeros((4, 3)))).toarray(), np.zeros((4, 3)))


def test_a_column_that_is_no_number_is_named():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    for column, error, message in [
        (["x"] * N, DTypeError, r"X holds 'x' in row 0, column 'c'"),
        ([None] * N, DataError, r"X (misses a value|holds nan) in row 0, column 'c'"),
        (pandas.array([1, None] * 30, dtype="Int64"), DataError, r"misses a value in row 1, column 'c'"),
        ([1.0] * 9 + [np.inf] * (N - 9), DataError, r"X holds inf in row 9, column 'c'"),
        (pandas.date_range("2020", periods=N), DTypeError, r"in row 0, column 'c', which is no real number"),
        ([1j] * N, DTypeError, r"complex128|no real number"),
    ]:
        with pytest.raises(error, match=message):
            trained(frame.assign(c=column))
