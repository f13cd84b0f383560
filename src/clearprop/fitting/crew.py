"""Several fits at once, on a crew of threads, each network by one of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextvars import copy_context
from typing import Protocol

from clearprop.compiled import at_most_threads
from clearprop.fitting.method import FitPlan, alone
from clearprop.training.history import History
from clearprop.training.interrupt import InterruptGuard
from clearprop.training.loop import TrainingRun

__all__ = ["Show", "run_plans"]

_LOOK_SECONDS = 0.1  # how often the caller's thread looks; Ctrl-C wakes it at once where the system lets it


class Show(Protocol):
    """What tells of the progress of many fits, in the caller's thread."""

    def begin(self, total: int, networks: int) -> None:
        """Start; total: the epochs of all networks."""

    def update(self, epochs: int, done: Sequence[tuple[int, History]]) -> None:
        """Show that so many epochs are behind us, and which networks have ended since the last time."""

    def end(self) -> None:
        """Finish, whatever happened."""


def run_plans(
    plans: Sequence[FitPlan], workers: int, threads_each: int, show: Show | None = None
) -> dict[int, Exception]:
    """Carry out all plans; return the errors of those that failed, by place.

    Ctrl-C ends every run after the step at hand, and plans that have not begun leave their network alone:
    KeyboardInterrupt. A second one raises at once.

    Where the system gives fewer threads than `workers`, those that it gives do the work of all.
    """
    crew = _Crew(plans, threads_each)
    pool: list[threading.Thread] = []
    if show is not None:
        show.begin(sum(plan.options.epochs for plan in plans), len(plans))
    try:
        keeping = any(plan.keeper is not None for plan in plans)
        with InterruptGuard(crew.stop, terminate=keeping) as guard:
            try:
                for number in range(workers):
                    if not _began(crew, number, pool):
                        break
                for thread in pool:
                    while thread.is_alive():
                        thread.join(_LOOK_SECONDS)
                        if show is not None:
                            show.update(*crew.news())
                if show is not None:  # of threads that had ended before anyone looked, too
                    show.update(*crew.news())
            except BaseException:
                crew.stop("interrupted")
                if not (
                    guard.interrupted or guard.terminated
                ):  # an error of our own, or of a program's own signal handler
                    for thread in pool:
                        if thread.is_alive():  # one that was never started cannot be joined
                            thread.join()
                raise
    finally:
        if show is not None:
            show.end()
    if crew.fatal is not None:
        raise crew.fatal
    guard.raise_if_stopped()
    return crew.failures


def _began(crew: _Crew, number: int, pool: list[threading.Thread]) -> bool:
    """Start one more thread for the crew; return False where the system gives no more than are in `pool`.

    Errors: RuntimeError if it gives not even the first.
    """
    # Daemons: after a second Ctrl-C nobody waits for them.
    target, name = copy_context().run, f"fit-{number}"
    thread = threading.Thread(target=target, args=(crew.work,), name=name, daemon=True)
    pool.append(thread)
    try:
        thread.start()
    except RuntimeError:
        pool.pop()
        if not pool:
            raise
        return False
    return True


class _Crew:
    """What the threads share. Each operation on it is one that threads need no lock for."""

    def __init__(self, plans: Sequence[FitPlan], threads_each: int) -> None:
        self.failures: dict[int, Exception] = {}
        self.fatal: BaseException | None = None
        """What is no error of one network: KeyboardInterrupt or SystemExit, raised by a callback."""
        self._waiting = deque(enumerate(plans))
        self._threads_each = threads_each
        self._running: dict[int, TrainingRun] = {}
        self._ended: deque[tuple[int, FitPlan]] = deque()
        self._behind = 0
        self._stopped: str = ""

    def stop(self, reason: str) -> None:
        """End every run after the step at hand, and begin no other."""
        self._stopped = self._stopped or reason
        for run in list(self._running.values()):
            run.stop(reason)

    def news(self) -> tuple[int, list[tuple[int, History]]]:
        """Return how many epochs are behind us, and the networks that ended since this was last asked.

        A network that has ended counts with all its epochs. For one thread only.
        """
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        self._behind += sum(plan.options.epochs for _, plan in ended)
        running = sum(run.epoch for run in list(self._running.values()))
        return self._behind + running, [(place, plan.history) for place, plan in ended]

    def work(self) -> None:
        """Carry out one plan after the other, until none is left."""
        with at_most_threads(self._threads_each):
            while not self._stopped:
                try:
                    place, plan = self._waiting.popleft()
                except IndexError:
                    return
                self._carry_out(place, plan)

    def _carry_out(self, place: int, plan: FitPlan) -> None:
        try:
            with alone(plan.network):
                run = plan.start()
                self._running[place] = run
                if self._stopped:  # since we looked
                    run.stop(self._stopped)
                run.run()
        except Exception as error:
            plan.history.stopped = "failed"
            self.failures[place] = error
        except BaseException as error:
            self.fatal = error
            self.stop("interrupted")
        finally:
            self._running.pop(place, None)
            self._ended.append((place, plan))
