"""``xpnet train``: train a network from the command line and leave a run folder."""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from xpnet import datasets, recipes
from xpnet.commands import flags
from xpnet.commands.console import USER_ERROR, StopSignals, complain, run_command
from xpnet.datasets import Dataset
from xpnet.errors import InputError
from xpnet.reporting import plots, progress, tensorboard
from xpnet.runs import folder as run_folder
from xpnet.runs.checkpoints import Checkpoints
from xpnet.runs.config import DATASET_DEFAULTS, Config, defaults_for
from xpnet.runs.experiment import Experiment, run
from xpnet.runs.preparation import check
from xpnet.runs.settings import flag
from xpnet.training.loop import Fit

__all__ = ["main"]

NAME = "xpnet train"


def main(argv: Sequence[str] | None = None) -> int:
    """Train the network that the arguments describe.

    Parameters
    ----------
    argv
        Arguments; those of the process by default.

    Returns
    -------
    int
        0; 2 after an error that a user can mend, the loss's overflowing included; 130 after Ctrl-C.
        Each but 0 with one line on standard error that says why.
    """
    return run_command(NAME, lambda signals: _train(_read_config(argv), signals))


def _read_config(argv: Sequence[str] | None) -> Config:
    parser = flags.Parser(
        NAME, description="Train a fully-connected network and leave a folder with all about it."
    )
    settings = flags.parse(
        parser,
        Config,
        argv,
        defaults=lambda given: defaults_for(given.get("dataset")),
        variants=DATASET_DEFAULTS,
        recipes={name: recipes.path(name) for name in recipes.names()},
        file_of=_settings_to_resume,
    )
    return Config(**settings)


def _settings_to_resume(given: Mapping[str, Any]) -> Path | None:
    if (folder := given.get("resume")) is None:
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


def _train(config: Config, signals: StopSignals) -> int:
    can_draw = plots.available()
    if config.weights_image and not can_draw:
        raise InputError(f"--weights-image needs matplotlib: {plots.INSTALL}")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # or it tells users of its font cache
    device = config.find_device()
    with run_folder.claim(config.resume or config.out, config.dataset) as folder:
        data = datasets.load(config.dataset, config.data_dir, progress=not config.quiet)
        if config.weights_image:
            plots.check_images(data.image_shape)
        check(config, data)  # before anything is removed or written
        num_steps = config.num_steps(len(data.X_train))
        checkpoints = Checkpoints(folder, device, _identity(config, data), config.checkpoint_every, _note)
        after = _to_go_on_from(checkpoints, folder) if config.resume else None
        if not config.resume:  # what is there of another run is not of this one
            checkpoints.forget()
        if config.checkpoint_every is not None:
            if not config.resume:
                (folder / "summary.json").unlink(missing_ok=True)  # which says that a run is done
            run_folder.write_settings(folder, config)  # to resume from, should this be cut off
        done = len(after.history.losses) if after else 0
        shown = progress.start(num_steps, config.batch_size, config.quiet, done)

        def should_stop() -> bool:
            shown.on_step()
            return signals.received is not None

        logging_epochs = tensorboard.logging_to(folder, config.tensorboard, shown.on_epoch)
        with signals.listening(), shown, logging_epochs as on_epoch:
            if after:  # the log begins anew, and there may be no epoch left that would fill it
                on_epoch(after.history.mean())
            experiment = run(
                config, data, device, on_epoch, should_stop, after=after, on_fit=checkpoints.on_fit
            )
        if not experiment.result.history.rows:
            raise KeyboardInterrupt("interrupted before the first step: there is nothing to keep")
        try:
            run_folder.write(folder, experiment, data, pictures=can_draw)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted: {folder} is not complete") from None
        if not experiment.result.interrupted:
            checkpoints.forget()
    if not (can_draw or config.quiet):
        complain(NAME, f"note: there is no curves.png, which needs matplotlib: {plots.INSTALL}")
    return _report(experiment, folder, signals)


def _identity(config: Config, data: Dataset) -> dict[str, Any]:
    """What a run must have in common with the one whose checkpoint it goes on from."""
    if config.checkpoint_every is None and not config.resume:
        return {}
    settings = {f.name: getattr(config, f.name) for f in fields(config) if f.metadata.get("recorded", True)}
    # These change no result beyond rounding; what matters of a data set is its rows, wherever they lie.
    for name in (
        "device",
        "backend",
        "compile",
        "dataset",
        "data_dir",
        "weights_image",
        "tensorboard",
        "checkpoint_every",
    ):
        del settings[name]
    return {"settings": settings, "data": data.checksum()}


def _to_go_on_from(checkpoints: Checkpoints, folder: Path) -> Fit | None:
    """Return the last checkpoint; None if the run was cut off before its first."""
    found = checkpoints.latest()
    if found is None and not _was_cut_off(folder):
        raise InputError(
            f"{folder} holds no checkpoint: its run has come to its end, or was made without them"
        )
    return found


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


def _note(text: str) -> None:
    complain(NAME, f"note: {text}")


def _report(experiment: Experiment, folder: Path, signals: StopSignals) -> int:
    """Say how the run ended; return the exit status."""
    config, summary = experiment.config, experiment.summary
    if not config.quiet:
        parts = ((part, summary[f"{part}_accuracy"]) for part in ("train", "val", "test"))
        shown = (f"{part} {100 * value:.2f} %" for part, value in parts if value is not None)
        print(f"accuracy: {', '.join(shown)}")
        print(f"{summary['steps']} steps in {summary['seconds']:.2f} s on {summary['device']}")
        print(f"written to {os.fsencode(folder).decode(errors='replace')}")  # a name may be no text
    if config.json:
        print(json.dumps(summary))
    sys.stdout.flush()
    match summary["status"]:
        case "diverged":
            diverged_at = experiment.result.diverged_at  # of each network of an ensemble
            step = int(diverged_at[diverged_at > 0].min())
            name = "learning_rate"
            if config.learning_rate * config.weight_decay > 2:
                name = "weight_decay"
            elif step == 1 and config.reg <= 1:
                name = "init_std"
            elif config.learning_rate_decay > 1:
                name = "learning_rate_decay"
            elif config.learning_rate * config.reg > 1 and config.reg > 1:
                name = "reg"
            kept = "last finite" if config.patience is None else "best"
            remedy = f"{flag(name)}, which is {getattr(config, name)}"
            remedy += ", or scale the data" if step == 1 else ""
            complain(
                NAME,
                f"error: the loss overflowed at step {step}: lower {remedy}; "
                f"the {kept} parameters are in {folder}",
            )
            return USER_ERROR
        case "interrupted":
            complain(
                NAME,
                f"interrupted after step {summary['steps']}: what was trained so far is in {folder}",
            )
            return signals.exit_status
        case _:
            return 0
