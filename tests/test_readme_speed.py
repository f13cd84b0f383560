"""The README's table of speed is the one that its results make."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_in_the_readme_is_made_from_the_results_it_names() -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    files = table.files_of_readme()
    assert files
    made = table.rows([json.loads(file.read_text(encoding="utf-8")) for file in files])
    assert len(made) > 2
    assert "\n".join(made) in (ROOT / "README.md").read_text(encoding="utf-8")
