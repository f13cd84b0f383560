"""Randomness: published vectors, an independent oracle of the layout, golden bits, statistics."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
import scipy.special
import scipy.stats

from clearprop.errors import DTypeError, OptionError
from clearprop.random import Purpose, Stream, inverse_normal, philox, stream

# Random123 1.14, tests/kat_vectors, lines "philox4x32 10": counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
BLOCKS_PER_CHUNK = 4096


def words(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


# ---- an independent statement of the documented layout, in plain Python


def oracle_philox(counter: list[int], key: list[int]) -> list[int]:
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = divmod(0xD2511F53 * c[0], 2**32), divmod(0xCD9E8D57 * c[2], 2**32)
        c = [second[0] ^ c[1] ^ k[0], second[1], first[0] ^ c[3] ^ k[1], first[1]]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def oracle_word(seed: int, purpose: int, position: tuple[int, ...], i: int) -> int:
    key = [seed % 2**32, seed // 2**32]
    s = oracle_philox([purpose, len(position), 0, 0], key)
    padded = [*position, 0] if len(position) % 2 else list(position)
    while padded:
        p, q = padded.pop(0), padded.pop(0)
        block = [p % 2**32, p // 2**32, q % 2**32, q // 2**32]
        s = oracle_philox([a ^ b for a, b in zip(s, block, strict=True)], key)
    block_index = i // 4
    return oracle_philox([block_index % 2**32, block_index // 2**32, s[2], s[3]], s[:2])[i % 4]


NAMES = [(0, Purpose.DATA, ()), (1, Purpose.DROPOUT, (3, 2**40 + 1, 5)), (2**64 - 1, Purpose.SPLIT, (7, 9))]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    k0, k1 = words(key)
    c0, c1, c2, c3 = words(counter)
    assert philox((c0, c1, c2, c3), (k0, k1)) == words(expected)
    arrays = [np.full((2, 3), c, np.uint64) for c in (c0, c1, c2, c3)]
    for result, word in zip(philox(tuple(arrays), (k0, k1)), words(expected), strict=True):
        assert result.shape == (2, 3)
        assert (result == word).all()


@pytest.mark.parametrize(("seed", "purpose", "position"), NAMES)
def test_words_follow_the_documented_layout(seed: int, purpose: Purpose, position: tuple[int, ...]) -> None:
    s = stream(seed, purpose, *position)
    n = 4 * BLOCKS_PER_CHUNK + 6  # past the first chunk
    bits = s.bits(n)
    assert bits.dtype == np.uint32
    assert bits.shape == (n,)
    for i in (0, 1, 2, 3, 4, 5, n - 7, n - 6, n - 1):
        assert bits[i] == oracle_word(seed, purpose, position, i)
    rows, n_units = [0, 5, 2**32 - 1], 7
    at = s.bits_at(rows, n_units)
    for (r, row), unit in itertools.product(enumerate(rows), range(n_units)):
        assert at[r, unit] == oracle_word(seed, purpose, position, 2**34 * row + unit)


def test_numbers_follow_the_documented_layout() -> None:
    s = stream(3, Purpose.CHECK, 1)
    v = [oracle_word(3, 6, (1,), 2 * i) + 2**32 * oracle_word(3, 6, (1,), 2 * i + 1) for i in range(50)]
    assert s.bits64(50).tolist() == v
    assert s.uniform(50).tolist() == [(x >> 11) / 2**53 for x in v]
    assert s.normal(50).tolist() == inverse_normal([((x >> 12) + 0.5) / 2**52 for x in v]).tolist()
    assert s.integers(-7, 12, 50).tolist() == [-7 + x * 19 // 2**64 for x in v]
    assert s.integers(0, 2**32, 50).tolist() == [x >> 32 for x in v]
    assert s.permutation(50).tolist() == sorted(range(50), key=v.__getitem__)
    mask = s.uniform_at([4], 9)[0].tolist()
    assert mask == [oracle_word(3, 6, (1,), 2**34 * 4 + u) / 2**32 for u in range(9)]


# ---- golden bits: these may never change, on any platform


def test_purposes_are_fixed() -> None:
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "INITIAL_WEIGHTS": 1,
        "EPOCH_ORDER": 2,
        "DROPOUT": 3,
        "DATA": 4,
        "SPLIT": 5,
        "CHECK": 6,
        "NOISE": 7,
    }


def test_golden_words_uniforms_and_normals() -> None:
    s = stream(0, Purpose.DATA, 7)
    assert s == Stream(key=(54625716, 2822538745), nonce=(904605926, 2934148184))
    assert [f"{w:08x}" for w in s.bits(6)] == [
        *("576e2642", "1c5b7506", "a8be7174", "f0f34804", "0f0cdb11", "037ffb80")
    ]
    assert [u.hex() for u in s.uniform(4).tolist()] == [
        "0x1.c5b7506576e20p-4",
        "0x1.e1e69009517cep-1",
        "0x1.bffdc007866c0p-7",
        "0x1.6cda4fe8a6a8bp-1",
    ]
    assert [z.hex() for z in s.normal(4).tolist()] == [  # two from the centre, two from the tail
        "-0x1.38f1de28c4842p+0",
        "0x1.90a5def3d0f44p+0",
        "-0x1.1a714edcce456p+1",
        "0x1.1f3c1b43a6413p-1",
    ]


def test_golden_permutation_integers_and_mask() -> None:
    s = stream(0, Purpose.DATA, 7)
    assert s.permutation(12).tolist() == [2, 9, 0, 10, 11, 7, 4, 8, 3, 5, 6, 1]
    assert s.integers(-3, 4, 12).tolist() == [-3, 3, -3, 1, 0, 2, 2, -2, 1, -3, -2, -2]
    dropout = stream(2**64 - 1, Purpose.DROPOUT, 3, 2**40 + 1, 5)
    assert [[f"{w:08x}" for w in row] for row in dropout.bits_at([0, 2**32 - 1], 6)] == [
        ["2b2a23b1", "f91d663e", "a5f2f5aa", "7b49f7e1", "6e836aac", "36293337"],
        ["c89b0324", "ca819336", "3b66e07d", "24dd1021", "f2288608", "f6328033"],
    ]
    assert (dropout.uniform_at([0, 1, 17], 16) < 0.5).astype(int).tolist() == [
        [1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1],
    ]


# ---- what is promised of a stream


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    s = stream(5, Purpose.NOISE)
    for draw in (s.bits, s.bits64, s.uniform, s.normal, lambda shape: s.integers(0, 10, shape)):
        assert np.array_equal(draw(20_001)[:1_001], draw(1_001))
    assert np.array_equal(s.normal((7, 3)).ravel(), s.normal(21))
    assert np.array_equal(s.uniform_at([9], 11)[:, :6], s.uniform_at([9], 6))


def test_a_mask_does_not_depend_on_the_place_in_the_batch() -> None:
    s = stream(5, Purpose.DROPOUT, 1, 2)
    rows = np.arange(500)[::-1] * 3
    for n_units in (1, 4, 5, 130):  # 130 units: several chunks of rows
        whole = s.uniform_at(rows, n_units)
        assert whole.shape == (500, n_units)
        for r in (0, 137, 499):
            assert np.array_equal(s.uniform_at([rows[r]], n_units)[0], whole[r])
    assert s.uniform_at([], 5).shape == (0, 5)
    assert s.uniform_at([1, 2], 0).shape == (2, 0)


def test_names_that_differ_give_different_streams() -> None:
    positions = [
        (),
        (0,),
        (1,),
        (0, 0),
        (0, 1),
        (1, 0),
        (2**32,),
        (0, 2**32),
        (0, 0, 0),
        (1, 2, 3),
        (1, 3, 2),
    ]
    seen = {
        stream(seed, purpose, *position)
        for seed in (0, 1, 2**32, 2**64 - 1)
        for purpose in Purpose
        for position in positions
    }
    assert len(seen) == 4 * len(Purpose) * len(positions)
    assert len({s.bits(1)[0] for s in seen}) >= len(seen) - 1


def test_numbers_do_not_depend_on_what_was_drawn_before() -> None:
    first = stream(1, Purpose.NOISE, 4).normal(5)
    stream(1, Purpose.NOISE, 3).normal(1000)
    s = stream(1, Purpose.NOISE, 4)
    s.uniform(77)
    assert np.array_equal(s.normal(5), first)


def test_empty_draws() -> None:
    s = stream(0, Purpose.DATA)
    assert s.bits(0).shape == (0,)
    assert s.normal((0, 3)).shape == (0, 3)
    assert s.permutation(0).shape == (0,)
    assert s.permutation(1).tolist() == [0]
    assert s.uniform(()).shape == ()


def test_ranges() -> None:
    s = stream(2, Purpose.DATA)
    assert 0 <= s.uniform(10_000).min() <= s.uniform(10_000).max() < 1
    assert set(s.integers(-2, 3, 500).tolist()) == {-2, -1, 0, 1, 2}
    assert s.integers(2**63 - 1, 2**63, 3).tolist() == [2**63 - 1] * 3
    assert s.integers(-(2**63), -(2**63) + 1, 2).tolist() == [-(2**63)] * 2
    assert sorted(s.permutation(1000).tolist()) == list(range(1000))
    assert s.permutation(5).dtype == np.intp


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: stream(-1, 1), OptionError, r"seed must lie in \[0, 18446744073709551616\), got -1"),
        (lambda: stream(2**64, 1), OptionError, "seed must lie in"),
        (lambda: stream(0.5, 1), DTypeError, "seed must be an integer, got 0.5"),
        (lambda: stream(0, 2**32), OptionError, "purpose must lie in"),
        (lambda: stream(0, 1, 3, -2), OptionError, r"position\[1\] must lie in .* got -2"),
        (lambda: stream(0, 1).bits(-1), OptionError, "n must lie in"),
        (lambda: stream(0, 1).integers(3, 3, 2), OptionError, "got low=3, high=3"),
        (lambda: stream(0, 1).integers(0, 2**32 + 1, 2), OptionError, "integers needs"),
        (lambda: stream(0, 1).bits_at([0.5], 2), DTypeError, "got float64"),
        (lambda: stream(0, 1).bits_at([[1]], 2), DTypeError, r"shape \(1, 1\)"),
        (lambda: stream(0, 1).bits_at([-1], 2), OptionError, "got -1 to -1"),
        (lambda: stream(0, 1).bits_at([2**32], 2), OptionError, r"\[0, 2\*\*32\)"),
        (lambda: stream(0, 1).bits_at([1], -1), OptionError, "n_units must lie in"),
    ],
)
def test_wrong_arguments(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


# ---- the inverse normal


def test_inverse_normal_is_accurate() -> None:
    u = stream(1, Purpose.CHECK).uniform(20_000)
    p = np.concatenate([u, 2.0 ** -(1 + 1000 * u), 1 - 2.0 ** -(1 + 50 * u), [0.075, 0.925, 2.0**-53]])
    p = p[p != 0.5]
    expected = scipy.special.ndtri(p)
    assert np.max(np.abs(inverse_normal(p) / expected - 1)) < 2e-15


def test_inverse_normal_is_wichuras() -> None:
    standard = statistics.NormalDist()  # the same algorithm with the C library's logarithm
    for p in (1e-300, 1e-12, 0.01, 0.3, 0.499999, 0.77, 0.999, 1 - 2**-53):
        assert inverse_normal(p) == pytest.approx(standard.inv_cdf(p), rel=4e-16)


def test_inverse_normal_is_odd_and_knows_its_limits() -> None:
    p = (stream(1, Purpose.CHECK).bits64(1000) >> 12) * 2.0**-52
    assert np.array_equal(inverse_normal(1 - p), -inverse_normal(p))
    assert inverse_normal([0.0, 0.5, 1.0]).tolist() == [-np.inf, 0.0, np.inf]
    assert np.isnan(inverse_normal([-0.1, 1.1, np.nan])).all()
    assert inverse_normal(0.975).shape == ()


def test_extreme_normals_are_finite() -> None:
    ends = inverse_normal([0.5 * 2.0**-52, (2**52 - 0.5) * 2.0**-52])
    assert ends.tolist() == [-8.209536151601386, 8.209536151601386]


# ---- statistics, with fixed seeds


@pytest.mark.parametrize("position", [0, 1, 2])
def test_uniforms_and_normals_have_their_distributions(position: int) -> None:
    n = 200_000
    u = stream(11, Purpose.CHECK, position).uniform(n)
    z = stream(12, Purpose.CHECK, position).normal(n)
    mask = stream(13, Purpose.DROPOUT, position).uniform_at(np.arange(400), 500).ravel()
    assert scipy.stats.kstest(u, "uniform").pvalue > 0.001
    assert scipy.stats.kstest(z, "norm").pvalue > 0.001
    assert scipy.stats.kstest(mask, "uniform").pvalue > 0.001
    for moment, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**moment) - expected) < 4 * np.sqrt(variance / n)


def test_neighbouring_streams_rows_and_units_are_uncorrelated() -> None:
    n = 100_000
    base = stream(0, Purpose.NOISE, 1, 1).normal(n)
    others = [
        stream(1, Purpose.NOISE, 1, 1),
        stream(0, Purpose.DATA, 1, 1),
        stream(0, Purpose.NOISE, 2, 1),
        stream(0, Purpose.NOISE, 1, 2),
        stream(0, Purpose.NOISE, 1, 1, 0),
    ]
    for other in others:
        assert abs(np.corrcoef(base, other.normal(n))[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(base[:-1], base[1:])[0, 1]) < 4 / np.sqrt(n)
    mask = stream(0, Purpose.DROPOUT, 1, 1).uniform_at(np.arange(1000), 100)
    assert abs(np.corrcoef(mask[:-1].ravel(), mask[1:].ravel())[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(mask[:, :-1].ravel(), mask[:, 1:].ravel())[0, 1]) < 4 / np.sqrt(n)


def test_permutations_are_uniform() -> None:
    orders = list(itertools.permutations(range(4)))
    drawn = [tuple(stream(0, Purpose.EPOCH_ORDER, epoch).permutation(4).tolist()) for epoch in range(4800)]
    counts = [drawn.count(order) for order in orders]
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_integers_are_uniform() -> None:
    counts = np.bincount(stream(0, Purpose.CHECK, 5).integers(0, 37, 100_000), minlength=37)
    assert scipy.stats.chisquare(counts).pvalue > 0.001
