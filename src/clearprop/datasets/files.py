"""Reading files that may not be there, not be readable, or not be what their name says."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from clearprop.errors import (
    ClearpropError,
    FileFormatError,
    MissingFileError,
    UnreadableFileError,
    did_you_mean,
)

__all__ = ["first_bytes", "open_binary", "require_file"]


def require_file(path: Path) -> None:
    """Raise unless `path` is a file.

    Errors: `MissingFileError`; `FileFormatError` for a folder; `UnreadableFileError` where it cannot be told.
    """
    if os.path.isdir(path):
        raise FileFormatError(f"{path} is a folder; give the path of a file in it")
    if not _is_there(path):
        folder = path.parent
        near = [entry.name for entry in folder.iterdir()] if os.path.isdir(folder) else []
        where = "" if os.path.isdir(folder) else f" (there is no folder {folder} either)"
        raise MissingFileError(f"there is no file {path}{where}.{did_you_mean(path.name, near)}")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:  # its folder may not be looked into, or its name is too long
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror or error}") from None
    return True


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed if its name ends in .gz, with clear errors.

    Errors, also for what happens while reading: `MissingFileError`; `UnreadableFileError`;
    `FileFormatError` for a .gz file that is none, is cut off or damaged.
    """
    require_file(path)
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except gzip.BadGzipFile as error:
        raise FileFormatError(f"{path} is not a sound gzip file, whatever its name says: {error}") from None
    except EOFError:
        raise FileFormatError(f"{path} is cut off: its gzip data end too early") from None
    except zlib.error as error:
        raise FileFormatError(f"{path} is damaged: its gzip data cannot be decompressed ({error})") from None
    except ClearpropError:
        raise
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror or error}") from None


def first_bytes(path: Path, n: int = 4096) -> bytes:
    """Return the first n bytes of a file (decompressed for .gz); `FileFormatError` if it is empty."""
    with open_binary(path) as file:
        head = file.read(n)
    if not head:
        raise FileFormatError(f"{path} is empty")
    return head
