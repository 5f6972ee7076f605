"""The original's grid of 15 networks: stacked, one by one, and by its peers; and cost against stack size.

    python benchmarks/sweep.py [--threads N] [--device cuda]
    python benchmarks/sweep.py --stack-sizes [--plot FILE]

A step here is a step of all networks of the grid on the same batch; the table also gives what the grid's
1,600 steps come to at that rate.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import interleave
from interleave import Block, Contender, Timing
from step import Sizes, data, original_net, products_and_gather, torch_net

LEARNING_RATES = (1.0e-3, 1.2e-3, 1.4e-3, 1.6e-3, 1.8e-3)
REGS = (1e-4, 1e-3, 1e-2)
STEPS = 1600


@dataclass(frozen=True)
class Grid(Sizes):
    """The networks: as many points of the original's grid as there are, or that many copies of it."""

    nets: int = 15

    def points(self) -> list[tuple[float, float]]:
        """Return learning rate and regularisation of each network."""
        grid = list(itertools.product(LEARNING_RATES, REGS))
        return [grid[k % len(grid)] for k in range(self.nets)]


def configs(grid: Grid) -> list[Any]:
    """Return the settings of each network."""
    from xpnet.config import Config

    base = Config(hidden=(grid.hidden,), batch_size=grid.batch, init_std=1e-4, batch_seed=0)
    return [replace(base, learning_rate=rate, reg=reg, seed=k) for k, (rate, reg) in enumerate(grid.points())]


def stacked(grid: Grid, size: int | None = None) -> Block:
    """xpnet: the grid cut into stacks as `xpnet.sweep` cuts it, or into stacks of ``size``."""
    from xpnet.datasets import Dataset
    from xpnet.device import SHARED_FROM, get_device, one_blas_thread
    from xpnet.experiment import hyper_of, initial
    from xpnet.preparation import prepare
    from xpnet.step import initial_state, make_step
    from xpnet.sweep.plan import Cut, choose_cut

    device = get_device(grid.device)
    X, y, draw = data(grid)
    names = tuple(map(str, range(grid.classes)))
    networks = configs(grid)
    prepared = prepare(networks[0], Dataset("", X, y, X[:1000], y[:1000], None, None, names), device)
    cut = Cut(size) if size else choose_cut(networks, prepared, device, None)
    mlp = networks[0].mlp(grid.features, grid.classes)
    regime = networks[0].regime(len(X))
    stacks = []
    for numbers in cut.chunks(range(grid.nets)):
        chosen = [networks[k] for k in numbers]
        params, hyper = initial(chosen, mlp, device), hyper_of(chosen)
        step = make_step(device, mlp, prepared.feed, regime, hyper, params)
        fixed = {
            "rate": device.put(hyper.learning_rate, "float32"),
            "count": device.put(1.0, "float32"),
        }
        stacks.append([initial_state(device, params, regime, hyper), step, fixed])

    def train(stack: list[Any], indices: Sequence[Any]) -> None:
        state, step, fixed = stack
        with device.active():
            for index in indices:
                state, _ = step(state, {"index": device.put(index), **fixed})
        stack[0] = state

    threads = ThreadPoolExecutor(cut.workers)
    # As the commands do: a sweep of several networks always, a network alone where its products are small.
    is_sweep = size is None and grid.nets > 1
    one_thread = is_sweep or 2 * grid.batch * grid.features * grid.hidden < SHARED_FROM

    def block(steps: int) -> None:
        indices = [draw() for _ in range(steps)]
        with one_blas_thread(one_thread):
            list(threads.map(train, stacks, [indices] * len(stacks)))
        device.synchronize()

    return block


def one_by_one(grid: Grid) -> Block:
    """xpnet: each network alone, as a stack of one without an axis."""
    return stacked(grid, size=1)


def original_one_by_one(grid: Grid) -> Block:
    """The exercise's own loop in float64, network after network."""
    X, y, draw = data(grid)
    X = X.astype("float64")
    nets = [original_net(grid, "float64") for _ in range(grid.nets)]

    def block(steps: int) -> None:
        for _ in range(steps):
            index = draw()
            for net, (rate, reg) in zip(nets, grid.points(), strict=True):
                _, grads = net.loss(X[index], y[index], reg)
                for name in net.params:
                    net.params[name] -= rate * grads[name]

    return block


