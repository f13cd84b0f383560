"""IDX and NPZ files, MNIST and Fashion-MNIST from disk, and the download with all its mishaps."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from tests import realdata

from clearprop import datasets
from clearprop.datasets import DownloadError, MissingFileError, UnreadableFileError, images
from clearprop.datasets.arrays import parse_idx
from clearprop.datasets.download import RemoteFile, cache_dir, fetch
from clearprop.errors import DataError, FileFormatError, OptionError

NAMES = [file.name for file in images.MNIST.files]


def idx(array: np.ndarray) -> bytes:
    codes = {"|u1": 8, "|i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
    header = struct.pack(">HBB", 0, codes[array.dtype.str], array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (6, 28, 28), np.uint8),
        "y_train": np.array([5, 0, 4, 1, 9, 2], np.uint8),
        "x_test": rng.integers(0, 256, (3, 28, 28), np.uint8),
        "y_test": np.array([7, 2, 1], np.uint8),
    }


def same(dataset: datasets.Dataset, arrays: dict[str, np.ndarray]) -> bool:
    assert dataset.X_test is not None
    assert dataset.y_test is not None
    return (
        np.array_equal(dataset.X_train, arrays["x_train"].reshape(-1, 784))
        and np.array_equal(dataset.y_train, arrays["y_train"])
        and np.array_equal(dataset.X_test, arrays["x_test"].reshape(-1, 784))
        and np.array_equal(dataset.y_test, arrays["y_test"])
        and dataset.X_train.dtype == np.uint8
        and dataset.y_train.dtype == np.int64
    )


# ---- IDX


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", ">i4", ">f4", ">f8"])
def test_idx_round_trip(tmp_path: Path, dtype: str) -> None:
    array = (np.arange(24).reshape(2, 3, 4) - 3).astype(dtype)
    (tmp_path / "a-idx3").write_bytes(idx(array))
    (tmp_path / "a-idx3.gz").write_bytes(gzip.compress(idx(array)))
    for name in ("a-idx3", "a-idx3.gz"):
        read = datasets.read_idx(tmp_path / name)
        assert np.array_equal(read, array)
        assert read.dtype == array.dtype.newbyteorder("=")
        assert read.flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"hello world", "not an IDX file: it starts with b'hell'"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\x02\0\0\0\x01", "cut off: its header has 2 axes"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], r"has 5 bytes of data, but its header says \(2, 3\): 6 bytes"),
        (idx(np.zeros((2, 3), np.uint8)) + b"x", "has 7 bytes of data"),
    ],
)
def test_what_is_no_idx_file(content: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        parse_idx(content, "labels")


# ---- a file or a folder on disk


@pytest.mark.parametrize("load", [datasets.mnist, datasets.fashion_mnist])
def test_from_npz(tmp_path: Path, load: Callable[..., datasets.Dataset]) -> None:
    arrays = small_arrays()
    np.savez_compressed(tmp_path / "m.npz", **arrays)
    dataset = load(tmp_path / "m.npz")
    assert same(dataset, arrays)
    assert dataset.name == load.__name__
    assert dataset.image_shape == (28, 28)
    assert len(dataset.class_names or ()) == 10
    assert dataset.scaled().X_train.max() <= 1
    assert same(datasets.load_dataset(load.__name__, path=str(tmp_path / "m.npz")), arrays)


@pytest.mark.parametrize(
    "name",
    [
        lambda name: name,
        lambda name: name.removesuffix(".gz"),
        lambda name: name.removesuffix(".gz").replace("-idx", ".idx"),
    ],
)
def test_from_a_folder_of_idx_files(tmp_path: Path, name: Callable[[str], str]) -> None:
    arrays = small_arrays()
    for file, array in zip(NAMES, arrays.values(), strict=True):
        content = idx(array)
        path = tmp_path / name(file)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    assert same(datasets.mnist(tmp_path), arrays)
    path.unlink()
    with pytest.raises(MissingFileError, match="has neither t10k-labels-idx1-ubyte nor t10k-labels"):
        datasets.mnist(tmp_path)


def test_missing_files(tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").write_bytes(b"")
    with pytest.raises(MissingFileError, match=r"there is no file .*mnits.npz\. Did you mean 'mnist.npz'\?"):
        datasets.mnist(tmp_path / "mnits.npz")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere either"):
        datasets.mnist(tmp_path / "nowhere" / "mnist.npz")


def test_a_file_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, **small_arrays())
    whole = path.read_bytes()
    for content, message in [
        (b"", "is empty"),
        (b"x,y\n1,2\n", r"not an \.npz file"),
        (whole[: len(whole) // 2], r"not an \.npz file .* or is cut off"),
        (whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:], "is damaged"),
    ]:
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=message):
            datasets.mnist(path)
    (tmp_path / "t-idx1.gz").write_bytes(b"not gzip at all")
    with pytest.raises(FileFormatError, match="is not a sound gzip file"):
        datasets.read_idx(tmp_path / "t-idx1.gz")
    (tmp_path / "t-idx1.gz").write_bytes(gzip.compress(idx(np.zeros(9, np.uint8)))[:-9])
    with pytest.raises(FileFormatError, match="is cut off"):
        datasets.read_idx(tmp_path / "t-idx1.gz")
    with pytest.raises(FileFormatError, match="is a folder"):
        datasets.read_idx(tmp_path)


def test_a_file_that_the_system_does_not_let_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableFileError, match="a cannot be read: Permission denied"):
        datasets.read_idx(tmp_path / "a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": None}, "has no array 'x_train'"),
        ({"y_test": None}, "has no array 'y_test'"),
        ({"x_test": None, "y_test": None}, "no array 'x_test', which mnist has"),
        ({"x_train": np.zeros((6, 28, 28))}, r"x_train is float64 \(6, 28, 28\); expected uint8"),
        ({"x_test": np.zeros((3, 28, 27), np.uint8)}, r"x_test is uint8 \(3, 28, 27\)"),
        ({"y_train": np.zeros(5, np.uint8)}, r"y_train is uint8 \(5,\); expected integers \(6,\)"),
        ({"y_train": np.zeros(6)}, "y_train is float64"),
        ({"y_test": np.array([0, 1, 10])}, "y_test has labels 0 to 10; expected 0 to 9"),
        ({"x_train": np.array([{}], dtype=object)}, "holds no plain arrays"),
    ],
)
def test_arrays_that_are_not_mnist(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    arrays = {name: array for name, array in (small_arrays() | changes).items() if array is not None}
    np.savez(tmp_path / "m.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(FileFormatError, match=message):
        datasets.mnist(tmp_path / "m.npz")


# ---- the real files


@pytest.mark.parametrize("source", [images.MNIST, images.FASHION_MNIST], ids=lambda source: source.name)
@pytest.mark.parametrize("part", range(4))
def test_real_checksums(source: images.Source, part: int) -> None:
    name = f"{source.name}.npz"
    if realdata.find(name) is None:
        pytest.skip("real data not present")
    with np.load(realdata.path(name)) as archive:
        content = idx(archive[images.PARTS[part]])
    file = source.files[part]
    assert len(content) == file.size
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == file.md5
    assert hashlib.sha256(content).hexdigest() == file.sha256


@realdata.needs("mnist.npz")
def test_real_mnist_and_nielsens_split() -> None:
    mnist = datasets.mnist(realdata.path("mnist.npz"))
    assert repr(mnist) == (
        "Dataset('mnist': 60000 examples for training, 10000 for testing, 784 features, 10 classes)"
    )
    assert mnist.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    parts = datasets.nielsen_split(mnist, np.float32)
    assert [len(part) for part in parts] == [50_000, 50_000, 10_000, 10_000, 10_000, 10_000]
    assert parts.X_train.dtype == np.float32
    assert parts.X_train.max() == np.float32(255 / 256)
    assert np.array_equal(parts.X_val * 256, mnist.X_train[-10_000:])
    assert np.array_equal(parts.y_val, mnist.y_train[-10_000:])
    assert np.array_equal(parts.y_test, mnist.y_test)


def test_nielsens_split_needs_the_whole_of_mnist(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **small_arrays())
    with pytest.raises(DataError, match="needs 60 000 training images and a test part, as MNIST has; got"):
        datasets.nielsen_split(datasets.mnist(tmp_path / "m.npz"))


# ---- downloading, from a server on this machine

Answers = dict[str, object]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Answers, list[str]]]:
    """A web server: its address, what it answers by path (bytes, or a status), what it was asked for."""
    answers: Answers = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer = answers.get(self.path, 404)
            if isinstance(answer, int):
                self.send_error(answer)
                return
            body, length = answer if isinstance(answer, tuple) else (answer, len(answer))  # type: ignore[arg-type]
            self.send_response(200)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", answers, asked
        httpd.shutdown()
        thread.join()


CONTENT = idx(np.arange(200_000, dtype=np.uint8))
PACKED = gzip.compress(CONTENT, mtime=0)
PACKED_LOOSELY = gzip.compress(CONTENT, 0, mtime=0)  # several blocks long
FILE = RemoteFile("d-idx1.gz", len(CONTENT), "", hashlib.sha256(CONTENT).hexdigest())


def test_a_download_is_verified_cached_and_reported(
    tmp_path: Path, server: tuple[str, Answers, list[str]]
) -> None:
    url, answers, asked = server
    answers["/d/d-idx1.gz"] = (PACKED_LOOSELY[:-20], None)  # cut off, of unknown length
    answers["/e/d-idx1.gz"] = PACKED
    seen: list[tuple[str, int, int | None]] = []
    folder = tmp_path / "new" / "cache"
    mirrors = [f"{url}/d/", f"{url}/e"]
    content = fetch(FILE, folder, mirrors, progress=lambda *call: seen.append(call))
    assert content == CONTENT
    assert asked == ["/d/d-idx1.gz", "/e/d-idx1.gz"]  # the second mirror, as the first failed
    assert seen[-1] == ("d-idx1.gz", len(PACKED), len(PACKED))
    assert seen[0][2] is None
    assert [path.name for path in folder.iterdir()] == ["d-idx1.gz"]
    assert fetch(FILE, folder, mirrors) == CONTENT
    assert len(asked) == 2  # from the cache
    (folder / "d-idx1.gz").write_bytes(PACKED[:-5])  # damaged: downloaded again
    assert fetch(FILE, folder, mirrors[1:]) == CONTENT
    assert len(asked) == 3
    assert (folder / "d-idx1.gz").read_bytes() == PACKED


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (404, "HTTP Error 404"),
        (503, "HTTP Error 503"),
        (gzip.compress(CONTENT[:-1] + b"!", mtime=0), "its checksum is not that of the published file"),
        (gzip.compress(CONTENT + b"!", mtime=0), "its checksum is not that of the published file"),
        (b"<html>Please log in</html>", "it is not a sound gzip file"),
        ((PACKED[:100], len(PACKED)), f"the connection ended after 100 of {len(PACKED)} bytes"),
        ((PACKED[:-20], None), "it is not a sound gzip file"),
        ((bytes(300_000), None), f"bytes were sent for a file of {len(CONTENT)}"),
    ],
)
def test_a_failed_download_leaves_nothing(
    tmp_path: Path, server: tuple[str, Answers, list[str]], answer: object, message: str
) -> None:
    url, answers, _ = server
    answers["/d-idx1.gz"] = answer
    with pytest.raises(DownloadError) as caught:
        fetch(FILE, tmp_path, [url])
    assert f"{url}/d-idx1.gz: " in str(caught.value)
    assert message in str(caught.value)
    assert f"Download it yourself into {tmp_path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(
    tmp_path: Path, server: tuple[str, Answers, list[str]]
) -> None:
    url, answers, asked = server
    answers["/d-idx1.gz"] = PACKED_LOOSELY

    def interrupt(name: str, done: int, total: int | None) -> None:
        assert len(list(tmp_path.iterdir())) == 1  # the temporary file
        assert not (tmp_path / name).exists()
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(FILE, tmp_path, [url, url], progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    assert len(asked) == 1


def test_a_server_that_is_not_there(tmp_path: Path, server: tuple[str, Answers, list[str]]) -> None:
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(FILE, tmp_path, ["http://127.0.0.1:9"], timeout=5)  # the discard port, which nothing serves
    with pytest.raises(OptionError, match="starts with http:// or https://, got 'ftp://x'"):
        fetch(FILE, tmp_path, ["ftp://x"])


def test_a_cache_that_cannot_be_written(tmp_path: Path, server: tuple[str, Answers, list[str]]) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"cache folder .*file/in cannot be written .*CLEARPROP_CACHE"):
        fetch(FILE, tmp_path / "file" / "in", [server[0]])


def test_mnist_is_downloaded_once(
    tmp_path: Path, server: tuple[str, Answers, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answers, asked = server
    arrays = small_arrays()
    contents = [idx(array) for array in arrays.values()]
    files = tuple(
        RemoteFile(name, len(content), "", hashlib.sha256(content).hexdigest())
        for name, content in zip(NAMES, contents, strict=True)
    )
    monkeypatch.setattr(images, "MNIST", images.MNIST._replace(files=files))
    monkeypatch.setenv("CLEARPROP_CACHE", str(tmp_path))
    answers.update({f"/{n}": gzip.compress(c) for n, c in zip(NAMES, contents, strict=True)})
    assert same(datasets.mnist(base_url=url), arrays)
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(NAMES)
    assert same(datasets.load_dataset("mnist", base_url=[url]), arrays)
    assert asked == [f"/{name}" for name in NAMES]
    assert same(datasets.mnist(tmp_path / "mnist"), arrays)  # the cache is a folder like any other


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("CLEARPROP_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for platform, folder in [
        ("linux", ".cache/clearprop"),
        ("darwin", "Library/Caches/clearprop"),
        ("win32", "AppData/Local/clearprop/Cache"),
    ]:
        monkeypatch.setattr("sys.platform", platform)
        assert cache_dir() == tmp_path / folder
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_dir() == tmp_path / "local" / "clearprop" / "Cache"
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == tmp_path / ".cache" / "clearprop"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "clearprop"
    monkeypatch.setenv("CLEARPROP_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
