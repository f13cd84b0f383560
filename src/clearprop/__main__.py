"""`python -m clearprop`: the command line."""

from __future__ import annotations

import sys

from clearprop.cli import main

__all__: list[str] = []

sys.exit(main())
