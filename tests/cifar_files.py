"""Write small data sets in the official formats of CIFAR-10, for any test that needs such files.

`batches` makes the images and labels; `write_cifar` writes them as a folder or an archive. Images
are a pattern of their class plus noise, so that a network can learn to tell them apart.
"""

import gzip
import io
import pickle
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np

CLASS_NAMES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
FOLDERS = {"python": "cifar-10-batches-py", "binary": "cifar-10-batches-bin"}


def batches(images_per_batch=40, seed=0):
    """Return ``{file name: (planes, labels)}`` of the five training batches and the test batch.

    Both are ``uint8``; planes, of shape (n, 3072), hold the red, green and blue pixels of an image
    one after another as the files do.
    """
    rng = np.random.default_rng(seed)
    patterns = rng.integers(30, 226, size=(10, 3072))
    result = {}
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        labels = rng.permutation(np.arange(images_per_batch) % 10)
        noise = rng.integers(-30, 31, size=(images_per_batch, 3072))
        result[name] = (patterns[labels] + noise).astype(np.uint8), labels.astype(np.uint8)
    return result


def write_cifar(dest, layout="python", images_per_batch=40, seed=0, protocol=None):
    """Write a data set of the CIFAR-10 format into a folder.

    Parameters
    ----------
    dest : Path
        The folder, made if need be, that will hold the layout folder or the archive.
    layout : {"python", "binary", "python.tar.gz", "binary.tar.gz"}
        Which of the four official forms to write.
    images_per_batch : int
        Number of images in each of the six files.
    seed : int
        Of `batches`.
    protocol : int, optional
        Pickle the python layout as Python 3 does in this protocol; by default as Python 2 did.

    Returns
    -------
    Path
        The layout folder or archive that was written.
    """
    form, _, archive = layout.partition(".")
    folder = FOLDERS[form]
    if form == "python":
        files = _python_files(images_per_batch, seed, protocol)
    else:
        files = _binary_files(images_per_batch, seed)
    if not archive:
        for name, content in files.items():
            path = Path(dest) / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return Path(dest) / folder
    Path(dest).mkdir(parents=True, exist_ok=True)
    path = Path(dest) / f"cifar-10-{layout}"
    return write_tar(path, {f"{folder}/{name}": content for name, content in files.items()})


def write_tar(path, files):
    """Write ``{member name: content}`` as a ``.tar.gz``, last name first: order must not matter.

    The same bytes at any time: the header's time is left out.
    """
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in reversed(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pickle_batch(batch, protocol=None):
    """Pickle one batch as Python 3 does in a protocol, or as Python 2 with NumPy 1 did."""
    if protocol is not None:
        return pickle.dumps(batch, protocol)
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(batch)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as byte strings, which only Python 2 does."""

    def save_string(self, value):
        content = value.encode() if isinstance(value, str) else value
        if len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) + content)
        else:
            self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(value)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, str: save_string, bytes: save_string}


def _python_files(images_per_batch, seed, protocol):
    files = {}
    for name, (planes, labels) in batches(images_per_batch, seed).items():
        batch = {
            b"batch_label": name.encode(),
            b"labels": labels.tolist(),
            b"data": planes,
            b"filenames": [b"%04d.png" % i for i in range(images_per_batch)],
        }
        files[name] = pickle_batch(batch, protocol)
    meta = {b"num_cases_per_batch": images_per_batch, b"label_names": CLASS_NAMES, b"num_vis": 3072}
    files["batches.meta"] = pickle_batch(meta, protocol)
    return files


def _binary_files(images_per_batch, seed):
    files = {
        f"{name}.bin": np.column_stack([labels, planes]).tobytes()
        for name, (planes, labels) in batches(images_per_batch, seed).items()
    }
    files["batches.meta.txt"] = "\n".join([*CLASS_NAMES, ""]).encode()
    return files
