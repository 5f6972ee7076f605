"""What the tests of commands that use a run share: a run folder, and how to call a command."""

import json
from pathlib import Path

import models

from xpnet.runs.model_file import save_model


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
