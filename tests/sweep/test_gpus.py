"""A sweep on several GPUs, which here are processes with the CPU: what is sent there and what comes back."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import BASE, SmallDevice, assert_same, blobs, rates, results

import xpnet
from xpnet import sweep
from xpnet.commands import sweep as command
from xpnet.device import Options, get_device
from xpnet.errors import DeviceError, InputError
from xpnet.runs import config
from xpnet.sweep import gpus
from xpnet.sweep.station import Station
from xpnet.sweep.workers import Preparations

# Of own batches, so that they are the same to the bit however they are cut.
CONFIGS = rates(*[0.1 * k for k in range(1, 11)], share_batches=False)
ALL = [replace(c, device="cuda:all", backend="numpy") for c in CONFIGS]


@pytest.fixture(autouse=True)
def two(monkeypatch):
    """Make up two GPUs; return the processes that are started for them."""
    started = []

    class Process(gpus.Process):
        def __init__(self, name=None):
            started.append(self)
            super().__init__(name)

    monkeypatch.setattr(gpus, "DEVICE", "cpu")
    monkeypatch.setattr(gpus, "_count", lambda _options: 2)
    monkeypatch.setattr(gpus, "Process", Process)
    yield started
    for process in started:
        assert process._process.poll() is not None, "left behind"


@pytest.fixture
def recorded_here(monkeypatch):
    """Let the best network be measured on the CPU, as there is no first GPU."""
    monkeypatch.setattr(
        config, "get_device", lambda name, *how: get_device(name.replace("cuda:0", "cpu"), *how)
    )


@pytest.mark.parametrize(("name", "halving"), [("cuda:all", True), ("cuda:0,cuda:1", False)])
def test_what_is_found_is_what_one_device_finds(two, name, halving):
    there = sweep.run([replace(c, device=name) for c in ALL], blobs(), halving=halving)
    here = sweep.run(CONFIGS, blobs(), halving=halving)
    assert there.complete
    assert results(there.rows) == results(here.rows)
    assert_same(there.best.params, here.best.params)
    assert len(two) == 2  # the same ones for all rungs
    assert {c.device for c in there.configs} == {"cuda:0"}  # where each can be trained alone
    assert {row["networks"] for row in there.rows if row["task"].startswith("rung0")} <= {5}


def test_a_device_by_argument_goes_over_that_of_the_settings(two):
    there = sweep.run(CONFIGS, blobs(), device="cuda:0,cuda:1")
    assert len(two) == 2
    assert results(there.rows) == results(sweep.run(CONFIGS, blobs()).rows)
    assert there.configs[0].device == "cpu"


@pytest.mark.usefixtures("recorded_here")
def test_one_gpu_needs_no_process(monkeypatch, two):
    monkeypatch.setattr(gpus, "_count", lambda _options: 1)
    there = sweep.run(ALL, blobs())
    assert results(there.rows) == results(sweep.run(CONFIGS, blobs()).rows)
    assert not two


def test_a_script_needs_no_guard(tmp_path):
    """As the processes do not import it; and named data are loaded there."""
    script = tmp_path / "script.py"
    script.write_text(
        "import xpnet\nfrom xpnet.device import get_device\nfrom xpnet.runs import config\n"
        "from xpnet.sweep import gpus\ngpus.DEVICE, gpus._count = 'cpu', lambda _: 2\n"
        "config.get_device = lambda name, *how: get_device('cpu', 'numpy')\n"
        "table = xpnet.search('digits', grid={'reg': [0.0, 0.1, 1.0]}, iterations=20, hidden=8,"
        " device='cuda:all', backend='numpy')\n"
        "print(len(table.rows), table.best.config.device, table.best.summary['device'])\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(xpnet.__file__).parents[1])}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, check=False)
    assert (run.stdout, run.stderr) == ("3 cuda:0 cpu\n", "")


@pytest.mark.usefixtures("without_pictures", "recorded_here")
def test_the_command(capsys, tmp_path):
    argv = ["digits", "--hidden", "8", "--iterations", "20", "--reg", "0", "0.1", "1", "--backend", "numpy"]
    argv += ["--own-batches", "--out"]
    for name, device in (("all", "cuda:all"), ("one", "cpu")):
        assert command.main([*argv, str(tmp_path / name), "--device", device, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    tables = [(tmp_path / name / "results.csv").read_text().splitlines() for name in ("all", "one")]
    without_times = [[line.split(",")[:-1] for line in table] for table in tables]
    assert len(without_times[0]) == 4
    assert [line[0] for line in without_times[0]] == [line[0] for line in without_times[1]]
    assert json.loads((tmp_path / "all" / "best" / "config.json").read_text())["device"] == "cuda:0"


# Where chunks go


def test_each_process_sees_its_own_gpu(monkeypatch):
    seen = []

    class Popen(subprocess.Popen):
        def __init__(self, *given, env, **how):
            seen.append(env.get("CUDA_VISIBLE_DEVICES"))
            super().__init__(*given, env=env, **how)

    monkeypatch.setattr(gpus.subprocess, "Popen", Popen)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus.Process().end()  # which counts them
    for shown in (None, "GPU-a, GPU-b,GPU-c"):
        if shown:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        for name in ("cuda:0", "cuda:2"):
            gpus.Process(name).end()
    assert seen == [None, "0", "2", "GPU-a", "GPU-c"]


def test_stacks_fit_the_gpu_with_the_least_memory(monkeypatch):
    stacks = object.__new__(gpus.OnGpus)
    stacks._processes, stacks._max_nets = [None] * 3, None
    for fit, max_nets, expected in (
        ([100, 4, 50], None, [3, 3, 2, 2]),
        ([100, 4, 50], 2, [2, 2, 2, 2, 2]),
        ([100, 90, 50], None, [4, 3, 3]),  # all of them are busy
    ):
        stacks._max_nets = max_nets
        monkeypatch.setattr(stacks, "_of_each", lambda *_, fit=fit: fit, raising=False)
        sizes = [len(chunk) for chunk in stacks.cut(CONFIGS).chunks(range(10))]
        assert max(sizes) <= min(*fit, max_nets or 10)
        assert sizes == expected or len(sizes) % 3 == 0


def test_a_process_says_how_many_networks_fit_beside_the_data():
    fits = []
    for free in (10**5, 10**6, 10**9):
        station = Station()
        station._prepared = Preparations(blobs(), SmallDevice(free))
        fits.append(station.fit(CONFIGS))
    assert fits == sorted(fits)
    assert fits[0] >= 1
    assert fits[0] < fits[2]


def test_the_data_go_there_once(monkeypatch):
    asked = []
    call = gpus.Process.__mro__[1].call

    def counting(self, name, *given):
        asked.append(name)
        return call(self, name, *given)

    monkeypatch.setattr(gpus.Process, "call", counting)
    sweep.run(ALL, blobs(), max_nets=2)
    assert asked.count("begin") == 2
    assert asked.count("train") == 6  # three rounds for two


# What goes wrong


def test_an_error_there_is_told_once(two, capfd):
    with pytest.raises(DeviceError) as caught:
        sweep.run([replace(c, precision="tf32") for c in ALL], blobs())
    assert str(caught.value) == "no precision 'tf32' with numpy on device cpu: use fp32"
    assert capfd.readouterr() == ("", "")
    assert len(two) == 2


def test_an_error_in_a_chunk_ends_the_sweep_and_what_is_done_is_kept(monkeypatch, tmp_path):
    call = gpus.Process.__mro__[1].call

    def failing(self, name, *given):
        if name == "train" and 7 in given[0].configs:
            raise MemoryError("of this GPU")
        return call(self, name, *given)

    with monkeypatch.context() as patch:
        patch.setattr(gpus.Process, "call", failing)
        with pytest.raises(MemoryError, match="of this GPU"):
            sweep.run(ALL, blobs(), max_nets=1, out=tmp_path)
    assert results(sweep.run(ALL, blobs(), max_nets=1, out=tmp_path).rows) == results(
        sweep.run(CONFIGS, blobs()).rows
    )


def test_a_process_that_is_lost_is_one_line():
    process = gpus.Process("cuda:0")
    process._process.kill()
    with pytest.raises(DeviceError) as caught:
        process.call("count", Options())
    process.end()
    assert str(caught.value) == (
        "the process cuda:0 was lost, perhaps because memory ran out: run the same sweep again, with a "
        "smaller --max-nets if memory ran out"
    )


SCRIPT = """
import dataclasses, sys, time
from xpnet import datasets, search
from xpnet.datasets import Dataset
from xpnet.sweep import gpus
gpus.DEVICE, gpus._count = "cpu", lambda _: 2

