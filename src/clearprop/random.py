"""Counter-based randomness: every number is a function of (seed, purpose, position).

There is no generator with a hidden state. A `Stream` is a name, ``stream(seed, purpose, *position)``,
and each of its numbers is computed from that name and the number's own place. So initial weights,
the order of an epoch and dropout masks are the same on every engine, NumPy version and platform,
whatever else was drawn before, and a run resumes from its position alone.

The exact layout, for whoever repeats it in another language
------------------------------------------------------------
All words are unsigned 32-bit, all sums and products are modulo their width.
lo(v) and hi(v) are the two words of a 64-bit v.

1. ``philox(c0, c1, c2, c3; k0, k1)`` is Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw,
   "Parallel random numbers: as easy as 1, 2, 3", SC11): see `philox`.
2. Name to stream. With p_1 … p_m the positions (each below 2**64) and the key (lo(seed), hi(seed)):

       s = philox(purpose, m, 0, 0; key)
       for each pair (p, q) of positions, (p_m, 0) being the last pair if m is odd:
           s = philox(s0 ^ lo(p), s1 ^ hi(p), s2 ^ lo(q), s3 ^ hi(q); key)

   This is CBC-MAC over the bijection that Philox is for one key, with the length in front. Two
   names of one seed with at most one pair each that share purpose and m never collide (a bijection
   maps different counters to different s); any others collide as 128 random bits do: among 10**12
   streams with a probability below 2e-15.
3. Words. The stream's key is (s0, s1), and word i (i below 2**66) is

       philox(lo(i // 4), hi(i // 4), s2, s3; s0, s1)[i % 4]

   Different s are different keys or different counters, so different streams share no evaluation.
4. Numbers. With v_i = word 2i + 2**32 * word 2i+1 (64 bits):

   - uniform:     (v_i >> 11) * 2**-53, in [0, 1)
   - normal:      ndtri(((v_i >> 12) + 0.5) * 2**-52), see `inverse_normal`
   - integer:     low + floor(v_i * (high - low) / 2**64)
   - permutation: the indices 0 … n-1 sorted by v_0 … v_{n-1}, ties in the order of the index
   - mask:        unit u of example x is word 2**34 * x + u, as a uniform: word * 2**-32
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearprop.compiled import instruction_set, native
from clearprop.errors import DTypeError, OptionError

__all__ = ["Purpose", "Stream", "inverse_normal", "philox", "stream"]

Shape = int | tuple[int, ...]
Float64 = NDArray[np.float64]
Words = tuple[Any, Any, Any, Any]  # each an int or a uint64 array, all values below 2**32

MASK_32 = 0xFFFFFFFF
PHILOX_M = (0xD2511F53, 0xCD9E8D57)
PHILOX_W = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, the Weyl sequence of the keys
ROUNDS = 10
CHUNK = 4096  # blocks computed at a time: the working arrays stay in the processor's cache
ROW_LIMIT = 2**32
UNIT_LIMIT = 2**34


class Purpose(IntEnum):
    """What random numbers are for. The numbers are part of every result and never change."""

    INITIAL_WEIGHTS = 1
    EPOCH_ORDER = 2
    DROPOUT = 3
    DATA = 4
    SPLIT = 5
    CHECK = 6
    NOISE = 7


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Return the four random words of Philox4x32 for a 128-bit counter and a 64-bit key.

    One round is, with the 64-bit products P = M0 * c0 and Q = M1 * c2,
    (c0, c1, c2, c3) <- (hi(Q) ^ c1 ^ k0, lo(Q), hi(P) ^ c3 ^ k1, lo(P)), (k0, k1) <- (k0 + W0, k1 + W1).

    Parameters: four counter words and two key words below 2**32. A counter word is an int or a
    uint64 array; arrays broadcast against each other.

    >>> [f"{word:08x}" for word in philox((0, 0, 0, 0), (0, 0))]  # Random123, kat_vectors
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p, q = c0 * PHILOX_M[0], c2 * PHILOX_M[1]
        c0, c1, c2, c3 = (q >> 32) ^ (c1 ^ k0), q & MASK_32, (p >> 32) ^ (c3 ^ k1), p & MASK_32
        k0, k1 = (k0 + PHILOX_W[0]) & MASK_32, (k1 + PHILOX_W[1]) & MASK_32
    return c0, c1, c2, c3


def stream(seed: int, purpose: int, *position: int) -> Stream:
    """Return the stream named (seed, purpose, position), e.g. (0, Purpose.DROPOUT, layer, step).

    Parameters: `seed` and each position in [0, 2**64); `purpose`, a `Purpose` or another number
    below 2**32. (1, 2) and (1, 2, 0) are different positions.
    Errors: `DTypeError` for what is no integer, `OptionError` for an integer out of range.

    >>> stream(0, Purpose.DATA, 7).uniform(3).round(6).tolist()
    [0.110771, 0.941212, 0.013672]
    """
    seed = _integer("seed", seed, 2**64)
    key = seed & MASK_32, seed >> 32
    places = [_integer(f"position[{i}]", place, 2**64) for i, place in enumerate(position)]
    s = _opened(_integer("purpose", purpose, 2**32), len(places), key)
    places += [0] * (len(places) % 2)
    for p, q in zip(places[::2], places[1::2], strict=True):
        s = philox((s[0] ^ (p & MASK_32), s[1] ^ (p >> 32), s[2] ^ (q & MASK_32), s[3] ^ (q >> 32)), key)
    return Stream(key=(s[0], s[1]), nonce=(s[2], s[3]))


@lru_cache(maxsize=256)
def _opened(purpose: int, places: int, key: tuple[int, int]) -> Words:
    """Return the first state of a stream's name, which all positions of a purpose share."""
    return philox((purpose, places, 0, 0), key)


