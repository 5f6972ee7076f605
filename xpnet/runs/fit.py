"""From settings to a run and its folder: what `xpnet.fit` and the command share."""

import contextlib
import logging
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from xpnet.datasets import Dataset, tables
from xpnet.device import Device, Team, find_team
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.reporting import plots, progress, tensorboard
from xpnet.runs import experiment
from xpnet.runs import folder as run_folder
from xpnet.runs.checkpoints import Checkpoints
from xpnet.runs.config import Config
from xpnet.runs.experiment import Experiment
from xpnet.runs.given import ARRAYS, what_is_given
from xpnet.runs.names import flag
from xpnet.runs.networks import job_of
from xpnet.runs.preparation import Prepared, check, load_data, prepare, suited
from xpnet.runs.processes import (
    agreeing,
    check_batch,
    check_same,
    cores_shared,
    device_of,
    said_once,
    watched,
)
from xpnet.runs.remedy import remedy
from xpnet.runs.resume import begin, checkpoint_of, identity, is_of_longer_runs, settings_to_resume
from xpnet.runs.run import Run, as_run
from xpnet.runs.saved import open_run
from xpnet.runs.settings import refuse_unknown
from xpnet.runs.starting import begin_with, model_of, unlike_its_rows
from xpnet.runs.subset import subset_of
from xpnet.training import monitors
from xpnet.training.history import SCORE_OF, History
from xpnet.training.interrupt import StopSignals
from xpnet.training.loop import Fit
from xpnet.training.together import Job
from xpnet.values import shown

__all__ = ["Begun", "begin_beside", "carry_out", "end_beside", "fit"]


def fit(
    X: Any,
    y: ArrayLike | None = None,
    *,
    X_val: Any = None,
    y_val: ArrayLike | None = None,
    X_test: Any = None,
    y_test: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    on_epoch: Callable[[History], None] | None = None,
    recipe: str | None = None,
    **settings: Any,
) -> Run:
    """Train a network, or an ensemble, on a table, images, arrays, a data set or a file.

    Parameters
    ----------
    X
        A data frame of pandas, polars or pyarrow, a dict of columns, or rows as a list of dicts: numbers,
        text, dates, gaps in any of them; rows ``(rows, features)`` of numbers, NaN where one is not known;
        images ``(rows, height, width[, channels])``; a `Dataset`; or what ``--dataset`` takes: ``"digits"``,
        ``"cifar10"``, the path of a table, an ``.npz`` file or a folder of images.
    y
        With rows: a label each ``(rows,)``, integers or text; numbers, ``(rows,)`` or ``(rows, outputs)``; or
        a column of 0 and 1 for each of several labels ``(rows, labels)``. ``task=`` decides where it is open.
        Not needed where ``target=`` names columns of X, or it is plain which column it is: one called target,
        label, class or y, or one of text after nothing but numbers. Rows without a target are left out, with
        a warning.
    X_val, y_val
        Rows to validate on; by default some of ``X``, see ``validation_fraction``.
    X_test, y_test
        Rows that are measured once, at the end.
    sample_weight
        ``(rows,)``, 0 or more: a row of weight 2 counts as two in the loss, in batches of any size. Those of
        weight 0 are left out.
    on_epoch
        Called with the history so far after each epoch.
    recipe
        Name of settings that are known to work (``xpnet recipe``); those given override them. By default
        ``"table"``, or ``"images"`` for images; of ``"digits"`` and ``"cifar10"`` ``"none"``, which are the
        plain defaults.
    **settings
        Those of `Config`, which are the flags of ``xpnet train``: ``hidden=(300,)``, ``device="cuda"``, …
        With ``out`` a folder is written as by the command; ``quiet=False`` shows the progress.

    Returns
    -------
    Run
        The trained network with all that is known of it.

    Raises
    ------
    InputError
        An unknown setting, a value out of its range, or data that cannot be used.
    DeviceError
        The device cannot be used.

    Started by ``mpiexec`` or ``srun`` in several processes, all of which call this with the same, it trains
    one network with them, each on its share of every batch, and returns the run in each. The first process
    writes and warns; ``on_epoch`` is called in all. With ``alone=True`` each trains a network of its own.

    Warns
    -----
    RuntimeWarning
        Training diverged: the parameters are those of the best epoch before. Or files could not be written,
        as on a full disk: the run that is returned can be saved elsewhere.

    Examples
    --------
    >>> import xpnet
    >>> run = xpnet.fit("digits", epochs=20, seed=1)
    >>> run.summary["val_accuracy"] > 0.9
    True
    """
    arrays = {"X_val": X_val, "y_val": y_val, "X_test": X_test, "y_test": y_test}
    arrays["sample_weight"] = sample_weight
    team = None if settings.get("alone") else find_team()
    unwritten: list[OSError] = []
    with said_once(team):
        with agreeing(team):
            refuse_unknown(settings, Config, arguments=(*ARRAYS, "on_epoch", "recipe"))
            config, data = what_is_given(X, y, arrays, recipe, settings_to_resume(settings), settings)
            if on_epoch is not None and not callable(on_epoch):
                raise InputError(f"on_epoch must be a function of the history, not {shown(on_epoch)}")
        if team is not None and not team.is_first:
            config = replace(config, quiet=True)
        with StopSignals(signal.SIGINT) as signals:
            run = carry_out(
                config,
                data,
                signals,
                folder=config.resume or config.out,
                team=team,
                on_epoch=on_epoch,
                on_unwritten=unwritten.append,
            )
        if unwritten:
            warnings.warn(
                f"the run could not be written ({unwritten[0]}), and is returned: save it elsewhere by its "
                "save",
                RuntimeWarning,
                stacklevel=2,
            )
        if run.diverged_at:
            warnings.warn(remedy(run), RuntimeWarning, stacklevel=2)
    return run


