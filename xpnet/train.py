"""``python -m xpnet.train``: train a network from the command line and leave a run folder."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from xpnet import datasets, flags, plots, progress, run_folder
from xpnet.config import DATASET_DEFAULTS, Config, defaults_for
from xpnet.console import USER_ERROR, StopSignals, complain, run_command
from xpnet.device import get_device
from xpnet.errors import InputError
from xpnet.experiment import Experiment, run

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
        defaults=lambda given: defaults_for(given.get("dataset", Config.dataset)),
        variants=DATASET_DEFAULTS,
    )
    return Config(**settings)


def _train(config: Config, signals: StopSignals) -> int:
    can_draw = plots.available()
    if config.weights_image and not can_draw:
        raise InputError(f"--weights-image needs matplotlib: {plots.INSTALL}")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # or it tells users of its font cache
    device = get_device(config.device)
    with run_folder.claim(config.out, config.dataset) as folder:
        data = datasets.load(config.dataset, config.data_dir, progress=not config.quiet)
        if config.weights_image:
            plots.check_images(data.image_shape)
        num_steps = config.num_steps(len(data.X_train))
        shown = progress.start(num_steps, config.batch_size, config.quiet)

        def should_stop() -> bool:
            shown.on_step()
            return signals.received is not None

        with signals.listening(), shown:
            experiment = run(config, data, device, shown.on_epoch, should_stop)
        if not experiment.result.history.rows:
            raise KeyboardInterrupt("interrupted before the first step: there is nothing to keep")
        try:
            run_folder.write(folder, experiment, data, pictures=can_draw)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted: {folder} is not complete") from None
    if not (can_draw or config.quiet):
        complain(NAME, f"note: there is no curves.png, which needs matplotlib: {plots.INSTALL}")
    return _report(experiment, folder, signals)


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
            step = int(experiment.result.diverged_at)
            name = "learning_rate"
            if step == 1:
                name = "init_std"
            elif config.learning_rate_decay > 1:
                name = "learning_rate_decay"
            elif config.learning_rate * config.reg > 1 and config.reg > 1:
                name = "reg"
            remedy = f"{flags.flag(name)}, which is {getattr(config, name)}"
            remedy += ", or scale the data" if step == 1 else ""
            complain(
                NAME,
                f"error: the loss overflowed at step {step}: lower {remedy}; "
                f"the last finite parameters are in {folder}",
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


if __name__ == "__main__":
    sys.exit(main())
