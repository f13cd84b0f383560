"""What Network does with data before the training loop: reads it, checks every option, and calls the loop."""

from __future__ import annotations

from clearprop.fitting.method import fit
from clearprop.fitting.options import check_patterns, make_metrics, matches, penalized_gradient, penalty_mask
from clearprop.fitting.reading import (
    affine_of,
    check_sizes,
    few_outputs,
    outputs_of,
    read_examples,
    read_features,
    ready_for,
    targets_of,
)

__all__ = [
    "affine_of",
    "check_patterns",
    "check_sizes",
    "few_outputs",
    "fit",
    "make_metrics",
    "matches",
    "outputs_of",
    "penalized_gradient",
    "penalty_mask",
    "read_examples",
    "read_features",
    "ready_for",
    "targets_of",
]
