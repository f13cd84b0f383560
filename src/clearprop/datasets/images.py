"""MNIST and Fashion-MNIST: from a local file or folder, or downloaded, verified and cached."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clearprop.checks import as_path
from clearprop.datasets.arrays import parse_idx, read_idx, read_npz
from clearprop.datasets.bundled import pixel_names
from clearprop.datasets.dataset import Dataset
from clearprop.datasets.download import Progress, RemoteFile, cache_dir, fetch
from clearprop.errors import DataError, DTypeError, FileFormatError, MissingFileError, did_you_mean

__all__ = ["FASHION_MNIST", "MNIST", "NielsenSplit", "Source", "fashion_mnist", "mnist", "nielsen_split"]

Array = NDArray[Any]
PARTS = ("x_train", "y_train", "x_test", "y_test")


class Source(NamedTuple):
    """Where an image data set comes from: its mirrors and its files, in the order of `PARTS`."""

    name: str
    class_names: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    description: str


def _files(*sums: tuple[str, str]) -> tuple[RemoteFile, ...]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    sizes = (47_040_016, 60_008, 7_840_016, 10_008)
    return tuple(
        RemoteFile(f"{name}-ubyte.gz", size, md5, sha256)
        for name, size, (md5, sha256) in zip(names, sizes, sums, strict=True)
    )


# The MD5 sums are the published ones of the uncompressed files; SHA-256, which is what is checked,
# was computed from files that have them.
MNIST = Source(
    name="mnist",
    class_names=tuple("0123456789"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files=_files(
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "a25bea736e30d166cdddb491f175f624",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "2646ac647ad5339dbf082846283269ea",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "27ae3e4e09519cfbb04c329615203637",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    description="70 000 handwritten digits of 28 x 28 pixels (LeCun, Cortes, Burges)",
)
FASHION_MNIST = Source(
    name="fashion_mnist",
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    files=_files(
        (
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        (
            "9018921c3c673c538a1fc5bad174d6f9",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        (
            "8181f5470baa50b63fa0f6fddb340f0a",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            "15d484375f8d13e6eb1aabb0c3f46965",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    description="70 000 pictures of clothes of 28 x 28 pixels (Zalando; Xiao, Rasul, Vollgraf)",
)


def mnist(
    path: str | Path | None = None,
    *,
    base_url: str | Sequence[str] | None = None,
    cache: str | Path | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> Dataset:
    """Return MNIST: X (60000, 784) and (10000, 784) uint8, raw pixels 0 … 255; y int64, 0 … 9.

    `scale` is 1/255. For Nielsen's division and scaling see `nielsen_split`.

    Parameters
    ----------
    path: an .npz file with the arrays x_train, y_train, x_test, y_test, or a folder with the four
        IDX files, plain or .gz. Without it, the files are taken from the cache or downloaded.
    base_url: the address of a folder to download from, or several to try in turn; by default
        the public mirrors.
    cache: the folder for downloads, by default ``cache_dir() / "mnist"``.
    timeout: seconds without an answer after which a mirror is given up.
    progress: called as progress(file name, bytes so far, total or None).

    Errors: `MissingFileError`, `FileFormatError` (not what the name says; wrong sizes),
    `DownloadError` (no mirror had it, wrong checksum, cache not writable).
    """
    return _load(MNIST, path, base_url, cache, timeout, progress)


def fashion_mnist(
    path: str | Path | None = None,
    *,
    base_url: str | Sequence[str] | None = None,
    cache: str | Path | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> Dataset:
    """Return Fashion-MNIST: ten kinds of clothes, in the same form as `mnist` and with its parameters."""
    return _load(FASHION_MNIST, path, base_url, cache, timeout, progress)


class NielsenSplit(NamedTuple):
    """Nielsen's three parts of MNIST: 50 000 for training, 10 000 for validation, 10 000 for testing."""

    X_train: Array
    y_train: Array
    X_val: Array
    y_val: Array
    X_test: Array
    y_test: Array


