"""How a sweep is divided: networks into stacks that fit memory and cache, training into rungs."""

import math
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np

from xpnet.data.batches import batches_per_epoch, epoch_ends
from xpnet.device import Device, cores, of_step, one_blas_thread
from xpnet.nn.mlp import EXPANSION, MLP, operations
from xpnet.runs.config import Config
from xpnet.runs.networks import hyper_of, initial, share_inputs, sources_of
from xpnet.runs.preparation import Prepared
from xpnet.runs.subset import count_of, drawn_by
from xpnet.training.draws import draw_epoch
from xpnet.training.evaluation import EVALUATION_ROWS
from xpnet.training.step import initial_state, make_step
from xpnet.training.together import SHARED_OUT_FROM
from xpnet.typing import Task

__all__ = [
    "Cut",
    "choose_cut",
    "choose_size",
    "count_halvings",
    "epochs_of_rung",
    "fits_in_memory",
    "groups",
    "shape_of",
    "total_steps",
]

MEMORY_SHARE = 0.6
"""Fraction of the free memory for stacks in training: estimates err, and others need memory, too."""

CALIBRATION_SHARE = 0.03
"""Maximum fraction of a sweep's time for trying out stack sizes."""

CALIBRATION_SECONDS = 0.01

CALIBRATION_STEPS = 7
"""Minimum number of steps for trying a stack size."""


