"""Sweeps on MPI: real ones, by ``mpiexec``, and what ends them."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file
from sweeps import assert_same, blobs, rates, results

from xpnet import sweep
from xpnet.commands import sweep as command
from xpnet.errors import DeviceError
from xpnet.sweep import mpi

MPIEXEC = shutil.which(
    "mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)

on_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="there is no mpiexec, or no mpi4py"
)

OF_TESTS = str(Path(__file__).parents[1])

# Open MPI counts cores, and does not like root.
EASY = {
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # mpi4py puts a script's folder in the first place of the path, where it takes the working folder to be.
    "PYTHONSAFEPATH": "",
}


def started(*words, folder):
    """Start Python with these words, as three processes."""
    path = os.pathsep.join([OF_TESTS, os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [MPIEXEC, "-n", "3", sys.executable, *words],
        cwd=folder,
        env=os.environ | EASY | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*words, folder):
    """Return what becomes of what `started` starts."""
    return told_by(started(*words, folder=folder))


def told_by(process):
    """Return exit status, output, which lines of errors are ours, and all of them."""
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, out, [line for line in err.splitlines() if line.startswith("xpnet")], err


def command_line(text):
    return ["-m", "xpnet", "sweep", *text.split()]


def table(folder):
    with (folder / "results.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@on_mpi
def test_the_command_finds_what_it_finds_here_and_one_process_speaks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    grid = "--learning-rate 0.01 0.02 0.04 --hidden 12 --hidden 9 --iterations 60 --halving --own-batches"
    status, out, complaints, err = ended(
        *command_line(f"--scheduler mpi {grid} --json --out there"), folder=tmp_path
    )
    assert (status, complaints) == (0, []), err
    assert command.main([*grid.split(), "--json", "--out", "here"]) == 0
    expected = capsys.readouterr().out
    assert out.splitlines()[:7] == expected.splitlines()[:7]  # the table, once
    of_there, of_here = (json.loads(text.splitlines()[-1]) for text in (out, expected))
    assert of_there["test_accuracy"] == of_here["test_accuracy"]
    assert table(tmp_path / "there") == table(tmp_path / "here")
    there, here = (load_file(tmp_path / name / "best" / "model.safetensors") for name in ("there", "here"))
    assert_same(there, here)


@on_mpi
def test_bad_input_is_one_line_and_ends_all_processes(tmp_path):
    began = time.monotonic()
    status, out, complaints, err = ended(
        *command_line("--scheduler mpi --learning-rate 0.1 fast"), folder=tmp_path
    )
    assert (status, out) == (2, ""), err
    assert complaints == ["xpnet sweep: error: --learning-rate must be a number, not 'fast'"]
    assert time.monotonic() - began < 60


LEAD = """
import signal, sys
from sweeps import blobs, rates
from xpnet import sweep
from xpnet.sweep import mpi

with mpi.connect() as executor:
    if executor is not None:
        def on_outcome(_outcome):
            if sys.argv[1] == "lose":
                executor.submit(signal.raise_signal, signal.SIGKILL)

        configs = rates(*[0.1] * 40, iterations=400, share_batches=False)  # more than are done at once
        sweep.run(configs, blobs(), max_nets=1, out="s", executor=executor, on_outcome=on_outcome)
"""


@on_mpi
def test_a_lost_process_is_one_line_and_what_is_done_is_kept(tmp_path):
    """The launcher ends all of them, the first one without a chance to speak."""
    status, _, complaints, err = ended("-c", LEAD, "lose", folder=tmp_path)
    assert status != 0
    if complaints or "prterun" not in err:  # which is Open MPI's, and may close its ears before
        (line,) = complaints
        assert line.startswith("xpnet sweep: error: an MPI process was lost"), err
        assert "run the same command again to resume" in line
    done = (tmp_path / "s" / "results.jsonl").read_text().splitlines()
    assert 0 < len(done) < 40

    status, _, complaints, err = ended("-c", LEAD, "go on", folder=tmp_path)
    assert (status, complaints) == (0, []), err
    rows = [json.loads(line) for line in (tmp_path / "s" / "results.jsonl").read_text().splitlines()]
    assert rows[: len(done)] == [json.loads(line) for line in done]
    here = sweep.run(rates(*[0.1] * 40, iterations=400, share_batches=False), blobs())
    by_number = {row["network"]: row for row in results(rows)}
    assert len(rows) == 40
    for row in results(here.rows):
        assert by_number[row["network"]] == row


FAILING = """
from sweeps import blobs, rates
from xpnet import sweep
from xpnet.sweep import mpi, workers

train_chunk = workers.train_chunk

def fails(task, *given, **more):
    if task.config.seed == 1:
        raise ValueError("what a chunk raises")
    return train_chunk(task, *given, **more)

