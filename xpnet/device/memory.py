"""The free memory of this machine, within the limits of the container."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free"]

KINDS = {
    "": ("sys/fs/cgroup", "memory.max", "memory.current", ""),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
"""For both versions of control groups: the folder, the files with limit and usage, and the prefix of names in
their statistics (https://docs.kernel.org/admin-guide/cgroup-v2.html, …/cgroup-v1/memory.html)."""


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
    """Yield what is left of each limit on this process: that of its control group, and those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return
    for line in filter(None, lines):
        _, controllers, path = line.split(":", 2)
        kind = next((name for name in controllers.split(",") if name in KINDS), None)
        if kind is None:
            continue
        folder, limit, use, begin = KINDS[kind]
        top = root / folder
        group = top / path.lstrip("/")
        # Inside a container, its group may appear as the root, under a different path.
        for place in [group, *(parent for parent in group.parents if parent.is_relative_to(top))]:
            try:
                least = int((place / limit).read_text(encoding="ascii"))
                used = int((place / use).read_text(encoding="ascii"))
            except (OSError, ValueError):  # no such group, or no limit: "max"
                continue
            files = 0
            # The system frees the file cache as soon as memory is needed.
            with contextlib.suppress(OSError, ValueError):
                told = dict(map(str.split, (place / "memory.stat").read_text(encoding="ascii").splitlines()))
                files = sum(int(told.get(f"{begin}{name}_file", 0)) for name in ("active", "inactive"))
            yield least - used + files
