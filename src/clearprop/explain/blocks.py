"""What an explanation shows, before it is known where: a few kinds of blocks, and what answers can do."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.checks import as_flag
from clearprop.explain.notation import Math, finite
from clearprop.explain.render import page, to_html, to_latex, to_text

__all__ = ["Answer", "Block", "Derivation", "Heading", "Rows", "Words"]


@dataclass(frozen=True)
class Heading:
    """A heading; the first of an answer is its title."""

    words: str
    is_part: bool = False
    """Whether a part with headings of its own begins."""


@dataclass(frozen=True)
class Words:
    """A sentence or two."""

    words: str


@dataclass(frozen=True)
class Derivation:
    """One quantity and what it equals, line under line."""

    left: Math
    rights: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """A table; cells are `Math`, `Code` or words. `right`: whether each column holds numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...] = ()


Block = Heading | Words | Derivation | Rows


class Answer:
    """What `explain` and `why` return: print it, show it in a notebook, or take it as LaTeX, HTML or data."""

    def blocks(self) -> tuple[Block, ...]:
        """Return what is to be shown, in order."""
        raise NotImplementedError

    def __str__(self) -> str:
        return to_text(self.blocks())

    def to_latex(self) -> str:
        """Return the answer as LaTeX (amsmath), to be pasted into a document."""
        return to_latex(self.blocks())

    def to_html(self, *, whole_page: bool = False) -> str:
        """Return the answer as HTML, no scripts, nothing from elsewhere; `whole_page`: a file of its own."""
        return page(self.blocks()) if as_flag("whole_page", whole_page) else to_html(self.blocks())

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain data for JSON: full numbers, NaN and infinities as None."""
        return {"answer": type(self).__name__, **plain(self)}

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return records, arrays and numbers as plain data."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return finite(value) if isinstance(value, float) else value
