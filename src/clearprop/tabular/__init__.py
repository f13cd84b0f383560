"""Tables in, predictions out: columns of numbers, categories and dates, encoded for a network and learned.

`TabularClassifier` and `TabularRegressor` are scikit-learn estimators that train an ensemble on a table as
it is. What they save, `TabularModel.load` reads and predicts with NumPy alone. `learn_encoding` gives the
encoding by itself, `read` a table of any make as named columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clearprop.lazy import attributes
from clearprop.tabular.columns import Category, Date, Description, Ignored, Number
from clearprop.tabular.encoding import EncodingOptions, TableEncoding, learn_encoding
from clearprop.tabular.model import KEY, TabularModel
from clearprop.tabular.reading import Column, Table, read

__all__ = [
    "KEY",
    "Category",
    "Column",
    "Date",
    "Description",
    "EncodingOptions",
    "Ignored",
    "Number",
    "Table",
    "TableEncoding",
    "TabularClassifier",
    "TabularModel",
    "TabularRegressor",
    "learn_encoding",
    "read",
]

if TYPE_CHECKING:
    from clearprop.tabular.estimators import TabularClassifier, TabularRegressor

_WHEN_ASKED = dict.fromkeys(("TabularClassifier", "TabularRegressor"), "clearprop.tabular.estimators")
__getattr__, __dir__ = attributes(__name__, _WHEN_ASKED, globals())