class Begun(NamedTuple):
    """A run that is ready to be trained beside others: its networks, and all that is known of it until then.

    Attributes
    ----------
    job
        What to train.
    device, config, prepared
        Where, by which settings, and on what.
    seconds
        What it took so far.
    """

    job: Job
    device: Device
    config: Config
    prepared: Prepared
    seconds: float


def begin_beside(config: Config, data: Dataset) -> Begun:
    """Do what comes before training, for a run without a folder that is trained beside others.

    Raises
    ------
    InputError
        Settings that don't fit the data.
    """
    device = config.find_device()
    data = subset_of(config, data)  # what is checked are the rows that are trained on
    (config,) = suited([config], data, warnings.warn)
    _check(config, data, warnings.warn)
    began = time.perf_counter()
    prepared = prepare(config, data, device)
    job = job_of(experiment.members_of(config), prepared.mlp(config), prepared, device)
    return Begun(job, device, config, prepared, time.perf_counter() - began)


def end_beside(begun: Begun, result: Fit, seconds: float) -> Run:
    """Return the run that was trained beside others, in so many seconds."""
    _, device, config, prepared, before = begun
    run = as_run(experiment.record(config, prepared, device, result, before + seconds), None)
    if run.diverged_at:
        warnings.warn(remedy(run), RuntimeWarning, stacklevel=2)
    return run