class Mine(Dataset):
    pass

def local():
    class Local(Dataset):
        pass
    return Local

digits = datasets.digits()
fields = {f.name: getattr(digits, f.name) for f in dataclasses.fields(digits) if f.init}
data = (Mine if sys.argv[1] == "main" else local())(**fields)
try:
    search(data, grid={"reg": [0.0, 0.1]}, iterations=3, device="cuda:all", backend="numpy")
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("where", "start"),
    [
        ("main", "the process of a GPU cannot load an object (Can't get attribute 'Mine'"),
        ("local", "an object cannot be sent to the process of a GPU (Can't "),
    ],
)
def test_a_class_that_is_not_known_there_is_one_line(tmp_path, where, start):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": str(Path(xpnet.__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, script, where], capture_output=True, text=True, env=env, check=False, timeout=60
    )
    assert run.stdout.startswith(start)
    assert run.stdout.endswith("): put its class into a module that can be imported, or use one GPU\n")
    assert (run.stdout.count("\n"), run.stderr) == (1, "")


class Unreadable:
    """What cannot be made again by who reads it."""

    def __reduce__(self):
        return int, ("no number",)


def test_a_process_ends_with_its_pipe_also_after_what_it_cannot_read():
    process = gpus.Process("cuda:0")
    with pytest.raises(InputError, match=r"cannot load an object \(invalid literal"):
        process.call("begin", Unreadable(), bytes(10**6))
    process._calls.close()
    assert process._process.wait(5) == 0
    process.end()


