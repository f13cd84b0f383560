"""The engine of the native rung called directly, with what Python would never give it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.native_cases import N, X, classifier, needs_native, noisy, run_alone
from tests.networks import problem, special_cases

import clearprop as cp
from clearprop.compiled import native
from clearprop.engines.native_program import program_of

pytestmark = needs_native

ERRORS = (ValueError, TypeError, MemoryError, IndexError, OverflowError, KeyError, RuntimeError)


def machine(model: Any, dtype: str = "float64", threads: int = 1) -> Any:
    kind = native.Machine32 if dtype == "float32" else native.Machine64
    return kind(program_of(model), native.instruction_sets()[0], threads)


def training(n: int = 12, **changes: Any) -> dict[str, Any]:
    """Return the arguments of `Machine64.train` for the network of `classifier`, some of them changed."""
    arguments: dict[str, Any] = {
        "X": X[:n], "values": None, "columns": None, "starts": None, "y": np.zeros((n, 3)), "weights": None,
        "order": np.arange(n), "examples": None, "batch_size": 4, "etas": np.array([0.1]), "seed": 0,
        "first_step": 0, "optimizer_step": 0, "max_seconds": 1.0, "rule": "largest", "middle": 0.5,
        "outputs": None, "costs": np.empty(3), "correct": np.empty(3, np.int64), "look_at_gradient": None,
        "gradient_shown": None,
    }  # fmt: skip
    return arguments | changes


def test_the_arguments_of_training_are_right() -> None:
    worker = machine(classifier().model)
    worker.read_theta(classifier().theta)
    outputs = np.full((12, 3), np.nan)
    assert worker.train(**training(outputs=outputs)) == (3, True)
    np.testing.assert_allclose(outputs.sum(axis=1), 1.0)


SPARSE = {
    "X": None,
    "values": np.ones(12),
    "columns": np.zeros(12, np.int32),
    "starts": np.arange(13),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"X": X[:5]},
        {"X": X[:12, :4]},
        {"X": X[:12, ::2]},
        {"X": None},
        {"X": X},
        {"y": np.zeros((12, 2))},
        {"y": np.zeros((11, 3))},
        {"y": np.zeros((12, 6))[:, ::2]},
        {"weights": np.ones(11)},
        {"order": np.arange(13)},
        {"order": np.array([-1])},
        {"order": np.array([2**62])},
        {"examples": np.arange(3)},
        {"batch_size": 0},
        {"batch_size": -1},
        {"batch_size": 2**70},
        {"etas": np.empty(0)},
        {"seed": -1},
        {"rule": "guess"},
        {"outputs": np.empty((12, 2))},
        {"outputs": np.empty((11, 3))},
        {"outputs": np.empty((3, 12)).T},
        {"outputs": np.empty((12, 6))[:, ::2]},
        {"costs": np.empty(2)},
        {"look_at_gradient": print},
        {"look_at_gradient": print, "gradient_shown": np.empty(3)},
        {**SPARSE, "starts": np.arange(12)},
        {**SPARSE, "values": np.ones(11)},
        {**SPARSE, "columns": np.full(12, 5, np.int32)},
        {**SPARSE, "columns": np.full(12, -1, np.int32)},
        {**SPARSE, "starts": np.arange(13) + 1},
        {**SPARSE, "starts": np.arange(13) - 1},
        {**SPARSE, "starts": np.full(13, 2**62)},
        {**SPARSE, "values": None},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_training_data_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    model = classifier().model
    worker = machine(model)
    worker.read_theta(classifier().theta)
    with pytest.raises(ERRORS):
        worker.train(**training(**changes))
    theta = np.empty(model.layout.size)
    worker.write_theta(theta)
    np.testing.assert_array_equal(theta, classifier().theta)
    assert worker.train(**training()) == (3, True)


def test_arrays_that_do_not_fit_are_refused() -> None:
    net = noisy()
    worker = machine(net.model)
    n_theta, n_buffers = net.theta.size, net.buffers.size
    looked = {
        "X": X, "y": np.zeros((N, 3)), "weights": None, "training": True, "seed": 0, "step": 0,
        "examples": np.arange(N), "records": True, "gradient": np.empty(n_theta),
        "buffers": np.empty(n_buffers), "z": np.empty((N, 3)), "a": np.empty((N, 3)),
    }  # fmt: skip
    assert len(worker.look(**looked)) == 5
    wrong = [
        lambda: worker.read_theta(np.empty(n_theta - 1)),
        lambda: worker.write_theta(np.empty(n_theta + 1)),
        lambda: worker.read_buffers(np.empty(n_buffers + 1)),
        lambda: worker.write_buffers(np.empty(0)),
        lambda: worker.read_slot(0, np.empty(n_theta)),
        lambda: worker.write_slot(-1, np.empty(n_theta)),
        lambda: worker.set_optimizer({"name": "none of these"}),
        lambda: worker.output(X, None, np.empty((N - 1, 3))),
        lambda: worker.output(X, np.empty((N, 2)), np.empty((N, 3))),
        lambda: worker.output(X, None, np.empty((3, N)).T),
        lambda: worker.output(X[:, :3], None, np.empty((N, 3))),
        *(
            lambda change=change: worker.look(**{**looked, **change})
            for change in (
                {"gradient": np.empty(n_theta - 1)},
                {"buffers": np.empty(n_buffers - 1)},
                {"z": np.empty((N, 2))},
                {"a": np.empty((N + 1, 3))},
                {"examples": np.arange(N - 1)},
                {"weights": np.ones(N + 1)},
                {
                    "X": X[:0],
                    "y": np.zeros((0, 3)),
                    "examples": np.arange(0),
                    "a": np.empty((0, 3)),
                    "z": None,
                },
                {
                    "X": X[:1],
                    "y": np.zeros((1, 3)),
                    "examples": np.arange(1),
                    "a": np.empty((1, 3)),
                    "z": None,
                },
            )
        ),
    ]
    for i, call in enumerate(wrong):
        with pytest.raises(ERRORS):
            pytest.fail(f"{i} gave {call()}")


def test_sizes_beyond_all_memory_are_refused() -> None:
    good = program_of(cp.Network([cp.Dense(3)], n_in=5).model)
    for n in (2**40, 2**48 + 1, 2**62, 2**63 - 1):
        program = {**good, "n_in": n, "sizes": [n, 3], "n_theta": min(4 * n, 2**63 - 1)}
        program["operations"] = [{**good["operations"][0], "n_in": n, "b": 3 * n if n < 2**60 else 0}]
        with pytest.raises((MemoryError, ValueError)):
            native.Machine64(program, native.instruction_sets()[0], 1)


def test_machines_that_cannot_be_made() -> None:
    program = program_of(classifier().model)
    for arguments in (
        (program, "mmx", 1),
        (program, native.instruction_sets()[0], 1025),
        (program, native.instruction_sets()[0], 2**40),
        ({}, native.instruction_sets()[0], 1),
        (None, native.instruction_sets()[0], 1),
    ):
        with pytest.raises(ERRORS):
            native.Machine64(*arguments)
    assert native.Machine64(program, native.instruction_sets()[0], -5).threads == 1


def test_programs_that_make_no_sense_are_refused() -> None:
    out = run_alone("from tests.test_native_engine import try_all_wrong_programs as t; print(t())")
    made, refused = map(int, out.split())
    assert refused > 5 * made > 0


def try_all_wrong_programs() -> str:
    """Make each whole number of some programs absurd, one at a time, and run what is not refused."""
    made = refused = 0
    for case in special_cases():
        p = problem(case, 4, training=True)
        good = program_of(p.model)
        places: list[tuple[Any, ...]] = [(key,) for key in ("n_in", "n_out", "n_theta", "n_buffers")]
        places += [("sizes", i) for i in range(len(good["sizes"]))]
        for i, operation in enumerate(good["operations"]):
            places += [("operations", i, key) for key, value in operation.items() if type(value) is int]
            places += [("operations", i, "parts", 0)] if operation.get("parts") else []
            found = operation.get("activation", {}).get("choice_of")
            places += [("operations", i, "activation", "choice_of", 0)] if found else []
        for place in places:
            for wrong in (-(2**63), -2, -1, 0, 10**4, 2**31 - 1, 2**31, 2**48, 2**63 - 1, 2**64, None, "7"):
                try:
                    run_program(changed(good, place, wrong), p)
                    made += 1
                except ERRORS:
                    refused += 1
    return f"{made} {refused}"


def changed(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[place[0]] = changed(tree[place[0]], place[1:], value)
    return copy


def run_program(program: dict[str, Any], p: Any) -> None:
    worker = native.Machine64(program, native.instruction_sets()[0], 1)
    worker.read_theta(p.state.theta)
    worker.read_buffers(p.state.buffers)
    n, a = len(p.X), np.empty((len(p.X), p.model.n_out))
    worker.output(p.X, None, a)
    arguments = training(n, X=p.X, y=p.y, costs=np.empty(1), correct=np.empty(1, np.int64))
    worker.train(**arguments)
    gradient, buffers = np.empty_like(p.state.theta), np.empty_like(p.state.buffers)
    worker.look(p.X, p.y, None, True, 0, 0, np.arange(n), True, gradient, buffers, None, a)
