"""The original's grid of 15 networks: stacked, one by one, and by its peers; and cost against stack size.

    python benchmarks/sweep.py [--nets 15 …] [--threads N] [--device cuda [--precision tf32]]
    python benchmarks/sweep.py --stack-sizes [--plot FILE]

A step here is a step of all networks of the grid on the same batch; the table also gives what the grid's
1,600 steps come to at that rate.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import floor
import interleave
from interleave import Block, Contender, Timing
from step import (
    TORCH,
    Sizes,
    TorchStep,
    captured,
    contenders_of,
    data,
    jax_device,
    jax_objective,
    original_net,
    reference,
    torch_data,
    torch_for,
    torch_net,
    torch_wait,
    weights,
    xpnet_epochs,
)

LEARNING_RATES = (1.0e-3, 1.2e-3, 1.4e-3, 1.6e-3, 1.8e-3)
REGS = (1e-4, 1e-3, 1e-2)
STEPS = 1600


@dataclass(frozen=True)
class Grid(Sizes):
    """The networks: as many points of the original's grid as there are, or that many copies of it."""

    nets: int = 15
    epoch: int = 4

    def points(self) -> list[tuple[float, float]]:
        """Return learning rate and regularisation of each network."""
        grid = list(itertools.product(LEARNING_RATES, REGS))
        return [grid[k % len(grid)] for k in range(self.nets)]


def configs(grid: Grid) -> list[Any]:
    """Return the settings of each network."""
    from xpnet.runs.config import Config

    base = Config(hidden=(grid.hidden,), batch_size=grid.batch, init_std=1e-4, batch_seed=0)
    return [replace(base, learning_rate=rate, reg=reg, seed=k) for k, (rate, reg) in enumerate(grid.points())]


def stacked(grid: Grid, size: int | None = None, backend: str = "auto", compiled: bool = False) -> Block:
    """xpnet: the grid cut into stacks as `xpnet.sweep` cuts it, or into stacks of ``size``."""
    from xpnet.datasets import Dataset
    from xpnet.device import get_device, one_blas_thread, small_products
    from xpnet.runs.networks import hyper_of, initial, sources_of
    from xpnet.runs.preparation import prepare
    from xpnet.sweep.plan import Cut, choose_cut

    device = get_device(grid.device, backend, grid.precision, compiled)
    X, y, _ = data(grid)
    names = tuple(map(str, range(grid.classes)))
    networks = configs(grid)
    prepared = prepare(networks[0], Dataset("", X, y, X[:1000], y[:1000], None, None, names), device)
    cut = Cut(size) if size else choose_cut(networks, prepared, device, None)
    mlp = networks[0].mlp(grid.features, grid.classes)
    regime = networks[0].regime(len(X))
    stacks = []
    for numbers in cut.chunks(range(grid.nets)):
        chosen = [networks[k] for k in numbers]
        params, hyper, sources = initial(chosen, mlp, device), hyper_of(chosen), sources_of(chosen)
        stacks.append(xpnet_epochs(grid, device, mlp, prepared.feed, regime, hyper, params, sources))
    threads = ThreadPoolExecutor(cut.workers)
    # As the commands do: a sweep of several networks always, a network alone where its products are small.
    is_sweep = size is None and grid.nets > 1
    small = small_products(grid.batch, mlp.sizes)
    one_thread = device.is_host and (is_sweep or small)

    def block(steps: int) -> None:
        with one_blas_thread(one_thread):
            if cut.workers == 1:
                for train in stacks:
                    train(steps)
            else:
                list(threads.map(lambda train: train(steps), stacks))

    return block


def original_one_by_one(grid: Grid) -> Block:
    """The exercise's own loop in float64, network after network."""
    X, y, draw = data(grid)
    X = X.astype("float64")
    nets = [original_net(grid, "float64") for _ in range(grid.nets)]

    def block(steps: int) -> None:
        for index in draw(steps):
            for net, (rate, reg) in zip(nets, grid.points(), strict=True):
                _, grads = net.loss(X[index], y[index], reg)
                for name in net.params:
                    net.params[name] -= rate * grads[name]

    return block


