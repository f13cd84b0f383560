"""From an exception to one line on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback

from clearprop.errors import ClearpropError, OptionError, UnknownNameError, UnsupportedError

__all__ = ["FAILURE", "INTERRUPTED", "SUCCESS", "WRONG_USE", "report_error"]

SUCCESS, FAILURE, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

# What is wrong with the command as it was written, whatever lies on the disk.
_WRONG_USE = (OptionError, UnknownNameError, UnsupportedError)


def report_error(error: BaseException, debug: bool) -> int:
    """Print one line, "clearprop: …", with `debug` the traceback before it, and return the exit code."""
    if debug:
        traceback.print_exception(error)
    message, code = _describe(error)
    print(f"clearprop: {' '.join(message.split())}", file=sys.stderr)
    return code


def _describe(error: BaseException) -> tuple[str, int]:
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "interrupted", INTERRUPTED
    if isinstance(error, ClearpropError):
        return str(error), WRONG_USE if isinstance(error, _WRONG_USE) else FAILURE
    if hasattr(error, "format_message"):  # Typer's and Click's errors of usage; Typer has had both
        return error.format_message(), WRONG_USE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", FAILURE
    if isinstance(error, MemoryError):
        return (
            f"there is not enough memory ({error or 'no details'}). Use fewer examples or a smaller network.",
            FAILURE,
        )
    name = type(error).__name__
    return f"unexpected {name}: {error}. This is a bug; --debug shows where. Please report it.", FAILURE