def nielsen_split(dataset: Dataset, dtype: DTypeLike = np.float64) -> NielsenSplit:
    """Return MNIST as Nielsen's book has it: the last 10 000 training images validate, x = pixel / 256.

    Division by 256 is exact in every float type.
    Errors: `DataError` unless the data set has 60 000 training images and a test part.
    """
    if not isinstance(dataset, Dataset):
        raise DTypeError(f"Nielsen's split is one of a Dataset. Got {type(dataset).__name__}.")
    if len(dataset.X_train) != 60_000 or dataset.X_test is None or dataset.y_test is None:
        raise DataError(
            f"Nielsen's split needs 60 000 training images and a test part, as MNIST has; got {dataset!r}"
        )
    X, y = dataset.X_train.astype(dtype) / np.dtype(dtype).type(256), dataset.y_train
    X_test = dataset.X_test.astype(dtype) / np.dtype(dtype).type(256)
    return NielsenSplit(X[:50_000], y[:50_000], X[50_000:], y[50_000:], X_test, dataset.y_test)


def _load(
    source: Source,
    path: str | Path | None,
    base_url: str | Sequence[str] | None,
    cache: str | Path | None,
    timeout: float,
    progress: Progress | None,
) -> Dataset:
    if path is not None:
        path = as_path(path).expanduser()
        arrays = _from_folder(source, path) if os.path.isdir(path) else read_npz(path)
        return _dataset(source, arrays, str(path))
    folder = cache_dir() / source.name if cache is None else as_path(cache).expanduser()
    mirrors = source.mirrors if base_url is None else (base_url,) if isinstance(base_url, str) else base_url
    contents = [fetch(file, folder, mirrors, timeout=timeout, progress=progress) for file in source.files]
    arrays = {
        part: parse_idx(content, file.name)
        for part, content, file in zip(PARTS, contents, source.files, strict=True)
    }
    return _dataset(source, arrays, str(folder))


def _from_folder(source: Source, folder: Path) -> dict[str, Array]:
    return {part: read_idx(_find(folder, file.name)) for part, file in zip(PARTS, source.files, strict=True)}


def _find(folder: Path, name: str) -> Path:
    plain = name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")  # as some unpackers name it
    for candidate in (plain, name, dotted, f"{dotted}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    near = did_you_mean(plain, [entry.name for entry in folder.iterdir()])
    raise MissingFileError(f"the folder {folder} has neither {plain} nor {name}.{near}")


def _dataset(source: Source, arrays: dict[str, Array], where: str) -> Dataset:
    for part in ("train", "test"):
        if f"x_{part}" not in arrays:
            raise FileFormatError(f"{where}: there is no array 'x_{part}', which {source.name} has")
        _check(arrays[f"x_{part}"], arrays[f"y_{part}"], part, where)
    return Dataset(
        name=source.name,
        X_train=arrays["x_train"].reshape(-1, 784),
        y_train=arrays["y_train"].astype(np.int64),
        X_test=arrays["x_test"].reshape(-1, 784),
        y_test=arrays["y_test"].astype(np.int64),
        feature_names=pixel_names(28, 28),
        class_names=source.class_names,
        image_shape=(28, 28),
        description=source.description,
        scale=1 / 255,
    )


def _check(x: Array, y: Array, part: str, where: str) -> None:
    if x.dtype != np.uint8 or x.shape[1:] not in ((28, 28), (784,)) or len(x) == 0:
        raise FileFormatError(f"{where}: x_{part} is {x.dtype} {x.shape}; expected uint8 (n, 28, 28)")
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise FileFormatError(f"{where}: y_{part} is {y.dtype} {y.shape}; expected integers ({len(x)},)")
    if not (y.min() >= 0 and y.max() <= 9):
        raise FileFormatError(f"{where}: y_{part} has labels {y.min()} to {y.max()}; expected 0 to 9")
