"""`xpnet.fit`: train from Python."""

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from xpnet.device import find_team
from xpnet.errors import InputError
from xpnet.runs.carry_out import carry_out
from xpnet.runs.config import Config
from xpnet.runs.given import ARRAYS, what_is_given
from xpnet.runs.keywords import in_python, naming_keywords, warn_in_python
from xpnet.runs.processes import agreeing, said_once
from xpnet.runs.remedy import after_interruption, remedy
from xpnet.runs.resume import settings_to_resume
from xpnet.runs.run import Run
from xpnet.runs.settings import refuse_unknown
from xpnet.training.history import History
from xpnet.training.interrupt import StopSignals
from xpnet.values import shown
from xpnet.warn import warn

__all__ = ["fit"]


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
    """Train a network or an ensemble on arrays, a data frame, images, a data set or a file.

    Parameters
    ----------
    X
        Training data, one of: a pandas, polars or pyarrow data frame, a dict of columns or a list of dicts,
        with numbers, text, dates and missing values; an array ``(rows, features)``, with NaN for missing
        values; images ``(rows, height, width[, channels])``; a `Dataset`; or anything that ``--dataset``
        takes: ``"digits"``, ``"cifar10"``, or the path of a table, an ``.npz`` file or a folder.
    y
        Targets: class labels ``(rows,)``, integers or text; numbers ``(rows,)`` or ``(rows, outputs)``; or 0
        and 1 for each of several labels ``(rows, labels)``. If they leave the task open, pass ``task``. ``y``
        is not needed if ``target`` names columns of X, or if the target column is obvious: one called target,
        label, class or y, or a single column of text after columns of numbers. Rows without a target are
        skipped, with a warning.
    X_val, y_val
        Validation data; by default part of ``X`` is held out, see ``validation_fraction``.
    X_test, y_test
        Test data, evaluated once at the end.
    sample_weight
        Weights ``(rows,)``, at least 0: a row of weight 2 counts twice in the loss, whatever the batch size.
        Rows of weight 0 are skipped.
    on_epoch
        Called with the history so far after every epoch.
    recipe
        Name of a set of settings known to work (listed by ``xpnet recipe``); ``settings`` override them. By
        default ``"table"``, or ``"images"`` for images; for ``"digits"`` and ``"cifar10"`` it is ``"none"``,
        the plain defaults.
    **settings
        Fields of `Config`, which are also the flags of ``xpnet train``: ``hidden=(300,)``, ``device="cuda"``,
        … ``out`` writes a run folder, as the command does. Notebooks
        show progress unless ``quiet=True``, scripts only with ``quiet=False``.

    Returns
    -------
    Run
        The trained network, with its history and scores.

    Raises
    ------
    InputError
        If a setting is unknown or out of range, or the data cannot be used.
    DeviceError
        If the device cannot be used.

    Under ``mpiexec`` or ``srun``, all processes call this function with the same arguments. Together they
    train one network, each on its share of every batch, and each returns the run. Only the first process
    writes files and warns; ``on_epoch`` is called in all. With ``alone=True``, each process trains a separate
    network.

    Warns
    -----
    RuntimeWarning
        If training diverged; the parameters are then from before that. Also if files could not
        be written, as on a full disk; save the returned run elsewhere.
    UserWarning
        If training was interrupted (Ctrl-C, or Stop in a notebook): it says what the returned run holds, and
        how to go on. ``summary["status"]`` is then ``"interrupted"``.

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
    with said_once(team), naming_keywords():
        with agreeing(team):
            refuse_unknown(settings, Config, arguments=(*ARRAYS, "on_epoch", "recipe"))
            config, data = what_is_given(X, y, arrays, recipe, settings_to_resume(settings), settings)
            if on_epoch is not None and not callable(on_epoch):
                raise InputError(f"on_epoch must be a function that takes the history, not {shown(on_epoch)}")
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
                note=warn_in_python,
            )
        if unwritten:
            warn(
                f"the run could not be written ({unwritten[0]}): save it elsewhere by run.save(path)",
                RuntimeWarning,
            )
        if run.summary["status"] == "interrupted":
            warn(after_interruption(run))
        elif signals.received is not None:
            warn("training was interrupted, but it was already complete: nothing is missing")
        if run.diverged_at:
            warn(in_python(remedy(run)), RuntimeWarning)
    return run
