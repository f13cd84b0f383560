"""The command `clearprop`: train, predict, evaluate, ladder, verify, show.

`main` is the entry point. Typer and rich are imported when it is called, so that without them it can say
what to install.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 success, 1 failure, 2 wrong use, 130 after Ctrl-C.

    After SIGTERM, which `train --checkpoint` hears and ends cleanly, the process exits with 143.

    arguments: the words after the name of the program; left out, ``sys.argv[1:]``.
    """
    try:
        return _main(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:  # while the imports below are under way; later `run` catches it
        print("clearprop: interrupted", file=sys.stderr)
        return 130


def _main(arguments: list[str]) -> int:
    try:
        import rich
        import typer
    except ImportError as error:
        if error.name not in ("rich", "typer"):
            raise
        print(
            "clearprop: the command line needs typer and rich, which are not installed; "
            'install them: pip install "clearprop[cli]"',
            file=sys.stderr,
        )
        return 1
    del rich, typer
    from clearprop.cli.app import run

    return run(arguments)