def torch_one_by_one(grid: Grid) -> Block:
    """PyTorch with autograd, network after network."""
    from torch import nn

    nets = [torch_net(grid, rate, reg) for rate, reg in grid.points()]
    X, y, batches = torch_data(grid)

    def block(steps: int) -> None:
        for index in batches(steps):
            for net, optimizer in nets:
                loss = nn.functional.cross_entropy(net(X[index]), y[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        torch_wait(grid)

    return block


def torch_vmap(grid: Grid) -> Block:
    """PyTorch with `torch.func.vmap` over stacked parameters and a hand-written SGD."""
    torch = torch_for(grid)
    from torch.func import functional_call, grad, stack_module_state, vmap
    from torch.nn import functional

    X, y, batches = torch_data(grid)
    nets = [torch_net(grid, rate, reg)[0] for rate, reg in grid.points()]
    params, _ = stack_module_state(nets)
    params = {name: value.detach() for name, value in params.items()}
    rates, regs = (torch.tensor(v, device=grid.device) for v in zip(*grid.points(), strict=True))

    def loss(p: Any, x: Any, target: Any) -> Any:
        return functional.cross_entropy(functional_call(nets[0], p, (x,)), target)

    grads_of_all = vmap(grad(loss), in_dims=(0, None, None))

    @torch.no_grad()
    def block(steps: int) -> None:
        for index in batches(steps):
            for name, g in grads_of_all(params, X[index], y[index]).items():
                shape = (-1,) + (1,) * (g.ndim - 1)
                if name.endswith("weight"):
                    params[name].mul_((1 - rates * regs).reshape(shape))
                params[name].sub_(rates.reshape(shape) * g)
        torch_wait(grid)

    return block


def torch_by_hand(grid: Grid) -> TorchStep:
    """Return the step of all networks written out in batched products, without autograd."""
    torch = torch_for(grid)
    X, y, batches = torch_data(grid)
    W1, b1, W2, b2 = (
        torch.from_numpy(value).to(grid.device).repeat(grid.nets, *[1] * value.ndim)
        for value in weights(grid).values()
    )
    rates, regs = (
        torch.tensor(v, dtype=torch.float32, device=grid.device)[:, None, None]
        for v in zip(*grid.points(), strict=True)
    )
    decay, share = 1 - rates * regs, rates / grid.batch
    minus_one = torch.full((grid.nets, grid.batch, 1), -1.0, device=grid.device)

    def take(index: Any) -> Any:
        x = X.index_select(0, index).expand(grid.nets, -1, -1)
        target = y.index_select(0, index).expand(grid.nets, -1)[..., None]
        hidden = torch.baddbmm(b1[:, None], x, W1).relu_()
        log_p = torch.log_softmax(torch.baddbmm(b2[:, None], hidden, W2), 2)
        squares = sum(torch.linalg.vector_norm(W, dim=(1, 2)) ** 2 for W in (W1, W2))
        loss = 0.5 * regs[:, 0, 0] * squares - log_p.gather(2, target).mean((1, 2))
        dscores = log_p.exp_().scatter_add_(2, target, minus_one).mul_(share)
        dhidden = torch.bmm(dscores, W2.mT).mul_(hidden > 0)
        W2.mul_(decay).baddbmm_(hidden.mT, dscores, alpha=-1)
        b2.sub_(dscores.sum(1))
        W1.mul_(decay).baddbmm_(x.mT, dhidden, alpha=-1)
        b1.sub_(dhidden.sum(1))
        return loss

    return TorchStep(take, (X, y, W1, b1, W2, b2, regs, decay, share, minus_one), batches)


def jax_vmap(grid: Grid) -> tuple[Callable[..., Any], Any]:
    """Return the step of all networks by `jax.vmap` over stacked parameters, and the first parameters."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    device = jax_device(grid)
    params = {name: np.stack([value] * grid.nets) for name, value in weights(grid).items()}
    rates, regs = (jnp.array(v, jnp.float32, device=device) for v in zip(*grid.points(), strict=True))

    def one(p: dict[str, Any], x: Any, target: Any, rate: Any, reg: Any) -> tuple[dict[str, Any], Any]:
        loss, grads = jax.value_and_grad(jax_objective)(p, x, target, reg)
        return jax.tree.map(lambda value, g: value - rate * g, p, grads), loss

    of_all = jax.vmap(one, in_axes=(0, None, None, 0, 0))

    def step(p: dict[str, Any], X: Any, y: Any, index: Any) -> tuple[dict[str, Any], Any]:
        return of_all(p, X[index], y[index], rates, regs)

    return step, jax.device_put(params, device)


def wide_products(grid: Grid) -> Block:
    """The products with the first layers side by side, one product for all of them, and the gathering."""
    torch = torch_for(grid)
    X_host, _, draw = data(grid)
    X, table = (torch.from_numpy(a).to(grid.device) for a in (X_host, draw(grid.epoch)))
    W1, W2 = (torch.from_numpy(weights(grid)[name]).to(grid.device) for name in ("W1", "W2"))
    W1, W2 = W1.repeat(1, grid.nets), W2.repeat(grid.nets, 1, 1)
    x = X[table[0]]
    fc1, dh, dW1 = x @ W1, x @ W1, torch.empty_like(W1)
    # (batch, nets * hidden) seen as (nets, batch, hidden)
    hidden, dhidden = (a.view(grid.batch, grid.nets, -1).transpose(0, 1) for a in (fc1, dh))
    scores, dW2 = hidden @ W2, torch.empty_like(W2)

    def epoch() -> None:
        for index in table:
            torch.index_select(X, 0, index, out=x)
            torch.mm(x, W1, out=fc1)
            torch.bmm(hidden, W2, out=scores)
            torch.bmm(hidden.mT, scores, out=dW2)
            torch.bmm(scores, W2.mT, out=dhidden)
            torch.mm(x.T, dh, out=dW1)

    replay = captured(epoch)

    def block(steps: int) -> None:
        for _ in range(0, steps, grid.epoch):
            replay()
        torch_wait(grid)

    return block


CONTENDERS = {
    **contenders_of(stacked, torch_by_hand, jax_vmap),
    "wide products + gather": Contender(wide_products, TORCH, on="cuda"),
    "xpnet on NumPy, one by one": Contender(partial(stacked, size=1, backend="numpy"), on="cpu"),
    "PyTorch eager": Contender(torch_vmap, TORCH),
    "PyTorch eager, one by one": Contender(torch_one_by_one, TORCH, on="cpu"),
    "original float64": Contender(original_one_by_one, on="cpu"),
}


def grid_of_the_original(flags: argparse.Namespace, nets: int) -> dict[str, Timing]:
    """Time a step of so many networks by every contender."""
    on_cpu = flags.device == "cpu"
    grid = Grid(nets=nets, device=flags.device, precision=flags.precision, epoch=4 if on_cpu else 16)
    against = reference(flags.device)
    chosen = interleave.installed(CONTENDERS, flags.only, against, flags.device)
    timings = interleave.time_side_by_side(
        chosen, grid, flags.rounds, flags.seconds, at_once=grid.epoch, start_together=not on_cpu
    )
    print(f"{interleave.environment_line()}\n\n{grid}, {STEPS} steps\n")
    print(interleave.markdown_table(timings, against))
    if not on_cpu:
        print(f"\n{floor.described(floor.measure(flags.device, (flags.precision,)), grid)}")
    print("\nThe grid's 1,600 steps at that rate, not counting evaluations:\n")
    for name, timing in timings.items():
        if timing.seconds:
            print(f"- {name}: {STEPS * timing.median():.3g} s (measured {len(timing.seconds)} turns)")
    print(flush=True)
    if flags.json:
        name = flags.json.stem + (f"-{nets}" if len(flags.nets) > 1 else "")
        interleave.write_json(flags.json.with_stem(name), vars(grid), timings)
    return timings


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
        grid = Grid(batch, features, hidden, rows=1297 if features == 64 else 10_000, epoch=40)
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
    parser.add_argument("--nets", type=int, nargs="+", default=[15], help="numbers of networks (default: 15)")
    parser.add_argument("--stack-sizes", action="store_true", help="cost per network against stack size")
    parser.add_argument("--plot", type=Path, default=None, help="draw the second table to this file")
    flags = parser.parse_args()
    interleave.prepare(flags.device, flags.threads, flags.precision)
    if flags.stack_sizes:
        stack_sizes(flags)
    else:
        for nets in flags.nets:
            grid_of_the_original(flags, nets)


if __name__ == "__main__":
    main()
