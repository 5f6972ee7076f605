"""The memory that a call takes, as tracemalloc counts it: NumPy's arrays are in it."""

import tracemalloc
from collections.abc import Callable
from typing import NamedTuple


class Memory(NamedTuple):
    """In bytes: the most that was held at once, and what the result still holds."""

    peak: int
    kept: int


def memory_of(call: Callable[[], object]) -> Memory:
    """Return the memory of a call: the least of three tries.

    One try is not enough. The first may import and fill caches, and tracemalloc counts all threads, some of
    which an earlier test may have left at work.
    """
    peaks, kept = [], []
    for _ in range(3):
        tracemalloc.start()
        try:
            result = call()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        del result
        kept.append(after)
        peaks.append(peak)
    return Memory(min(peaks), min(kept))
