"""Everything that the documentation shows is run: doctests, examples, and Python in Markdown."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clearprop

ROOT = Path(__file__).resolve().parents[1]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(clearprop.__path__, "clearprop.")
    if not module.name.endswith(".__main__")
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def only_python(markdown: str) -> str:
    """Return the page with every line outside its ```python fences blank, so line numbers stay true."""
    lines, inside = [], False
    for line in markdown.splitlines():
        if line.startswith("```"):
            inside = line.rstrip() == "```python"
            line = ""
        lines.append(line if inside else "")
    return "\n".join(lines)


def recipes(markdown: str) -> list[tuple[str, str]]:
    """Return (file, added code) of every ```diff block; a recipe only adds, to one file."""
    blocks = re.findall(r"^```diff\n--- a/(\S+)\n\+\+\+ b/\1\n(.*?)^```$", markdown, re.M | re.S)
    return [(file, re.sub(r"^\+", "", added, flags=re.M)) for file, added in blocks]


def run(arguments: list[str], folder: Path) -> None:
    """Run Python with warnings as errors in an empty folder; it must succeed."""
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


# Runs the doctests of what a recipe adds, and compares its derivative with Im f(x + ih) / h, h = 1e-200.
CHECK_RECIPE = """
import doctest, importlib, numpy as np, {module} as module
before = set(vars(module))
exec({added!r}, vars(module))
(name,) = set(vars(module)) - before
for test in doctest.DocTestFinder().find(vars(module)[name], name, module=False, globs=vars(module)):
    doctest.DebugRunner().run(test)
thing = vars(module)[name]()
registry = getattr(importlib.import_module("{module}".rpartition(".")[0]), thing.kind + "s")
assert registry.make(thing.config()) == thing
x = np.array([[-30.0], [-1.5], [0.0], [0.25], [2.0]])
if thing.kind == "activation":
    f, df = thing.f(x + 1e-200j)[:, 0], thing.df(x, thing.f(x))
else:
    f, df = thing.value(x + 1e-200j, 0 * x), thing.dC_da(x, 0 * x)
np.testing.assert_allclose(df[:, 0], f.imag / 1e-200, rtol=1e-13)
"""
RECIPES = recipes((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
PYTHON_OF_PAGES = {page.relative_to(ROOT).as_posix(): only_python(page.read_text("utf-8")) for page in PAGES}


@pytest.mark.parametrize("name", ["clearprop", *MODULES])
def test_doctests(name, capsys):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(example, tmp_path):
    run([str(example)], tmp_path)


@pytest.mark.parametrize("page", [page for page, code in PYTHON_OF_PAGES.items() if code.strip()])
def test_python_of_page_runs(page, tmp_path):
    """All blocks of a page are one program; a page with prompts (>>>) is one doctest session."""
    code = PYTHON_OF_PAGES[page]
    script = tmp_path / Path(page).with_suffix(".txt").name
    script.write_text(code, "utf-8")
    run(["-m", "doctest", str(script)] if ">>>" in code else [str(script)], tmp_path)


@pytest.mark.parametrize(("file", "added"), RECIPES, ids=[file for file, _ in RECIPES])
def test_recipe_adds_a_registered_thing_with_the_right_derivative(file, added, tmp_path):
    """The added code, run inside its module, passes its doctest and a complex-step check."""
    module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
    script = tmp_path / "recipe.py"
    script.write_text(CHECK_RECIPE.format(module=module, added=added), "utf-8")
    run([str(script)], tmp_path)


def test_only_python_keeps_line_numbers_and_drops_the_rest():
    page = "Text\n```python\nx = 1\n```\n```bash\nls\n```\n```python\nassert x == 1\n```"
    assert only_python(page).split("\n") == ["", "", "x = 1", "", "", "", "", "", "assert x == 1", ""]


def test_a_page_that_is_wrong_fails(tmp_path):
    script = tmp_path / "page.txt"
    script.write_text(only_python("```python\n>>> 1 + 1\n3\n```"), "utf-8")
    with pytest.raises(AssertionError, match="Failed example"):
        run(["-m", "doctest", str(script)], tmp_path)


def test_no_prompt_stands_outside_what_is_run():
    """A prompt without a fence around it would be shown and never run."""
    for page, code in PYTHON_OF_PAGES.items():
        shown = (ROOT / page).read_text("utf-8").count("\n>>> ")
        assert shown == code.count("\n>>> "), page
    assert PYTHON_OF_PAGES["docs/all-of-clearprop.md"].count("\n>>> ") > 30
