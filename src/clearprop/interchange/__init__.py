"""Ways in and out: scikit-learn's MLPs, PyTorch's and Keras's models, TensorBoard's event files.

Networks come in with their weights and give the same outputs; what has no counterpart on the other side is
refused in one sentence. docs/ways-in-and-out.md shows each of them.
"""

from __future__ import annotations

from clearprop.interchange.keras_in import from_keras
from clearprop.interchange.scikit import from_sklearn, to_sklearn
from clearprop.interchange.tensorboard import TensorBoard
from clearprop.interchange.torch_in import from_torch
from clearprop.interchange.torch_out import to_torch, to_torch_state_dict

__all__ = [
    "TensorBoard",
    "from_keras",
    "from_sklearn",
    "from_torch",
    "to_sklearn",
    "to_torch",
    "to_torch_state_dict",
]