def torch_one_by_one(grid: Grid) -> Block:
    """PyTorch eager, network after network."""
    import torch
    from torch import nn

    X_host, y_host, draw = data(grid)
    X, y = torch.from_numpy(X_host).to(grid.device), torch.from_numpy(y_host).to(grid.device)
    nets = [torch_net(grid, rate, reg) for rate, reg in grid.points()]

    def block(steps: int) -> None:
        for _ in range(steps):
            index = torch.from_numpy(draw()).to(grid.device)
            for net, optimizer in nets:
                loss = nn.functional.cross_entropy(net(X[index]), y[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        if grid.device != "cpu":
            torch.cuda.synchronize()

    return block


def torch_vmap(grid: Grid) -> Block:
    """PyTorch with `torch.func.vmap` over stacked parameters and a hand-written SGD."""
    import torch
    from torch.func import functional_call, grad, stack_module_state, vmap
    from torch.nn import functional

    X_host, y_host, draw = data(grid)
    X, y = torch.from_numpy(X_host).to(grid.device), torch.from_numpy(y_host).to(grid.device)
    nets = [torch_net(grid, rate, reg)[0] for rate, reg in grid.points()]
    params, _ = stack_module_state(nets)
    params = {name: value.detach() for name, value in params.items()}
    rates, regs = (torch.tensor(v, device=grid.device) for v in zip(*grid.points(), strict=True))

    def loss(p: Any, x: Any, target: Any) -> Any:
        return functional.cross_entropy(functional_call(nets[0], p, (x,)), target)

    grads_of_all = vmap(grad(loss), in_dims=(0, None, None))

    def block(steps: int) -> None:
        for _ in range(steps):
            index = torch.from_numpy(draw()).to(grid.device)
            with torch.no_grad():
                for name, g in grads_of_all(params, X[index], y[index]).items():
                    shape = (-1,) + (1,) * (g.ndim - 1)
                    if name.endswith("weight"):
                        params[name].mul_((1 - rates * regs).reshape(shape))
                    params[name].sub_(rates.reshape(shape) * g)
        if grid.device != "cpu":
            torch.cuda.synchronize()

    return block


def jax_vmap(grid: Grid) -> Block:
    """JAX with `jax.vmap` over stacked parameters, compiled, with donated parameters."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from step import jax_objective, weights

    device = jax.devices("cpu" if grid.device == "cpu" else "gpu")[0]
    X_host, y_host, draw = data(grid)
    X, y = jax.device_put(X_host, device), jax.device_put(y_host, device)
    params = {name: np.stack([value] * grid.nets) for name, value in weights(grid).items()}
    params = jax.device_put(params, device)
    rates, regs = (jnp.array(v, jnp.float32) for v in zip(*grid.points(), strict=True))

    def one(p: dict[str, Any], x: Any, target: Any, rate: Any, reg: Any) -> tuple[dict[str, Any], Any]:
        loss, grads = jax.value_and_grad(jax_objective)(p, x, target, reg)
        return jax.tree.map(lambda value, g: value - rate * g, p, grads), loss

    of_all = jax.vmap(one, in_axes=(0, None, None, 0, 0))

    def step(p: dict[str, Any], X: Any, y: Any, index: Any) -> tuple[dict[str, Any], Any]:
        return of_all(p, X[index], y[index], rates, regs)

    compiled = jax.jit(step, donate_argnums=0)

    def block(steps: int) -> None:
        nonlocal params
        for _ in range(steps):
            params, _ = compiled(params, X, y, draw())
        jax.block_until_ready(params)

    return block


def floor(grid: Grid) -> Block:
    """Five matrix products and a gathered batch for each network: the floor of step.py, as often."""
    block = products_and_gather(grid)
    return lambda steps: block(steps * grid.nets)


FLOOR = "floor: step.py's, 15 times"
CONTENDERS = {
    FLOOR: Contender(floor),
    "xpnet stacked": Contender(stacked),
    "xpnet one by one": Contender(one_by_one),
    "original loop, float64": Contender(original_one_by_one),
    "PyTorch one by one": Contender(torch_one_by_one, needs=("torch",)),
    "torch.func.vmap": Contender(torch_vmap, needs=("torch",)),
    "jax.vmap": Contender(jax_vmap, needs=("jax",)),
}


def grid_of_the_original(flags: argparse.Namespace) -> None:
    """Time a step of the 15 networks by every contender."""
    grid = Grid(device=flags.device)
    chosen = interleave.installed(CONTENDERS, flags.only, always=FLOOR, cpu=flags.device == "cpu")
    timings = interleave.time_side_by_side(chosen, grid, flags.rounds, flags.seconds)
    print(f"{interleave.environment_line()}\n\n{grid}, {STEPS} steps\n")
    print(interleave.markdown_table(timings, FLOOR))
    print("\nThe grid's 1,600 steps at that rate, not counting evaluations:\n")
    for name, timing in timings.items():
        print(f"- {name}: {STEPS * timing.median():.1f} s (measured {len(timing.seconds)} turns)")
    if flags.json:
        interleave.write_json(flags.json, vars(grid), timings)


NETWORKS = ((64, 32), (64, 128), (64, 300), (3072, 300))
BATCHES = (32, 128, 400)
STACK_SIZES = (1, 4, 16, 64, 256)


def stack_sizes(flags: argparse.Namespace) -> None:
    """Time a network's share of a step against the size of the stack, and what the automatic choice gives."""
    print(f"{interleave.environment_line()}\n")
    print("Time of one network's step alone; then how many times as fast it is in a stack of that size,")
    print("one stack at a time, and (automatic) as `xpnet.sweep` would cut that many networks.\n")
    sizes = " | ".join(f"{size}" for size in STACK_SIZES)
    print(f"| network | batch | alone µs | {sizes} | {' | '.join(f'auto {s}' for s in STACK_SIZES)} |")
    print("|" + "---|" * (3 + 2 * len(STACK_SIZES)))
    speedups: dict[str, list[float]] = {}
    for (features, hidden), batch in itertools.product(NETWORKS, BATCHES):
        if features == 3072 and batch != 400:
            continue
        grid = Grid(batch, features, hidden, rows=1297 if features == 64 else 10_000)
        contenders = {"alone": Contender(partial(_of_size, nets=1, size=1))}
        for size in STACK_SIZES:
            contenders[f"{size}"] = Contender(partial(_of_size, nets=size, size=size))
            contenders[f"auto {size}"] = Contender(partial(_of_size, nets=size, size=None))
        timings = interleave.time_side_by_side(contenders, grid, flags.rounds, flags.seconds)
        share = {
            name: Timing([s / max(1, int(name.split()[-1])) for s in t.seconds], t.peak_mib)
            if name != "alone"
            else t
            for name, t in timings.items()
        }
        ratio = interleave.ratios(share, "alone")
        label = f"{features}→{hidden}→10"
        cells = [f"{1 / ratio[f'{prefix}{size}']:.2f}" for prefix in ("", "auto ") for size in STACK_SIZES]
        print(
            f"| {label} | {batch} | {1e6 * share['alone'].median():.0f} | {' | '.join(cells)} |", flush=True
        )
        speedups[f"{label}, batch {batch}"] = [1 / ratio[f"{size}"] for size in STACK_SIZES]
    if flags.plot:
        _plot(flags.plot, speedups)


def _of_size(grid: Grid, nets: int, size: int | None) -> Block:
    return stacked(replace(grid, nets=nets), size)


def _plot(path: Path, speedups: dict[str, list[float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=130, layout="constrained")
    axes = figure.subplots()
    for label, values in speedups.items():
        axes.plot(STACK_SIZES, [1 / value for value in values], marker="o", label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(STACK_SIZES, [str(size) for size in STACK_SIZES])
    axes.axhline(1, color="0.6", linewidth=0.8)
    axes.set_xlabel("networks in the stack")
    axes.set_ylabel("cost per network, alone = 1")
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path)


def main() -> None:
    """Run one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    interleave.add_common_flags(parser)
    parser.add_argument("--stack-sizes", action="store_true", help="cost per network against stack size")
    parser.add_argument("--plot", type=Path, default=None, help="draw the second table to this file")
    flags = parser.parse_args()
    interleave.limit_threads(flags.threads)
    if flags.stack_sizes:
        stack_sizes(flags)
    else:
        grid_of_the_original(flags)


if __name__ == "__main__":
    main()