workers.train_chunk = fails
with mpi.connect() as executor:
    if executor is not None:
        configs = rates(*[0.1] * 2, iterations=10**8, share_batches=False)
        sweep.run(configs, blobs(), max_nets=1, executor=executor)
"""


@on_mpi
def test_an_error_in_a_chunk_ends_the_others_after_a_step(tmp_path):
    """One of the others is in the midst of training that would take hours."""
    status, out, _, err = ended("-c", FAILING, folder=tmp_path)
    assert (status == 0, out) == (False, "")
    assert "\nValueError: what a chunk raises\n" in err


@on_mpi
def test_ctrl_c_leaves_what_is_done(tmp_path):
    argv = "--scheduler mpi --seed 0 1 --own-batches --max-nets 1 --iterations 100000000 --quiet --out s"
    process = started(*command_line(argv), folder=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "s" / "sweep.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    status, out, complaints, err = told_by(process)
    # Open MPI has a status of its own, and nobody hears the processes any more.
    assert (status, len(complaints)) in [(130, 1), (1, 0)], err
    assert all("sweep: interrupted " in line and "run the same command again" in line for line in complaints)
    assert "best" not in out


OWN = """
import json
import numpy as np
import xpnet
from mpi4py.futures import MPIPoolExecutor
from xpnet import MLPClassifier, MLPSearchCV
from sweeps import blobs

if __name__ == "__main__":
    data, grid = blobs(), {"learning_rate": [0.1, 0.2, 0.3]}
    settings = {"hidden": 7, "iterations": 40, "own_batches": True, "recipe": "none"}
    model = MLPClassifier(5, max_iter=5, n_iter_no_change=float("inf"), random_state=0)
    found = []
    with MPIPoolExecutor() as executor:
        for where in (executor, None):
            table = xpnet.search(data.X_train, data.y_train, grid, executor=where, **settings)
            search = MLPSearchCV(model, {"alpha": [0, 0.1]}, cv=3, executor=where)
            search.fit(data.X_train, data.y_train)
            scores = search.cv_results_["mean_test_score"].tolist()
            weights = search.best_estimator_.coefs_[0].tolist()
            found.append([[row["val_score"] for row in table.rows], scores, weights])
    print(json.dumps(found))
"""


@on_mpi
def test_an_executor_of_ones_own(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    (tmp_path / "own.py").write_text(OWN)
    status, out, _, err = ended("-m", "mpi4py.futures", "own.py", folder=tmp_path)
    assert status == 0, err
    there, here = json.loads(out)
    assert there == here


# Without MPI


def stub(monkeypatch, MPI):
    """Put this in place of MPI."""
    package, futures = ModuleType("mpi4py"), ModuleType("mpi4py.futures")
    package.futures = futures
    package.MPI = MPI
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    monkeypatch.setitem(sys.modules, "mpi4py.futures", futures)


@pytest.mark.parametrize(
    ("argv", "asks"),
    [
        (["--scheduler", "mpi"], True),
        (["--scheduler=mpi"], True),
        (["--scheduler", "tcp://mpi:1"], False),
        (["mpi", "--scheduler"], False),
    ],
)
def test_it_is_seen_before_arguments_are_read(argv, asks):
    assert command._names_mpi(argv) is asks


@pytest.mark.parametrize("how", ["flag", "file"])
def test_alone_it_is_one_line(monkeypatch, tmp_path, capsys, how):
    stub(monkeypatch, SimpleNamespace(COMM_WORLD=SimpleNamespace(size=1, rank=0)))
    (tmp_path / "s.toml").write_text('scheduler = "mpi"\n')
    given = ["--scheduler", "mpi", "--seed", "x"] if how == "flag" else ["--config", str(tmp_path / "s.toml")]
    assert command.main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("xpnet sweep: error: --scheduler mpi needs several processes")
    assert "`mpiexec -n 4 xpnet sweep --scheduler mpi …`" in line


def test_missing_mpi4py_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(DeviceError, match=r'run `pip install "xpnet\[mpi\]"`'), mpi.connect():
        pass


def test_a_missing_library_is_one_line(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").touch()
    (tmp_path / "mpi4py" / "MPI.py").write_text("raise RuntimeError('cannot load MPI library\\nlibmpi.so')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError) as caught, mpi.connect():
        pass
    assert str(caught.value) == (
        "mpi4py is installed but finds no MPI (cannot load MPI library): load the MPI of this machine, or "
        "run `pip install mpich`"
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py"]:
        del sys.modules[name]


def test_processes_of_other_versions_are_one_line():
    here = mpi.versions()
    mpi._check_versions([("a", here), ("b", dict(here))])
    with pytest.raises(DeviceError) as caught:
        mpi._check_versions([("a", here), ("b", here | {"NumPy": "1.0"})])
    assert str(caught.value) == (
        f"process 1, on b, has NumPy 1.0, but the first one has NumPy {np.__version__}: install the same "
        "versions"
    )
