"""From settings to a run and its folder, for `xpnet.fit` and the command."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from xpnet.datasets import Dataset, tables
from xpnet.device import Team, threads_note, using_threads
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.reporting import plots, progress, tensorboard
from xpnet.runs import experiment
from xpnet.runs import folder as run_folder
from xpnet.runs.checkpoints import Checkpoints
from xpnet.runs.config import Config
from xpnet.runs.experiment import Experiment
from xpnet.runs.names import flag, to_resume
from xpnet.runs.preparation import Prepared, check, load_data, suited
from xpnet.runs.processes import agreeing, check_batch, check_same, cores_shared, device_of, watched
from xpnet.runs.resume import begin, checkpoint_of, identity, is_of_longer_runs
from xpnet.runs.run import Run, as_run
from xpnet.runs.saved import open_run
from xpnet.runs.starting import begin_with, model_of, unlike_its_rows
from xpnet.runs.subset import subset_of
from xpnet.text import name_of
from xpnet.training.history import SCORE_OF, History
from xpnet.training.interrupt import StopSignals
from xpnet.warn import warn

__all__ = ["carry_out"]


def carry_out(
    config: Config,
    data: Dataset | None,
    signals: StopSignals,
    *,
    folder: str | None,
    team: Team | None = None,
    note: Callable[[str], None] = warn,
    on_data: Callable[[Dataset], None] | None = None,
    on_epoch: Callable[[History], None] | None = None,
    on_unwritten: Callable[[OSError], None] | None = None,
) -> Run:
    """Train the network that the settings describe, and write its folder if asked for.

    Parameters
    ----------
    config
        Settings.
    data
        The data set; None for the one that the settings name.
    signals
        Checked before each step: once a signal is received, the run ends and keeps its results.
    folder
        Where to write, ``""`` for a new folder in ``runs``; None to write nothing.
    team
        The processes that train the network together: all call this with the same arguments, and the first
        one writes. It always keeps checkpoints, so that the run can be resumed if a process is lost.
    note
        Called with a sentence about a problem that does not end the run.
    on_data
        Called with the data set before training.
    on_epoch
        Called with the history so far after each epoch.
    on_unwritten
        Called with the reason if the files of a finished run could not be written; the run is then returned
        without a folder. By default, the error is raised.

    Raises
    ------
    InputError
        The settings are invalid or do not fit the data.
    KeyboardInterrupt
        Interrupted before the first step, or while files were written.
    """
    can_draw = plots.available()
    is_first = team is None or team.is_first
    with contextlib.ExitStack() as stack:
        begins = stack.enter_context(watched(team))
        if team is not None and data is None:  # all read the copy that one process has made of a text file
            path, reading = path_of(config.dataset), config.reading
            team.first_makes(lambda: tables.converted_if_large(path, reading, note, not config.quiet))
        with agreeing(team):
            for name in ("checkpoint_every", "tensorboard", "weights_image"):
                if folder is None and getattr(config, name):
                    raise InputError(f"{flag(name)} writes into the run folder: give {flag('out')}, too")
            if config.weights_image and not can_draw:
                raise InputError(f"--weights-image needs matplotlib: {plots.INSTALL}")
            logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it mentions its font cache
            device = device_of(config, team)
            stack.enter_context(using_threads(config.threads))
            if not config.quiet and (said := threads_note(config.threads, device.backend)):
                note(said)
            place: Path | None = None
            if folder is not None and is_first:
                place = stack.enter_context(run_folder.claim(folder, config.dataset))
            start = model_of(config)
            if place is not None:
                run_folder.refuse_sweep(place)
                if start is not None and open_run(config.init_from or "").folder.samefile(place):
                    raise InputError(
                        f"--init-from and --out are both {place}: give the new run another --out"
                    )
            screen = stack.enter_context(progress.start(config.quiet))
            screen.on_phase("loading")
            if data is None:
                data = load_data(config, note, screen.hidden)
            data = subset_of(config, data)
            if start is not None:
                config, data = begin_with(start, config, data)
                if unlike := unlike_its_rows(start, data):
                    note(unlike)
            num_rows = len(data.X_train)
            (config,) = suited([config], data, note)
            if config.weights_image:
                plots.check_images(data.image_shape)
            check(config, data, note)  # before removing or writing anything
            check_batch(config, team)
            if on_data is not None:
                with screen.hidden():
                    on_data(data)
            what = identity(config, data, start)
            every = config.checkpoint_every or (None if team is None else 0)
            checkpoints = after = None
            kept_in = place or (Path(config.resume) if config.resume else None)  # all processes read there
            if kept_in is not None and (config.resume or every is not None):
                checkpoints = Checkpoints(kept_in, device, what, every, note)
                if config.resume:
                    after = checkpoint_of(config, kept_in, checkpoints, num_rows, note)
        on_fit = None
        if checkpoints is not None and place is not None and every is not None:
            on_fit = checkpoints.on_fit
        with agreeing(team):
            check_same(team, what)
            device = device if team is None else device.among(team)
        done = len(after.history.losses) if after else 0
        num_steps, score = config.num_steps(num_rows), SCORE_OF[data.task]
        screen.expect(num_steps, config.batch_size, done, score)

        def should_stop() -> bool:
            if signals.received is None:  # otherwise no step starts
                screen.on_step()
            return signals.received is not None

        def tell(history: History) -> None:
            screen.on_epoch(history)
            if on_epoch is not None:
                on_epoch(history)

        def on_ready(prepared: Prepared) -> None:
            with agreeing(team):
                if place is not None and signals.received is None:
                    run_folder.check_room(place, prepared.mlp(config), config)
                    begin(config, place, note, keeps=every is not None)
            begins(place)

        log = tensorboard.logging_to(place, config.tensorboard, tell)
        with cores_shared(team), signals.listening(), log as tell_all:
            if after:  # the log starts again, and there may be no epoch left to fill it
                tell_all(after.history.mean())
            found = experiment.run(
                config,
                data,
                device,
                tell_all,
                should_stop,
                after=after,
                on_fit=on_fit,
                on_phase=screen.on_phase,
                on_ready=None if place is None and team is None else on_ready,
                start=start,
                note=None if config.quiet or team is not None else note,
            )
        if not found.history.rows:
            raise KeyboardInterrupt("interrupted before the first step: nothing was saved")
        was_interrupted = found.summary["status"] == "interrupted"
        if place is not None:
            screen.on_phase("drawing" if can_draw else "writing")
        with agreeing(team):
            if place is not None:
                whole = None if found.result is None else found.result.whole
                try:
                    with signals.listening():  # a second Ctrl-C must not lose the trained network
                        run_folder.write_settings(place, config)
                        if whole is not None and (was_interrupted or config.checkpoint_every):
                            checkpoints = checkpoints or Checkpoints(place, device, what, every, note)
                            checkpoints.save(whole)
                        run_folder.write(place, found, pictures=can_draw)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(
                        f"interrupted: {name_of(place)} is incomplete; complete it with {to_resume(place)}"
                    ) from None
                except OSError as error:
                    if on_unwritten is None:
                        raise
                    on_unwritten(error)
                    place = None
                if place is not None and checkpoints is not None and not was_interrupted:
                    checkpoints.forget(but=lambda epoch: _may_go_on(found, num_rows, epoch))
        left = place if team is None else team.first_has(place)
        if place is not None and signals.received is not None and not was_interrupted:
            raise KeyboardInterrupt(f"interrupted, but the run was already complete, in {place}")
    return as_run(found, left)


def _may_go_on(run: Experiment, num_rows: int, epoch: int) -> bool:
    """Return whether a run that has ended should keep its checkpoint of an epoch."""
    config = run.config
    is_lost = run.result is not None and bool((run.result.diverged_at > 0).all())
    return config.checkpoint_every is not None and not is_lost and is_of_longer_runs(config, num_rows, epoch)
