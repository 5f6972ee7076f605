"""Join several feeds, for a stack of networks with different rows."""

from collections.abc import Sequence
from dataclasses import replace

from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.typing import Namespace

__all__ = ["pool"]


def pool(xp: Namespace, feeds: Sequence[Feed], owners: Sequence[int]) -> Feed:
    """Return one feed with the rows of several, in which each network of a stack has its own rows.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    feeds
        One feed for each network or group of networks; the same feed may occur several times. All give a
        network the same number of rows, and either all have weights or none. Feeds that differ have no
        augmentation.
    owners
        Number of networks in each group.
    """
    first = feeds[0]
    if len(feeds) == 1 and (first.own is not None or owners[0] == 1):
        return first
    own, begin = [], 0
    begins: dict[tuple[int, ...], int] = {}
    device = getattr(first.y, "device", None)
    for feed, networks in zip(feeds, owners, strict=True):
        rows = feed.own
        if rows is None:
            rows = xp.arange(feed.num_rows, dtype=xp.int64, device=device)[None, :]
            rows = xp.concat([rows] * networks)
        if _same(feed) not in begins:
            begins[_same(feed)], begin = begin, begin + feed.X.shape[0]
        own.append(rows + begins[_same(feed)])
    parts = list({_same(feed): feed for feed in feeds}.values())
    if len(parts) == 1:
        return replace(first, own=xp.concat(own))
    on_host = isinstance(first.X, HostRows)
    X = _stacked([f.X for f in parts]) if on_host else xp.concat([f.X for f in parts])
    weight = None if first.weight is None else xp.concat([feed.weight for feed in parts])
    return replace(first, X=X, y=xp.concat([f.y for f in parts]), weight=weight, own=xp.concat(own))


def _same(feed: Feed) -> tuple[int, ...]:
    """Return a key that is equal for feeds with the same arrays."""
    return id(feed.X), id(feed.y), id(feed.weight)


def _stacked(parts: Sequence[HostRows]) -> HostRows:
    """Return sparse rows, stacked."""
    from scipy import sparse  # already imported, since the rows are sparse

    first = parts[0]
    return HostRows(sparse.vstack([part.rows for part in parts], "csr"), first.device, first.dtype)
