"""Where a gradient is checked: any arrays as one flat vector of named parts, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DataError, DTypeError, ShapeError
from clearprop.gradcheck.arguments import as_names

__all__ = ["Part", "Point", "point_of"]

Names = Sequence[tuple[str, tuple[int, ...]]]

_DEEPEST = 100
"""Levels of lists and dicts in one another."""
_MOST_AXES = 32
"""Of an array that is written as lists of numbers."""


@dataclass(frozen=True)
class Part:
    """One named array inside the flat vector."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def block(self) -> slice:
        """Its place in the flat vector."""
        return slice(self.offset, self.offset + self.size)

    def index(self, place: int) -> tuple[int, ...]:
        """Return the index in the array of an entry of the flat block."""
        return tuple(int(i) for i in np.unravel_index(place, self.shape)) if self.shape else ()


@dataclass(frozen=True)
class Point:
    """The point x: its parts, its numbers as one flat float64 vector, and how to build it again."""

    parts: tuple[Part, ...]
    x: Array
    dtypes: tuple[Any, ...]
    structure: Any
    pieces: tuple[Part, ...]
    """The arrays of the structure; the same as `parts`, unless one flat vector has been given names."""

    def build(self, x: Array, own_dtypes: bool = False) -> Any:
        """Return the arrays of x in the structure that was given; with `own_dtypes` in their own dtypes."""
        arrays = []
        for piece, dtype in zip(self.pieces, self.dtypes, strict=True):
            array = x[piece.block].reshape(piece.shape)
            arrays.append(array.astype(dtype) if own_dtypes else array.copy())
        return _rebuild(self.structure, iter(arrays))

    def is_like(self, thing: Any) -> bool:
        """Whether this has as many arrays as the point, each of the shape of the point's."""
        leaves: list[tuple[str, Any]] = []
        if self.structure is None and not isinstance(thing, Mapping):
            leaves.append(("", thing))
        else:
            _collect(thing, "", leaves)
        try:
            shapes = [np.shape(_detached(leaf)) for _, leaf in leaves]
        except ValueError:  # numbers and arrays side by side
            return False
        return sorted(shapes) == sorted(piece.shape for piece in self.pieces)

    def flat(self, gradient: Any) -> tuple[Array, Any]:
        """Return a gradient of this structure as one flat float64 vector, and its coarsest dtype.

        Errors: `ShapeError` where its structure or a shape is another than the point's; `DTypeError` where
        it holds no numbers.
        """
        leaves: list[tuple[str, Any]] = []
        if self.structure is None and not isinstance(gradient, Mapping):
            leaves.append(("", gradient))
        else:
            _collect(_in_order(self.structure, gradient), "", leaves)
        expected = [piece.name for piece in self.pieces]
        if len(leaves) != len(self.pieces):
            arrays = "1 array" if len(leaves) == 1 else f"{len(leaves)} arrays"
            raise ShapeError(
                f"the gradient has {arrays}, the point has {len(self.pieces)} "
                f"({', '.join(expected)}). Return one gradient for each, in the structure of the point."
            )
        flat, dtypes = np.empty(self.x.size), []
        for piece, (_, leaf) in zip(self.pieces, leaves, strict=True):
            array = _numbers(leaf, f"the gradient with respect to {piece.name}")
            if array.shape != piece.shape:
                raise ShapeError(
                    f"the gradient with respect to {piece.name} has shape {array.shape}; {piece.name} has "
                    f"shape {piece.shape}. Give it the shape of what it belongs to{_hint(array, piece)}."
                )
            flat[piece.block] = array.ravel()
            dtypes.append(array.dtype)
        return flat, _coarsest(dtypes)

    @property
    def dtype(self) -> Any:
        """The coarsest floating dtype among the arrays."""
        return _coarsest(self.dtypes)


def _hint(array: Array, piece: Part) -> str:
    if array.shape == piece.shape[::-1]:
        return " (transpose it)"
    return " (reshape it)" if array.size == piece.size else ""


def _coarsest(dtypes: Sequence[Any]) -> Any:
    floats = [dtype for dtype in dtypes if dtype.kind == "f"]
    return max(floats, key=lambda dtype: np.finfo(dtype).eps) if floats else np.dtype(np.float64)


