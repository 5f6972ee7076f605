"""What the tests of commands that use a run share: a run folder, and how to call a command."""

import json
from pathlib import Path

import models
import numpy as np

from xpnet.runs.model_file import save_model


def write_npz(path, X=None, y=None, **more):
    """Write data of one's own: two classes that a network can tell apart, unless it is other data."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 4)) if X is None else X
    np.savez(path, X=X, y=(X[:, 0] > 0).astype(int) if y is None else y, **more)


def call(main, capsys, *argv):
    """Run a command in this process; return exit status, standard output and standard error."""
    status = main([str(argument) for argument in argv])
    return status, *capsys.readouterr()


def refused(main, capsys, *argv):
    """Run a command that fails; return its one line."""
    status, out, err = call(main, capsys, *argv)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert ": error: " in line
    return line


def write_run(folder, model=None, **settings):
    """Write a run folder with a model, and settings if there are any."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    save_model(folder / "model.safetensors", model or models.make())
    if settings:
        (folder / "config.json").write_text(json.dumps(settings))
    return folder
