"""Default values of a run: those of its data set and recipe, and those chosen by the number of rows."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from xpnet.datasets import kind_of
from xpnet.runs.settings import default_of, layered

__all__ = [
    "DATASET_DEFAULTS",
    "defaults_for",
    "suitable_batch",
    "suitable_components",
    "suitable_epochs",
    "suitable_networks",
    "usual_recipe",
]

MOST_COMPONENTS = 512
"""Number of principal components kept by default."""

DATASET_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # The best settings of the original exercise. Raw pixels need a smaller step than the digits' 0 to 16.
    "cifar10": {
        "iterations": 1600,
        "batch_size": 400,
        "learning_rate": 1.6e-3,
        "learning_rate_decay": 0.9,
        "init_std": 1e-4,
    }
}


def suitable_batch(num_rows: int) -> int:
    """Return a suitable batch size: several batches even for few rows, larger batches for many rows."""
    few, many = num_rows // 16, num_rows // 400
    return min(num_rows, max(16, min(256, few), min(1024, many)))


def suitable_epochs(num_rows: int) -> int:
    """Return a suitable number of epochs: the more rows, the fewer."""
    return round(min(64.0, max(8.0, 24 * math.sqrt(4800 / num_rows))))


def suitable_networks(num_rows: int) -> int:
    """Return a suitable size of an ensemble; with very many rows, its networks hardly differ."""
    return 4 if num_rows < 200_000 else 2


def suitable_components(num_rows: int, num_features: int) -> int:
    """Return how many principal components to keep, given the number of rows."""
    return max(1, min(MOST_COMPONENTS, num_features, num_rows // 2))


def usual_recipe(given: Mapping[str, Any]) -> str | None:
    """Return the default recipe of a data set, given some settings; None for none."""
    kind = kind_of(str(given.get("dataset", "digits")))
    return kind if kind in ("table", "images") else None


def defaults_for(settings: type[Any], dataset: str | None = None) -> dict[str, Any]:
    """Return the default of every setting for a data set.

    Parameters
    ----------
    settings
        `xpnet.runs.config.Config`, or a class derived from it.
    dataset
        As in `Config`; by default the default data set.
    """
    common = {f.name: default_of(f) for f in fields(settings)}
    if dataset is not None:
        common["dataset"] = dataset
    return layered(settings, [DATASET_DEFAULTS.get(str(dataset), {})], lambda _: common)