@dataclass(frozen=True)
class Stream:
    """A fixed sequence of 2**66 random words; made by `stream`.

    Every method starts at the beginning of the sequence: calling it twice gives the same numbers,
    and two methods of one stream give dependent numbers. Give each draw a position of its own.
    A longer draw begins with the shorter one, in C order: ``uniform(5)[:3]`` is ``uniform(3)``
    (permutations excepted).
    """

    key: tuple[int, int]
    nonce: tuple[int, int]

    def bits(self, n: int) -> NDArray[np.uint32]:
        """Return the first n words, uint32."""
        n = _integer("n", n, 2**62)
        words = np.empty(-(-n // 4) * 4, np.uint32)
        for part in _parts(n, 4 * CHUNK):
            words[part.start : part.stop + -part.stop % 4] = self._words(part)
        return words[:n]

    def bits64(self, n: int) -> NDArray[np.uint64]:
        """Return the first n 64-bit numbers: v_i = word 2i + 2**32 * word 2i+1."""
        return self._drawn(n, np.uint64, lambda v: v)

    def uniform(self, shape: Shape) -> Float64:
        """Return uniform numbers in [0, 1), multiples of 2**-53."""
        drawn = self._drawn(_size(shape), np.float64, lambda v: (v >> 11).astype(np.float64) * 2.0**-53)
        return drawn.reshape(shape)

    def normal(self, shape: Shape) -> Float64:
        """Return standard normal numbers, the same bits everywhere; none is beyond 8.21."""

        def converted(v: NDArray[np.uint64]) -> Float64:
            return inverse_normal(((v >> 12).astype(np.float64) + 0.5) * 2.0**-52)

        return self._drawn(_size(shape), np.float64, converted).reshape(shape)

    def _words(self, part: range) -> NDArray[np.uint32]:
        """Return the words of a part that begins at a multiple of CHUNK blocks, in whole blocks."""
        start, stop = part.start // 4, -(-part.stop // 4)
        words = np.empty((stop - start, 4), np.uint32)
        block = np.arange(start, stop, dtype=np.uint64)
        counter = (block & MASK_32, start >> 32, *self.nonce)  # CHUNK divides 2**32
        _join(philox(counter, self.key), words)
        return words.reshape(-1)

    def _drawn(
        self, n: int, dtype: Any, convert: Callable[[NDArray[np.uint64]], NDArray[Any]]
    ) -> NDArray[Any]:
        """Return `convert` of the first n 64-bit numbers, a part after the other: one array is large."""
        drawn = np.empty(_integer("n", n, 2**61), dtype)
        for part in _parts(n, 2 * CHUNK):
            words = self._words(range(2 * part.start, 2 * part.stop)).astype(np.uint64)
            v = words[0::2] | (words[1::2] << np.uint64(32))
            drawn[part.start : part.stop] = convert(v[: len(part)])
        return drawn

    def integers(self, low: int, high: int, shape: Shape) -> NDArray[np.int64]:
        """Return integers in [low, high), int64; no value is likelier than another by over 2**-32.

        Errors: `OptionError` unless 0 < high - low <= 2**32.
        """
        low, high = operator.index(low), operator.index(high)
        span = high - low
        if not 0 < span <= 2**32 or low < -(2**63) or high > 2**63:
            raise OptionError(f"integers needs 0 < high - low <= 2**32 in int64, got low={low}, high={high}")
        v = self.bits64(_size(shape))
        offset = ((v >> 32) * span + (((v & MASK_32) * span) >> 32)) >> 32  # floor(v * span / 2**64)
        return (offset.astype(np.int64) + low).reshape(shape)

    def permutation(self, n: int) -> NDArray[np.intp]:
        """Return the indices 0 … n-1 in a random order: sorted by one 64-bit key each.

        Equal keys keep their order; with n indices that happens with probability n**2 / 2**65
        (for a million: 3e-8), so the order is uniform for every practical n.
        """
        n = _integer("n", n, 2**62)
        if native is None:
            return np.argsort(self.bits64(n), kind="stable")
        order = np.empty(n, np.int64)
        native.permutation(instruction_set(), *self.key, *self.nonce, order)
        return order.astype(np.intp, copy=False)

    def bits_at(self, rows: ArrayLike, n_units: int) -> NDArray[np.uint32]:
        """Return one word per example and unit, (len(rows), n_units) uint32.

        An example's row depends on its own index alone, not on its place in the batch; unit u of
        example x is word 2**34 * x + u, so fewer units give the same first units.

        Parameters: `rows`, the indices of the examples in the data set, in [0, 2**32); `n_units`
        at most 2**34.
        """
        index = _rows(rows)
        blocks = -(-_integer("n_units", n_units, UNIT_LIMIT + 1) // 4)
        words = np.empty((len(index), blocks, 4), np.uint32)
        block = np.arange(blocks, dtype=np.uint64)
        step = max(1, CHUNK // max(1, blocks))
        for start in range(0, len(index), step):
            counter = (block, index[start : start + step, np.newaxis], *self.nonce)
            _join(philox(counter, self.key), words[start : start + step])
        return words.reshape(len(index), 4 * blocks)[:, :n_units]

    def uniform_at(self, rows: ArrayLike, n_units: int) -> Float64:
        """Return one uniform number in [0, 1) per example and unit, (len(rows), n_units).

        Multiples of 2**-32, exact in float64: ``uniform_at(rows, n) < p`` is a mask that is true
        with probability p (to 2**-32). See `bits_at`.

        >>> dropout = stream(0, Purpose.DROPOUT, 1, 5)  # layer 1, step 5
        >>> dropout.uniform_at([3, 8], 2).round(6).tolist()
        [[0.123059, 0.992049], [0.26585, 0.751445]]
        >>> bool((dropout.uniform_at([8], 2) == dropout.uniform_at([3, 8], 2)[1]).all())
        True
        """
        return self.bits_at(rows, n_units).astype(np.float64) * 2.0**-32


# Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988) 477-484. Highest power first.
CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
NEAR_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
     1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
     4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
     1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
     2.05319162663775882187e0, 1.0),
)  # fmt: skip
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
     2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
     5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
     7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
     5.99832206555887937690e-1, 1.0),
)  # fmt: skip
Ratio = tuple[tuple[float, ...], tuple[float, ...]]
LN_2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)  # high part with 20 zero bits, and the rest
ATANH_TERMS = tuple(1.0 / (2 * k + 1) for k in range(12, -1, -1))


