"""Runs that are taken up again: their settings, what both parts must have in common, the checkpoint."""

import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.data.batches import batches_per_epoch, epoch_ends
from xpnet.datasets import Dataset
from xpnet.datasets.stored import Stored
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.runs import folder as run_folder
from xpnet.runs.checkpoints import Checkpoints, Saved
from xpnet.runs.config import Config
from xpnet.runs.names import flag
from xpnet.runs.previous import forget_evaluations, make_room
from xpnet.training.model import Model
from xpnet.training.result import Fit

__all__ = ["WEIGHTS", "begin", "checkpoint_of", "identity", "is_of_longer_runs", "settings_to_resume"]

LENGTHS = ("iterations", "epochs", "patience", "max_time")
"""Settings that a run may be given more of once it has ended: the steps before are the same."""

WEIGHTS = "over the rows of a batch"
"""What the loss of weighted rows is, in what says which run or sweep it is."""

ENDED = ("finished", "stopped", "diverged")


def settings_to_resume(given: Mapping[str, Any]) -> Path | None:
    """Return the file with the settings of the run to resume; None if there is none to be.

    Raises
    ------
    InputError
        There is no such run, or it is to go on in another folder.
    """
    resume = given.get("resume")
    if not isinstance(resume, str | os.PathLike):  # if it is not None, `Config` says what is wrong
        return None
    folder = path_of(resume)
    path = folder / "config.json"
    if resume and not path.is_file() and any(folder.glob("checkpoint-*.safetensors")):
        raise InputError(
            f"{path} is missing, and with it the settings of the run: put it back, or begin anew"
        )
    if (folder / "sweep.json").is_file():
        raise InputError(
            f"{resume} holds a sweep, which its own command goes on with; more epochs of its best are a new "
            f"run: {flag('init_from')} {resume}"
        )
    if not (resume and path.is_file()):
        raise InputError(f"there is no run in {resume or repr('')} to resume: give the folder of one")
    if "out" in given:
        raise InputError(f"--resume goes on in {resume} itself: drop --out")
    return path


def checkpoint_of(
    config: Config, folder: Path, checkpoints: Checkpoints, num_rows: int, note: Callable[[str], None]
) -> Fit | None:
    """Return the checkpoint to go on from; None to begin anew, as of a run cut off before its first.

    Parameters
    ----------
    config
        Settings, which may say more ``epochs``, ``iterations``, ``patience`` or ``max_time`` than before.
    folder, checkpoints
        Of the run.
    num_rows
        Of the training data.
    note
        Told in a sentence where the result is another than that of one run of this length.

    Raises
    ------
    InputError
        The run has ended, and nothing is left to do; or it would have been another from its beginning.
    """
    saved, summary = checkpoints.latest(LENGTHS), _summary(folder)
    status = summary.get("status")
    if status == "diverged" and (saved is None or (saved.fit.diverged_at > 0).all()):
        raise InputError(f"the run in {folder} diverged: train another, with a lower --learning-rate")
    if saved is None:
        if status in ENDED:
            raise InputError(
                f"{folder} holds no checkpoint: its run has come to its end, or was made without them; "
                f"{_warm_start(folder)}"
            )
        return None
    return _lengthened(config, folder, saved, num_rows, summary, note)


def begin(config: Config, folder: Path, note: Callable[[str], None], keeps: bool = False) -> None:
    """Make the folder ready for what a run writes while it trains, at the last moment before.

    A run that can be taken up again, or ``keeps`` checkpoints, needs its settings there.

    Of a run that is taken up again, what says that it was done goes, and what was drawn of it; of any other
    that is in the folder all is put aside, or removed.
    """
    if config.resume:
        forget_evaluations(folder)
        (folder / "summary.json").unlink(missing_ok=True)
    else:
        make_room(folder, config.force, note)
    if keeps or config.resume or config.checkpoint_every is not None:
        run_folder.write_settings(folder, config)  # to resume from, should this be cut off


