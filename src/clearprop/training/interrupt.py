"""Ctrl-C and SIGTERM during training: finish the step at hand, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["TERMINATED", "InterruptGuard"]

TERMINATED = 143
"""Exit code after SIGTERM: 128 + 15, as the shell has it."""


class InterruptGuard:
    """Within it the first Ctrl-C calls `stop("interrupted")`; a second one raises at once.

    So a network is never left between two halves of an update. Outside the main thread, where Python
    delivers no signals, and where a program handles SIGINT in its own way, it does nothing. One guard
    may stand within another (a callback that calls fit): the innermost hears the signal.

    terminate: whether SIGTERM, which else ends the process, calls `stop("terminated")` likewise, where the
    program does not handle it in its own way. Whoever stopped for it ends with `raise_if_stopped`.
    """

    def __init__(self, stop: Callable[[str], None], terminate: bool = False) -> None:
        self._stop = stop
        self._terminate = terminate
        self._previous: dict[signal.Signals, Any] = {}
        self.interrupted = self.terminated = False

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            self._watch(signal.SIGINT, signal.default_int_handler)
            if self._terminate:
                self._watch(signal.SIGTERM, signal.SIG_DFL)
        return self

    def _watch(self, number: signal.Signals, usual: Any) -> None:
        """Handle a signal, where its handler is the usual one or that of a guard around this one."""
        current = signal.getsignal(number)
        if current is usual or isinstance(getattr(current, "__self__", None), InterruptGuard):
            self._previous[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            if self.terminated:
                raise SystemExit(TERMINATED)
            self.terminated = True
            self._stop("terminated")
            return
        if self.interrupted:
            signal.default_int_handler(number, frame)
        self.interrupted = True
        self._stop("interrupted")

    def raise_if_stopped(self) -> None:
        """Raise SystemExit(143) after SIGTERM, KeyboardInterrupt after Ctrl-C."""
        if self.terminated:
            raise SystemExit(TERMINATED)
        if self.interrupted:
            raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            # What a callback has installed meanwhile is its own and stays.
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
