"""CIFAR-10: find the official files or download them."""

import os
from collections.abc import Iterator
from pathlib import Path

from xpnet.datasets import cifar_files
from xpnet.datasets.bar import Showing
from xpnet.datasets.base import Dataset
from xpnet.datasets.download import cache_folder, fetch
from xpnet.errors import InputError
from xpnet.files import path_of

URL = f"https://www.cs.toronto.edu/~kriz/{cifar_files.PYTHON.archive}"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_ENVIRONMENT = "XPNET_DATA_DIR"


def cifar10(data_dir: str | os.PathLike[str] | None = None, progress: Showing = False) -> Dataset:
    """Load CIFAR-10: 60,000 colour images of 32 by 32 pixels in ten classes.

    The official files are searched in ``data_dir``, in the folder named by the environment variable
    ``XPNET_DATA_DIR``, and in the user's cache folder; otherwise, the official archive is
    downloaded to the cache. The first place that has any of the files is used: the folders
    ``cifar-10-batches-py`` and ``cifar-10-batches-bin``, and the archives
    ``cifar-10-python.tar.gz`` and ``cifar-10-binary.tar.gz``. ``data_dir`` may also be one of these
    two folders. The downloaded archive is verified by its checksum each time it is used. Files that
    a user placed are accepted as they are, since good copies with other checksums exist.

    Parameters
    ----------
    data_dir : str or path-like, optional
        The first folder to search.
    progress : bool or callable, default False
        Whether to announce a download, with a progress bar if standard error is a terminal.

    Returns
    -------
    Dataset
        X is ``uint8`` of shape (n, 3072), each row in height, width, channel order. The 50,000
        training images keep the order of the files: the last 1,000 are the validation set, and the
        others the training set, both as views of one array. (In smaller data of this format, with
        fewer than 10,000 images, the last tenth is the validation set.)

    Raises
    ------
    InputError
        If ``data_dir`` or ``$XPNET_DATA_DIR`` is not a folder, files are missing or damaged, or
        there are no files and the archive cannot be downloaded.
    """
    X, y, X_test, y_test = cifar_files.read(_locate(data_dir, progress))
    num_val = max(1, min(1000, len(X) // 10))
    return Dataset(
        name="cifar10",
        X_train=X[:-num_val],
        y_train=y[:-num_val],
        X_val=X[-num_val:],
        y_val=y[-num_val:],
        X_test=X_test,
        y_test=y_test,
        class_names=CLASS_NAMES,
        image_shape=cifar_files.IMAGE_SHAPE,
    )


def _locate(data_dir: str | os.PathLike[str] | None, progress: Showing) -> cifar_files.Source:
    """Return the first copy of CIFAR-10 in the order that `cifar10` promises."""
    looked_in: list[Path] = []
    for folder in _user_folders(data_dir):
        if source := cifar_files.find(folder):
            return source
        looked_in.append(folder)
    if cache := cache_folder():
        looked_in.append(cache)
        source = cifar_files.find(cache)
        # Leave a downloaded archive to `fetch`, which verifies it.
        if source and source.path.name != cifar_files.PYTHON.archive:
            return source
    try:
        return cifar_files.Source(fetch(URL, SHA256, progress), cifar_files.PYTHON)
    except InputError as error:
        places = ", ".join(map(str, looked_in)) or "no folder"
        raise InputError(
            f"found no CIFAR-10 files (looked in {places}) and {error}; or give the folder with "
            f"{cifar_files.PYTHON.archive} with --data-dir"
        ) from error


def _user_folders(data_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield the folders that a user named, which must exist."""
    for name, given in (("data_dir", data_dir), (f"${_ENVIRONMENT}", os.environ.get(_ENVIRONMENT))):
        if given:
            if not path_of(given).is_dir():
                raise InputError(
                    f"{name} is not a folder: {given}; give the one with the CIFAR-10 files, or leave "
                    f"it out to download them"
                )
            yield path_of(given)
