"""Time of one training step: gather, forward, backward, update.

    python benchmarks/step.py [--threads N] [--device cuda]

The network is the original's, 400×3072→300→10 in float32, on random rows: 10,000 of them, more than any
cache holds. The floor is the five matrix products of the step into preallocated outputs and the gathering of
the batch, nothing else; the products alone, always on the same warm rows, are given too.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before NumPy is imported anywhere, also by the processes this one starts: see limit_threads.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import interleave
from interleave import Block, Contender

LEARNING_RATE, REG, STD = 1e-3, 1e-2, 1e-4


@dataclass(frozen=True)
class Sizes:
    """Sizes of the step, and where it runs."""

    batch: int = 400
    features: int = 3072
    hidden: int = 300
    classes: int = 10
    rows: int = 10_000
    device: str = "cpu"


def data(sizes: Sizes) -> tuple[Any, Any, Any]:
    """Return random rows, labels, and a function that draws a batch's indices."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.standard_normal((sizes.rows, sizes.features), dtype=np.float32)
    X *= 60
    y = rng.integers(0, sizes.classes, sizes.rows)
    return X, y, lambda: rng.choice(sizes.rows, sizes.batch)


def weights(sizes: Sizes) -> dict[str, Any]:
    """Return initial parameters as float32 NumPy arrays."""
    import numpy as np

    from xpnet.mlp import MLP, init

    mlp = MLP((sizes.features, sizes.hidden, sizes.classes))
    drawn = init(mlp, np.random.default_rng(1), STD)
    return {name: value.astype(np.float32) for name, value in drawn.items()}


def products(sizes: Sizes, gather: bool = False) -> Block:
    """Only the five matrix products, and the gathering of the batch where asked for."""
    from xpnet import get_device

    device = get_device(sizes.device)
    xp = device.xp if device.name == "cpu" else __import__("cupy")  # the adapter's matmul has no out=
    X, _, draw = data(sizes)
    X = device.put(X)
    index = device.put(draw())
    p = {name: device.put(value) for name, value in weights(sizes).items()}
    x = xp.take(X, index, axis=0)
    fc1, scores = xp.matmul(x, p["W1"]), xp.matmul(xp.matmul(x, p["W1"]), p["W2"])
    dW2, dh, dW1 = xp.empty_like(p["W2"]), xp.empty_like(fc1), xp.empty_like(p["W1"])

    def block(steps: int) -> None:
        for _ in range(steps):
            if gather:
                xp.take(X, device.put(draw()), axis=0, out=x, mode="clip")
            xp.matmul(x, p["W1"], out=fc1)
            xp.matmul(fc1, p["W2"], out=scores)
            xp.matmul(fc1.T, scores, out=dW2)
            xp.matmul(scores, p["W2"].T, out=dh)
            xp.matmul(x.T, dh, out=dW1)
        device.synchronize()

    return block


def products_and_gather(sizes: Sizes) -> Block:
    """The five products and the gathering of the batch."""
    return products(sizes, gather=True)


def xpnet_step(sizes: Sizes) -> Block:
    """xpnet's step, as `xpnet.training.fit` runs it."""
    from xpnet import MLP, get_device
    from xpnet.feeding import Feed
    from xpnet.regime import Hyper, Regime
    from xpnet.step import initial_state, make_step

    device = get_device(sizes.device)
    X, y, draw = data(sizes)
    mlp = MLP((sizes.features, sizes.hidden, sizes.classes))
    params = {name: device.put(value) for name, value in weights(sizes).items()}
    regime, hyper = Regime(1, sizes.batch), Hyper(reg=REG)
    step = make_step(device, mlp, Feed(device.put(X), device.put(y)), regime, hyper, params)
    state = initial_state(device, params, regime, hyper)
    fixed = {"rate": device.put(LEARNING_RATE, "float32"), "count": device.put(1.0, "float32")}

    def block(steps: int) -> None:
        nonlocal state
        with device.active():
            for _ in range(steps):
                state, _ = step(state, {"index": device.put(draw()), **fixed})
            device.synchronize()

    return block


def original_net(sizes: Sizes, dtype: str) -> Any:
    """Return the exercise's own class with parameters of that dtype."""
    import numpy as np
    from original import TwoLayerNet

    rng = np.random.RandomState(1)
    return TwoLayerNet(sizes.features, sizes.hidden, sizes.classes, STD, dtype=dtype, rng=rng)


