"""Ctrl-C during training: finish the step at hand, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["InterruptGuard"]


class InterruptGuard:
    """Within it the first Ctrl-C calls `stop("interrupted")`; a second one raises at once.

    So a network is never left between two halves of an update. Outside the main thread, where Python
    delivers no signals, and where a program handles SIGINT in its own way, it does nothing. One guard
    may stand within another (a callback that calls fit): the innermost hears the signal.
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        self._previous: Any = None
        self._active = False
        self.interrupted = False

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread() and _is_ours(
            signal.getsignal(signal.SIGINT)
        ):
            self._previous = signal.signal(signal.SIGINT, self._handle)
            self._active = True
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            signal.default_int_handler(number, frame)
        self.interrupted = True
        self._stop("interrupted")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What a callback has installed meanwhile is its own and stays.
        if self._active and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._previous)


def _is_ours(handler: Any) -> bool:
    """Return whether a handler is Python's own or that of a guard around this one."""
    return handler is signal.default_int_handler or isinstance(
        getattr(handler, "__self__", None), InterruptGuard
    )
