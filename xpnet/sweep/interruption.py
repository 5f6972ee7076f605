"""What is kept of a sweep that was interrupted: only stacks of networks that had finished."""

import os

from xpnet.text import name_of

__all__ = ["what_is_kept"]


def what_is_kept(results: int, networks: int, folder: str | os.PathLike[str] | None) -> str:
    """Say what is kept, after the word "interrupted".

    Parameters
    ----------
    results, networks
        Number of networks with a result, and number of all networks.
    folder
        Folder of the sweep, or None.
    """
    if not results:
        kept = "nothing is kept" if folder is None else f"only the settings are kept, in {name_of(folder)}"
        return f"before any stack of networks had finished: {kept}"
    where = "their scores are in rows, the networks are not kept"
    if folder is not None:
        where = f"the results so far are in {name_of(folder)}"
    return f"with results of {results:,} of {networks:,} networks: {where}"
