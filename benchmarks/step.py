"""Time of one training step: gather, forward, backward, update.

    python benchmarks/step.py [--threads N] [--hidden N] [--layers N] [--device cuda [--precision tf32]]

The network is the original's, 400×3072→300→10 in float32, on random rows: 10,000 of them, more than any
cache holds. The floor on the CPU is the five matrix products of the step into preallocated outputs and the
gathering of the batch, nothing else; the products alone, always on the same warm rows, are given too, and the
bytes alone that any step has to move. On a GPU the floor is counted: see floor.py.

All draw the rows of many batches at once, as training does, and wait for a GPU only at the end of a turn.
"""

import argparse
import itertools
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

# Before NumPy is imported anywhere, also by the processes this one starts: see interleave.prepare.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import floor
import interleave
from crossing import APART, crossing
from interleave import Block, Contender

LEARNING_RATE, REG, STD = 1e-3, 1e-2, 1e-4


@dataclass(frozen=True)
class Sizes:
    """Sizes of the step, where it runs and how precisely; ``epoch`` steps have their rows drawn at once.

    There are so many hidden ``layers``, all of the same size.
    """

    batch: int = 400
    features: int = 3072
    hidden: int = 300
    classes: int = 10
    rows: int = 10_000
    nets: int = 1
    device: str = "cpu"
    precision: str = "fp32"
    epoch: int = 16
    layers: int = 1

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each layer, from the features to the classes."""
        return (self.features, *[self.hidden] * self.layers, self.classes)

    @property
    def number(self) -> int:
        """Number of the GPU."""
        return int(self.device.partition(":")[2] or 0)


def data(sizes: Sizes) -> tuple[Any, Any, Callable[[int], Any]]:
    """Return random rows, labels, and a function that draws the indices of many batches at once."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.standard_normal((sizes.rows, sizes.features), dtype=np.float32)
    X *= 60
    y = rng.integers(0, sizes.classes, sizes.rows)
    return X, y, lambda steps: rng.integers(sizes.rows, size=(steps, sizes.batch))


def epochs(sizes: Sizes, draw: Callable[[int], Any], steps: int) -> Iterator[Any]:
    """Yield the indices of so many batches, a table ``(steps, batch)`` for each epoch."""
    for begin in range(0, steps, sizes.epoch):
        yield draw(min(sizes.epoch, steps - begin))


def weights(sizes: Sizes) -> dict[str, Any]:
    """Return initial parameters as float32 NumPy arrays."""
    import numpy as np

    from xpnet.nn.mlp import MLP, init

    mlp = MLP(sizes.widths)
    drawn = init(mlp, np.random.default_rng(1), STD)
    return {name: value.astype(np.float32) for name, value in drawn.items()}


# The floor


def bare(sizes: Sizes, gather: bool = False, products: bool = False, update: bool = False) -> Block:
    """Only these parts of a step: the gathering of the batch, the products, the bytes of the update."""
    if sizes.device != "cpu":
        return bare_on_gpu(sizes, gather, products, update)
    import numpy as np

    X, _, draw = data(sizes)
    Ws = [value for name, value in weights(sizes).items() if name.startswith("W")]
    hs = [X[draw(1)[0]]]
    for W in Ws:
        hs.append(hs[-1] @ W)
    dWs, new_Ws = ([np.zeros_like(W) for W in Ws] for _ in range(2))
    dhs = [np.empty_like(h) for h in hs[:-1]]

    def block(steps: int) -> None:
        for table in epochs(sizes, draw, steps * sizes.nets):
            for index in table:
                if gather:
                    np.take(X, index, axis=0, out=hs[0], mode="clip")
                if products:
                    for h, W, out in zip(hs, Ws, hs[1:], strict=False):
                        np.matmul(h, W, out=out)
                    dh = hs[-1]
                    for i in reversed(range(len(Ws))):
                        np.matmul(hs[i].T, dh, out=dWs[i])
                        if i:
                            dh = np.matmul(dh, Ws[i].T, out=dhs[i])
                if update:
                    for W, new_W in zip(Ws, new_Ws, strict=True):
                        np.copyto(new_W, W)

    return block