@dataclass(frozen=True)
class Cut:
    """How the networks of one shape are trained: ``size`` to a stack, ``workers`` stacks at a time.

    On a CPU each worker is a thread with one BLAS thread.
    """

    size: int
    workers: int = 1

    def chunks(self, numbers: Sequence[int]) -> list[list[int]]:
        """Divide networks into stacks of about equal size, at most ``size``, enough for all workers."""
        count = -(-len(numbers) // self.size)
        count = min(len(numbers), -(-count // self.workers) * self.workers)
        return [part.tolist() for part in np.array_split(np.asarray(numbers), count)]


def groups(configs: Sequence[Config]) -> list[list[int]]:
    """Return the indices of networks that can share a stack, by group.

    Networks share a stack when they differ only in settings marked ``stackable`` and have the same rows.
    """
    found: dict[tuple[object, ...], list[int]] = {}
    for number, config in enumerate(configs):
        found.setdefault((shape_of(config), drawn_by(config)), []).append(number)
    return list(found.values())


def shape_of(config: Config) -> tuple[object, ...]:
    """Return a key that is equal for networks of equal cost; with the same rows, they may share a stack."""
    return tuple(getattr(config, f.name) for f in fields(Config) if not f.metadata.get("stackable"))


def count_halvings(configs: Sequence[Config], num_rows: int) -> int:
    """Return the number of halvings: until one network is left, or the first rung is an epoch long."""
    rows = [count_of(config, num_rows) for config in configs]
    shortest = min(
        c.num_steps(count) // batches_per_epoch(count, c.batch_size, c.sampling)
        for c, count in zip(configs, rows, strict=True)
    )
    return min((len(configs) - 1).bit_length(), max(shortest, 1).bit_length() - 1)


def epochs_of_rung(config: Config, num_rows: int, rung: int, halvings: int) -> tuple[int, int]:
    """Return the range of epochs of a rung: first, and one past the last.

    The steps done double from rung to rung while the networks halve, and the last rung ends where
    training ends: successive halving with a factor of 2 (Jamieson and Talwalkar 2016,
    https://arxiv.org/abs/1502.07943). A rung ends where an epoch does.
    """
    num_rows = count_of(config, num_rows)
    steps = config.num_steps(num_rows)
    steps_per_epoch = batches_per_epoch(num_rows, config.batch_size, config.sampling)
    ends = epoch_ends(steps, steps_per_epoch, config.sampling)

    def epochs_until(rung: int) -> int:
        return 0 if rung < 0 else bisect_left(ends, steps / 2 ** (halvings - rung)) + 1

    return epochs_until(rung - 1), epochs_until(rung)


def total_steps(configs: Sequence[Config], num_rows: int, halvings: int) -> int:
    """Return the number of steps of all networks of a sweep; an estimate with halving."""
    steps = [config.num_steps(count_of(config, num_rows)) for config in configs]
    # A rung's share of a network's steps, times the share of the networks that reach it.
    shares = [2.0**-halvings] + [2.0 ** (rung - 1 - halvings - rung) for rung in range(1, halvings + 1)]
    return round(sum(steps) * sum(shares))


def network_bytes(mlp: MLP, configs: Sequence[Config], task: Task = "classification") -> int:
    """Estimate the memory of one network in a stack during training."""
    config = configs[0]
    itemsize = 4 if config.dtype == "float32" else 8
    parameters = sum(math.prod(shape) for shape in mlp.shapes.values())
    # Copies of the state (parameters, solver and average): the current one, the one at the start of the epoch
    # and, if a network diverges, the sane one and the one in which that replaces it. With patience, also the
    # best one and, while that changes, the previous best. Gradients take less, and are freed by then.
    regime = config.regime(config.batch_size, task)
    kept = len(initial_state(Device(), {}, regime, hyper_of(configs)))
    copies = (6 if regime.restores_best else 4) * kept
    if config.compile:  # a captured or compiled step works on a copy of all that, and is tried out on another
        copies += 2 * kept
    # For each unit: its value before and after the activation, two gradients, and what a smooth activation or
    # a mask takes, in training or evaluation; more with a norm. For the batches: this one and the last of the
    # previous epoch, or this one with a mask and its random bits. A stack that shares batches has them once.
    units = sum(mlp.sizes[1:]) * (1 + (mlp.norm != "none")) * (EXPANSION if mlp.residual else 1)
    rows = max(config.batch_size, EVALUATION_ROWS)
    batches = 2 if len(configs) > 1 and share_inputs(configs) else 5
    return itemsize * (copies * parameters + 6 * units * rows + batches * mlp.sizes[0] * config.batch_size)


def fits_in_memory(mlp: MLP, configs: Sequence[Config], free: int, task: Task = "classification") -> int:
    """Return how many of these networks fit into this many free bytes at a time, at least 1."""
    return max(1, int(MEMORY_SHARE * free) // network_bytes(mlp, configs, task))


def choose_cut(configs: Sequence[Config], prepared: Prepared, device: Device, max_nets: int | None) -> Cut:
    """Choose how to divide the networks of one shape into stacks.

    A GPU takes as many networks as fit into its memory. A CPU may train a stack on each core. A larger stack
    saves calls, but is slower once it exceeds the cache. So a few stack sizes, on one and on several threads,
    are tried for some steps each, and the fastest is used. The choice does not change a bit of the results.

    Parameters
    ----------
    configs
        Settings of the networks, of one shape.
    prepared, device
        The data, and their device.
    max_nets
        Maximum number of networks in a stack; by default limited only by memory.
    """
    mlp = prepared.mlp(configs[0])
    fit = fits_in_memory(mlp, configs, device.free_memory(), prepared.data.task)
    most = min(len(configs), max_nets or len(configs), fit)
    if not device.is_host:
        return Cut(most)

    def on_all_cores(size: int) -> Cut:
        return Cut(size, min(cores(), -(-len(configs) // size), max(1, fit // size)))

    # First the likely best, a stack on each core or a single one: a sweep of few networks is so short that
    # nothing else is tried. Then smaller stacks, on several threads and on one.
    ways = [on_all_cores(min(most, -(-len(configs) // cores()))), Cut(most)]
    if most * operations(mlp, configs[0].batch_size) < SHARED_OUT_FROM:
        ways.reverse()
    for size in _halved(most):
        ways += [on_all_cores(size), Cut(size)]
    rounds = {cut: -(-len(configs) // (cut.size * cut.workers)) for cut in ways}
    return _fastest(rounds, configs, mlp, prepared, device)


def choose_size(
    configs: Sequence[Config],
    prepared: Prepared,
    device: Device,
    most: int,
    workers: int,
    beside: int,
    free: int,
) -> int:
    """Choose how many networks of one shape to stack if each worker trains a stack; runs on one worker.

    This is the counterpart of `choose_cut`, which is for threads. The choice does not change a bit of the
    results.

    Parameters
    ----------
    configs
        Settings of the networks, of one shape.
    prepared, device
        The data on this worker, and its device.
    most
        Maximum number of networks in a stack.
    workers
        Number of workers.
    beside
        Number of workers that share the memory of a device, and the caches of a machine.
    free
        Bytes available to each worker before it has the data.
    """
    mlp = prepared.mlp(configs[0])
    left = free - _bytes_of_rows(prepared, configs[0], device)
    most = min(most, fits_in_memory(mlp, configs, left, prepared.data.task))
    if not device.is_host:
        return most
    # The other workers compute, too. If products are long, threads can simulate them. If they are short,
    # threads would wait for each other, which processes do not.
    is_long = most * operations(mlp, configs[0].batch_size) >= SHARED_OUT_FROM
    at_once = min(beside, cores()) if is_long else 1
    rounds = {Cut(size, at_once): -(-len(configs) // (size * workers)) for size in (most, *_halved(most))}
    steps = rounds[Cut(most, at_once)] * configs[0].num_steps(prepared.feed.num_rows)
    if CALIBRATION_SHARE * steps < CALIBRATION_STEPS:  # all other workers are waiting
        return most
    return _fastest(rounds, configs, mlp, prepared, device).size


def _bytes_of_rows(prepared: Prepared, config: Config, device: Device) -> int:
    """Estimate the memory of the data: the rows on the device and, if it is the host, also the raw rows."""
    itemsize = 4 if config.dtype == "float32" else 8
    held = [feed for feed in (prepared.feed, prepared.validation) if not feed.on_disk]
    numbers: int = sum(math.prod(feed.X.shape) for feed in held)
    return (1 + device.is_host) * itemsize * numbers


def _halved(most: int) -> list[int]:
    """Return the powers of two up to a number, largest first."""
    return [2**i for i in reversed(range(most.bit_length()))]


def _fastest(
    rounds: Mapping[Cut, int], configs: Sequence[Config], mlp: MLP, prepared: Prepared, device: Device
) -> Cut:
    """Try ways to divide the networks, one at a time; return the fastest once this has taken long enough.

    ``rounds`` is the number of times that all workers train a stack, for each way.
    """
    best, best_seconds = next(iter(rounds)), float("inf")
    if len(rounds) == 1:
        return best
    steps = configs[0].num_steps(prepared.feed.num_rows)
    began = time.perf_counter()
    for cut, times in rounds.items():
        seconds = times * steps * _seconds_per_step(cut, configs, mlp, prepared, device)
        if seconds < best_seconds:
            best, best_seconds = cut, seconds
        if time.perf_counter() - began > CALIBRATION_SHARE * best_seconds:
            break
    return best


def _seconds_per_step(
    cut: Cut, configs: Sequence[Config], mlp: MLP, prepared: Prepared, device: Device
) -> float:
    """Time some steps, with as many stacks at once as the cut has workers."""
    in_stack = configs[: cut.size]
    regime = in_stack[0].regime(prepared.feed.num_rows, prepared.data.task)
    hyper = hyper_of(in_stack)
    params = initial(in_stack, mlp, device)
    step = make_step(device, mlp, prepared.feed, regime, hyper, params)
    still = np.zeros((1,) if cut.size == 1 else (1, cut.size))
    tables = draw_epoch(
        device, prepared.feed, regime, hyper, params, sources_of(in_stack), 0, 0, {"rate": still}
    )
    draws = of_step(tables[0], 0)
    stacks = [
        initial_state(device, initial(in_stack, mlp, device), regime, hyper) for _ in range(cut.workers)
    ]

    def run(worker: int, steps: int) -> None:
        with device.active():
            for _ in range(steps):
                stacks[worker], _loss = step(stacks[worker], draws)

    def seconds(steps: int) -> float:
        began = time.perf_counter()
        list(threads.map(run, range(cut.workers), [steps] * cut.workers))
        return (time.perf_counter() - began) / steps

    with one_blas_thread(), ThreadPoolExecutor(cut.workers) as threads:
        first = seconds(1)
        steps = min(50, max(2, round(CALIBRATION_SECONDS / first)))
        return min(seconds(steps) for _ in range(3))
