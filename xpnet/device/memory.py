"""The free memory of this machine, within the limits of the container."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from xpnet.device.groups import groups

__all__ = ["free"]

FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    2: ("memory.max", "memory.current", ""),
}
"""Of control groups of both versions: their limit and use, and how names in their statistics begin."""


def free(root: Path = Path("/")) -> int | None:
    """Return the free bytes that Linux reports for the machine, the container or the Slurm job.

    Parameters
    ----------
    root
        The folder with ``proc`` and ``sys``.

    Returns
    -------
    int or None
        None if the system does not report it.
    """
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return max(0, min(int(available.split()[1]) * 1024, *_of_groups(root), 2**62))
    except (OSError, StopIteration):
        return None


def _of_groups(root: Path) -> Iterator[int]:
    """Give what is left of each limit that this process is under."""
    for version, group in groups("memory", root):
        limit, use, begin = FILES[version]
        try:
            least = int((group / limit).read_text(encoding="ascii"))
            used = int((group / use).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        files = 0
        # What is kept of files is given up as soon as memory is asked for.
        with contextlib.suppress(OSError, ValueError):
            told = dict(map(str.split, (group / "memory.stat").read_text(encoding="ascii").splitlines()))
            files = sum(int(told.get(f"{begin}{name}_file", 0)) for name in ("active", "inactive"))
        yield least - used + files