def bare_on_gpu(sizes: Sizes, gather: bool, products: bool, update: bool) -> Block:
    """`bare` for all networks at once; an epoch is one CUDA graph of PyTorch's, so launches cost nothing."""
    torch = torch_for(sizes)
    X_host, _, draw = data(sizes)
    X, table = (torch.from_numpy(a).to(sizes.device) for a in (X_host, draw(sizes.epoch)))
    nets = () if sizes.nets == 1 else (sizes.nets,)
    W1, W2 = (torch.from_numpy(weights(sizes)[name]).to(sizes.device) for name in ("W1", "W2"))
    W1, W2 = (W.expand(*nets, *W.shape).contiguous() for W in (W1, W2))
    rows = X[table[0]]
    x = rows.expand(*nets, *rows.shape)
    fc1, scores = x @ W1, x @ W1 @ W2
    dW2, dh, dW1 = torch.empty_like(W2), torch.empty_like(fc1), torch.empty_like(W1)

    def epoch() -> None:
        for index in table:
            if gather:
                torch.index_select(X, 0, index, out=rows)
            if products:
                torch.matmul(x, W1, out=fc1)
                torch.matmul(fc1, W2, out=scores)
                torch.matmul(fc1.mT, scores, out=dW2)
                torch.matmul(scores, W2.mT, out=dh)
                torch.matmul(x.mT, dh, out=dW1)
            if update:
                dW1.copy_(W1)
                dW2.copy_(W2)

    replay = captured(epoch)

    def block(steps: int) -> None:
        for _ in range(0, steps, sizes.epoch):
            replay()
        torch_wait(sizes)

    return block


# xpnet


def xpnet_step(sizes: Sizes, backend: str, compiled: bool = False, precision: str | None = None) -> Block:
    """xpnet's step on a backend, as `xpnet.training.loop.fit` runs it; in that of all others by default."""
    import numpy as np

    from xpnet import MLP, get_device
    from xpnet.data.feed import Feed
    from xpnet.training.regime import Hyper, Regime

    device = get_device(sizes.device, backend, precision or sizes.precision, compiled)
    X, y, _ = data(sizes)
    mlp = MLP(sizes.widths)
    params = {name: device.put(value) for name, value in weights(sizes).items()}
    feed, rng = Feed(device.put(X), device.put(y)), np.random.default_rng(2)
    hyper = Hyper(learning_rate=LEARNING_RATE, reg=REG)
    return xpnet_epochs(sizes, device, mlp, feed, Regime(1, sizes.batch), hyper, params, lambda *_: rng)


def xpnet_epochs(
    sizes: Sizes, device: Any, mlp: Any, feed: Any, regime: Any, hyper: Any, params: Any, sources: Any
) -> Block:
    """The epochs of `xpnet.training.loop.fit` without their evaluations."""
    from xpnet.training.draws import draw_epoch
    from xpnet.training.step import initial_state, joined, make_advance, make_step, take_steps

    warnings.filterwarnings("error", ".*goes on without")  # a step that could not be compiled
    nets, numbers = tuple(params["W1"].shape[:-2]), itertools.count()
    with device.active():
        advance = make_advance(device, feed, make_step(device, mlp, feed, regime, hyper, params))
        state = initial_state(device, params, regime, hyper)

    def block(steps: int) -> None:
        nonlocal state
        with device.active():
            for begin in range(0, steps, sizes.epoch):
                count = min(sizes.epoch, steps - begin)
                by_step = {"rate": regime.learning_rates(hyper, nets, range(count), 0)}
                tables = draw_epoch(
                    device, feed, regime, hyper, state["params"], sources, next(numbers), 0, by_step
                )
                of_epoch = joined(device.xp, [(advance, table) for table in tables])
                state, _ = take_steps(device, of_epoch, state, count)
            device.to_host(state["params"]["b1"])  # there once the last update is done
            device.synchronize()

    return block


# The exercise


def original_net(sizes: Sizes, dtype: str) -> Any:
    """Return the exercise's own class with parameters of that dtype."""
    import numpy as np
    from original import TwoLayerNet

    rng = np.random.RandomState(1)
    return TwoLayerNet(sizes.features, sizes.hidden, sizes.classes, STD, dtype=dtype, rng=rng)


