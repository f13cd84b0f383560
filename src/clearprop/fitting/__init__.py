"""What Network does with data before the training loop: reads it, checks every option, and calls the loop."""

from __future__ import annotations

from clearprop.fitting.crew import run_plans
from clearprop.fitting.method import FitPlan, fit, plan_fit
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
    "FitPlan",
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
    "plan_fit",
    "read_examples",
    "read_features",
    "ready_for",
    "run_plans",
    "targets_of",
]
