"""Checkpoints of a run, in its folder: everything needed to resume it.

A checkpoint is one safetensors file with a checksum of its content. It is written under a temporary name,
flushed and renamed. The last two are kept: if one is damaged, the run can resume from the other.
"""

import contextlib
import json
import math
import re
import textwrap
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device, all_to_host
from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.training.divergence import Sane
from xpnet.training.history import History, Row
from xpnet.training.result import Fit
from xpnet.training.stopping import Best
from xpnet.typing import Array, State

__all__ = ["NAME", "Checkpoints", "Saved", "has_checkpoint"]

KEPT = 2
"""Number of checkpoints that are kept."""

FORMAT = 3

SELDOM = 20
"""Without a fixed interval, checkpoints take at most this fraction (one in so many) of the time."""

NAME = re.compile(r"checkpoint-(\d{9})\.safetensors")


class Saved(NamedTuple):
    """Content of a checkpoint.

    Attributes
    ----------
    fit
        State from which `xpnet.training.loop.fit` continues.
    run
        Description of the run when it was written.
    """

    fit: Fit
    run: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of a run.

    Parameters
    ----------
    folder
        Of the run.
    device
        Device of its arrays.
    run
        Description of the run as plain data: its settings and its data. A checkpoint must match it.
    every
        Epochs between checkpoints; 0 chooses an interval that keeps the time for writing small; None for
        none.
    note
        Called with a sentence about the first checkpoint that could not be written, and about damaged ones.
        Neither ends a run.
    """

    def __init__(
        self,
        folder: Path,
        device: Device,
        run: Mapping[str, Any],
        every: int | None,
        note: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._device = device
        self._run = json.loads(json.dumps(run))
        self._every = every
        self._note = note
        self._failed = False
        self._due = -math.inf

    def on_fit(self, fit: Fit) -> None:
        """Write a checkpoint if one is due, and remove old ones.

        Parameters
        ----------
        fit
            The state that `xpnet.training.loop.fit` passes to ``on_fit``.
        """
        if self._every is None:
            return
        began = time.monotonic()
        if fit.epoch % self._every == 0 if self._every else began >= self._due:
            self.save(fit)
            now = time.monotonic()
            self._due = now + SELDOM * (now - began)

    def save(self, fit: Fit) -> None:
        """Write a checkpoint, and remove old ones."""
        from safetensors.numpy import save

        arrays = _arrays(fit, self._device)
        description = {"format": FORMAT, "epoch": fit.epoch, "run": self._run}
        description["crc32"] = _checksum(description, arrays)
        try:
            with replacing(self._folder / f"checkpoint-{fit.epoch:09}.safetensors") as temporary:
                temporary.write_bytes(save(arrays, {"xpnet": json.dumps(description)}))
        except OSError as error:
            if not self._failed:
                self._note(
                    f"no checkpoint could be written after epoch {fit.epoch} ({error}): free some "
                    f"space if the disk is full"
                )
            self._failed = True
        _remove(self._newest_first()[KEPT:])

    def latest(self, free: Collection[str] = ()) -> Saved | None:
        """Return the newest intact checkpoint, on the device; None if there are no checkpoints.

        Parameters
        ----------
        free
            Settings that may have changed since it was written.

        Raises
        ------
        InputError
            It belongs to another run, or all are damaged.
        """
        paths = self._newest_first()
        for path in paths:
            try:
                description, arrays = _read(path)
                before = description["run"]
                others = [key for key in self._run if _differences(before.get(key), self._run[key], free)]
                fit = _fit(description, arrays, self._device)
            except MemoryError:
                raise
            except Exception as error:  # a damaged file can fail in any way
                reason = textwrap.shorten(str(error), 300, placeholder="…")
                self._note(f"{path} is damaged ({reason}): trying the previous one")
                continue
            if "blocks" in others and None in (before.get("blocks"), self._run["blocks"]):
                where = "memory" if before.get("blocks") is None else "disk"
                raise InputError(
                    f"{path} is from a run with its rows in another place: add --rows-in {where}"
                )
            if others:
                raise InputError(
                    f"{path} is from a run with different "
                    f"{_other(others[0], before, self._run, free)}: resume with the same as before, or "
                    f"start a new run"
                )
            return Saved(fit, before)
        if paths:  # starting again would overwrite what the user may still be able to rescue
            raise InputError(
                f"{self._folder} holds no checkpoint that can be read: start a new run with --config "
                f"{self._folder / 'config.json'}"
            )
        return None

    def forget(self, but: Callable[[int], bool] = lambda _epoch: False) -> None:
        """Remove all checkpoints, and leftovers of others, at the end of a run.

        Parameters
        ----------
        but
            Called with epoch numbers, newest first, until it returns true: that checkpoint is kept.
        """
        paths = self._newest_first()
        kept = next((path for path in paths if but(int(path.name[11:20]))), None)
        paths += self._folder.glob(".checkpoint-*.safetensors.*")
        _remove([path for path in paths if path != kept])

    def _newest_first(self) -> list[Path]:
        found = [path for path in self._folder.iterdir() if NAME.fullmatch(path.name)]
        return sorted(found, reverse=True)


def has_checkpoint(folder: Path) -> bool:
    """Return whether a folder has a checkpoint."""
    return any(NAME.fullmatch(path.name) for path in folder.iterdir())


def _differences(then: Any, now: Any, free: Collection[str]) -> list[str]:
    """Return the names of what differs within a part of two runs, or the name of the part."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        return [] if then == now else ["it"]
    return [name for name in then | now if then.get(name) != now.get(name) and name not in free]


