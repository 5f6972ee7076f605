"""Runs of several processes: by MPI itself where it is installed, and what is seen to before and after."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from teams import in_processes

import xpnet
from xpnet import Config, InputError, datasets
from xpnet.device import Device
from xpnet.errors import DeviceError
from xpnet.runs import experiment
from xpnet.runs.processes import check_batch, check_same, device_of, watched

MPIEXEC = shutil.which("mpiexec") or shutil.which("mpiexec", path=str(Path(sys.executable).parent))


def has_mpi():
    """Whether a process finds an MPI; not this one, which it would stay with."""
    code = "from mpi4py import MPI"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or not has_mpi(), reason="MPI is not installed: pip install mpi4py mpich"
)

SETTINGS = ["--dtype", "float64", "--hidden", "20", "--quiet", "--sampling", "shuffle", "--epochs", "8"]


def launched(processes, *arguments, **how):
    """Start Python in so many processes, as a user does."""
    # Tests may run under mpiexec themselves, and root is what containers run as.
    env = {n: v for n, v in os.environ.items() if not n.startswith(("PMI", "PMIX", "OMPI_", "MPI_"))}
    env |= dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
    env |= dict.fromkeys(("PRTE_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
    env["PYTHONPATH"] = str(Path(xpnet.__file__).parents[1])
    several = [MPIEXEC, "-n", str(processes)] if processes > 1 else []
    return subprocess.Popen(
        [*several, sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        **how,
    )


def ended(processes, *arguments, **how):
    """Return exit status, output and errors of such processes."""
    process = launched(processes, *arguments, **how)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def params_of(folder):
    return load_file(folder / "model.safetensors")


def assert_close(found, expected):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        # A bias before a batch norm stays 0 but for rounding.
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-10 * scale, err_msg=name)


SCRIPT = """
import sys, numpy as np, xpnet
from xpnet.device import find_team
told = []
run = xpnet.fit(
    "digits", hidden=20, norm="batch", dropout=0.2, solver="nesterov", iterations=200, batch_size=51,
    dtype="float64", seed=3, on_epoch=lambda history: told.append(len(history.rows)),
)
team = find_team()
rank = 0 if team is None else team.rank
assert told == list(range(1, 1 + len(run.history.rows)))
np.savez(f"{sys.argv[1]}/{rank}.npz", losses=run.history.losses, **run.model.params)
"""


@needs_mpi
def test_two_processes_have_the_same_parameters_and_the_losses_of_one(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "alone").mkdir()
    for processes, folder in ((2, tmp_path), (1, tmp_path / "alone")):
        assert ended(processes, tmp_path / "script.py", folder) == (0, "", "")
    first, second, alone = (np.load(tmp_path / name) for name in ("0.npz", "1.npz", "alone/0.npz"))
    assert len(first["losses"]) == 200
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-10)
    assert_close(dict(first), dict(alone))


@needs_mpi
def test_the_command_writes_one_folder_and_says_what_it_did_once(tmp_path):
    status, out, err = ended(
        2, "-m", "xpnet", "train", "--iterations", 60, "--out", tmp_path / "run", "--json"
    )
    assert status == 0
    assert out.count("60 steps in") == out.count('"processes": 2') == out.count("report: ") == 1
    assert err.count("step 60/60") == 1
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "summary.json", "model.safetensors"} <= names
    assert not any(name.startswith("checkpoint") for name in names)


@needs_mpi
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--iteration", 5], "did you mean --iterations?"),
        (["nowhere.csv"], "there is no nowhere.csv: give a file"),
        (["--batch-size", 1], "--batch-size 1 is too small for 2 processes: give 2 or more"),
    ],
)
def test_what_is_wrong_is_said_once(arguments, line, tmp_path):
    status, out, err = ended(2, "-m", "xpnet", "train", *arguments, "--out", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err.count("xpnet train: error:") == 1
    assert line in err
    assert not (tmp_path / "run").exists()


def rank_of(number):
    """The rank of a process, by what its launcher told it."""
    items = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
    given = dict(item.partition(b"=")[::2] for item in items)
    rank = given.get(b"PMI_RANK", given.get(b"OMPI_COMM_WORLD_RANK"))
    return None if rank is None else int(rank)


def workers(folder):
    """The processes that train into a folder, by rank."""
    found = {}
    for place in Path("/proc").iterdir():
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if place.name.isdigit() and b"train" in words and str(folder).encode() in words:
                found[rank_of(int(place.name))] = int(place.name)
        except OSError:  # it has just ended, or is another user's
            continue
    return found


@needs_mpi
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("killed", [0, 1])
def test_a_run_whose_process_is_killed_ends_and_goes_on(killed, tmp_path):
    folder = tmp_path / "run"
    process = launched(2, "-m", "xpnet", "train", *SETTINGS[:-1], "2000", "--out", folder)
    limit = time.monotonic() + 60
    while len(list(folder.glob("checkpoint-*"))) < 2 and time.monotonic() < limit:
        time.sleep(0.05)
    os.kill(workers(folder)[killed], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode
    assert "Traceback" not in err
    assert (
        err.count("xpnet: a process was lost, and the run with it: continue from its last checkpoint with")
        == 1
    )
    assert f"--resume {folder}, on any number of processes" in err
    assert workers(folder) == {}
    if killed == 0:  # as far as what is left goes they are the same
        return
    shutil.copytree(folder, tmp_path / "again")
    epochs = max(int(path.stem.partition("-")[2]) for path in folder.glob("checkpoint-*")) + 3
    for processes, place in ((1, folder), (2, tmp_path / "again")):
        assert ended(processes, "-m", "xpnet", "train", "--resume", place, "--epochs", epochs)[0] == 0
    assert ended(1, "-m", "xpnet", "train", *SETTINGS[:-1], epochs, "--out", tmp_path / "whole")[0] == 0
    for place in (folder, tmp_path / "again"):
        assert_close(params_of(place), params_of(tmp_path / "whole"))


@needs_mpi
def test_who_fails_alone_ends_all(tmp_path):
    (tmp_path / "script.py").write_text(
        "import xpnet\nfrom xpnet.device import find_team\n"
        "def fail(history):\n    if find_team().rank == 1:\n        raise MemoryError('no room')\n"
        "xpnet.fit('digits', hidden=4, epochs=1000, on_epoch=fail)\n"
    )
    status, _, err = ended(2, tmp_path / "script.py")
    assert status
    assert "Traceback" not in err
    assert err.count("xpnet: process 1 ended (no room), and the run with it") == 1


@needs_mpi
def test_a_launcher_of_another_mpi_is_found_out():
    """As where `srun` starts processes that know nothing of each other: each would train all of it."""
    code = "import os, sys; os.environ['SLURM_STEP_NUM_TASKS'] = '4'; os.environ['SLURM_PROCID'] = '0'"
    status, _, err = ended(1, "-c", f"{code}; from xpnet.__main__ import main; sys.exit(main(['train']))")
    assert status == 2
    assert "4 processes were started, but MPI knows 1 of them: use the mpiexec of the MPI" in err


def test_batches_have_a_row_for_each():
    check_batch(Config(batch_size=1), None)

    def see(team):
        check_batch(Config(batch_size=3), team)
        with pytest.raises(InputError, match="is too small for 3 processes: give 3 or more"):
            check_batch(Config(batch_size=2), team)

    in_processes(3, see)


def test_all_begin_with_the_same():
    check_same(None, {})

    def see(team):
        check_same(team, {"settings": {"seed": 1}, "data": "a"})
        with pytest.raises(InputError, match="process 1 has different data from process 0: give all of them"):
            check_same(team, {"settings": {}, "data": "b" if team.rank == 1 else "a"})

    in_processes(3, see)


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_several_processes_on_a_cpu(name):
    config = Config(device=name, backend="numpy")
    assert device_of(config, None).name == "cpu"
    found = in_processes(2, lambda team: device_of(config, team).among(team))
    assert [each.team.rank for each in found] == [0, 1]
    assert {each.name for each in found} == {"cpu"}
    assert Device().team is None


def test_other_libraries_are_refused():
    class Other(Device):
        def __init__(self):
            super().__init__()
            self.xp, self.backend = np, "other 1.0"

    with pytest.raises(DeviceError, match="needs numpy or cupy, not other 1"):
        in_processes(2, lambda team: Other().among(team))


def test_nobody_is_watched_alone():
    with pytest.raises(KeyError), watched(None):
        raise KeyError


@needs_mpi
def test_who_leaves_before_the_others_are_met_ends_them(tmp_path):
    """As by Ctrl-C of one alone, while it still loads what it needs."""
    (tmp_path / "script.py").write_text(
        "import os, sys\nfrom xpnet.__main__ import main\nfrom xpnet.commands import train\n"
        "def stop():\n    raise KeyboardInterrupt\n"
        "if '1' in (os.environ.get('PMI_RANK'), os.environ.get('OMPI_COMM_WORLD_RANK')):\n"
        "    train.find_team = stop\n"
        "sys.exit(main(['train', '--epochs', '1', '--quiet']))\n"
    )
    status, out, err = ended(2, tmp_path / "script.py", cwd=tmp_path)
    assert (status, out) == (130, "")
    assert "Traceback" not in err


@needs_mpi
def test_processes_with_arguments_of_their_own(tmp_path):
    """As of a script that counts seeds by the ranks of its processes."""
    (tmp_path / "script.py").write_text(
        "import os, sys\nfrom xpnet.__main__ import main\n"
        "rank = os.environ.get('PMI_RANK') or os.environ['OMPI_COMM_WORLD_RANK']\n"
        "sys.exit(main(['train', '--epochs', '1', '--seed', rank, '--out', rank, *sys.argv[1:]]))\n"
    )
    status, out, err = ended(2, tmp_path / "script.py", "--quiet", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert (
        err.count(
            "different arguments: give all the same, or use --alone to train a separate network in each"
        )
        == 1
    )
    assert ended(2, tmp_path / "script.py", "--quiet", "--alone", cwd=tmp_path) == (0, "", "")
    for rank in "01":
        assert f'"seed": {rank}' in (tmp_path / rank / "summary.json").read_text()


@needs_mpi
def test_networks_of_their_own(tmp_path):
    """Each process as many as it likes, of settings and data of its own."""
    (tmp_path / "script.py").write_text(
        "import sys, numpy as np, xpnet\nfrom mpi4py import MPI\n"
        "rank = MPI.COMM_WORLD.Get_rank()\n"
        "for seed in range(1 + rank):\n"
        "    run = xpnet.fit('digits', hidden=4 + rank, epochs=1, seed=seed, alone=True)\n"
        "    assert 'processes' not in run.summary\n"
        "print(run.model.params['W1'].shape)\n"
    )
    status, out, err = ended(2, tmp_path / "script.py")
    assert (status, err) == (0, "")
    assert sorted(re.findall(r"\(.*?\)", out)) == ["(64, 4)", "(64, 5)"]  # mpiexec may mix their lines


RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((90, 6))
CLASSES = datasets.from_arrays(ROWS, np.argmax(ROWS[:, :3], axis=1), seed=1)
NUMBERS = datasets.from_arrays(ROWS, ROWS[:, :2] * 9 + 4, task="regression", seed=1)


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (CLASSES, {"ensemble": 3, "bagging": True, "solver": "adam", "sampling": "all", "batch_size": 16}),
        (CLASSES, {"class_weight": ("balanced",), "monitor": "val_log_loss", "patience": 3, "epochs": 30}),
        (CLASSES, {"monitor": "val_roc_auc", "ema": 0.9, "label_smoothing": 0.1, "mixup": 0.3}),
        (NUMBERS, {"monitor": "val_mae", "clip_norm": 0.5, "norm": "batch", "hidden": (6, 6)}),
        (NUMBERS, {"loss": "huber", "preprocess": "pca-whiten", "ensemble": 2, "input_dropout": 0.2}),
    ],
    ids=["bagging", "weights", "auc", "numbers", "whitened"],
)
def test_runs_of_settings_are_those_of_one_process(data, settings):
    changes = {"hidden": (6,), "batch_size": 15, "dtype": "float64", "seed": 2}
    changes |= {"iterations": 40} if "epochs" not in settings else {}
    config = Config(**(changes | settings))
    alone = experiment.run(config, data, Device())
    several = in_processes(3, lambda team: experiment.run(config, data, Device().among(team)))
    for each in several:
        assert_close(each.model.params, alone.model.params)
        for name in alone.model.params:
            np.testing.assert_array_equal(each.model.params[name], several[0].model.params[name])
        np.testing.assert_allclose(each.history.losses, alone.history.losses, rtol=1e-10)
        for ours, theirs in zip(each.history.rows, alone.history.rows, strict=True):
            np.testing.assert_allclose(ours[:-1], theirs[:-1], rtol=1e-10)
        assert each.summary["processes"] == 3
        assert each.summary["status"] == alone.summary["status"]


@pytest.mark.parametrize(
    ("end", "expected"),
    [("import os; os._exit(3)", "lost: do this\n"), ("context.__exit__(None, None, None)", "")],
)
def test_a_witness_speaks_where_nobody_else_can(end, expected):
    code = (
        "from xpnet.runs.witness import witness\n"
        "context = witness()\nsays = context.__enter__()\nsays('early')\nsays('lost: do this')\n"
    )
    status, out, err = ended(1, "-c", code + end)
    assert (out, err) == ("", expected)
    assert status == (3 if expected else 0)
