"""The calls of `trust.hostile`: what is called, with what, and what is made of the answer.

Call k is a function of the seed and k. Public is what a user meets: the names in `clearprop.__all__`, those
in the `__all__` of the modules among them, the public methods of the objects that these give, and every
command. The mathematics itself (`f` of an activation, `value` of a cost, `forward` of a layer) takes arrays
from the engines, which have checked them, and is called here only through them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import re
import signal
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import typer

import clearprop as cp
from clearprop.cli.app import app, run
from clearprop.errors import ClearpropError
from trust.hostile_values import hostile, network, plausible, text

__all__ = ["Call", "call", "targets"]

SECONDS = 1.0
"""Processor time after which a call is broken off: training may be asked to take for ever."""
HOSTILE_SHARE = 0.5
COMMANDS_SHARE = 0.06
METHODS_SHARE = 0.4
LEFT_OUT = re.compile(r"register|^Described$|^Lazy$|^ClearpropError$|Error$|^did_you_mean$|^one_of$")
"""What would change the registries for the calls after it, and the errors themselves."""
NOT_CHECKED = (
    "metrics.correct",
    "metrics.predicted_classes",
    "engines.forward_backward",
    "initializers.RandomStream",
)
"""What says that it checks nothing (it is called in every step), is mathematics, or a protocol."""


class TimeUp(BaseException):
    """The call has used up its time."""


@dataclass(frozen=True)
class Call:
    """One call and its verdict: "result", "refused", "memory", "time" or "deep"."""

    number: int
    what: str
    verdict: str
    said: str = ""
    where: str = ""


@functools.cache
def targets() -> tuple[tuple[str, Any], ...]:
    """Return every public function and class with its name, sorted by name."""
    found: dict[str, Any] = {}
    for name in cp.__all__:
        thing = getattr(cp, name)
        if isinstance(thing, types.ModuleType):
            inner = {f"{name}.{key}": getattr(thing, key) for key in getattr(thing, "__all__", ())}
            found |= {key: value for key, value in inner.items() if callable(value)}
        elif callable(thing):
            found[name] = thing
    kept = {name: thing for name, thing in found.items() if not LEFT_OUT.search(name.rsplit(".")[-1])}
    kept = {name: thing for name, thing in kept.items() if name not in NOT_CHECKED}
    return tuple(sorted(kept.items()))


def call(seed: int, number: int) -> Call:
    """Make call `number` and return what came of it."""
    rng = np.random.default_rng([seed, number])
    share = rng.random()
    if share < COMMANDS_SHARE:
        arguments = command_line(rng)
        return _judged(number, f"clearprop {arguments!r}", lambda: _command(arguments), None)
    if share < COMMANDS_SHARE + METHODS_SHARE:
        owner, name = _method(rng)
        target, label = getattr(owner, name), f"{type(owner).__name__}.{name}"
    else:
        label, target = targets()[rng.integers(len(targets()))]
    positional, named = _arguments(target, rng)
    shown = ", ".join([*map(_short, positional), *(f"{key}={_short(value)}" for key, value in named.items())])
    return _judged(number, f"{label}({shown})", lambda: target(*positional, **named), target)


def _short(value: Any) -> str:
    try:
        shown = re.sub(r"\s+", " ", repr(value))
    except Exception:
        shown = f"<{type(value).__name__}>"
    if isinstance(value, np.ndarray) and value.size > 4:
        shown = f"array{value.shape} of {value.dtype}"
    return shown if len(shown) < 80 else f"{shown[:76]} ..."


# -- what is called ------------------------------------------------------------------------------------


def _owners(rng: np.random.Generator) -> Any:
    """Return an object whose methods users call."""
    net = network(rng)
    if rng.random() < 0.7:
        return net
    X, y = rng.normal(size=(12, 3)), np.arange(12) % 2
    net.build(3, 2)
    recorder = cp.FlightRecorder()
    made: tuple[Callable[[], Any], ...] = (
        lambda: net.fit(X, y, epochs=1),
        lambda: net.trace(X, y),
        lambda: net.explain(X[0], y[0], layer=1),
        lambda: net.why(X, y, layer=1),
        lambda: net.diagnose(X, y),
        lambda: cp.check_network(net, X, y),
        lambda: (net.fit(X, y, epochs=1, callbacks=[recorder]), recorder.run)[1],
        lambda: net.W,
        lambda: net.trace(X, y)[1],
    )
    return made[rng.integers(len(made))]()


def _method(rng: np.random.Generator) -> tuple[Any, str]:
    owner = _owners(rng)
    names = _names(type(owner))
    if not names:
        owner, names = network(rng), _names(cp.Network)
    return owner, names[rng.integers(len(names))]


def _names(kind: type) -> list[str]:
    listed = [name for name in dir(kind) if not name.startswith("_") or name == "__getitem__"]
    return [name for name in listed if callable(getattr(kind, name)) and not LEFT_OUT.search(name)]


def _arguments(target: Any, rng: np.random.Generator) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments: those that are needed mostly, others now and then; some plausible, some hostile."""
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return [hostile(rng) for _ in range(rng.integers(3))], {}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if parameter.kind is parameter.VAR_POSITIONAL and not named:
                positional += [hostile(rng) for _ in range(rng.integers(3))]
            continue
        if rng.random() > (0.97 if parameter.default is parameter.empty else 0.2):
            continue
        value = hostile(rng) if rng.random() < HOSTILE_SHARE else plausible(parameter.name, rng)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            named[parameter.name] = value
    return positional, named


