"""The front door: `xpnet.fit`."""

import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from xpnet.device import find_team
from xpnet.errors import InputError
from xpnet.runs.carry_out import carry_out
from xpnet.runs.config import Config
from xpnet.runs.given import ARRAYS, what_is_given
from xpnet.runs.processes import agreeing, said_once
from xpnet.runs.remedy import remedy
from xpnet.runs.resume import settings_to_resume
from xpnet.runs.run import Run
from xpnet.runs.settings import refuse_unknown
from xpnet.training.history import History
from xpnet.training.interrupt import StopSignals
from xpnet.values import shown

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
        With ``out`` a folder is written as by the command. A notebook shows the progress unless
        ``quiet=True``, a script with ``quiet=False``.

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
