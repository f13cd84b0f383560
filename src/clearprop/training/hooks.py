"""Which hooks callbacks have, and whether other code than the library's may change parameters in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clearprop.training.callbacks import Callback

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["hooks", "may_change", "others_run_between_epochs", "overrides"]

_HOOKS = ("on_fit_begin", "on_epoch_begin", "on_gradient", "on_step_end", "on_epoch_end", "on_fit_end")


def others_run_between_epochs(run: TrainingRun) -> bool:
    """Return whether code that is not the library's runs between two epochs, and so may change parameters."""
    options = run.options
    has_order = run.examples is not None and run.steps_per_epoch is None
    others = [*options.metrics, *([] if options.schedule is None else [options.schedule])]
    return any(map(may_change, options.callbacks)) or not all(map(_is_ours, others)) or has_order


def hooks(callback: Callback) -> list[str]:
    """Return the hooks that a callback has and in which parameters and slots are current."""
    shown = ["on_progress"] if callback.reads_theta else []
    return [hook for hook in (*_HOOKS, *shown) if overrides(callback, hook)]


def may_change(callback: Callback) -> bool:
    """Return whether a callback has such a hook and may change parameters or slots there."""
    return any(_may_change(callback, hook) for hook in hooks(callback))


def _may_change(callback: Callback, hook: str) -> bool:
    """Ask every class that has a part in the hook: what it says holds for its own part only."""
    if hook in vars(callback):  # of the object alone
        return True
    owners = [cls for cls in type(callback).__mro__ if hook in vars(cls) and cls is not Callback]
    return any(vars(owner).get("changes_parameters", True) for owner in owners)


def overrides(callback: Callback, hook: str) -> bool:
    """Return whether a callback has a hook of its own, of its class or of the object."""
    own = getattr(callback, hook)
    return getattr(own, "__func__", own) is not getattr(Callback, hook)


def _is_ours(thing: Any) -> bool:
    return type(thing).__module__.startswith("clearprop.")
