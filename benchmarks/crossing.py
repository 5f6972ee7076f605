"""Whether the machine's cores share a cache: what a pass over an array costs that another has just written.

A step on two threads hands arrays from core to core. On a virtual machine the host decides where its cores
are, and may move them from one minute to the next: next to each other, or each behind a cache of its own.
"""

import contextlib
import os
import statistics
import threading
import time

SIZE = 120_000
"""Entries of the array in float32: the hidden units of a batch of `step.py`."""

APART = 2.0
"""Ratio from which cores are said not to share a cache: 1.1 to 1.6 and 2.5 to 4.5 have been seen."""


def crossing(rounds: int = 50) -> float | None:
    """Return the time of a pass over what another core has written, by that of one over what this core has.

    Returns
    -------
    float or None
        A ratio of medians, of the first two cores. None where there is one, or no way to choose.
    """
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return None
    import numpy as np  # here, since nothing else may import it before `interleave.prepare`

    allowed = os.sched_getaffinity(0)
    here, there = sorted(allowed)[:2]
    array, begin, done = np.ones(SIZE, np.float32), threading.Semaphore(0), threading.Semaphore(0)

    def one_pass() -> float:
        began = time.perf_counter()
        np.add(array, 1.0, out=array)
        return time.perf_counter() - began

    def other() -> None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {there})  # of this thread alone
        for _ in range(rounds):
            begin.acquire()
            one_pass()
            done.release()

    threading.Thread(target=other, daemon=True).start()  # so that Ctrl-C need not wait for it
    os.sched_setaffinity(0, {here})
    try:
        others, own = [], []
        for _ in range(rounds):
            begin.release()
            done.acquire()
            others.append(one_pass())
            own.append(one_pass())
    finally:
        os.sched_setaffinity(0, allowed)
    return statistics.median(others) / statistics.median(own)


if __name__ == "__main__":
    print(crossing())
