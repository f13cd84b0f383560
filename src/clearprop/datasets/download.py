"""Downloading files to a cache, each verified by its checksum before it gets its name."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import secrets
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clearprop.checks import as_items
from clearprop.errors import DownloadError, FileFormatError, OptionError

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["Progress", "RemoteFile", "cache_dir", "fetch"]

Progress = Callable[[str, int, int | None], None]
"""Called as progress(file name, bytes so far, total bytes or None) while a file is downloaded."""

BLOCK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A gzip file on mirrors: its name, and the size and checksums of its uncompressed content."""

    name: str
    size: int
    md5: str
    sha256: str


def cache_dir() -> Path:
    """Return the folder for downloaded data; it may not exist yet.

    The environment variable CLEARPROP_CACHE if set; else "clearprop" in the system's place for
    caches: %LOCALAPPDATA% on Windows, ~/Library/Caches on macOS, $XDG_CACHE_HOME or ~/.cache elsewhere.
    """
    if own := os.environ.get("CLEARPROP_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "clearprop" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "clearprop"
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    # The XDG specification says to ignore a relative path.
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "clearprop"


def fetch(
    file: RemoteFile,
    folder: Path,
    mirrors: Sequence[str],
    *,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> bytes:
    """Return the uncompressed content of `file`, from `folder` or else from the first mirror that has it.

    A download is written to a temporary file, verified, and only then renamed, so whatever
    interrupts it, nothing unsound is ever found under the file's name. A damaged file in the
    cache is downloaded again.

    Parameters: `mirrors`, base addresses (http or https) to which the file's name is appended;
    `timeout`, seconds without an answer after which a mirror is given up.
    Errors: `DownloadError` that says what each mirror did; `OptionError` for an address that is none.
    """
    for base in as_items("mirrors", mirrors):
        if not isinstance(base, str) or not base.startswith(("http://", "https://")):
            raise OptionError(f"the address of a mirror starts with http:// or https://, got {base!r}")
    target = folder / file.name
    with contextlib.suppress(OSError, FileFormatError):
        return _verified(target, file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    from http.client import HTTPException  # here, for it slows `import clearprop` down

    failures = []
    for base in mirrors:
        url = f"{base.rstrip('/')}/{file.name}"
        try:
            return _download(url, target, file, timeout, progress)
        except DownloadError:
            raise
        except (OSError, HTTPException, FileFormatError) as error:
            failures.append(f"{url}: {error}")
    raise DownloadError(
        f"{file.name} could not be downloaded. {'; '.join(failures)}. "
        f"Download it yourself into {folder}, or give the path of the data."
    )


def _download(url: str, target: Path, file: RemoteFile, timeout: float, progress: Progress | None) -> bytes:
    import urllib.request  # see `fetch`

    temporary = target.with_name(f".{file.name}.{secrets.token_hex(6)}.part")
    request = urllib.request.Request(url, headers={"User-Agent": "clearprop"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            _copy(response, temporary, file, progress)
        content = _verified(temporary, file)
        _rename(temporary, target)
        return content
    finally:
        temporary.unlink(missing_ok=True)


def _copy(response: HTTPResponse, path: Path, file: RemoteFile, progress: Progress | None) -> None:
    total = response.length  # of the body, None if the server does not say
    done, limit = 0, file.size + file.size // 100 + 4096  # gzip adds less even to what it cannot compress
    try:
        out = path.open("xb")
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    with out:
        while block := response.read(BLOCK):
            done += len(block)
            if done > limit:
                raise FileFormatError(f"more than {limit} bytes were sent for a file of {file.size}")
            out.write(block)
            if progress is not None:
                progress(file.name, done, total)
        out.flush()
        os.fsync(out.fileno())
    if total is not None and done < total:
        raise FileFormatError(f"the connection ended after {done} of {total} bytes")


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(target.parent, error) from None


def _verified(path: Path, file: RemoteFile) -> bytes:
    try:
        with gzip.open(path, "rb") as compressed:
            content = compressed.read(file.size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileFormatError(f"it is not a sound gzip file ({error})") from None
    if len(content) != file.size or hashlib.sha256(content).hexdigest() != file.sha256:
        raise FileFormatError("its checksum is not that of the published file")
    return content


def _unwritable(folder: Path, error: OSError) -> DownloadError:
    return DownloadError(
        f"the cache folder {folder} cannot be written ({error.strerror or error}); "
        "set CLEARPROP_CACHE to a folder that can"
    )
