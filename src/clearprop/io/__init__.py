"""Saving and loading: a network as a safetensors file that holds data, never code.

`save_model` and `load_model` write and read a network, `verify` says what a file holds and that it is
whole, `replace_file` and `replace_text` write any file at one stroke. `clearprop.io.safetensors` reads
and writes the format itself. The format: docs/file-format.md.
"""

from __future__ import annotations

from clearprop.errors import MissingFileError, UnreadableFileError, UnwritableFileError
from clearprop.io.architecture import Custom
from clearprop.io.files import (
    AnyPath,
    make_folder,
    open_to_read,
    replace_file,
    replace_text,
)
from clearprop.io.model_file import (
    FORMAT_VERSION,
    FileSummary,
    LoadedModel,
    load_model,
    save_model,
    verify,
)

__all__ = [
    "FORMAT_VERSION",
    "AnyPath",
    "Custom",
    "FileSummary",
    "LoadedModel",
    "MissingFileError",
    "UnreadableFileError",
    "UnwritableFileError",
    "load_model",
    "make_folder",
    "open_to_read",
    "replace_file",
    "replace_text",
    "save_model",
    "verify",
]
