"""Reading and writing whole files: a reader sees the old content or the new, never half of it.

Every failure is one sentence that names the file, and leaves what was there unchanged.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clearprop.checks import as_flag, as_path
from clearprop.errors import (
    ClearpropError,
    FileFormatError,
    MissingFileError,
    UnreadableFileError,
    UnwritableFileError,
    WouldOverwriteError,
    did_you_mean,
)

__all__ = [
    "AnyPath",
    "Chunk",
    "as_path",
    "make_folder",
    "open_to_read",
    "replace_file",
    "replace_text",
]

AnyPath = str | os.PathLike[str]
Chunk = bytes | bytearray | memoryview

# What file systems answer that cannot sync a folder, or cannot give a file a second name.
_NOT_SUPPORTED = {
    errno.EINVAL,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EPERM,
    errno.EACCES,
    errno.EBADF,
    errno.EMLINK,
    errno.EISDIR,
}


@contextmanager
def open_to_read(path: AnyPath) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file for reading bytes; yield it and its size in bytes.

    Errors, also for what fails while reading: `MissingFileError` (with the neighbour of a similar name),
    `FileFormatError` for a folder or a device, `UnreadableFileError`.
    """
    source = as_path(path)
    try:
        _require_file(source)
        with open(source, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except ClearpropError:
        raise
    except OSError as error:
        raise UnreadableFileError(f"{source} cannot be read: {error.strerror or error}.") from error


def _require_file(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"there is no file {path}.{_hint(path)}") from None
    if stat.S_ISDIR(mode):
        raise FileFormatError(f"{path} is a folder. Give the path of a file in it.")
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever, a device may never end
        raise FileFormatError(f"{path} is a pipe or a device. Give the path of a regular file.")


def _hint(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder {folder} either."
    with contextlib.suppress(OSError):
        return did_you_mean(path.name, os.listdir(folder))
    return ""


def replace_file(path: AnyPath, data: Chunk | Iterable[Chunk], *, overwrite: bool = False) -> None:
    """Write `data`, bytes or chunks of bytes, to `path` at one stroke.

    A temporary file in the same folder is written, synced to the disk and renamed, so neither a crash
    nor a full disk nor Ctrl-C leaves half a file; the temporary file is removed whatever happens. A symbolic
    link stays and its target is replaced. A new file gets the permissions that the umask leaves, a replaced
    one keeps its own.

    Errors: `WouldOverwriteError` if there is a file and `overwrite` is not True (also one that another
    process makes meanwhile); `MissingFileError` if there is no such folder; `UnwritableFileError`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "note")
    ...     replace_file(path, [b"clear ", b"prop"])
    ...     path.read_bytes(), os.listdir(folder)
    (b'clear prop', ['note'])
    """
    overwrite = as_flag("overwrite", overwrite)
    asked = as_path(path)
    chunks = [data] if isinstance(data, Chunk) else data
    try:
        target = _checked_target(asked, overwrite)
        temporary = target.with_name(f".clearprop-{os.urandom(8).hex()}.tmp")
        try:
            _write_new(temporary, chunks)
            _move(temporary, target, overwrite)
        finally:
            with contextlib.suppress(OSError):  # FileNotFoundError after a success: it was renamed
                temporary.unlink()
    except FileExistsError:
        raise WouldOverwriteError(
            f"{asked} exists. Pass overwrite=True (or --force) to replace it."
        ) from None
    except ClearpropError:
        raise
    except OSError as error:
        raise UnwritableFileError(
            f"{asked} cannot be written: {error.strerror or error}. Nothing was changed."
        ) from error
    _sync_folder(target)


def make_folder(path: AnyPath) -> Path:
    """Make a folder in one that is there, sync its name to the disk, and return it; one that is there stays.

    Errors: `MissingFileError` if there is no folder to make it in; `UnwritableFileError`.
    """
    folder = as_path(path)
    try:
        if not folder.is_dir():
            folder.mkdir()
            _sync_folder(Path(os.path.realpath(folder)))
    except FileNotFoundError:
        raise MissingFileError(
            f"{folder} cannot be made: there is no folder {folder.parent}. Make it first."
        ) from None
    except FileExistsError:
        raise UnwritableFileError(f"{folder} is a file; a folder is needed. Give another name.") from None
    except OSError as error:
        raise UnwritableFileError(
            f"the folder {folder} cannot be made: {error.strerror or error}."
        ) from error
    return folder


def replace_text(path: AnyPath, text: str, *, overwrite: bool = False) -> None:
    """Write `text` to `path` as UTF-8 at one stroke; otherwise as `replace_file`.

    Line ends are written as they are in `text`, the same on every system.
    """
    replace_file(path, text.encode("utf-8"), overwrite=overwrite)


def _checked_target(asked: Path, overwrite: bool) -> Path:
    """Return the file that will be written: what `asked` names, behind symbolic links."""
    target = _behind_links(asked)
    if not target.parent.is_dir():
        raise MissingFileError(
            f"{asked} cannot be written: there is no folder {target.parent}. Make it first."
        )
    if target.is_dir():
        raise UnwritableFileError(f"{asked} is a folder. Give the name of a file in it.")
    if target.exists():
        if not overwrite:
            raise FileExistsError
        if not target.is_file():  # renaming would put a file in the place of a device
            raise UnwritableFileError(f"{asked} is a pipe or a device. Give the path of a regular file.")
    return target


def _behind_links(asked: Path) -> Path:
    try:
        return Path(os.path.realpath(asked, strict=True))
    except (FileNotFoundError, NotADirectoryError):
        return Path(os.path.realpath(asked))  # strict is for files that exist: a link must not be overlooked


def _write_new(path: Path, chunks: Iterable[Chunk]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _move(temporary: Path, target: Path, overwrite: bool) -> None:
    """Give the temporary file its name; raise `FileExistsError` rather than replace unasked."""
    if overwrite:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
        return
    try:
        os.link(temporary, target)  # unlike a rename, this fails if the name has been taken meanwhile
    except FileExistsError:
        raise
    except (OSError, AttributeError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NOT_SUPPORTED:
            raise
        if target.exists():
            raise FileExistsError from None
        os.replace(temporary, target)


def _sync_folder(target: Path) -> None:
    """Sync the new name of the file to the disk, where the system can sync a folder (Windows cannot)."""
    if os.name == "nt":
        return
    try:
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise UnwritableFileError(
                f"{target} is written, but its name may be lost in a power cut: its folder cannot be synced "
                f"({error.strerror or error})."
            ) from error
