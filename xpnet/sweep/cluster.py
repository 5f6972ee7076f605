"""Sweeps on several machines: the workers of a Dask scheduler as an executor."""

import asyncio
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from xpnet import __version__
from xpnet.device.elsewhere import differing, versions
from xpnet.errors import DeviceError

__all__ = ["connect"]

PATIENCE = 10.0
"""Seconds within which a scheduler must answer, and have a worker."""


@contextmanager
def connect(address: str) -> Iterator[Executor]:
    """Yield the workers of a Dask cluster as an executor for `xpnet.sweep.run`.

    If a worker is lost, another trains its chunk again. Each worker uses the device named in the settings, on
    its own machine.

    Parameters
    ----------
    address
        Address of the scheduler, such as ``"tcp://10.0.0.1:8786"``.

    Yields
    ------
    Executor
        Its workers, including those that join later.

    Raises
    ------
    DeviceError
        Dask is not installed; no scheduler answers, or it has no workers; a worker has other versions than
        this machine; or the scheduler gave up after losing too many workers.
    """
    distributed = _import()
    with _quiet(distributed):
        _await_answer(distributed, address)
        with distributed.Client(address, timeout=PATIENCE, set_as_default=False) as client:
            _await_worker(client, address)
            _check_versions(client)
            try:
                # Not pure: no task is submitted twice, so tasks need not be hashed.
                yield client.get_executor(pure=False)
            except distributed.KilledWorker as error:
                raise DeviceError(
                    f"the scheduler {address} gave up on a stack after losing {error.allowed_failures + 1} "
                    "workers: give them more memory, or use a smaller --max-nets"
                ) from error


def _import() -> Any:
    """Return Dask's package, untyped because little of it is annotated."""
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise DeviceError(
            '--scheduler needs Dask, which is not installed: run `pip install "xpnet[dask]"`'
        ) from error
    return distributed


def _await_answer(distributed: Any, address: str) -> None:
    """Check that a scheduler answers, without a `Client`, which would leave a thread behind if none does."""

    async def ask() -> None:
        comm = await distributed.comm.connect(address, timeout=PATIENCE)
        await comm.close()

    try:
        # On a thread, because the caller's may have a running event loop, as in a notebook.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, ask()).result()
    except Exception as error:  # whatever else answers there may cause any error
        known = isinstance(error, OSError | ValueError)
        reason = " ".join(str(error).split()) if known else "something else answers there"
        raise DeviceError(
            f"no Dask scheduler answers at {address!r} ({reason}): start one with `dask scheduler` and give "
            "the address it prints"
        ) from error


def _await_worker(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise DeviceError(
            f"the scheduler {address} has no workers: start some with `dask worker {address}`"
        ) from error


def _check_versions(client: Any) -> None:
    """Check that all workers have the same versions of what affects results and the exchange of objects."""
    try:
        found = client.run(_versions)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DeviceError(
            f"a worker cannot run xpnet {__version__} ({reason}): install the same version there; "
            "workers need it"
        ) from error
    here = _versions()
    for worker, there in found.items():
        if there != here:
            raise DeviceError(
                f"the worker {worker} has {differing(there, here)}, but this machine has "
                f"{differing(here, there)}: install the same versions"
            )


def _versions() -> dict[str, str]:
    """Return the local versions; called on each worker, too."""
    return versions() | {"Dask": _import().__version__}


@contextmanager
def _quiet(distributed: Any) -> Iterator[None]:
    """Silence Dask's log messages that are raised as errors anyway, or do not concern users of a sweep."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
