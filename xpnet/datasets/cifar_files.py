"""The official files of CIFAR-10: find them in a folder and read them into arrays.

The same six files come in four forms: the python layout (pickles) and the binary layout, each as a
folder or as a ``.tar.gz`` of that folder. Archives are read as a stream, so nothing is unpacked to
disk, and no path in an archive is ever followed.
"""

import gzip
import tarfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets import safe_pickle
from xpnet.errors import InputError

IMAGE_SHAPE = (32, 32, 3)
NUM_CLASSES = 10
_NUM_PIXELS = 3072
_MAX_FILE_SIZE = 1 << 28  # limit for a decompressed batch: eight times the official size
_FIX = "delete it or replace it with a fresh copy from https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True)
class Layout:
    """One of the two formats, with the file names of the official release."""

    folder: str
    archive: str
    suffix: str
    decode: Callable[[bytes, str], tuple[NDArray[np.uint8], list[int]]]

    @property
    def train_files(self) -> tuple[str, ...]:
        """Names of the five training batches, in order."""
        return tuple(f"data_batch_{k}{self.suffix}" for k in range(1, 6))

    @property
    def test_files(self) -> tuple[str, ...]:
        """Name of the one test batch."""
        return (f"test_batch{self.suffix}",)


@dataclass(frozen=True)
class Source:
    """A copy of CIFAR-10: a folder of batch files, or an archive of one."""

    path: Path
    layout: Layout


def find(folder: Path) -> Source | None:
    """Look for CIFAR-10 in a folder.

    Parameters
    ----------
    folder : Path
        A folder that contains one of the four forms, or is itself one of the two layout folders.
        Unpacked files are preferred, because they load faster than an archive.

    Returns
    -------
    Source or None
        None if there is no copy.

    Raises
    ------
    InputError
        If the folder cannot be read.
    """
    try:
        for layout in _LAYOUTS:
            for place in (folder / layout.folder, folder):
                if any((place / name).is_file() for name in layout.train_files + layout.test_files):
                    return Source(place, layout)
        for layout in _LAYOUTS:
            if (folder / layout.archive).is_file():
                return Source(folder / layout.archive, layout)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be searched ({error.strerror}): allow reading or name another folder"
        ) from error
    return None


def read(
    source: Source,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Read all images, each straight into its place so that memory holds the data only once.

    Parameters
    ----------
    source : Source
        From `find`. The five training batches may have any size, but all the same.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images of shape (n, 3072), ``uint8``, each row in height, width, channel order; labels of
        shape (n,), ``int64``, 0 to 9. The training order is that of the files.

    Raises
    ------
    InputError
        If a file is missing, damaged, or not what its name says it is.
    """
    train, test = _Split(source.layout.train_files), _Split(source.layout.test_files)
    split_of = {name: split for split in (train, test) for name in split.names}
    try:
        for name, size, file in _batch_files(source):
            where = str(source.path / name)
            if size > _MAX_FILE_SIZE:
                raise InputError(f"{where} is larger than any batch of CIFAR-10: {_FIX}")
            split_of[name].put(name, where, *source.layout.decode(file.read(), where))
    except InputError:
        raise
    except Exception as error:
        # From the system, gzip, zlib or tarfile: a damaged archive may raise nearly anything.
        reason = textwrap.shorten(str(error), 300, placeholder="…") or type(error).__name__
        raise InputError(f"{source.path} cannot be read ({reason}): {_FIX}") from error
    missing = [name for name, split in split_of.items() if name not in split.seen]
    if missing:
        raise InputError(f"{source.path} holds no {', '.join(missing)}: {_FIX}")
    return train.X, train.y, test.X, test.y


class _Split:
    """Batches of equal size, stored in one array in any order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.seen: set[str] = set()
        self.X = np.empty((0, _NUM_PIXELS), dtype=np.uint8)
        self.y = np.empty(0, dtype=np.int64)

    def put(self, name: str, where: str, planes: NDArray[np.uint8], labels: list[int]) -> None:
        """Store a batch; ``planes``, shape (n, 3072), holds the colour planes of an image one by one."""
        num_images = len(planes)
        if num_images == 0 or len(labels) != num_images:
            raise InputError(f"{where} holds {num_images} images and {len(labels)} labels: {_FIX}")
        for image, label in enumerate(labels):
            if type(label) is not int or not 0 <= label < NUM_CLASSES:
                raise InputError(f"{where} has no label from 0 to 9 for image {image}: {_FIX}")
        if not self.seen:
            self.X = np.empty((len(self.names) * num_images, _NUM_PIXELS), dtype=np.uint8)
            self.y = np.empty(len(self.X), dtype=np.int64)
        elif len(self.names) * num_images != len(self.X):
            raise InputError(
                f"{where} holds {num_images} images and another batch "
                f"{len(self.X) // len(self.names)}: {_FIX}"
            )
        self.seen.add(name)
        start = self.names.index(name) * num_images
        self.y[start : start + num_images] = labels
        pixels = self.X[start : start + num_images].reshape(num_images, -1, IMAGE_SHAPE[2])
        # A plane at a time: four times faster than one assignment of the transposed array.
        for channel, plane in enumerate(np.split(planes, IMAGE_SHAPE[2], axis=1)):
            pixels[:, :, channel] = plane


class _Decompressed(gzip.GzipFile):
    """A stream that limits a single read to the maximum size of a file.

    tarfile reads a long header at once, so a few megabytes of compressed zeros could fill the memory.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MAX_FILE_SIZE:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return super().read(size)


def _batch_files(source: Source) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield name, size and open file of each existing batch, in the order of the folder or archive."""
    names = source.layout.train_files + source.layout.test_files
    if source.path.is_dir():
        for name in names:
            path = source.path / name
            if path.is_file():
                with path.open("rb") as file:
                    yield name, path.stat().st_size, file
        return
    with _Decompressed(source.path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            inner = PurePosixPath(member.name)
            wanted = inner.parent.name == source.layout.folder and inner.name in names
            if wanted and member.isreg() and (content := archive.extractfile(member)):
                yield inner.name, member.size, content
        while stream.read(1 << 20):
            pass  # gzip verifies its checksum at the end


def _decode_python(raw: bytes, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the (n, 3072) planes and the labels of a batch of the python layout."""
    fields = safe_pickle.load(raw, where)
    planes, labels = fields.get("data"), fields.get("labels")
    if not isinstance(planes, np.ndarray) or planes.shape[1] != _NUM_PIXELS:
        raise InputError(f"{where} has no matrix 'data' of {_NUM_PIXELS} columns: {_FIX}")
    if not isinstance(labels, list):
        raise InputError(f"{where} has no list 'labels': {_FIX}")
    return planes, labels


def _decode_binary(raw: bytes, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the (n, 3072) planes and the labels of a batch of the binary layout."""
    size = 1 + _NUM_PIXELS
    if len(raw) % size:
        raise InputError(f"{where} is truncated ({len(raw)} bytes, not a multiple of {size}): {_FIX}")
    records = np.frombuffer(raw, dtype=np.uint8).reshape(-1, size)
    return records[:, 1:], records[:, 0].tolist()


PYTHON = Layout("cifar-10-batches-py", "cifar-10-python.tar.gz", "", _decode_python)
BINARY = Layout("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ".bin", _decode_binary)
_LAYOUTS = (PYTHON, BINARY)
