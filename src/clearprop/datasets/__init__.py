"""Data sets: made shapes, real digits and clothes, tables, and one door to them, `load_dataset`."""

from __future__ import annotations

from clearprop.datasets.arrays import read_idx, read_npz
from clearprop.datasets.bundled import digits
from clearprop.datasets.dataset import Dataset, Split, split, split_indices
from clearprop.datasets.download import cache_dir
from clearprop.datasets.images import NielsenSplit, fashion_mnist, mnist, nielsen_split
from clearprop.datasets.loading import dataset_names, load_dataset
from clearprop.datasets.synthetic import circles, moons, spirals, toy_step, xor
from clearprop.datasets.tables import read_table
from clearprop.errors import DownloadError, MissingFileError, UnreadableFileError

__all__ = [
    "Dataset",
    "DownloadError",
    "MissingFileError",
    "NielsenSplit",
    "Split",
    "UnreadableFileError",
    "cache_dir",
    "circles",
    "dataset_names",
    "digits",
    "fashion_mnist",
    "load_dataset",
    "mnist",
    "moons",
    "nielsen_split",
    "read_idx",
    "read_npz",
    "read_table",
    "spirals",
    "split",
    "split_indices",
    "toy_step",
    "xor",
]