def point_of(at: Any, names: Names | None = None) -> Point:
    """Return the point that `at` is: a number, an array, or a tuple, list or dict of them.

    names: for one flat vector, names and shapes of its consecutive parts.
    Errors: `DTypeError` for what is no real number, `DataError` for NaN and infinity, `ShapeError` for names
        that do not fill the vector.

    >>> [(part.name, part.shape) for part in point_of({"W": np.ones((2, 3)), "b": np.zeros(2)}).parts]
    [('W', (2, 3)), ('b', (2,))]
    """
    leaves: list[tuple[str, Any]] = []
    structure = _collect(at, "", leaves)
    if not leaves:
        raise ShapeError("the point holds no array. Give an array, or a tuple, list or dict of arrays.")
    pieces, numbers, dtypes, offset = [], [], [], 0
    for name, leaf in leaves:
        array = _numbers(leaf, f"the point's {name or 'array'}")
        if not np.isfinite(array).all():
            raise DataError(f"the point's {name or 'array'} holds NaN or infinity. Check at finite numbers.")
        pieces.append(Part(name or "x", array.shape, offset))
        numbers.append(array.ravel().astype(np.float64))
        dtypes.append(array.dtype if array.dtype.kind == "f" else np.dtype(np.float64))
        offset += array.size
    x = np.concatenate(numbers)
    if not x.size:
        raise ShapeError("the point has no entries: there is no gradient to check.")
    parts = tuple(pieces) if names is None else _named(names, pieces)
    return Point(parts, x, tuple(dtypes), structure, tuple(pieces))


def _named(names: Names, pieces: Sequence[Part]) -> tuple[Part, ...]:
    size = sum(piece.size for piece in pieces)
    if len(pieces) > 1 or len(pieces[0].shape) != 1:
        raise ShapeError(
            "names is for one flat vector: names and shapes of its consecutive parts. Give the point as a "
            "dict instead."
        )
    parts, offset = [], 0
    for name, shape in as_names(names):
        parts.append(Part(name, shape, offset))
        offset += parts[-1].size
    if offset != size:
        raise ShapeError(f"the shapes in names have {offset} entries, the point has {size}. Make them agree.")
    return tuple(parts)


def _detached(leaf: Any) -> Any:
    """Return a tensor of another library as an array; anything else as it is."""
    detach = getattr(leaf, "detach", None)
    return leaf if detach is None else detach().cpu().numpy()


def _numbers(leaf: Any, what: str) -> Array:
    try:
        array: Array = np.asarray(_detached(leaf))
    except (TypeError, ValueError):  # rows of differing lengths, a sparse tensor
        raise DTypeError(
            f"{what} is a {type(leaf).__name__} that makes no array. A check needs real numbers, in rows of "
            "one length."
        ) from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{what} has dtype {array.dtype}; a check needs real numbers.")
    return array


def _collect(thing: Any, name: str, leaves: list[tuple[str, Any]], level: int = 0) -> Any:
    """Put the arrays of a structure into `leaves`, and return the structure with None in their places.

    Errors: `ShapeError` for one that is nested deeper than any that holds arrays, perhaps in itself.
    """
    if level > _DEEPEST:
        raise ShapeError(
            f"lists or dicts lie more than {_DEEPEST} deep in one another. Give an array, or a tuple, list "
            "or dict of arrays."
        )
    inner = f"{name}." if name else ""
    if isinstance(thing, Mapping):
        return {key: _collect(value, f"{inner}{key}", leaves, level + 1) for key, value in thing.items()}
    if isinstance(thing, tuple | list) and not _is_vector(thing):
        items = [_collect(value, f"{name}[{i}]", leaves, level + 1) for i, value in enumerate(thing)]
        if isinstance(thing, tuple) and hasattr(thing, "_fields"):
            return type(thing)(*items)
        return type(thing)(items)
    leaves.append((name, thing))
    return None


def _is_vector(thing: Any, axes: int = 1) -> bool:
    """Whether a list is a vector or matrix of plain numbers, such as [1.0, 2.0]."""
    if isinstance(thing, tuple) or not thing or axes > _MOST_AXES:
        return False
    return all(
        isinstance(item, int | float) or (isinstance(item, list) and _is_vector(item, axes + 1))
        for item in thing
    )


def _rebuild(structure: Any, arrays: Any) -> Any:
    if structure is None:
        return next(arrays)
    if isinstance(structure, dict):
        return {key: _rebuild(value, arrays) for key, value in structure.items()}
    items = [_rebuild(value, arrays) for value in structure]
    return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)


def _same_keys(structure: Mapping[Any, Any], gradient: Mapping[Any, Any]) -> None:
    missing = [str(key) for key in structure if key not in gradient]
    extra = [str(key) for key in gradient if key not in structure]
    if missing or extra:
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"has {', '.join(extra)}, which the point has not"] if extra else []
        raise ShapeError(f"the gradient {' and '.join(said)}. Return one gradient for each key of the point.")


def _in_order(structure: Any, gradient: Any) -> Any:
    if isinstance(structure, dict) and isinstance(gradient, Mapping):
        _same_keys(structure, gradient)
        return {key: _in_order(value, gradient[key]) for key, value in structure.items()}
    return gradient
