"""How Hypothesis runs a test of a command: so many cases from a seed, and what failed as sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import HypothesisException

__all__ = ["Failure", "judge_all"]

_ATTEMPTS = 5


class Failure(Exception):
    """A case is wrong; the message says how."""


def judge_all(
    judge: Callable[[Any], None], strategy: Any, count: int, begin: int
) -> tuple[int, tuple[str, ...]]:
    """Let `judge` look at `count` drawn cases; return how many it judged, and a sentence for each wrong one.

    The sentence holds the smallest case that is wrong in that way. A wrong case ends a run of Hypothesis;
    then another is begun with the next seed, until `count` cases are judged or five were wrong.
    """
    judged, failures = 0, []
    for attempt in range(_ATTEMPTS):
        counted, failure = _judge_some(judge, strategy, count - judged, begin * _ATTEMPTS + attempt)
        judged += counted
        if failure:
            failures.append(failure)
        if judged >= count:
            break
    return judged, tuple(failures)


def _judge_some(judge: Callable[[Any], None], strategy: Any, count: int, begin: int) -> tuple[int, str]:
    judged, last = 0, ("", "")

    def judge_one(case: Any) -> None:
        nonlocal judged, last
        try:
            judge(case)
        except HypothesisException:  # how it is told that a case does not count
            raise
        except Exception as wrong:
            said = str(wrong) if isinstance(wrong, Failure) else f"{type(wrong).__name__}: {wrong}"
            last = (said, repr(case))
            raise
        judged += 1

    drawn = settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        verbosity=Verbosity.quiet,
    )(given(strategy)(judge_one))
    try:
        seed(begin)(drawn)()
    except Exception:
        if not last[0]:
            raise
        return min(judged, count), f"{last[0]}: {last[1]}"
    return judged, ""
