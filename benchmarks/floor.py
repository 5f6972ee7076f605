"""The least that a step can take on a GPU: its operations and its bytes, at the highest rates measured there.

On the CPU the floor is a contender, the step's bare products (see step.py). On a GPU that says little: such
products are far from what it can do, so both numbers are counted, and the rates are those of a large product
and of a large copy, by whichever library is faster at it.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]
import interleave
from interleave import Block, Contender

FLOAT = 4
"""Bytes of a float32."""

OPERATIONS, BYTES = "floor: operations", "floor: bytes"
UNCACHED = "no floor: bytes without a cache"
"""What `moved` counts. A step whose arrays stay in a cache moves less."""

NAMES = {"fp32": "fp32", "tf32": "TF32"}


# What a step has to do


def operations(sizes: Any) -> int:
    """Return the multiplications and additions of the step's matrix products.

    ``x W1`` and the gradient of W1; ``h W2``, the gradient of W2 and that of ``h``.
    """
    first, second = sizes.features * sizes.hidden, sizes.hidden * sizes.classes
    return int(sizes.nets * 2 * sizes.batch * (2 * first + 3 * second))


def least_moved(sizes: Any) -> int:
    """Return the bytes that no step gets round: each weight and bias read and written, the batch read.

    All else, the second reading of a weight too, may stay in a cache. The batch is of all networks.
    """
    weights = sizes.features * sizes.hidden + sizes.hidden * sizes.classes + sizes.hidden + sizes.classes
    return int(FLOAT * (2 * sizes.nets * weights + sizes.batch * sizes.features))


def moved(sizes: Any) -> int:
    """Return the bytes of a step of five products and a gathering, if none finds a thing in a cache.

    All that goes through its numbers one by one is part of a product: bias and ReLU, softmax, the update.

    =====  =============================================================================================
    W1     read by the product, read and written by the update: 3
    W2     the same, and read for the gradient by h: 4
    b      read by the product, read and written by the update: 3
    h      written; read by the next product, for the gradient of W2, and for ReLU's own: 4
    dh     written; read for the gradient of W1: 2
    ds     the gradient by the scores: written; read for the gradients of W2 and of h: 3
    batch  read and written by the gathering; read by the product and for the gradient of W1: 4, of all
           networks together
    =====  =============================================================================================
    """
    weights = 3 * sizes.features * sizes.hidden + 4 * sizes.hidden * sizes.classes
    biases = 3 * (sizes.hidden + sizes.classes)
    between = sizes.batch * ((4 + 2) * sizes.hidden + 3 * sizes.classes)
    return int(FLOAT * (sizes.nets * (weights + biases + between) + 4 * sizes.batch * sizes.features))


# What the device can do


@dataclass(frozen=True)
class Large:
    """A product of square matrices and a copy that are large enough for a device's full speed."""

    device: str
    side: int = 8192
    floats: int = 2**27


SMALL = {"side": 256, "floats": 2**20}


def product(large: Large, backend: str, precision: str) -> Block:
    """Multiply two large matrices."""
    import numpy as np

    from xpnet import get_device

    device = get_device(large.device, backend, precision)
    # Random, since a GPU is faster with zeros.
    a = device.put(np.random.default_rng(0).standard_normal((large.side, large.side), dtype=np.float32))

    def block(steps: int) -> None:
        with device.active():
            for _ in range(steps):
                device.xp.matmul(a, a)
            device.synchronize()

    return block


def copy(large: Large, backend: str) -> Block:
    """Copy a large array."""
    import numpy as np

    from xpnet import get_device

    device = get_device(large.device, backend)
    a = device.put(np.ones(large.floats, np.float32))

    def block(steps: int) -> None:
        with device.active():
            for _ in range(steps):
                device.xp.asarray(a, copy=True)
            device.synchronize()

    return block


@dataclass(frozen=True)
class Rates:
    """Operations a second by precision, and bytes a second, read and written."""

    operations: dict[str, float]
    bytes: float | None

    def counted(self, sizes: Any) -> dict[str, float]:
        """Return the seconds of what is counted: the two floors, and `UNCACHED`, which is none."""
        found = {}
        if rate := self.operations.get(sizes.precision):
            found[OPERATIONS] = operations(sizes) / rate
        if self.bytes:
            found[BYTES] = least_moved(sizes) / self.bytes
            found[UNCACHED] = moved(sizes) / self.bytes
        return found

    def __str__(self) -> str:
        """Return both in a sentence."""
        each = [f"{rate / 1e12:.3g} Tflop/s in {NAMES[name]}" for name, rate in self.operations.items()]
        if self.bytes:
            each.append(f"{self.bytes / 1e12:.3g} TB/s of a large copy, read and written")
        return f"Rates of a large product: {', '.join(each)}." if each else "No rate could be measured."


def least(counted: dict[str, float]) -> float | None:
    """Return the seconds of a step below which none can be: the larger floor. None where there is none."""
    return max((counted[name] for name in (OPERATIONS, BYTES) if name in counted), default=None)


def measure(
    device: str, precisions: tuple[str, ...], small: bool = False, rounds: int = 5, seconds: float = 0.1
) -> Rates:
    """Measure the rates, the best of each library's rounds."""
    large = Large(device, **(SMALL if small else {}))
    backends = {"numpy": ()} if device == "cpu" else {"torch": ("torch",), "cupy": ("cupy",)}
    contenders = {}
    for backend, needs in backends.items():
        for precision in precisions:
            of = partial(product, backend=backend, precision=precision)
            contenders[f"large product, {NAMES[precision]}, {backend}"] = Contender(of, needs)
        contenders[f"large copy, {backend}"] = Contender(partial(copy, backend=backend), needs)
    chosen = interleave.installed(contenders, None, "", device)
    together = device != "cpu"
    timings = interleave.time_side_by_side(
        chosen, large, rounds, seconds, start_together=together, patience=60.0
    )

    def best(kind: str) -> float | None:
        each = [
            seconds for name, timing in timings.items() if name.startswith(kind) for seconds in timing.seconds
        ]
        return min(each, default=None)

    of_products = {precision: best(f"large product, {NAMES[precision]},") for precision in precisions}
    of_copy = best("large copy,")
    return Rates(
        {precision: 2 * large.side**3 / s for precision, s in of_products.items() if s},
        2 * FLOAT * large.floats / of_copy if of_copy else None,
    )


def described(rates: Rates, sizes: Any) -> str:
    """Return the rates and what is counted of a step, in two sentences."""
    each = "; ".join(f"{name} {1e6 * seconds:.1f} µs" for name, seconds in rates.counted(sizes).items())
    return f"{rates} {each}." if each else str(rates)
