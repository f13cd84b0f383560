"""Writers with a fault each, as one finds them elsewhere: the tests of saving must catch every one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["SOUND", "WRITERS", "Writer"]

Writer = Callable[[Path, bytes], None]


def in_place(path: Path, data: bytes) -> None:
    """Write over the old file and sync it: a crash meanwhile leaves half of it."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path)


def without_fsync(path: Path, data: bytes) -> None:
    """Rename a file whose content may still be on its way to the disk."""
    _renamed(path, data, sync=False)
    _sync_folder(path)


def without_folder_fsync(path: Path, data: bytes) -> None:
    """Return while the new name may still be on its way to the disk."""
    _renamed(path, data, sync=True)


def synced_after_rename(path: Path, data: bytes) -> None:
    """Sync the content, but only when the file has its name already."""
    _renamed(path, data, sync=False)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    _sync_folder(path)


def deleted_first(path: Path, data: bytes) -> None:
    """Remove the old file before the new one has its name."""
    temporary = path.with_suffix(".new")
    _write(temporary, data, sync=True)
    path.unlink(missing_ok=True)
    temporary.rename(path)
    _sync_folder(path)


WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (in_place, without_fsync, without_folder_fsync, synced_after_rename, deleted_first)
}
"""The planted writers by name."""

SOUND = "replace_file"
"""The name by which the library's own writer takes the place of a planted one: it must not be caught."""


def _renamed(path: Path, data: bytes, *, sync: bool) -> None:
    temporary = path.with_suffix(".new")
    _write(temporary, data, sync=sync)
    temporary.replace(path)


def _write(path: Path, data: bytes, *, sync: bool) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