def inverse_normal(p: ArrayLike) -> Float64:
    """Return z with P(Z < z) = p for a standard normal Z; float64, the shape of p.

    Wichura's AS 241 with a logarithm of our own: only +, -, *, / and sqrt, which IEEE 754 rounds
    the same way everywhere, so the bits do not depend on the platform's mathematics library.
    Relative error below 1e-15. p = 0 and 1 give -inf and inf; outside [0, 1] gives NaN.

    >>> inverse_normal([0.5, 0.975, 1e-10]).round(12).tolist()
    [0.0, 1.95996398454, -6.361340902404]
    """
    p = np.asarray(p, np.float64)
    shape, p = p.shape, p.reshape(-1)
    q = p - 0.5
    z = q * _ratio(CENTRE, 0.180625 - q * q)
    outer = np.flatnonzero(~(np.abs(q) <= 0.425))
    z[outer] = np.where(q[outer] < 0, -1.0, 1.0) * _tail(np.minimum(p[outer], 1.0 - p[outer]))
    return z.reshape(shape)


def _tail(p: Float64) -> Float64:
    inside = p > 0
    r = np.sqrt(-_log(np.where(inside, p, 0.5)))
    z = np.where(r <= 5.0, _ratio(NEAR_TAIL, r - 1.6), _ratio(FAR_TAIL, r - 5.0))
    return np.where(inside, z, np.where(p == 0, np.inf, np.nan))


