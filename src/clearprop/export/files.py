"""to_c, to_javascript and to_onnx: the exports as files, written at one stroke."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearprop.export.c_text import c_program
from clearprop.export.javascript_text import javascript_source
from clearprop.export.onnx_graph import onnx_model
from clearprop.export.program import inference_program
from clearprop.export.steps import Program
from clearprop.export.writing import Exported
from clearprop.io import replace_file
from clearprop.io.files import AnyPath
from clearprop.network import Network

__all__ = ["to_c", "to_javascript", "to_onnx"]


def to_c(
    network: Network,
    path: AnyPath,
    *,
    name: str = "clearprop",
    dtype: Any = None,
    labels: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the network as one C99 file for prediction on small devices.

    It needs no library but math.h and allocates nothing: the parameters are constants, the work arrays static
    and no larger than the network needs. ``NAME_predict(const float *x, float *out)`` computes the outputs of
    one example; for a classifier, ``NAME_class(x, out)`` also returns the index of the class and
    ``NAME_labels`` names it. Preprocessing is part of it. A comment at the top says what memory it takes.

    Parameters:
        path: of the file to write.
        name: what the functions' names begin with: give each network its own to use several in one program.
        dtype: "float32" (float) or "float64" (double); left out, that of the network.
        labels: what the classes are called; left out, as they were in training.
        overwrite: whether to replace a file that exists.

    Errors: `UnsupportedError` for a layer or an activation of the user's own; `OptionError` for a name that
        is no C identifier; `WouldOverwriteError`; those of `inference_program`.

    >>> import tempfile
    >>> from clearprop import Dense
    >>> net = Network([Dense(30, "relu"), Dense(10, "softmax")], n_in=64, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = to_c(net, Path(folder, "digits.c"), name="digits", dtype="float32")
    >>> done.constant_bytes, done.work_bytes, done.multiplications
    (9040, 120, 2220)
    """
    program = inference_program(network, dtype, labels)
    found, size = c_program(program, name), program.dtype.itemsize
    done = _write(program, path, "c", found.source.encode("ascii"), overwrite)
    return dataclasses.replace(done, constant_bytes=found.constants * size, work_bytes=found.work * size)


def to_javascript(
    network: Network,
    path: AnyPath,
    *,
    dtype: Any = None,
    labels: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the network as one JavaScript module (ES2015) for browsers and Node.

    It exports ``predict(x)``, which returns the outputs of one example; for a classifier also
    ``predictClass(x)``, ``predictLabel(x)`` and ``labels``. Preprocessing is part of it. JavaScript computes
    in double precision; with dtype="float32" the weights are stored in single.

    Parameters and errors: as `to_c`. Call the file ``….mjs``, or ``….js`` where package.json says
    ``"type": "module"``.

    >>> import tempfile
    >>> from clearprop import Dense
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_javascript(Network([Dense(1)], n_in=2, seed=0), Path(folder, "line.mjs")).format
    'js'
    """
    program = inference_program(network, dtype, labels)
    return _write(program, path, "js", javascript_source(program).encode("ascii"), overwrite)


def to_onnx(
    network: Network,
    path: AnyPath,
    *,
    dtype: Any = None,
    labels: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the network as an ONNX model, which onnxruntime and many other tools run.

    Its input is "x", (n, n_in), for any number of examples n; its output "outputs", (n, n_out), and for a
    classifier also "class", (n,), the index of the class. Preprocessing is part of it. The metadata hold
    "labels", a JSON list, and the version of clearprop that wrote it. The package onnx checks the model
    before it is written. Operator set 17, so that runtimes from 2022 on read it.

    Parameters and errors: as `to_c`; `MissingDependencyError` without the package onnx.

    >>> import tempfile
    >>> from clearprop import Dense
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(Network([Dense(1)], n_in=2, seed=0), Path(folder, "line.onnx")).multiplications
    2
    """
    program = inference_program(network, dtype, labels)
    return _write(program, path, "onnx", onnx_model(program).SerializeToString(), overwrite)


def _write(program: Program, path: AnyPath, kind: str, content: bytes, overwrite: bool) -> Exported:
    replace_file(path, content, overwrite=overwrite)
    return Exported(
        Path(path),
        kind,
        program.dtype.name,
        program.inputs.size,
        program.outputs.size,
        program.labels,
        len(content),
        program.multiplications,
    )
