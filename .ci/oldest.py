"""Print the oldest version that pyproject.toml allows of each dependency at run time, for pip -c."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
at_run_time = [extras[name] for name in extras if name not in ("test", "dev", "oracles")]
groups = [project["dependencies"], *at_run_time]
for requirement in sorted({r for group in groups for r in group}):
    if found := re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement):
        print(f"{found[1]}=={found[2]}")
