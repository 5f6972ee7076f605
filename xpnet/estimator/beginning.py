"""Prepare estimators that are fitted together; what several have in common is computed only once."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import joblib  # type: ignore[import-untyped]
from sklearn import get_config
from sklearn.pipeline import Pipeline

from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.estimator.base import Estimator
from xpnet.estimator.fitting import Fitting
from xpnet.estimator.inputs import own_rows
from xpnet.estimator.jobs import Share
from xpnet.estimator.tables import Table

__all__ = ["Beginning", "Part", "Unit"]

ITEMSIZE = 8
"""Maximum bytes per number."""


class Part(NamedTuple):
    """Rows and other arguments of ``fit`` for one fold, shared by all estimators fitted on it.

    ``test`` holds the rows and targets to score on, if scoring follows at once.
    """

    X: Any
    y: Any
    params: Mapping[str, Any]
    test: tuple[Any, Any] | None = None


class Unit(NamedTuple):
    """An estimator with its parameters set, and the rows to fit it on."""

    estimator: Any
    part: Part


class Beginning:
    """Prepares units for training. What units of the same part have in common is computed only once."""

    def __init__(self) -> None:
        self._earlier: dict[tuple[int, str], tuple[Any, Any]] = {}
        self._feeds: dict[int, list[Feed]] = {}
        self._kin: dict[tuple[str, int, int], Share] = {}
        self._counted: set[int] = set()

    def __call__(self, unit: Unit) -> Share | None:
        """Return what to train; None for an estimator that must be fitted separately."""
        estimator, part = unit
        X, params = part.X, dict(part.params)
        last = estimator
        if type(estimator) is Pipeline:
            last = estimator.steps[-1][1]
            if not (_shares(last) and _is_plain(estimator, part)):
                return None
            X, params = self._transformed(estimator, part)
        if not _shares(last):
            return None
        kin = last._kin(), id(X), id(part)
        if kin[0] and kin in self._kin:
            begun: Share = last._share_like(self._kin[kin])
            return begun
        begun = last._share(X, part.y, **params)
        job = begun.job
        job = replace(job, feed=self._known(part, job.feed))
        if job.validation is not None:
            job = replace(job, validation=self._known(part, job.validation))
        begun = begun._replace(job=job)
        if kin[0]:
            self._kin[kin] = begun
        return begun

    def _transformed(self, pipeline: Pipeline, part: Part) -> tuple[Any, dict[str, Any]]:
        """Fit the earlier steps of a pipeline; return the new rows, and the parameters for the last step.

        Earlier steps that are the same in several pipelines are fitted only once.
        """
        name = f"{pipeline.steps[-1][0]}__"
        of_last = {key.removeprefix(name): of for key, of in part.params.items() if key.startswith(name)}
        others = {key: of for key, of in part.params.items() if not key.startswith(name)}
        earlier = pipeline[:-1]
        if not earlier.steps:
            return part.X, of_last
        try:
            known_by = joblib.hash(earlier)
        except Exception:  # a step that cannot be pickled (any error) counts as different from all others
            known_by = str(id(pipeline))
        key = id(part), known_by
        if key not in self._earlier:
            X, y = own_rows(part.X), own_rows(part.y)
            self._earlier[key] = earlier.fit_transform(X, y, **others), earlier.steps
        X, fitted = self._earlier[key]
        pipeline.steps[:-1] = fitted
        return X, of_last

    def bytes_of(self, share: Share) -> int:
        """Estimate the additional memory of a unit: its rows, if they are new, and its networks."""
        feeds = [feed for feed in (share.job.feed, share.job.validation) if feed is not None]
        new = [feed for feed in feeds if id(feed.X) not in self._counted]
        self._counted |= {id(feed.X) for feed in new}
        of_rows = sum(math.prod(feed.X.shape) for feed in new)
        of_network = sum(math.prod(shape) for shape in share.job.mlp.shapes.values())
        # Rows are held twice, the second time in the stack's pool; for networks see `xpnet.sweep.plan`.
        return int(ITEMSIZE * (2 * of_rows + 12 * share.job.members * of_network))

    def _known(self, part: Part, feed: Feed) -> Feed:
        """Return equal rows that exist already, if any, so that a stack holds them once."""
        known = self._feeds.setdefault(id(part), [])
        for other in known:
            if _alike(feed, other):
                return other
        known.append(feed)
        return feed


def _shares(estimator: Any) -> bool:
    """Return whether an estimator can share a stack; subclasses with their own ``fit`` cannot."""
    ours = isinstance(estimator, Fitting | Table) and type(estimator).fit in (Estimator.fit, Table.fit)
    return ours and estimator._shares_stack()


def _is_plain(pipeline: Pipeline, part: Part) -> bool:
    """Return whether fitting a pipeline fits its earlier steps, then its last, and does nothing else.

    A pipeline that routes or transforms parameters of ``fit`` must be fitted separately.
    """
    routes = get_config()["enable_metadata_routing"] or getattr(pipeline, "transform_input", None) is not None
    to_steps = {name.partition("__")[0] for name in part.params} <= set(pipeline.named_steps)
    return to_steps and not (routes and part.params)


def _alike(a: Feed, b: Feed) -> bool:
    """Return whether rows, targets and weights are the same.

    Rows that stay on the host, bootstrap samples, and rows that are preprocessed batch by batch (possibly in
    different ways) are not compared, and count as different.
    """
    if any(
        isinstance(feed.X, HostRows) or feed.own is not None or feed.prepare or feed.augmentation
        for feed in (a, b)
    ):
        return False
    return all(map(_same, (a.X, a.y, a.weight), (b.X, b.y, b.weight)))


def _same(a: Any, b: Any) -> bool:
    """Return whether two arrays are equal, or both None."""
    if a is None or b is None or a is b:
        return a is b
    if type(a) is not type(b) or getattr(a, "device", None) != getattr(b, "device", None):
        return False
    return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())