def test_where_one_cannot_be_started_the_others_end(monkeypatch):
    plain, started = gpus.Process, []

    def process(name):
        if started:
            raise OSError("no more processes")
        started.append(plain(name))
        return started[0]

    monkeypatch.setattr(gpus, "Process", process)
    with pytest.raises(OSError, match="no more processes"):
        sweep.run(ALL, blobs())
    assert started[0]._process.poll() is not None


def test_an_error_of_ours_says_where_it_was_raised():
    process = gpus.Process("cuda:0")
    process.call("begin", blobs(), Options())
    try:
        with pytest.raises(AttributeError) as caught:
            process.call("nothing")
        assert "station.py" in caught.value.__notes__[0]
        assert process.call("fit", [BASE]) >= 1  # it goes on
    finally:
        process.end()


def test_a_warning_there_is_a_warning_here(monkeypatch):
    process = gpus.Process("cuda:0")
    monkeypatch.setattr(
        gpus.pickle, "load", lambda _file: (3, None, [(RuntimeWarning, "it goes on without")])
    )
    try:
        with pytest.warns(RuntimeWarning, match="goes on without"):
            assert process.call("count", Options()) == 3
    finally:
        process.end()


def test_it_can_be_stopped_and_taken_up_again(tmp_path):
    long = [replace(c, iterations=3000) for c in ALL]
    done = []
    began = time.monotonic()
    stopped = sweep.run(
        long, blobs(), max_nets=1, out=tmp_path, on_outcome=done.append, should_stop=lambda: bool(done)
    )
    assert time.monotonic() - began < 60
    assert not stopped.complete
    assert 1 <= len(stopped.rows) < 10


def test_workers_of_an_executor_take_one_each():
    message = "a worker of an executor or a scheduler takes one GPU, not cuda:all: use --device cuda"
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(InputError, match=message):
            sweep.run(ALL, blobs(), executor=executor)
        with pytest.raises(InputError, match=message):
            xpnet.search("digits", grid={"reg": [0, 1]}, device="cuda:all", executor=executor)


def test_no_gpu_is_one_line_before_anything_is_loaded(monkeypatch, capsys):
    monkeypatch.undo()
    line = "numpy has no device cuda: use backend cupy or torch or jax"
    argv = ["nowhere.csv", "--device", "cuda:all", "--backend", "numpy", "--reg", "0", "1"]
    assert command.main(argv) == 2
    assert capsys.readouterr().err == f"xpnet sweep: error: {line}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of other systems")
def test_ctrl_c_ends_the_processes_too(tmp_path):
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from xpnet.sweep import gpus; gpus.DEVICE, gpus._count = 'cpu', lambda _: 2\n"
        "plain = gpus.Process.__init__\n"
        "def noted(self, name=None):\n"
        "    plain(self, name); open('pids', 'a').write(f'{self._process.pid}\\n')\n"
        "gpus.Process.__init__ = noted\n"
        "from xpnet.commands.sweep import main; sys.exit(main())"
    )
    argv = "digits --device cuda:all --backend numpy --hidden 30 --iterations 3000 --max-nets 1 --out s --reg"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *argv.split(), "0", "1e-3", "1e-2", "1e-1", "1"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(xpnet.__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and not (tmp_path / "s" / "results.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert last.startswith("xpnet sweep: interrupted with results of ")
    assert last.endswith(": the results so far are in s; run the same command again to continue")
    assert "Traceback" not in err
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep.run(ALL[:2], blobs())
