"""The control groups by which Linux limits a process, such as those of a container or a Slurm job."""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["groups"]

TOP = Path("sys/fs/cgroup")


def groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[int, Path]]:
    """Yield the groups that limit this process, and all groups above them, whose limits apply as well.

    Some of the folders may not exist: inside a container, its group may appear at the top, or under another
    path.

    Parameters
    ----------
    controller
        The limited resource: ``"cpu"`` or ``"memory"``.
    root
        The folder with ``proc`` and ``sys``.

    Yields
    ------
    tuple of int and Path
        The version of control groups, 1 or 2, on which the names of files depend
        (https://docs.kernel.org/admin-guide/, ``cgroup-v1/`` and ``cgroup-v2.html``), and the folder.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return
    for line in filter(None, lines):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / TOP / controller if controllers else root / TOP
        group = top / path.lstrip("/")
        for folder in [group, *(parent for parent in group.parents if parent.is_relative_to(top))]:
            yield (1 if controllers else 2), folder