def carry_out(
    config: Config,
    data: Dataset | None,
    signals: StopSignals,
    *,
    folder: str | None,
    team: Team | None = None,
    note: Callable[[str], None] = warnings.warn,
    on_data: Callable[[Dataset], None] | None = None,
    on_epoch: Callable[[History], None] | None = None,
    on_unwritten: Callable[[OSError], None] | None = None,
) -> Run:
    """Train the network that the settings describe, and write its folder if it is to have one.

    Parameters
    ----------
    config
        Settings.
    data
        The data set; None for the one that the settings name.
    signals
        Looked at before each step: once one was received, the run ends with what it has.
    folder
        Where to write, ``""`` for a new folder in ``runs``; None to write nothing.
    team
        The processes that train the network together: all call this with the same, and the first writes. It
        keeps checkpoints also where none are asked for, to go on from should a process be lost.
    note
        Told in a sentence of what went wrong and ends no run.
    on_data
        Called with the data set before it is trained on.
    on_epoch
        Called with the history so far after each epoch.
    on_unwritten
        Told why the files of a run that has ended could not be written: it is returned without a folder. By
        default that is raised.

    Raises
    ------
    InputError
        Settings that cannot be used, or don't fit the data.
    KeyboardInterrupt
        Interrupted before the first step, or while files were written.
    """
    can_draw = plots.available()
    is_first = team is None or team.is_first
    with contextlib.ExitStack() as stack:
        begins = stack.enter_context(watched(team))
        if team is not None and data is None:  # all read what one has made of a text
            path, reading = path_of(config.dataset), config.reading
            team.first_makes(lambda: tables.converted_if_large(path, reading, note, not config.quiet))
        with agreeing(team):
            for name in ("checkpoint_every", "tensorboard", "weights_image"):
                if folder is None and getattr(config, name):
                    raise InputError(
                        f"{flag(name)} writes into the folder of the run: give {flag('out')}, too"
                    )
            if config.weights_image and not can_draw:
                raise InputError(f"--weights-image needs matplotlib: {plots.INSTALL}")
            logging.getLogger("matplotlib").setLevel(logging.ERROR)  # or it tells users of its font cache
            device = device_of(config, team)
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
            if data is None:
                data = load_data(config, note)
            data = subset_of(config, data)
            if start is not None:
                config, data = begin_with(start, config, data)
                if unlike := unlike_its_rows(start, data):
                    note(unlike)
            num_rows = len(data.X_train)
            (config,) = suited([config], data, note)
            if config.weights_image:
                plots.check_images(data.image_shape)
            _check(config, data, note)  # before anything is removed or written
            check_batch(config, team)
            if on_data is not None:
                on_data(data)
            what = identity(config, data, start)
            every = config.checkpoint_every or (None if team is None else 0)
            checkpoints = after = None
            kept_in = place or (Path(config.resume) if config.resume else None)  # all read what is there
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
        screen = progress.start(num_steps, config.batch_size, config.quiet, done, score)

        def should_stop() -> bool:
            screen.on_step()
            return signals.received is not None

        def tell(history: History) -> None:
            screen.on_epoch(history)
            if on_epoch is not None:
                on_epoch(history)

        def on_ready() -> None:
            with agreeing(team):
                if place is not None and signals.received is None:
                    begin(config, place, note, keeps=every is not None)
            begins(place)

        log = tensorboard.logging_to(place, config.tensorboard, tell)
        with cores_shared(team), signals.listening(), screen, log as tell_all:
            if after:  # the log begins anew, and there may be no epoch left that would fill it
                tell_all(after.history.mean())
            found = experiment.run(
                config,
                data,
                device,
                tell_all,
                should_stop,
                after=after,
                on_fit=on_fit,
                on_ready=None if place is None and team is None else on_ready,
                start=start,
            )
        if not found.history.rows:
            raise KeyboardInterrupt("interrupted before the first step: there is nothing to keep")
        was_interrupted = found.summary["status"] == "interrupted"
        with agreeing(team):
            if place is not None:
                whole = None if found.result is None else found.result.whole
                try:
                    with signals.listening():  # what was trained is not lost by who is in a hurry
                        run_folder.write_settings(place, config)
                        if whole is not None and (was_interrupted or config.checkpoint_every):
                            checkpoints = checkpoints or Checkpoints(place, device, what, every, note)
                            checkpoints.save(whole)
                        run_folder.write(place, found, pictures=can_draw)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(
                        f"interrupted: {place} is not complete: {flag('resume')} {place} makes it so"
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
            raise KeyboardInterrupt(f"interrupted: the run had ended, and all of it is in {place}")
    return as_run(found, left)


def _check(config: Config, data: Dataset, note: Callable[[str], None]) -> None:
    """Refuse settings that do not fit the data, and tell of a monitor that says nothing of these."""
    check(config, data)
    if undefined := monitors.undefined(config.monitor, data.task, data.y_val, data.weight_val):
        note(f"{undefined}: epochs are compared by val_loss; for R² hold out more rows")


def _may_go_on(run: Experiment, num_rows: int, epoch: int) -> bool:
    """Return whether a run that has ended is to keep its checkpoint of an epoch."""
    config = run.config
    is_lost = run.result is not None and bool((run.result.diverged_at > 0).all())
    return config.checkpoint_every is not None and not is_lost and is_of_longer_runs(config, num_rows, epoch)
