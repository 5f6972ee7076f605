"""Data sets: files in, host NumPy arrays out.

`load` takes the name that a command line takes; `digits`, `cifar10` and `from_npz` are the three
ways it knows, and `from_arrays` takes what is in memory. All return a `Dataset`, whose arrays are checked and
whose X keeps the dtype it came with. The module ``rows`` reads what is to be predicted.

May import: nothing but the ground.
"""

import os
from pathlib import Path

from xpnet.datasets.arrays import from_arrays
from xpnet.datasets.base import Dataset
from xpnet.datasets.cifar import cifar10
from xpnet.datasets.npz import from_npz
from xpnet.datasets.uci import digits
from xpnet.errors import InputError
from xpnet.typing import Task

__all__ = ["Dataset", "cifar10", "digits", "from_arrays", "from_npz", "load"]


def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
    task: Task | None = None,
) -> Dataset:
    """Load a data set by name, or from an ``.npz`` file by path.

    Parameters
    ----------
    name : str or path-like
        ``"digits"``, ``"cifar10"``, or the path of an ``.npz`` file.
    data_dir : str or path-like, optional
        The first folder to look in for the files of CIFAR-10 (see `cifar10`).
    progress : bool, default False
        Show a progress bar while a file is downloaded and standard error is a terminal.
    task : {"classification", "multilabel", "regression"}, optional
        What a user's y holds, where it does not look like it (see `from_arrays`).

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If there is no such data set, or its files cannot be used.
    """
    name = os.fspath(name)
    if name in ("digits", "cifar10") and task not in (None, "classification"):
        raise InputError(f"{name} has classes, not the task {task!r}: leave out the task")
    if name == "digits":
        return digits()
    if name == "cifar10":
        return cifar10(data_dir, progress=progress)
    path = Path(name)
    if path.suffix.lower() == ".npz":
        return from_npz(path, task)
    if path.suffix or path.is_file():
        raise InputError(
            f"{path} is no .npz file: load its arrays in Python and save them with "
            f"np.savez({path.stem + '.npz'!r}, X=X, y=y)"
        )
    raise InputError(f"unknown dataset {name!r}: use digits, cifar10 or the path of an .npz file")
