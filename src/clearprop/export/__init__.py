"""Networks for where there is no Python: ONNX models, C99 for small devices, JavaScript for browsers.

`to_onnx`, `to_c` and `to_javascript` write a file each. All three are written from one description of what a
prediction computes, the `Program`: a list of steps over named values (`inference_program`). A new layer says
which steps it is; a new activation has its formula in one table per language.
"""

from clearprop.export.c_text import CProgram, c_program
from clearprop.export.files import to_c, to_javascript, to_onnx
from clearprop.export.javascript_text import javascript_source
from clearprop.export.onnx_graph import onnx_model
from clearprop.export.program import inference_program
from clearprop.export.steps import Program, Value
from clearprop.export.writing import Exported

__all__ = [
    "CProgram",
    "Exported",
    "Program",
    "Value",
    "c_program",
    "inference_program",
    "javascript_source",
    "onnx_model",
    "to_c",
    "to_javascript",
    "to_onnx",
]
