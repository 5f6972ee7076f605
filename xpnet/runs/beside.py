"""Runs without a folder that are trained beside others, in one loop with them."""

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
    (config,) = suited([config], data, warn)
    check(config, data, warn)
    began = time.perf_counter()
    prepared = prepare(config, data, device)
    job = job_of(experiment.members_of(config), prepared.mlp(config), prepared, device)
    return Begun(job, device, config, prepared, time.perf_counter() - began)


def end_beside(begun: Begun, result: Fit, seconds: float) -> Run:
    """Return the run that was trained beside others, in so many seconds."""
    _, device, config, prepared, before = begun
    run = as_run(experiment.record(config, prepared, device, result, before + seconds), None)
    if run.diverged_at:
        warn(remedy(run), RuntimeWarning)
    return run
