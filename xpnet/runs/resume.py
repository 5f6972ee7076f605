"""Resuming runs: their settings, the checkpoint, and what must not change."""

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
"""Settings that may be raised when a finished run is resumed; the steps already done stay the same."""

WEIGHTS = "over the rows of a batch"
"""How weighted rows enter the loss, as part of the identity of a run or sweep."""

ENDED = ("finished", "stopped", "diverged")


def settings_to_resume(given: Mapping[str, Any]) -> Path | None:
    """Return the file with the settings of the run to resume; None if none is to be resumed.

    Raises
    ------
    InputError
        If there is no such run, or another output folder is given.
    """
    resume = given.get("resume")
    if not isinstance(resume, str | os.PathLike):  # if it is not None, `Config` says what is wrong
        return None
    folder = path_of(resume)
    path = folder / "config.json"
    if resume and not path.is_file() and any(folder.glob("checkpoint-*.safetensors")):
        raise InputError(
            f"{path} is missing, and the settings of the run with it: put it back, or start a new run"
        )
    if (folder / "sweep.json").is_file():
        raise InputError(
            f"{resume} holds a sweep: run its command again to resume it, or train its best network "
            f"further with {flag('init_from')} {resume}"
        )
    if not (resume and path.is_file()):
        raise InputError(f"there is no run in {resume or repr('')} to resume: give the folder of one")
    if "out" in given:
        raise InputError(f"--resume continues in {resume} itself: drop --out")
    return path


def checkpoint_of(
    config: Config, folder: Path, checkpoints: Checkpoints, num_rows: int, note: Callable[[str], None]
) -> Fit | None:
    """Return the checkpoint to resume from; None to start afresh, as for a run cut off before its first one.

    Parameters
    ----------
    config
        Settings; ``epochs``, ``iterations``, ``patience`` and ``max_time`` may be higher than before.
    folder, checkpoints
        Folder and checkpoints of the run.
    num_rows
        Number of training rows.
    note
        Called with a sentence if the result will differ from that of a single run of this length.

    Raises
    ------
    InputError
        If the run is finished and nothing is left to do, or the new settings would have changed earlier
        steps.
    """
    saved, summary = checkpoints.latest(LENGTHS), _summary(folder)
    status = summary.get("status")
    if status == "diverged" and (saved is None or (saved.fit.diverged_at > 0).all()):
        raise InputError(f"the run in {folder} diverged: train another, with a lower --learning-rate")
    if saved is None:
        if status in ENDED:
            raise InputError(
                f"{folder} holds no checkpoint: its run is finished, or wrote none; {_warm_start(folder)}"
            )
        return None
    return _lengthened(config, folder, saved, num_rows, summary, note)


def begin(config: Config, folder: Path, note: Callable[[str], None], keeps: bool = False) -> None:
    """Prepare the folder for the files of a run, just before training starts.

    If the run can be resumed, or ``keeps`` checkpoints, its settings are written there.

    For a resumed run, the summary and pictures of its earlier end are removed; any other run in the folder is
    moved aside or deleted.
    """
    if config.resume:
        forget_evaluations(folder)
        (folder / "summary.json").unlink(missing_ok=True)
    else:
        make_room(folder, config.force, note)
    if keeps or config.resume or config.checkpoint_every is not None:
        run_folder.write_settings(folder, config)  # needed to resume the run if it is cut off


