"""Runs without a folder that are trained together with others, in one loop."""

import time
from typing import NamedTuple

from xpnet.datasets import Dataset
from xpnet.device import Device
from xpnet.runs import experiment
from xpnet.runs.config import Config
from xpnet.runs.networks import job_of
from xpnet.runs.preparation import Prepared, check, prepare, suited
from xpnet.runs.remedy import remedy
from xpnet.runs.run import Run, as_run
from xpnet.runs.subset import subset_of
from xpnet.training.result import Fit
from xpnet.training.together import Job
from xpnet.warn import warn

__all__ = ["Begun", "begin_beside", "end_beside"]


class Begun(NamedTuple):
    """A run that is ready to be trained together with others.

    Attributes
    ----------
    job
        The networks to train.
    device, config, prepared
        The device, the settings and the data.
    seconds
        Seconds taken so far.
    """

    job: Job
    device: Device
    config: Config
    prepared: Prepared
    seconds: float


def begin_beside(config: Config, data: Dataset) -> Begun:
    """Prepare a run without a folder, to be trained together with others.

    Raises
    ------
    InputError
        The settings do not fit the data.
    """
    device = config.find_device()
    data = subset_of(config, data)  # so that the checks see the rows to train on
    (config,) = suited([config], data, warn)
    check(config, data, warn)
    began = time.perf_counter()
    prepared = prepare(config, data, device)
    job = job_of(experiment.members_of(config), prepared.mlp(config), prepared, device)
    return Begun(job, device, config, prepared, time.perf_counter() - began)


def end_beside(begun: Begun, result: Fit, seconds: float) -> Run:
    """Return a run that was trained together with others, and took so many seconds."""
    _, device, config, prepared, before = begun
    run = as_run(experiment.record(config, prepared, device, result, before + seconds), None)
    if run.diverged_at:
        warn(remedy(run), RuntimeWarning)
    return run
