"""Download a file into the user's cache folder, with pooch."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xpnet.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress

_RETRIES = 3  # pooch waits 1, 2 and 3 seconds before them
_TIMEOUT = 30  # seconds in which a server has to answer


def cache_folder() -> Path | None:
    """Return xpnet's folder in the user's cache; it need not exist.

    On Linux it is ``$XDG_CACHE_HOME/xpnet`` or ``~/.cache/xpnet``. None if pooch, which knows the
    place on each system, is not installed.
    """
    try:
        import pooch  # optional, and slow to import
    except ImportError:
        return None
    return Path(pooch.os_cache("xpnet"))


def fetch(url: str, sha256: str, progress: bool = False) -> Path:
    """Return the cached copy of a file; download it first if there is none, or a damaged one.

    Parameters
    ----------
    url : str
        Where the file is; its last part becomes the file's name in the cache.
    sha256 : str
        The checksum, in hexadecimal, that a cached and a downloaded file must have.
    progress : bool, default False
        Say in a line on standard error that a download begins and, if that is a terminal, show a
        progress bar.

    Returns
    -------
    Path
        The file in the cache, to which it is moved only when complete and verified.

    Raises
    ------
    InputError
        If the file cannot be downloaded or stored. Nothing half-written is left.
    """
    folder = cache_folder()
    if folder is None:
        raise InputError('downloading needs pooch: pip install "xpnet[cli]"')
    import pooch
    import requests  # which pooch downloads with

    name = url.rpartition("/")[2]
    cache = pooch.create(
        folder, base_url="", registry={name: sha256}, urls={name: url}, retry_if_failed=_RETRIES
    )
    reporting = _progress_bar(name) if progress else _silence(pooch.get_logger())
    try:
        with reporting as progressbar:
            downloader = pooch.HTTPDownloader(progressbar, chunk_size=1 << 16, timeout=_TIMEOUT)
            return Path(cache.fetch(name, downloader=downloader))
    except requests.RequestException as error:  # before OSError and ValueError: it can be both
        response = error.response
        reason = type(error).__name__ if response is None else f"HTTP {response.status_code}"
        raise InputError(
            f"{url} cannot be downloaded ({reason}): check the network connection and try again"
        ) from error
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror or type(error).__name__}): make room and "
            "allow writing there, or set XDG_CACHE_HOME to another folder"
        ) from error
    except ValueError as error:  # how pooch reports a wrong checksum
        raise InputError(
            f"{url} came with a wrong SHA-256 checksum {1 + _RETRIES} times: try again later"
        ) from error


@contextlib.contextmanager
def _silence(logger: logging.Logger) -> Iterator[None]:
    """Drop what a logger says, short of warnings, for a while."""

    # A filter, since pooch's logger, unknown to logging, forgets no level that it ever had.
    def is_warning(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger.addFilter(is_warning)
    try:
        yield
    finally:
        logger.removeFilter(is_warning)


@contextlib.contextmanager
def _progress_bar(name: str) -> Iterator["_Bar | None"]:
    """Show a progress bar on standard error; none if that is no terminal or rich is missing."""
    try:
        from rich import progress
        from rich.console import Console
    except ImportError:
        yield None
        return
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        progress.TextColumn(name),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as display:
        yield _Bar(display)


class _Bar:
    """A bar of rich with the attributes of one of tqdm, which pooch asks for."""

    def __init__(self, display: "Progress") -> None:
        self._display = display
        self._task = display.add_task("", total=None)

    @property
    def total(self) -> float | None:
        """Number of bytes to come, None if the server does not say."""
        return self._display.tasks[0].total

    @total.setter
    def total(self, num_bytes: int) -> None:
        # Set at the start of every attempt: a second one begins with an empty bar.
        self._display.reset(self._task, total=num_bytes or None)

    def update(self, num_bytes: int) -> None:
        """Go forward."""
        self._display.advance(self._task, num_bytes)

    def reset(self) -> None:
        """Go back to the start, as pooch does before it fills the bar."""
        self._display.update(self._task, completed=0)

    def close(self) -> None:
        """Leave the bar: `_progress_bar` takes it down."""
