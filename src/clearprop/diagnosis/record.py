"""The diagnosis as one record: findings and the figures of every layer, as text, HTML and plain data."""

from __future__ import annotations

import html
import json
import math
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clearprop.checks import as_flag
from clearprop.diagnosis.findings import SEVERITIES, Finding
from clearprop.diagnosis.rates import Trial
from clearprop.diagnosis.statistics import LayerStatistics
from clearprop.errors import UnknownNameError, did_you_mean, one_of

__all__ = ["Diagnosis"]

_WIDTH = 100
_COLUMNS = (
    ("layer", "address of the layer"),
    ("kind", "class of the layer"),
    ("f", "activation"),
    ("units", "number of units"),
    ("mean a", "mean of the activations over examples and units"),
    ("std a", "their standard deviation"),
    (
        "over x",
        "how much they differ from example to example: the standard deviation over the examples alone",
    ),
    ("a = 0", "share of them that is exactly 0"),
    ("stuck", "units that are dead (slope next to 0 for every example) or saturated (at an end of f)"),
    ("‖δ‖", "root mean square over the examples of the norm of δ = ∂C_x/∂z"),
    ("‖⟨δ⟩‖", "norm of the mean of δ over the examples, the speed of the biases"),
    ("‖∂C/∂W‖", "norm of the gradient"),
    ("‖W‖", "norm of the weights"),
    ("‖ΔW‖/‖W‖", "share by which a trial step changes the weights"),
)


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found, worst first, and the figures it went by.

    `str` gives a table of the layers and a paragraph for each finding; a notebook shows the same as HTML.
    """

    findings: tuple[Finding, ...]
    """By severity, then in the order of `KINDS`."""
    layers: tuple[LayerStatistics, ...]
    """Every layer that learns or has an activation, front to back; () where no row of X could be used."""
    n_examples: int
    """How many examples went through the network."""
    cost: float | None
    """C of those examples; None like `layers`."""
    constant_cost: float | None
    """C of the best constant output for them, by the same weights."""
    trial: Trial | None
    """What trial steps did; None where no rate was given."""

    @property
    def healthy(self) -> bool:
        """Whether nothing was found but notes."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the findings, worst first, each once."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))

    def __getitem__(self, address: int | str) -> LayerStatistics:
        """Return the figures of one layer. Errors: `UnknownNameError`."""
        for statistics in self.layers:
            if statistics.address == str(address):
                return statistics
        known = [statistics.address for statistics in self.layers]
        raise UnknownNameError(
            f"the diagnosis has no layer {str(address)!r}.{did_you_mean(str(address), known)} "
            f"It has: {one_of(known)}."
        )

    @property
    def headline(self) -> str:
        """What was looked at and how many findings there are, in one line."""
        counts = [sum(f.severity == severity for f in self.findings) for severity in SEVERITIES]
        plural = {"critical": "critical", "warning": "warnings", "note": "notes"}
        named = [
            f"{n} {severity if n == 1 else plural[severity]}"
            for n, severity in zip(counts, SEVERITIES, strict=True)
            if n
        ]
        found = ", ".join(named) if named else "nothing found"
        cost = "" if self.cost is None else f", cost {self.cost:.4g}"
        if self.cost is not None and self.constant_cost is not None:
            cost += f" (best constant output: {self.constant_cost:.4g})"
        return f"{self.n_examples:,} examples{cost}: {found}"

    def __str__(self) -> str:
        parts = [f"diagnosis of {self.headline}"]
        if self.layers:
            parts.append(_aligned(self._rows()))
        for number, finding in enumerate(self.findings, 1):
            text = f"{number}. {finding.title}\n{finding.evidence}\nTry: {finding.advice}"
            parts.append(
                "\n".join(
                    textwrap.fill(line, _WIDTH, subsequent_indent="   ", initial_indent="   " if i else "")
                    for i, line in enumerate(text.splitlines())
                )
            )
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self, *, whole_page: bool = False) -> str:
        """Return the same as HTML, no scripts, nothing from elsewhere; `whole_page`: a file of its own."""
        return _page(self.headline, self._html()) if as_flag("whole_page", whole_page) else self._html()

    def _html(self) -> str:
        head, *rows = self._rows()
        explained = dict(_COLUMNS)
        cells = "".join(f'<th title="{html.escape(explained[c])}">{html.escape(c)}</th>' for c in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        found = "".join(
            f"<li><b>{html.escape(f.title)}</b><br>{html.escape(f.evidence)}<br>"
            f"<i>Try:</i> {html.escape(f.advice)}</li>"
            for f in self.findings
        )
        table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        listed = f"<ol>{found}</ol>" if found else ""
        return f"<div><p>Diagnosis of {html.escape(self.headline)}</p>{table}{listed}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON: full numbers, NaN and infinities as None."""
        data = {
            "healthy": self.healthy,
            "examples": self.n_examples,
            "cost": self.cost,
            "constant_cost": self.constant_cost,
            "findings": [finding.to_dict() for finding in self.findings],
            "layers": [asdict(statistics) for statistics in self.layers],
            "trial": None if self.trial is None else _trial_as_data(self.trial),
        }
        return {name: _plain(value) for name, value in data.items()}

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the table as text, the header first; without the last column where there was no trial."""
        rows = [tuple(name for name, _ in _COLUMNS), *(_row(s) for s in self.layers)]
        return rows if self.trial is not None else [row[:-1] for row in rows]


def _plain(value: Any) -> Any:
    """Return data with None for every number that JSON cannot hold, inside lists and dictionaries too."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>Diagnosis of {html.escape(title)}</title>'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}{view}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _trial_as_data(trial: Trial) -> dict[str, Any]:
    return {**asdict(trial), "after": {f"{trial.eta * f:g}": c for f, c in trial.after.items()}}


def _row(s: LayerStatistics) -> tuple[str, ...]:
    stuck = s.dead if s.dead is not None else s.saturated
    word = "dead" if s.dead is not None else "saturated"
    return (
        s.address,
        s.kind,
        s.activation,
        str(s.units),
        f"{s.mean:.2g}",
        f"{s.std:.2g}",
        f"{s.spread:.2g}",
        f"{s.zero_share:.0%}",
        "" if stuck is None else f"{stuck} {word}" if stuck else "0",
        *(
            "" if v is None else f"{v:.1e}"
            for v in (s.delta_norm, s.mean_delta_norm, s.gradient_norm, s.weight_norm, s.update_ratio)
        ),
    )


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(w) if i in (0, 1, 2) else cell.rjust(w) for i, (cell, w) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join(line.rstrip() for line in lines)
