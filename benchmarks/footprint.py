"""What an installation weighs, and how soon it has trained something: xpnet and its peers.

    python benchmarks/footprint.py [--torch REQUIREMENT] [--rounds N] [--environments FOLDER]

Each library is installed by pip into a fresh virtual environment: this checkout, and the others from the
index that pip is set up with. The weight is that of all files in site-packages, the number that of what
``pip list`` lists, both without pip and setuptools.

Then each does its work in a new process a round, in turn: to import itself, and to import itself and train
one hidden layer of 100 units on the digits by plain SGD, 10 epochs of batches of 50 in float32, from the
same .npz file. What is timed is the whole process, with the files in the system's cache (the first round is
not counted).

PyTorch's usual wheel for Linux brings CUDA along and is far heavier; --torch takes the requirement of
another, and pip's settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL) say where it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent)]
sys.path.append(str(ROOT))  # where xpnet is not installed
import interleave

DATA = """
import sys, numpy as np
with np.load(sys.argv[1]) as file:
    X, y = file["X"], file["y"]
"""

WRITE_DATA = """
import sys, numpy as np
from xpnet import datasets
digits = datasets.digits()
np.savez(sys.argv[1], X=digits.X_train.astype(np.float32) / 16, y=digits.y_train)
"""

FITS = {
    "xpnet": """
import xpnet
net = xpnet.TwoLayerNet(64, 100, 10, std=0.1, dtype="float32", rng=0)
net.train(X, y, X[:50], y[:50], learning_rate=0.1, learning_rate_decay=1.0, reg=0.0,
          num_iters=10 * (len(X) // 50), batch_size=50)
predicted = net.predict(X)
""",
    "xpnet[sklearn]": """
from xpnet import MLPClassifier
mlp = MLPClassifier(100, solver="sgd", momentum=0.0, learning_rate_init=0.1, batch_size=50, max_iter=10)
predicted = mlp.fit(X, y).predict(X)
""",
    "scikit-learn": """
from sklearn.neural_network import MLPClassifier
mlp = MLPClassifier(100, solver="sgd", momentum=0.0, learning_rate_init=0.1, batch_size=50, max_iter=10)
predicted = mlp.fit(X, y).predict(X)
""",
    "PyTorch": """
import torch
X, y = torch.from_numpy(X), torch.from_numpy(y)
net = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
loss, solver = torch.nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), 0.1)
for _ in range(10):
    for rows in torch.randperm(len(X)).split(50):
        solver.zero_grad()
        loss(net(X[rows]), y[rows]).backward()
        solver.step()
with torch.no_grad():
    predicted = net(X).argmax(1).numpy()
y = y.numpy()
""",
    "Keras + JAX": """
import keras
net = keras.Sequential([keras.Input((64,)), keras.layers.Dense(100, "relu"), keras.layers.Dense(10)])
net.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
net.fit(X, y, batch_size=50, epochs=10, verbose=0)
predicted = net.predict(X, verbose=0).argmax(1)
""",
}

CHECK = """
if (predicted == y).mean() < 0.8:
    sys.exit("it has learnt nothing")
"""


@dataclass(frozen=True)
class Library:
    """How it is installed and imported."""

    requirements: tuple[str, ...]
    imports: str


def libraries(torch: str) -> dict[str, Library]:
    """Return the contenders."""
    return {
        "xpnet": Library((str(ROOT),), "import xpnet"),
        "xpnet[sklearn]": Library((f"{ROOT}[sklearn]",), "from xpnet import MLPClassifier"),
        "scikit-learn": Library(("scikit-learn",), "from sklearn.neural_network import MLPClassifier"),
        "PyTorch": Library((torch, "numpy"), "import torch"),  # it does not bring NumPy, which the data need
        "Keras + JAX": Library(("keras", "jax"), "import keras"),
    }


def install(folder: Path, library: Library) -> Path:
    """Make the environment unless it is there; return its interpreter."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *library.requirements], check=True)
        (folder / "complete").touch()
    return python


