"""What exported networks weigh, and how long one prediction takes in C, JavaScript and onnxruntime.

Networks in float32 with their initial weights (trained ones take the same time). C is compiled with gcc -O2
and, because some devices have nothing else, -Os; each runs predictions for a while in a loop of its own
language. The native rung's `outputs` stands beside them, with the price of a call from Python. Times
are the processor's, which other people's work disturbs least.

    python benchmarks/export.py [--seconds 0.5] [--json]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CLEARPROP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

import clearprop as cp

NETWORKS = {
    "64-32-10": (64, [cp.Dense(32, "relu"), cp.Dense(10, "softmax")]),
    "784-128-10": (784, [cp.Dense(128, "relu"), cp.Dense(10, "softmax")]),
    "14-64-64-1": (14, [cp.Dense(64, "gelu"), cp.Dense(64, "gelu"), cp.Dense(1, "sigmoid")]),
}

C_DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int main(int argc, char **argv)
{
    static float x[NET_N_IN], out[NET_N_OUT];
    const double wanted = argc > 1 ? atof(argv[1]) : 1.0;
    double total = 0.0, used = 0.0;
    long done = 0;
    for (int k = 0; k < NET_N_IN; ++k) { x[k] = (float)(k % 7) * 0.1F; }
    const clock_t start = clock();
    while (used < wanted) {
        for (int i = 0; i < 100; ++i) { x[0] = (float)i; net_predict(x, out); total += (double)out[0]; }
        done += 100;
        used = (double)(clock() - start) / CLOCKS_PER_SEC;
    }
    printf("%.17g %g\\n", used / (double)done, total);
    return 0;
}
"""
NODE_DRIVER = """
import { predict, nIn } from "./net.mjs";
const x = Float64Array.from({ length: nIn }, (_, k) => (k % 7) * 0.1);
const rate = (seconds) => {
    const start = process.cpuUsage().user;
    let done = 0;
    for (; process.cpuUsage().user - start < 1e6 * seconds; done += 100) {
        for (let i = 0; i < 100; ++i) { x[0] = i; predict(x); }
    }
    return (process.cpuUsage().user - start) / 1e6 / done;
};
rate(0.3);
console.log(rate(Number(process.argv[2])));
"""


def per_call(call: Callable[[], Any], seconds: float) -> float:
    """Return the processor's seconds of one call, over as many as fit."""
    call()
    begun, done = time.process_time(), 0
    while time.process_time() - begun < seconds:
        call()
        done += 1
    return (time.process_time() - begun) / done


def c_figures(net: cp.Network, folder: Path, seconds: float) -> dict[str, Any]:
    done = cp.to_c(net, folder / "net.c", name="net")
    source = folder / "timed.c"
    source.write_text((folder / "net.c").read_text() + C_DRIVER)
    found: dict[str, Any] = {
        "c_bytes": done.bytes,
        "c_constant_bytes": done.constant_bytes,
        "c_work_bytes": done.work_bytes,
    }
    if shutil.which("gcc"):
        for option in ("-O2", "-Os"):
            subprocess.run(
                ["gcc", "-std=c99", option, str(source), "-o", str(folder / "t"), "-lm"], check=True
            )
            run = subprocess.run(
                [str(folder / "t"), str(seconds)], capture_output=True, text=True, check=True
            )
            found[f"c{option}_us"] = float(run.stdout.split()[0]) * 1e6
    return found


def javascript_figures(net: cp.Network, folder: Path, seconds: float) -> dict[str, Any]:
    done = cp.to_javascript(net, folder / "net.mjs")
    squeezed = len(gzip.compress((folder / "net.mjs").read_bytes(), 9))
    found: dict[str, Any] = {"js_bytes": done.bytes, "js_gzip_bytes": squeezed}
    if shutil.which("node"):
        (folder / "run.mjs").write_text(NODE_DRIVER)
        command = ["node", "run.mjs", str(seconds)]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        found["js_us"] = float(run.stdout) * 1e6
    return found


def onnx_figures(net: cp.Network, folder: Path, seconds: float, rows: int) -> dict[str, Any]:
    import onnxruntime

    done = cp.to_onnx(net, folder / "net.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "net.onnx", options, providers=["CPUExecutionProvider"])
    X = np.random.default_rng(0).normal(size=(rows, net.model.n_in)).astype(np.float32)
    return {
        "onnx_bytes": done.bytes,
        "onnx_us": per_call(lambda: session.run(None, {"x": X[:1]}), seconds) * 1e6,
        "onnx_many_us": per_call(lambda: session.run(None, {"x": X}), seconds) * 1e6 / rows,
        "python_us": per_call(lambda: net.outputs(X[:1]), seconds) * 1e6,
        "python_many_us": per_call(lambda: net.outputs(X), seconds) * 1e6 / rows,
    }


def measure(seconds: float, rows: int = 1000) -> list[dict[str, Any]]:
    found = []
    for name, (n_in, layers) in NETWORKS.items():
        net = cp.Network(layers, n_in=n_in, seed=0, dtype="float32")
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            row: dict[str, Any] = {"network": name, "parameters": net.n_parameters}
            row |= c_figures(net, folder, seconds) | javascript_figures(net, folder, seconds)
            found.append(row | onnx_figures(net, folder, seconds, rows))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.seconds)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    for row in found:
        print(row["network"])
        for label, value in row.items():
            if label != "network":
                print(
                    f"    {label:18}{value:12,.2f}"
                    if isinstance(value, float)
                    else f"    {label:18}{value:12,}"
                )


if __name__ == "__main__":
    main()
