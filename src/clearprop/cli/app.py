"""The Typer application, and the one place where its errors become a line and an exit code."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Annotated

import typer

import clearprop
from clearprop.cli.check import check
from clearprop.cli.diagnose import diagnose
from clearprop.cli.errors import INTERRUPTED, SUCCESS, report_error
from clearprop.cli.evaluate import evaluate
from clearprop.cli.explain import explain
from clearprop.cli.ladder import ladder
from clearprop.cli.plot import plot
from clearprop.cli.predict import predict
from clearprop.cli.replay import replay
from clearprop.cli.reproduce import reproduce
from clearprop.cli.show import show
from clearprop.cli.train import train
from clearprop.cli.verify import verify

__all__ = ["app", "run"]

app = typer.Typer(
    name="clearprop",
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example:  clearprop train digits --seed 0",
)

_EXAMPLES: dict[Callable[..., int], list[str]] = {
    train: [
        "clearprop train digits --seed 0",
        "clearprop train digits --record run.safetensors",
        "clearprop train digits --checkpoint run --resume",
        "clearprop train mnist --data mnist.npz --epochs 20",
        "clearprop train iris.csv --target species --hidden 32,16",
    ],
    predict: [
        "clearprop predict digits.safetensors digits --proba",
        "clearprop predict iris.safetensors new.csv --output species.csv",
    ],
    evaluate: [
        "clearprop evaluate digits.safetensors digits",
        "clearprop evaluate iris.safetensors more.csv --target species",
    ],
    explain: [
        "clearprop explain digits.safetensors digits --example 3 --layer 3 --weight 3,7",
        "clearprop explain digits.safetensors digits --layer 1 --why",
    ],
    diagnose: [
        "clearprop diagnose digits.safetensors digits",
        "clearprop diagnose iris.safetensors more.csv --target species --eta 0.01",
    ],
    ladder: ["clearprop ladder digits --hidden 30 --json", "clearprop ladder --model digits.safetensors"],
    reproduce: [
        "clearprop reproduce --quick",
        "clearprop reproduce --only 003.12,001 --json",
        "clearprop reproduce --data mnist.npz --output docs/reproduced --force",
    ],
    plot: [
        "clearprop plot activation gelu",
        "clearprop plot boundary moons --output moons.svg",
        "clearprop plot nudge circles --layer 2 --weight 0,1",
        "clearprop plot weights digits --model digits.safetensors",
        "clearprop plot film-representations circles --hidden 3,2",
    ],
    check: ["clearprop check my_gradient.py", "clearprop check digits.safetensors digits --engine native"],
    replay: [
        "clearprop replay run.safetensors digits --step 120 --layer 2",
        "clearprop replay run.safetensors digits --compare other.safetensors",
    ],
    verify: ["clearprop verify digits.safetensors", "clearprop verify run/*.safetensors --json"],
    show: ["clearprop show digits.safetensors", "clearprop show --system"],
}


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"clearprop {clearprop.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train feed-forward networks by explicit backpropagation.

    Every command has --help with examples, and --json for other programs to read.
    """


def _flowing(docstring: str | None) -> str:
    """Return a docstring with each paragraph on one line, so that it is wrapped to the terminal's width."""
    paragraphs = inspect.cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _command, _lines in _EXAMPLES.items():
    _epilog = "\n\n".join(["Examples:" if len(_lines) > 1 else "Example:", *(f"  {line}" for line in _lines)])
    app.command(help=_flowing(_command.__doc__), epilog=_epilog)(_command)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code; without arguments show the help."""
    debug = "--debug" in arguments
    try:
        command = typer.main.get_command(app)
        code = command.main(arguments or ["--help"], prog_name="clearprop", standalone_mode=False)
    except Exception as error:
        return report_error(error, debug)
    except KeyboardInterrupt as error:
        report_error(error, debug)
        return INTERRUPTED
    return code if isinstance(code, int) else SUCCESS