def original(sizes: Sizes, dtype: str) -> Block:
    """The exercise's own loop in plain NumPy, as it is run there or on float32 data and parameters."""
    X, y, draw = data(sizes)
    X = X.astype(dtype)
    net = original_net(sizes, dtype)

    def block(steps: int) -> None:
        for index in draw(steps):
            _, grads = net.loss(X[index], y[index], REG)
            for name in net.params:
                net.params[name] -= LEARNING_RATE * grads[name]

    return block


# PyTorch


def torch_for(sizes: Sizes) -> Any:
    """Return `torch`, set to the number of threads and the precision asked for."""
    import torch

    if (threads := os.environ.get("XPNET_BENCHMARK_THREADS")) and threads != "default":
        torch.set_num_threads(int(threads))
    if sizes.device != "cpu":
        torch.cuda.init()  # says why there is no GPU, if so
        torch.cuda.set_device(sizes.number)
    # Not torch.backends.cuda.matmul.fp32_precision: torch.compile still reads what this one sets.
    torch.set_float32_matmul_precision({"fp32": "highest", "tf32": "high"}[sizes.precision])
    return torch


def torch_wait(sizes: Sizes) -> None:
    """Wait until a GPU has done all that PyTorch asked of it."""
    import torch

    if sizes.device != "cpu":
        torch.cuda.synchronize()


def torch_data(sizes: Sizes) -> tuple[Any, Any, Callable[[int], Iterator[Any]]]:
    """Return rows and labels on the device, and what yields the indices of so many batches from there."""
    import torch

    X, y, draw = data(sizes)

    def batches(steps: int) -> Iterator[Any]:
        for table in epochs(sizes, draw, steps):
            yield from torch.from_numpy(table).to(sizes.device)

    return torch.from_numpy(X).to(sizes.device), torch.from_numpy(y).to(sizes.device), batches


def torch_net(sizes: Sizes, learning_rate: float, reg: float) -> tuple[Any, Any]:
    """Return what a PyTorch user writes: an `nn.Sequential` and its `torch.optim.SGD`."""
    torch = torch_for(sizes)
    from torch import nn

    first, last = nn.Linear(sizes.features, sizes.hidden), nn.Linear(sizes.hidden, sizes.classes)
    for layer in (first, last):
        nn.init.normal_(layer.weight, std=STD)
        nn.init.zeros_(layer.bias)
    net = nn.Sequential(first, nn.ReLU(), last).to(sizes.device)
    groups = [
        {"params": [first.weight, last.weight], "weight_decay": reg},
        {"params": [first.bias, last.bias]},
    ]
    return net, torch.optim.SGD(groups, lr=learning_rate)


