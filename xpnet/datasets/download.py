"""Download a file into the user's cache folder, with pooch."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from xpnet.datasets.bar import Showing, progress_bar
from xpnet.errors import InputError

_RETRIES = 3  # pooch waits 1, 2 and 3 seconds before them
_TIMEOUT = 30  # seconds within which a server must answer


def cache_folder() -> Path | None:
    """Return xpnet's folder in the user's cache; it need not exist.

    On Linux it is ``$XDG_CACHE_HOME/xpnet`` or ``~/.cache/xpnet``. None if pooch, which knows the
    location on each system, is not installed.
    """
    try:
        import pooch  # optional, and slow to import
    except ImportError:
        return None
    return Path(pooch.os_cache("xpnet"))


def fetch(url: str, sha256: str, progress: Showing = False) -> Path:
    """Return the cached copy of a file; download it first if there is none, or a damaged one.

    Parameters
    ----------
    url : str
        Where the file is; its last part becomes the file's name in the cache.
    sha256 : str
        The checksum, in hexadecimal, that a cached and a downloaded file must have.
    progress : bool or callable, default False
        Whether to announce a download on standard error and, if that is a terminal, show a progress
        bar.

    Returns
    -------
    Path
        The file in the cache, to which it is moved only when complete and verified.

    Raises
    ------
    InputError
        If the file cannot be downloaded or stored. No partial file is left.
    """
    folder = cache_folder()
    if folder is None:
        raise InputError('downloading needs pooch: pip install "xpnet[cli]"')
    import pooch
    import requests  # pooch downloads with it

    name = url.rpartition("/")[2]
    cache = pooch.create(
        folder, base_url="", registry={name: sha256}, urls={name: url}, retry_if_failed=_RETRIES
    )
    reporting = progress_bar(name, progress) if progress else _silence(pooch.get_logger())
    try:
        with reporting as progressbar:
            downloader = pooch.HTTPDownloader(progressbar, chunk_size=1 << 16, timeout=_TIMEOUT)
            return Path(cache.fetch(name, downloader=downloader))
    except requests.RequestException as error:  # before OSError and ValueError, because it can be either
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
    """Drop a logger's messages below warnings, inside this context."""

    # A filter, because pooch's logger is not registered with logging and caches its level.
    def is_warning(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger.addFilter(is_warning)
    try:
        yield
    finally:
        logger.removeFilter(is_warning)