def _lengthened(
    config: Config,
    folder: Path,
    saved: Saved,
    num_rows: int,
    summary: Mapping[str, Any],
    note: Callable[[str], None],
) -> Fit:
    """Return a checkpoint as a run planned for the new length would have written it."""
    fit, status = saved.fit, summary.get("status")
    then = saved.run["settings"]
    before = replace(config, **{name: then.get(name, getattr(config, name)) for name in LENGTHS})
    steps, steps_before = config.num_steps(num_rows), before.num_steps(num_rows)
    done, seconds = len(fit.history.losses), fit.history.rows[-1].seconds
    has_model = (folder / "model.safetensors").is_file()
    other = _warm_start(folder) if has_model else "start a new run in another folder"
    ran_out = before.max_time is not None and summary.get("seconds", 0.0) >= before.max_time
    if status == "stopped" and ran_out and config.max_time == before.max_time:
        raise InputError(
            f"the run in {folder} was stopped by --max-time {before.max_time:g}: give a longer one"
        )
    if config.max_time is not None and config.max_time != before.max_time and config.max_time <= seconds:
        raise InputError(f"the run in {folder} has taken {seconds:.3g} s: give a longer --max-time")
    if status == "stopped" and not ran_out and config.patience == before.patience:
        raise InputError(
            f"the run in {folder} was stopped by --patience {before.patience}, and more steps would not "
            "change that: give a larger one"
        )
    if status in ("finished", "diverged") and steps <= steps_before:
        raise InputError(f"the run in {folder} is finished: give more --epochs or --iterations")
    if not _ends_alike(config, num_rows, fit.epoch, steps, steps_before):
        raise InputError(f"{folder} has its last checkpoint at step {done}: give more steps, or {other}")
    if config.patience != before.patience:
        less = before.patience is None or (config.patience or before.patience) < before.patience
        if less or ((fit.stopped_at > 0) & (fit.stopped_at < done)).any():
            reason = (
                "can only be raised when a run is resumed"
                if less
                else "has already stopped networks of this run"
            )
            raise InputError(f"--patience {reason}: leave it out, or {other}")
        fit = replace(fit, stopped_at=np.zeros_like(fit.stopped_at))
    if steps != steps_before and (config.schedule in ("cosine", "one-cycle") or config.warmup):
        name = "warmup" if config.warmup else "schedule"
        note(
            f"{flag(name)} {getattr(config, name)} depends on the number of steps, which is now {steps}: "
            "the result will differ from a single run of this length. To train by the whole schedule, "
            f"{other}"
        )
    return fit


def is_of_longer_runs(config: Config, num_rows: int, epoch: int) -> bool:
    """Return whether a longer run has the same epochs up to this one, whose last epoch may be cut short."""
    steps = config.num_steps(num_rows)
    return _ends_alike(config, num_rows, epoch, steps, 2 * steps + num_rows)


def _ends_alike(config: Config, num_rows: int, epoch: int, *lengths: int) -> bool:
    """Return whether runs of these lengths have the same steps up to the end of an epoch."""
    in_epoch = batches_per_epoch(num_rows, config.batch_size, config.sampling)
    most = (epoch + 1) * in_epoch  # later steps change nothing, and there may be very many
    ends = [epoch_ends(min(steps, most), in_epoch, config.sampling) for steps in lengths]
    return all(len(each) >= epoch for each in ends) and len({each[epoch - 1] for each in ends}) == 1


def identity(config: Config, data: Dataset, start: Model | None = None) -> dict[str, Any]:
    """Return what a run must have in common with the one whose checkpoint it resumes."""
    # These change results by rounding at most; a data set is identified by its rows, not by its path.
    free = {"device", "backend", "compile", "dataset", "data_dir", "weights_image", "tensorboard"}
    free |= {"checkpoint_every", "init_from", "rows_in"}
    settings = {name: value for name, value in config.recorded().items() if name not in free}
    # Rows read in blocks are drawn in another order than the same rows in memory.
    blocks = data.X_train.blocks if isinstance(data.X_train, Stored) else None
    of_blocks = None if blocks is None else zlib.crc32(blocks.astype(np.int64).tobytes())
    found = {"settings": settings, "data": data.checksum(), "blocks": of_blocks}
    if start is not None:  # its path does not matter: its preprocessing is the run's
        found["start"] = start.checksum()
    if data.weight_train is not None or config.class_weight is not None:
        # Earlier versions divided a batch's loss by the sum of its weights; a run must not change its loss.
        found["weights"] = WEIGHTS
    return found


def _warm_start(folder: Path) -> str:
    return f"train a new run from its weights with --init-from {folder}"


def _summary(folder: Path) -> dict[str, Any]:
    """Return the content of ``summary.json``; empty if it is missing, as after a killed run."""
    try:
        found = json.loads((folder / "summary.json").read_bytes())
        if isinstance(found["status"], str) and isinstance(found["seconds"], int | float):
            return dict(found)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return {"status": ENDED[0]}  # damaged, but its presence shows that the run had ended