def torch_eager(sizes: Sizes) -> Block:
    """PyTorch with autograd."""
    from torch import nn

    net, optimizer = torch_net(sizes, LEARNING_RATE, REG)
    X, y, batches = torch_data(sizes)

    def block(steps: int) -> None:
        for index in batches(steps):
            loss = nn.functional.cross_entropy(net(X[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch_wait(sizes)

    return block


@dataclass(frozen=True)
class TorchStep:
    """A step in PyTorch: ``take(index)`` returns the loss and changes some of the tensors in place."""

    take: Callable[[Any], Any]
    tensors: tuple[Any, ...]
    batches: Callable[[int], Iterator[Any]]


def torch_by_hand(sizes: Sizes) -> TorchStep:
    """Return the step written out: gradients without autograd, the update within the gradient's product."""
    torch = torch_for(sizes)
    from torch.nn import functional

    X, y, batches = torch_data(sizes)
    W1, b1, W2, b2 = (torch.from_numpy(value).to(sizes.device) for value in weights(sizes).values())
    minus_one = torch.full((sizes.batch, 1), -1.0, device=sizes.device)
    decay = 1 - LEARNING_RATE * REG

    def take(index: Any) -> Any:
        x, target = X.index_select(0, index), y.index_select(0, index)
        hidden = torch.addmm(b1, x, W1).relu_()
        log_p = torch.log_softmax(torch.addmm(b2, hidden, W2), 1)
        squares = torch.linalg.vector_norm(W1) ** 2 + torch.linalg.vector_norm(W2) ** 2
        loss = functional.nll_loss(log_p, target) + 0.5 * REG * squares
        dscores = log_p.exp_().scatter_add_(1, target[:, None], minus_one).mul_(LEARNING_RATE / sizes.batch)
        dhidden = (dscores @ W2.T).mul_(hidden > 0)
        W2.addmm_(hidden.T, dscores, beta=decay, alpha=-1)
        b2.sub_(dscores.sum(0))
        W1.addmm_(x.T, dhidden, beta=decay, alpha=-1)
        b1.sub_(dhidden.sum(0))
        return loss

    return TorchStep(take, (X, y, W1, b1, W2, b2, minus_one), batches)


def torch_loop(sizes: Sizes, make: Callable[..., TorchStep]) -> Block:
    """A step in PyTorch without autograd, operation by operation."""
    import torch

    step = make(sizes)

    @torch.no_grad()
    def block(steps: int) -> None:
        for index in step.batches(steps):
            step.take(index)
        torch_wait(sizes)

    return block


def torch_compiled(sizes: Sizes, make: Callable[..., TorchStep]) -> Block:
    """The same, compiled whole; on a GPU it becomes a CUDA graph, for which tensors have to stay in place."""
    import torch

    step = make(sizes)
    for tensor in step.tensors:
        torch._dynamo.mark_static_address(tensor)
    take = torch.compile(step.take, mode="reduce-overhead", fullgraph=True, dynamic=False)

    @torch.no_grad()
    def block(steps: int) -> None:
        for index in step.batches(steps):
            take(index)
        torch_wait(sizes)

    block(3)  # compiles, records, replays
    if sizes.device != "cpu" and torch._dynamo.utils.counters["inductor"]["cudagraph_skips"]:
        print("note: torch.compile made no CUDA graph of the step", file=sys.stderr)
    return block


def torch_graph(sizes: Sizes, make: Callable[..., TorchStep]) -> Block:
    """The same, captured by hand as one CUDA graph, which finds its rows in a tensor of indices."""
    import torch

    step = make(sizes)
    index_of_step = torch.zeros(sizes.batch, dtype=torch.int64, device=sizes.device)
    with torch.no_grad():
        replay = captured(lambda: step.take(index_of_step))

    def block(steps: int) -> None:
        for index in step.batches(steps):
            index_of_step.copy_(index)
            replay()
        torch_wait(sizes)

    return block


@dataclass(frozen=True)
class Captured:
    """A CUDA graph, with the work it was made of: its tensors have to live as long."""

    graph: Any
    work: Callable[[], Any]

    def __call__(self) -> None:
        """Do the work again."""
        self.graph.replay()


def captured(work: Callable[[], Any]) -> Callable[[], None]:
    """Capture the work as a CUDA graph, after doing it three times to warm up, as PyTorch asks."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        work()
    return Captured(graph, work)


# JAX


def jax_device(sizes: Sizes) -> Any:
    """Return JAX's device, with the precision asked for; left to itself JAX takes TF32 on a GPU."""
    import jax

    jax.config.update(
        "jax_default_matmul_precision", {"fp32": "float32", "tf32": "tensorfloat32"}[sizes.precision]
    )
    return jax.devices(sizes.device.partition(":")[0])[sizes.number]


def jax_data(sizes: Sizes) -> tuple[Any, Any, Callable[[int], Any]]:
    """Return rows and labels on the device, and the function that draws indices, on the host."""
    import jax

    X, y, draw = data(sizes)
    device = jax_device(sizes)
    return jax.device_put(X, device), jax.device_put(y.astype("int32"), device), draw


def jax_objective(p: dict[str, Any], x: Any, target: Any, reg: Any) -> Any:
    """Return the regularised loss in JAX."""
    import jax
    import jax.numpy as jnp

    scores = jnp.maximum(x @ p["W1"] + p["b1"], 0) @ p["W2"] + p["b2"]
    log_p = jax.nn.log_softmax(scores)
    data_loss = -jnp.take_along_axis(log_p, target[:, None], axis=1).mean()
    return data_loss + 0.5 * reg * ((p["W1"] ** 2).sum() + (p["W2"] ** 2).sum())


def jax_step(sizes: Sizes) -> tuple[Callable[..., Any], Any]:
    """Return ``step(p, X, y, index)``, to new parameters and the loss, and the first parameters."""
    import jax

    def step(p: dict[str, Any], X: Any, y: Any, index: Any) -> tuple[dict[str, Any], Any]:
        loss, grads = jax.value_and_grad(jax_objective)(p, X[index], y[index], REG)
        return jax.tree.map(lambda value, grad: value - LEARNING_RATE * grad, p, grads), loss

    return step, jax.device_put(weights(sizes), jax_device(sizes))


def jax_jit(sizes: Sizes, make: Callable[..., Any]) -> Block:
    """A JAX step by `jax.value_and_grad`, compiled, with donated parameters."""
    import jax

    step, params = make(sizes)
    X, y, draw = jax_data(sizes)
    compiled = jax.jit(step, donate_argnums=0)

    def block(steps: int) -> None:
        nonlocal params
        for table in epochs(sizes, draw, steps):
            for index in table:
                params, _ = compiled(params, X, y, index)
        jax.block_until_ready(params)

    return block


def jax_scan(sizes: Sizes, make: Callable[..., Any]) -> Block:
    """The same, the steps of an epoch in one compiled program."""
    import jax

    step, params = make(sizes)
    X, y, draw = jax_data(sizes)

    def epoch(p: Any, X: Any, y: Any, table: Any) -> Any:
        return jax.lax.scan(lambda p, index: step(p, X, y, index), p, table)

    compiled = jax.jit(epoch, donate_argnums=0)

    def block(steps: int) -> None:
        nonlocal params
        for table in epochs(sizes, draw, steps):
            params, _ = compiled(params, X, y, table)
        jax.block_until_ready(params)

    return block


# scikit-learn


def sklearn_partial_fit(sizes: Sizes) -> Block:
    """scikit-learn's `MLPClassifier.partial_fit` with plain SGD."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    X, y, draw = data(sizes)
    net = MLPClassifier(
        (sizes.hidden,),
        solver="sgd",
        momentum=0.0,
        batch_size=sizes.batch,
        learning_rate_init=LEARNING_RATE,
        alpha=REG * sizes.batch,
    )
    classes = np.arange(sizes.classes)

    def block(steps: int) -> None:
        for index in draw(steps):
            net.partial_fit(X[index], y[index], classes=classes)

    return block


FLOOR, BARE = "floor: products + gather", "products + gather"
"""The same on the CPU and on a GPU, where it is no floor."""

TORCH, JAX = ("torch",), ("jax",)


def reference(device: str) -> str:
    """Return the contender that the others are compared with."""
    return FLOOR if device == "cpu" else BARE


def contenders_of(
    xpnet: Callable[..., Block], torch_step: Callable[..., TorchStep], jax_step: Callable[..., Any]
) -> dict[str, Contender]:
    """Return the contenders that one network and a stack of them have in common, given their steps."""
    return {
        FLOOR: Contender(partial(bare, gather=True, products=True), on="cpu"),
        BARE: Contender(partial(bare, gather=True, products=True), TORCH, on="cuda"),
        "products alone": Contender(partial(bare, products=True)),
        "bytes alone: gather, weights": Contender(partial(bare, gather=True, update=True)),
        "xpnet on NumPy": Contender(partial(xpnet, backend="numpy"), on="cpu"),
        "xpnet on CuPy, eager": Contender(partial(xpnet, backend="cupy"), ("cupy",), on="cuda"),
        "xpnet on CuPy, captured": Contender(
            partial(xpnet, backend="cupy", compiled=True), ("cupy",), on="cuda"
        ),
        "xpnet on PyTorch": Contender(partial(xpnet, backend="torch"), TORCH),
        "xpnet on PyTorch, compiled": Contender(
            partial(xpnet, backend="torch", compiled=True), TORCH, slow=True
        ),
        "xpnet on JAX": Contender(partial(xpnet, backend="jax"), JAX),
        "PyTorch by hand": Contender(partial(torch_loop, make=torch_step), TORCH),
        "PyTorch by hand, torch.compile": Contender(
            partial(torch_compiled, make=torch_step), TORCH, slow=True
        ),
        "PyTorch by hand, CUDA graph": Contender(partial(torch_graph, make=torch_step), TORCH, on="cuda"),
        "JAX jit": Contender(partial(jax_jit, make=jax_step), JAX),
        "JAX lax.scan": Contender(partial(jax_scan, make=jax_step), JAX),
    }


CONTENDERS = {
    **contenders_of(xpnet_step, torch_by_hand, jax_step),
    "xpnet on PyTorch, bf16": Contender(
        partial(xpnet_step, backend="torch", precision="bf16"), TORCH, on="cpu"
    ),
    "PyTorch eager": Contender(torch_eager, TORCH),
    "original float64": Contender(partial(original, dtype="float64"), on="cpu"),
    "original float32": Contender(partial(original, dtype="float32"), on="cpu"),
    "scikit-learn": Contender(sklearn_partial_fit, ("sklearn",), on="cpu"),
}


def by_placement(timings: Mapping[str, interleave.Timing], crossings: Sequence[float]) -> str:
    """Return a table of the ratios to the floor where the cores share a cache, and where they do not."""
    columns = {}
    for placement, is_apart in (("cores share a cache", False), ("cores share no cache", True)):
        if rounds := [i for i, c in enumerate(crossings) if (c >= APART) == is_apart]:
            crossed = statistics.median(crossings[i] for i in rounds)
            heading = f"{placement}: {len(rounds)} rounds, crossing {crossed:.2f}"
            of_rounds = {
                name: replace(timing, seconds=[timing.seconds[i] for i in rounds])
                for name, timing in timings.items()
                if timing.seconds
            }
            columns[heading] = interleave.ratios(of_rounds, FLOOR)
    lines = [f"| ratio to {FLOOR} | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for name, timing in timings.items():
        if timing.seconds:
            values = [f"{ratios[name]:.2f}" if ratios else "" for ratios in columns.values()]
            lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the contenders that are installed and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hidden", type=int, default=300, help="units of a hidden layer (default: 300)")
    parser.add_argument(
        "--layers", type=int, default=1, help="hidden layers, on the CPU; of several only xpnet (default: 1)"
    )
    interleave.add_common_flags(parser)
    flags = parser.parse_args()
    interleave.prepare(flags.device, flags.threads, flags.precision)
    on_cpu = flags.device == "cpu"
    if flags.layers != 1 and not on_cpu:
        parser.error("--layers is for the CPU")
    how = {"device": flags.device, "precision": flags.precision}
    sizes = Sizes(hidden=flags.hidden, layers=flags.layers, epoch=16 if on_cpu else 64, **how)
    # The others are written out for one hidden layer.
    rivals = set() if flags.layers == 1 else {n for n in CONTENDERS if not n.startswith(("xpnet", "floor"))}
    contenders = {name: made for name, made in CONTENDERS.items() if name not in rivals}
    against = reference(flags.device)
    chosen = interleave.installed(contenders, flags.only, against, flags.device)
    crossings: list[float | None] = []
    timings = interleave.time_side_by_side(
        *(chosen, sizes, flags.rounds, flags.seconds),
        at_once=sizes.epoch,
        start_together=not on_cpu,
        each_round=(lambda: crossings.append(crossing())) if on_cpu else None,
    )
    print(f"{interleave.environment_line()}\n\n{sizes}\n\n{interleave.markdown_table(timings, against)}")
    if not on_cpu:
        print(f"\n{floor.described(floor.measure(flags.device, (flags.precision,)), sizes)}")
    if measured := [c for c in crossings if c is not None]:
        print(f"\n{by_placement(timings, measured)}")
    if flags.json:
        interleave.write_json(flags.json, vars(sizes), timings)


if __name__ == "__main__":
    main()