@functools.cache
def _commands() -> dict[str, Any]:
    return dict(typer.main.get_command(app).commands)


def command_line(rng: np.random.Generator) -> list[str]:
    """Return the arguments of a command line that begins like a right one."""
    commands = _commands()
    name = list(commands)[rng.integers(len(commands))] if rng.random() < 0.95 else text(rng)
    if name not in commands or name == "reproduce":
        return [name, text(rng)]
    arguments = [name]
    for parameter in commands[name].params:
        if parameter.param_type_name == "argument":
            kinds = ("xor", "activation", "moons", text(rng), text(rng))
            arguments += [kinds[rng.integers(len(kinds))]] if rng.random() < 0.9 else []
        elif rng.random() < 0.12 and not {"--help", "--debug"} & set(parameter.opts):
            arguments.append(parameter.opts[0])
            if not getattr(parameter, "is_flag", False):
                arguments.append(text(rng))
    return arguments


def _command(arguments: list[str]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = run(arguments)
    if code not in (0, 1, 2) or "This is a bug" in said.getvalue() or "Traceback" in said.getvalue():
        raise AssertionError(f"exit code {code}: {said.getvalue().strip()[-300:]}")


# -- what came of it -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise `TimeUp` after SECONDS, whatever else came of it: somebody may have caught it on its way."""
    over = False

    def stop(*_: Any) -> None:
        nonlocal over
        over = True
        raise TimeUp

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        if over:
            raise TimeUp


def _judged(number: int, what: str, make: Callable[[], Any], target: Any) -> Call:
    try:
        with warnings.catch_warnings(), _limited(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            make()
    except TimeUp:
        return Call(number, what, "time")
    except MemoryError as error:
        return Call(number, what, "memory", str(error))
    except ClearpropError as error:
        return Call(number, what, "refused", f"{type(error).__name__}: {error}")
    except (Exception, SystemExit) as error:
        verdict = "refused" if _is_documented(error, target) else "deep"
        return Call(number, what, verdict, f"{type(error).__name__}: {error}"[:300], _where(error))
    return Call(number, what, "result")


def _is_documented(error: BaseException, target: Any) -> bool:
    """Return whether Python itself refused the arguments, or the docstring names this error."""
    frames = traceback.extract_tb(error.__traceback__)
    if frames[-1].filename.endswith("hostile_values.py"):
        return True  # the value's own error, handed on
    refused_by_python = isinstance(error, TypeError) and frames[-1].name in ("<lambda>", "_judged")
    if getattr(target, "__name__", "") == "__getitem__" and isinstance(error, LookupError):
        return True  # what iterating and asking with `in` rest on
    return refused_by_python or type(error).__name__ in (inspect.getdoc(target) or "")


def _where(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/clearprop/" in f.filename]
    return f"{frames[-1].filename.split('/clearprop/')[-1]}:{frames[-1].lineno}" if frames else ""


def as_data(made: Call) -> dict[str, Any]:
    """Return a call as plain data."""
    return dataclasses.asdict(made)
