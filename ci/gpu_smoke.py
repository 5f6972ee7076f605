"""The first minute on a GPU: what a user would do, each step in a process of its own with a limit of time.

    python ci/gpu_smoke.py [--device cuda] [--seconds 60] [--data FILE.npz]
    python ci/gpu_smoke.py --step estimator    # one of them, here

A step that fails, or takes longer than it may, is shown with the end of what it printed, and the next goes
on. Steps of one lane are taken one after another, the lanes side by side. ``--data`` is a data set of images
for one more step. ``--device cpu`` rehearses the script, without what only a GPU has.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
import gpu_limits

ACCURACY = 0.9
"""Least share of the digits that a trained network tells; the commands' defaults reach 0.98."""

SHOWN = 25
"""Lines of what a step printed that failed."""

SHARE = 0.5
"""Of the time, for a step at most."""

PLACES = ("table: ", "report: ", "next: ", "      xpnet ")
"""How lines begin that say where a command left its files, and what comes next."""

SETTINGS = ("--iterations", "500")
"""Of the networks for the digits: enough for `ACCURACY`."""


def products(device: str) -> None:
    """Multiply in each precision, and say how exact it was: tensor cores are allowed, not certain."""
    import numpy as np

    from xpnet import get_device

    a, b = np.random.default_rng(0).standard_normal((2, 1024, 1024), dtype=np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    for precision, largest in {"fp32": 2e-6, "tf32": 2e-3, "bf16": 2e-2}.items():
        if device == "cpu" and precision != "fp32":
            continue
        on = get_device(device, precision=precision)
        with on.active():
            found = on.to_host(on.xp.matmul(on.put(a), on.put(b)))
        error = float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))
        print(f"{precision}: error {error:.1e}", end="; ")
        if not error < largest:
            sys.exit(f"\nthe products of {precision} are wrong")


def train(device: str, *flags: str, settings: tuple[str, ...] = SETTINGS, least: float = ACCURACY) -> None:
    """Run ``xpnet train`` and look at the accuracy that it reports."""
    with tempfile.TemporaryDirectory() as folder:
        _command("train", *settings, *flags, "--device", device, "--out", f"{folder}/run")
        summary = json.loads(Path(folder, "run", "summary.json").read_text(encoding="utf-8"))
    _judge(summary["test_accuracy"], least)


def sweep(device: str, *flags: str) -> None:
    """Run ``xpnet sweep`` over 15 networks, and look at the best."""
    rates, regs = ("1e-2", "1.5e-2", "2e-2", "2.5e-2", "3e-2"), ("1e-4", "1e-3", "1e-2")
    settings = [*SETTINGS, "--learning-rate", *rates, "--reg", *regs, "--device", device, *flags]
    with tempfile.TemporaryDirectory() as folder:
        _command("sweep", *settings, "--out", f"{folder}/sweep")
        rows = Path(folder, "sweep", "results.csv").read_text(encoding="utf-8").splitlines()[1:]
        best = json.loads(Path(folder, "sweep", "best", "summary.json").read_text(encoding="utf-8"))
    if sum("finished" in row for row in rows) != 15:
        sys.exit("not all networks have finished")
    _judge(best["test_accuracy"])


def estimator(device: str) -> None:
    """Fit an estimator, and score it."""
    from xpnet import MLPClassifier
    from xpnet.datasets import digits

    data = digits()
    model = MLPClassifier((64,), max_iter=60, n_iter_no_change=float("inf"), random_state=0, device=device)
    model.fit(data.X_train, data.y_train)
    _judge(model.score(data.X_test, data.y_test))


def _command(*words: str) -> None:
    from xpnet.__main__ import main

    # The command would go on without, and all would look well.
    warnings.filterwarnings("error", "the steps cannot be captured")
    if (status := main(list(words))) != 0:
        sys.exit(status)


def _judge(accuracy: float, least: float = ACCURACY) -> None:
    print(f"accuracy {accuracy:.3f}")
    if not accuracy >= least:
        sys.exit(f"an accuracy of {accuracy:.3f}, where {least} is the least")


@dataclass(frozen=True)
class Step:
    """What to do with a device; its lane; packages it needs; whether it takes a GPU."""

    work: Callable[[str], None]
    lane: int
    needs: tuple[str, ...] = ()
    on_gpu: bool = False


def steps(data: str | None) -> dict[str, Step]:
    """Return all steps by name, in order."""
    captured = ("--compile",)

    def images(device: str) -> None:
        settings = (str(data), "--recipe", "original", "--epochs", "20")
        train(device, *(() if device == "cpu" else captured), settings=settings, least=0.25)

    found = {
        "digits, eager": Step(train, 0),
        "products": Step(products, 1),
        "PyTorch": Step(lambda device: train(device, "--backend", "torch"), 2, needs=("torch",)),
        "JAX": Step(lambda device: train(device, "--backend", "jax"), 3, needs=("jax",)),
        "digits, captured": Step(lambda device: train(device, *captured), 0, on_gpu=True),
        "TF32, captured": Step(
            lambda device: train(device, "--precision", "tf32", *captured), 1, on_gpu=True
        ),
        "a sweep of 15": Step(sweep, 0),
        "bfloat16, captured": Step(
            lambda device: train(device, "--precision", "bf16", *captured), 1, on_gpu=True
        ),
        "a sweep of 15, captured": Step(lambda device: sweep(device, *captured), 0, on_gpu=True),
        "estimator": Step(estimator, 1, needs=("sklearn",)),
    }
    return found | ({"images": Step(images, 1)} if data else {})


def take(name: str, step: Step, flags: argparse.Namespace, deadline: float) -> bool:
    """Take a step in a process of its own, and print how it went. Return whether it went well."""
    on_cpu = flags.device == "cpu"
    missing = [need for need in step.needs if find_spec(need) is None]
    if missing or (on_cpu and step.on_gpu):
        _say(f"--  {name}: {f'{missing[0]} is not installed' if missing else 'on a GPU only'}")
        return True
    seconds = min(SHARE * flags.seconds, deadline - time.monotonic())
    if seconds < 2.0:
        _say(f"--  {name}: no time left")
        return False
    command = [sys.executable, __file__, "--step", name, "--device", flags.device]
    command += ["--data", flags.data] if flags.data else []
    ended = gpu_limits.run(command, seconds, keep=True, grace=3.0)
    lines = ended.output.rstrip().splitlines()
    well = ended.status == 0 and not ended.late
    told = [line.strip(" ;") for line in lines if not line.startswith(PLACES)][-2:]
    said = "; ".join(told) if well else str(ended)
    text = f"{'ok' if well else '!!'}  {name}, {ended.seconds:.0f} s: {said}"
    _say("\n".join([text, *([] if well else [f"    {line}" for line in lines[-SHOWN:]])]))
    return well


def _say(text: str) -> None:
    """Print it in one piece, whatever the other lanes print."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Take all steps, or one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all of it (default: 60)")
    parser.add_argument("--data", help="an .npz file of images, for one more step")
    parser.add_argument("--step", help="take this one alone, here")
    flags = parser.parse_args()
    of = steps(flags.data)
    if flags.step:
        of[flags.step].work(flags.device)
        return
    gpu_limits.listen()
    deadline = time.monotonic() + flags.seconds

    def lane(number: int) -> bool:
        each = [take(name, step, flags, deadline) for name, step in of.items() if step.lane == number]
        return all(each)

    numbers = sorted({step.lane for step in of.values()})
    with ThreadPoolExecutor(len(numbers)) as threads:
        well = list(threads.map(lane, numbers))
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