def original(sizes: Sizes, dtype: str) -> Block:
    """The exercise's own loop in plain NumPy."""
    X, y, draw = data(sizes)
    X = X.astype(dtype)
    net = original_net(sizes, dtype)

    def block(steps: int) -> None:
        for _ in range(steps):
            index = draw()
            _, grads = net.loss(X[index], y[index], REG)
            for name in net.params:
                net.params[name] -= LEARNING_RATE * grads[name]

    return block


def original_float64(sizes: Sizes) -> Block:
    """The original loop as it is run in the exercise."""
    return original(sizes, "float64")


def original_float32(sizes: Sizes) -> Block:
    """The original loop on float32 data and parameters."""
    return original(sizes, "float32")


def torch_net(sizes: Sizes, learning_rate: float, reg: float) -> tuple[Any, Any]:
    """Return what a PyTorch user writes: an `nn.Sequential` and its `torch.optim.SGD`."""
    import torch
    from torch import nn

    if threads := os.environ.get("XPNET_BENCHMARK_THREADS"):
        torch.set_num_threads(int(threads))
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
    import torch
    from torch import nn

    X_host, y_host, draw = data(sizes)
    X, y = torch.from_numpy(X_host).to(sizes.device), torch.from_numpy(y_host).to(sizes.device)
    net, optimizer = torch_net(sizes, LEARNING_RATE, REG)

    def block(steps: int) -> None:
        for _ in range(steps):
            index = torch.from_numpy(draw()).to(sizes.device)
            loss = nn.functional.cross_entropy(net(X[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if sizes.device != "cpu":
            torch.cuda.synchronize()

    return block


def jax_objective(p: dict[str, Any], x: Any, target: Any, reg: Any) -> Any:
    """Return the regularised loss in JAX."""
    import jax
    import jax.numpy as jnp

    scores = jnp.maximum(x @ p["W1"] + p["b1"], 0) @ p["W2"] + p["b2"]
    log_p = jax.nn.log_softmax(scores)
    data_loss = -jnp.take_along_axis(log_p, target[:, None], axis=1).mean()
    return data_loss + 0.5 * reg * ((p["W1"] ** 2).sum() + (p["W2"] ** 2).sum())


def jax_jit(sizes: Sizes) -> Block:
    """A JAX step by `jax.value_and_grad`, compiled, with donated parameters."""
    import jax

    device = jax.devices("cpu" if sizes.device == "cpu" else "gpu")[0]
    X_host, y_host, draw = data(sizes)
    X, y = jax.device_put(X_host, device), jax.device_put(y_host, device)
    params = jax.device_put(weights(sizes), device)

    def step(p: dict[str, Any], X: Any, y: Any, index: Any) -> tuple[dict[str, Any], Any]:
        loss, grads = jax.value_and_grad(jax_objective)(p, X[index], y[index], REG)
        return jax.tree.map(lambda value, grad: value - LEARNING_RATE * grad, p, grads), loss

    compiled = jax.jit(step, donate_argnums=0)

    def block(steps: int) -> None:
        nonlocal params
        for _ in range(steps):
            params, _ = compiled(params, X, y, draw())
        jax.block_until_ready(params)

    return block


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
        for _ in range(steps):
            index = draw()
            net.partial_fit(X[index], y[index], classes=classes)

    return block


FLOOR = "floor: products + gather"
CONTENDERS: dict[str, Contender] = {
    FLOOR: Contender(products_and_gather),
    "products alone": Contender(products),
    "xpnet": Contender(xpnet_step),
    "original float64": Contender(original_float64, cpu_only=True),
    "original float32": Contender(original_float32, cpu_only=True),
    "PyTorch eager": Contender(torch_eager, needs=("torch",)),
    "JAX jit": Contender(jax_jit, needs=("jax",)),
    "scikit-learn": Contender(sklearn_partial_fit, needs=("sklearn",), cpu_only=True),
}


def main() -> None:
    """Run the contenders that are installed and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    interleave.add_common_flags(parser)
    flags = parser.parse_args()
    interleave.limit_threads(flags.threads)
    sizes = Sizes(device=flags.device)
    chosen = interleave.installed(CONTENDERS, flags.only, always=FLOOR, cpu=flags.device == "cpu")
    timings = interleave.time_side_by_side(chosen, sizes, flags.rounds, flags.seconds)
    print(f"{interleave.environment_line()}\n\n{sizes}\n\n{interleave.markdown_table(timings, FLOOR)}")
    if flags.json:
        interleave.write_json(flags.json, vars(sizes), timings)


if __name__ == "__main__":
    main()