def weigh(python: Path) -> tuple[float, list[str]]:
    """Return the MB of an environment's packages and their versions, without pip and setuptools."""
    place = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    site = Path(place.strip())
    ours = [
        item
        for item in site.iterdir()
        if not item.name.startswith(("pip", "setuptools", "_distutils_hack", "pkg_"))
    ]
    files = (file for item in ours for file in (item.rglob("*") if item.is_dir() else [item]))
    size = sum(file.lstat().st_size for file in files if file.is_file())
    list_them = [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(
        subprocess.check_output([*list_them, "--exclude", "pip", "--exclude", "setuptools"], text=True)
    )
    return size / 1e6, [f"{package['name']} {package['version']}" for package in listed]


def process(python: Path, code: str, data: Path) -> tuple[float, float]:
    """Run code in a new process; return its seconds and its peak memory in MiB."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONWARNINGS": "ignore", "JAX_PLATFORMS": "cpu"}
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        started = subprocess.Popen(
            [python, "-c", code, data],
            cwd=data.parent,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(started.pid, 0)
        seconds = time.perf_counter() - began
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode:
            errors.seek(0)
            raise SystemExit(f"{code}\nfailed: {errors.read().decode(errors='replace')}")
    return seconds, usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Install, weigh and time all of them and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--torch", default="torch", help="requirement for PyTorch (default: torch)")
    parser.add_argument("--rounds", type=int, default=11, help="rounds (default: 11)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default: 1)")
    parser.add_argument("--only", nargs="+", default=None, help="names of libraries, beside xpnet")
    parser.add_argument(
        "--environments", type=Path, default=None, help="folder to keep environments in, for a second run"
    )
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    flags = parser.parse_args()
    interleave.limit_threads(flags.threads)
    chosen = {
        name: library
        for name, library in libraries(flags.torch).items()
        if not flags.only or name in (*flags.only, "xpnet")
    }
    with tempfile.TemporaryDirectory() as scratch:
        environments = (flags.environments or Path(scratch, "environments")).absolute()
        data = Path(scratch, "digits.npz")
        pythons, weights = {}, {}
        for name, library in chosen.items():
            print(f"installing {name}", file=sys.stderr)
            pythons[name] = install(environments / name.replace(" ", ""), library)
            weights[name] = weigh(pythons[name])
        # Not here: the peak of a process that is forked begins at that of its parent.
        process(pythons["xpnet"], WRITE_DATA, data)
        here = interleave.environment()  # the versions are those of the environments, below
        print("; ".join(f"{key} {here[key]}" for key in ("date", "python", "machine", "threads")), end="\n\n")
        print("| library | MB on disk | packages | ratio of MB to xpnet |\n|---|---|---|---|")
        for name, (size, packages) in weights.items():
            print(f"| {name} | {size:.0f} | {len(packages)} | {size / weights['xpnet'][0]:.1f} |")
        print()
        for name, (_, packages) in weights.items():
            print(f"- {name}: {', '.join(packages)}")
        works = {
            "import": {name: library.imports for name, library in chosen.items()},
            "import and fit": {name: DATA + FITS[name] + CHECK for name in chosen},
        }
        turns = {(what, name): [] for what, codes in works.items() for name in codes}
        for number in range(flags.rounds + 1):
            for what, name in turns:
                turn = process(pythons[name], works[what][name], data)
                if number:
                    turns[what, name].append(turn)
    if flags.json:
        figures = {
            "MB and packages": weights,
            **{f"{what}, {name}": taken for (what, name), taken in turns.items()},
        }
        flags.json.write_text(
            json.dumps({"environment": interleave.environment(), **figures}, indent=1) + "\n"
        )
    for what, codes in works.items():
        timings = {
            name: interleave.Timing(
                [s for s, _ in turns[what, name]], max(peak for _, peak in turns[what, name])
            )
            for name in codes
        }
        print(f"\n{what.capitalize()}, whole process:\n\n{interleave.markdown_table(timings, 'xpnet')}")


if __name__ == "__main__":
    main()