def _lengthened(
    config: Config,
    folder: Path,
    saved: Saved,
    num_rows: int,
    summary: Mapping[str, Any],
    note: Callable[[str], None],
) -> Fit:
    """Return a checkpoint as it would be, had the run been of this length from its beginning."""
    fit, status = saved.fit, summary.get("status")
    then = saved.run["settings"]
    before = replace(config, **{name: then.get(name, getattr(config, name)) for name in LENGTHS})
    steps, steps_before = config.num_steps(num_rows), before.num_steps(num_rows)
    done, seconds = len(fit.history.losses), fit.history.rows[-1].seconds
    has_model = (folder / "model.safetensors").is_file()
    other = _warm_start(folder) if has_model else "begin anew in another folder"
    ran_out = before.max_time is not None and summary.get("seconds", 0.0) >= before.max_time
    if status == "stopped" and ran_out and config.max_time == before.max_time:
        raise InputError(f"the run in {folder} has had its --max-time {before.max_time:g}: give a longer one")
    if config.max_time is not None and config.max_time != before.max_time and config.max_time <= seconds:
        raise InputError(f"the run in {folder} has taken {seconds:.3g} s: give a longer --max-time")
    if status == "stopped" and not ran_out and config.patience == before.patience:
        raise InputError(
            f"the run in {folder} was stopped by --patience {before.patience}, which more steps would not "
            "change: give a larger one"
        )
    if status in ("finished", "diverged") and steps <= steps_before:
        raise InputError(f"the run in {folder} has come to its end: give more --epochs or --iterations")
    if not _ends_alike(config, num_rows, fit.epoch, steps, steps_before):
        raise InputError(f"{folder} has its last checkpoint at step {done}: give more steps, or {other}")
    if config.patience != before.patience:
        less = before.patience is None or (config.patience or before.patience) < before.patience
        if less or ((fit.stopped_at > 0) & (fit.stopped_at < done)).any():
            reason = "can only be raised" if less else "has stopped networks before the last checkpoint"
            raise InputError(f"--patience {reason} of a run that goes on: leave it out, or {other}")
        fit = replace(fit, stopped_at=np.zeros_like(fit.stopped_at))
    if steps != steps_before and (config.schedule in ("cosine", "one-cycle") or config.warmup):
        name = "warmup" if config.warmup else "schedule"
        note(
            f"{flag(name)} {getattr(config, name)} depends on the number of steps, now {steps}: the network "
            f"will not be that of one run of this length. For a schedule from its beginning, {other}"
        )
    return fit


def is_of_longer_runs(config: Config, num_rows: int, epoch: int) -> bool:
    """Return whether a longer run has the same epochs up to this one: its last may be cut short."""
    steps = config.num_steps(num_rows)
    return _ends_alike(config, num_rows, epoch, steps, 2 * steps + num_rows)


def _ends_alike(config: Config, num_rows: int, epoch: int, *lengths: int) -> bool:
    """Return whether runs of so many steps have the same ones up to the end of an epoch."""
    in_epoch = batches_per_epoch(num_rows, config.batch_size, config.sampling)
    most = (epoch + 1) * in_epoch  # what lies behind changes nothing, and may be very long
    ends = [epoch_ends(min(steps, most), in_epoch, config.sampling) for steps in lengths]
    return all(len(each) >= epoch for each in ends) and len({each[epoch - 1] for each in ends}) == 1


def identity(config: Config, data: Dataset, start: Model | None = None) -> dict[str, Any]:
    """What a run must have in common with the one whose checkpoint it goes on from."""
    # These change no result beyond rounding; what matters of a data set is its rows, wherever they lie.
    free = {"device", "backend", "compile", "dataset", "data_dir", "weights_image", "tensorboard"}
    free |= {"checkpoint_every", "init_from", "rows_in"}
    settings = {name: value for name, value in config.recorded().items() if name not in free}
    # In blocks other batches are drawn than of the same rows in memory.
    blocks = data.X_train.blocks if isinstance(data.X_train, Stored) else None
    of_blocks = None if blocks is None else zlib.crc32(blocks.astype(np.int64).tobytes())
    found = {"settings": settings, "data": data.checksum(), "blocks": of_blocks}
    if start is not None:  # wherever it lies: its preprocessing is the run's
        found["start"] = start.checksum()
    if data.weight_train is not None or config.class_weight is not None:
        # Before, a batch's loss was over the sum of its own weights: no run goes on with another loss.
        found["weights"] = WEIGHTS
    return found


def _warm_start(folder: Path) -> str:
    return f"train a new run that begins with its weights: --init-from {folder}"


def _summary(folder: Path) -> dict[str, Any]:
    """Return what ``summary.json`` holds; nothing if it isn't there, as of a run that was killed."""
    try:
        found = json.loads((folder / "summary.json").read_bytes())
        if isinstance(found["status"], str) and isinstance(found["seconds"], int | float):
            return dict(found)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return {"status": ENDED[0]}  # damaged, but written as a run ended