def _ratio(coefficients: Ratio, x: Float64) -> Float64:
    numerator, denominator = coefficients
    return _horner(numerator, x) / _horner(denominator, x)


def _horner(coefficients: tuple[float, ...], x: Float64) -> Float64:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


def _log(x: Float64) -> Float64:
    # x = m * 2**e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172
    m, e = np.frexp(x)
    small = m < math.sqrt(0.5)
    m, e = np.where(small, 2.0 * m, m), np.where(small, e - 1, e)
    s = (m - 1.0) / (m + 1.0)
    return e * LN_2[0] + (2.0 * s * _horner(ATANH_TERMS, s * s) + e * LN_2[1])


def _join(words: Words, out: NDArray[np.uint32]) -> None:
    for i, word in enumerate(words):
        out[..., i] = word


def _parts(n: int, most: int) -> Iterator[range]:
    """Yield 0 … n-1 in ranges of at most so many."""
    return (range(start, min(start + most, n)) for start in range(0, n, most))


def _size(shape: Shape) -> int:
    return math.prod(shape) if isinstance(shape, tuple) else operator.index(shape)


def _rows(rows: ArrayLike) -> NDArray[np.uint64]:
    index = np.asarray(rows)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise DTypeError(
            "rows must be a one-dimensional array of example indices (integers), "
            f"got {index.dtype} of shape {index.shape}"
        )
    if index.size and not (index.min() >= 0 and index.max() < ROW_LIMIT):
        raise OptionError(f"rows must lie in [0, 2**32), got {index.min()} to {index.max()}")
    return index.astype(np.uint64)


def _integer(name: str, value: int, limit: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise DTypeError(f"{name} must be an integer, got {value!r}") from None
    if not 0 <= number < limit:
        raise OptionError(f"{name} must lie in [0, {limit}), got {number}")
    return number