def _other(key: str, there: Mapping[str, Any], here: Mapping[str, Any], free: Collection[str]) -> str:
    """Return the name of a part in which two runs differ, and of what differs within it."""
    then, now = there.get(key), here[key]
    if not (isinstance(then, dict) and isinstance(now, dict)):
        return key
    return f"{key} ({', '.join(_differences(then, now, free))})"


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # for example, it is a folder: no reason to end a run
            path.unlink()


def _states(fit: Fit) -> list[tuple[str, State]]:
    """Return the states needed to resume a run, by name."""
    best = [] if fit.best is None else [("best", fit.best.state)]
    sane = [] if fit.sane is None else [("sane", fit.sane.state)]
    return [("state", fit.state), *sane, *best]


def _arrays(fit: Fit, device: Device) -> dict[str, NDArray[Any]]:
    """Return all arrays of a checkpoint, by name."""
    on_device = {
        f"{which}/{kind}/{name}": value
        for which, state in _states(fit)
        for kind, of in state.items()
        for name, value in of.items()
    }
    arrays = all_to_host(device, on_device)
    if fit.best is not None:
        arrays |= {"best_value": fit.best.value, "best_epoch": fit.best.epoch}
    if fit.sane is not None:
        arrays["sane_value"] = fit.sane.value
    # Columns keep their dtype: in another one, the mean over networks would have different last bits.
    arrays |= {
        f"rows/{name}": np.stack([np.asarray(getattr(row, name)) for row in fit.history.rows])
        for name in Row._fields
    }
    arrays |= {
        "losses": np.stack([np.asarray(loss) for loss in fit.history.losses]),
        "diverged_at": fit.diverged_at,
        "stopped_at": fit.stopped_at,
    }
    return {name: np.array(value, order="C") for name, value in arrays.items()}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return description and arrays of a checkpoint; any exception if it is damaged."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        description = json.loads(file.metadata()["xpnet"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if description["format"] != FORMAT:
        raise ValueError(f"format {description['format']!r}, not {FORMAT}")
    if description.pop("crc32") != _checksum(description, tensors):
        raise ValueError("its checksum is wrong")
    return description, tensors


def _fit(description: Mapping[str, Any], tensors: dict[str, NDArray[Any]], device: Device) -> Fit:
    def put(value: NDArray[Any]) -> Array:
        return device.xp.asarray(device.put(value), copy=True)  # training will consume it

    states: dict[str, State] = {"state": {}, "sane": {}, "best": {}}
    with device.active():
        for key, value in tensors.items():
            which, _, rest = key.partition("/")
            if which in states:
                kind, _, name = rest.partition("/")
                states[which].setdefault(kind, {})[name] = put(value)
    best = None
    if states["best"]:
        best = Best(states["best"], tensors["best_value"], tensors["best_epoch"])
    sane = Sane(states["sane"], tensors["sane_value"]) if states["sane"] else None
    columns = [tensors[f"rows/{name}"] for name in Row._fields]
    rows = [
        Row._make(v.item() if v.ndim == 0 else v for v in map(np.asarray, row))
        for row in zip(*columns, strict=True)
    ]
    return Fit(
        states["state"],
        History(rows, list(tensors["losses"])),
        tensors["diverged_at"],
        False,
        tensors["stopped_at"],
        best,
        int(description["epoch"]),
        sane,
    )


def _checksum(description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    crc = zlib.crc32(json.dumps(description, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {value.dtype.str} {value.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(value).data, crc)
    return f"{crc:08x}"
