"""Runs that are taken up again: their settings, what both parts must have in common, the checkpoint."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnet.datasets import Dataset
from xpnet.errors import InputError
from xpnet.runs import folder as run_folder
from xpnet.runs.checkpoints import Checkpoints
from xpnet.runs.config import Config
from xpnet.training.loop import Fit

__all__ = ["identity", "make_ready", "settings_to_resume"]


def settings_to_resume(given: Mapping[str, Any]) -> Path | None:
    """Return the file with the settings of the run to resume; None if there is none to be.

    Raises
    ------
    InputError
        There is no such run, or it is to go on in another folder.
    """
    folder = given.get("resume")
    if not isinstance(folder, str | os.PathLike):  # if it is not None, `Config` says what is wrong
        return None
    path = Path(folder, "config.json")
    if folder and not path.is_file() and any(Path(folder).glob("checkpoint-*.safetensors")):
        raise InputError(
            f"{path} is missing, and with it the settings of the run: put it back, or begin anew"
        )
    if not (folder and path.is_file()):
        raise InputError(f"there is no run in {folder or repr('')} to resume: give the folder of one")
    if "out" in given:
        raise InputError(f"--resume goes on in {folder} itself: drop --out")
    return path


def make_ready(config: Config, folder: Path, checkpoints: Checkpoints) -> Fit | None:
    """Return the checkpoint to go on from; for a new run, remove what is there of another."""
    after = None
    if config.resume:
        after = checkpoints.latest()
        if after is None and not _was_cut_off(folder):
            raise InputError(
                f"{folder} holds no checkpoint: its run has come to its end, or was made without them"
            )
    else:
        checkpoints.forget()
    if config.checkpoint_every is not None:
        if not config.resume:
            (folder / "summary.json").unlink(missing_ok=True)  # which says that a run is done
        run_folder.write_settings(folder, config)  # to resume from, should this be cut off
    return after


def identity(config: Config, data: Dataset) -> dict[str, Any]:
    """What a run must have in common with the one whose checkpoint it goes on from."""
    if config.checkpoint_every is None and not config.resume:
        return {}
    # These change no result beyond rounding; what matters of a data set is its rows, wherever they lie.
    free = {"device", "backend", "compile", "dataset", "data_dir", "weights_image", "tensorboard"}
    free |= {"checkpoint_every"}
    settings = {name: value for name, value in config.recorded().items() if name not in free}
    return {"settings": settings, "data": data.checksum()}


def _was_cut_off(folder: Path) -> bool:
    """Return whether a run without a checkpoint was killed or interrupted before its first."""
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        config = json.loads((folder / "config.json").read_bytes())
        return bool(summary["status"] == "interrupted" and config["checkpoint_every"])
    except FileNotFoundError:
        return True
    except (OSError, ValueError, LookupError, TypeError):
        return False
