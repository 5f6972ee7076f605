"""The table of a sweep, one row per network, as text and as a file."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from xpnet.files import replacing
from xpnet.reporting.metrics import shown
from xpnet.runs.config import Config
from xpnet.training.monitors import ours, sign_of

__all__ = ["SEEDS", "as_text", "cells", "show", "varied", "write_csv"]

SEEDS = ("seed", "batch_seed")
"""Settings that choose between equals: networks that differ in nothing else are repetitions of one."""


def varied(configs: Sequence[Config]) -> list[str]:
    """Return the names of the settings in which the networks differ."""
    return [f.name for f in fields(Config) if len({getattr(c, f.name) for c in configs}) > 1]


def write_csv(
    path: Path, configs: Sequence[Config], rows: Iterable[Mapping[str, Any]], score: str = "accuracy"
) -> None:
    """Write ``results.csv``: number, settings, scores and status of each network, best first.

    Parameters
    ----------
    path
        The file, replaced as a whole.
    configs
        Settings by network.
    rows
        As in `xpnet.sweep.Sweep`.
    score
        Name of the scores: ``"accuracy"`` or ``"r2"``.
    """
    settings = [f.name for f in fields(Config) if f.metadata.get("recorded", True)]
    measured = ["train_score", "val_score", "status", "steps", "seconds"]
    rows = list(rows)
    monitor = _ranked_by(configs, rows)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        scores = [name.replace("score", score) for name in measured]
        writer.writerow(["network", *settings, *scores, *monitor])
        for row in rows:
            config = configs[row["network"]]
            values = [
                show(value) if isinstance(value := getattr(config, name), tuple) else value
                for name in settings
            ]
            of_monitor = [_monitored(name, row) for name in monitor]
            writer.writerow([row["network"], *values, *(row[name] for name in measured), *of_monitor])


def as_text(configs: Sequence[Config], rows: Iterable[Mapping[str, Any]], score: str = "accuracy") -> str:
    """Return the settings that vary and the scores, in aligned columns."""
    lines = cells(configs, rows, score)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def cells(
    configs: Sequence[Config], rows: Iterable[Mapping[str, Any]], score: str = "accuracy"
) -> list[list[str]]:
    """Return the varied settings and the scores: first the column names, then one list per row."""
    rows, names = list(rows), varied(configs)
    monitor = _ranked_by(configs, rows)
    lines = [["network", *names, "train", "val", *monitor, "status"]]
    for row in rows:
        settings = [show(getattr(configs[row["network"]], name)) for name in names]
        scores = [shown(row[part], score) for part in ("train_score", "val_score")]
        scores += [f"{_monitored(name, row):.4f}" for name in monitor]
        lines.append([str(row["network"]), *settings, *scores, row["status"]])
    return lines


def _ranked_by(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name of the monitor that ranks the networks, if it is not their score."""
    return [configs[0].monitor] if any("monitored" in row for row in rows) else []


def _monitored(monitor: str, row: Mapping[str, Any]) -> float:
    """Return the monitored value of a network with its original sign."""
    sign = sign_of(ours(monitor)) if ours(monitor) else 1
    return sign * float(row["monitored"])


def show(value: Any) -> str:
    """Format the value of a setting for people: ``300 100`` for layers, ``0.0016``."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
