"""``python -m xpnet.train`` and ``xpnet train``: runs, and everything that can be wrong with one."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from cifar_files import write_cifar
from command_lines import write_npz

from xpnet import __main__ as xpnet_command
from xpnet import __version__, datasets
from xpnet.commands import train
from xpnet.reporting import plots
from xpnet.runs import carry_out as carrying
from xpnet.runs.model_file import load_model

SMALL = "--hidden 8 --iterations 60"
FILES = ["best.safetensors", "config.json", "history.csv", "model.safetensors", "report.html", "summary.json"]
PICTURES = ["curves.png"] if plots.available() else []
KEYS = (
    *("train_accuracy", "val_accuracy", "test_accuracy", "seconds", "steps"),
    *("device", "backend", "dtype", "seed", "status", "data"),
)


needs_matplotlib = pytest.mark.skipif(not plots.available(), reason="matplotlib is not installed")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPNET_DATA_DIR", raising=False)


@pytest.fixture
def run(capsys):
    """Run the command in this process; return exit status, standard output and standard error."""

    def run(argv):
        status = train.main(argv.split())
        return status, *capsys.readouterr()

    return run


def run_process(*argv):
    command = [sys.executable, "-m", "xpnet.train", *argv]
    # Several threads on products this small make a busy machine wait for them most of the time.
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def tree(folder="."):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*"))


def params(folder):
    return load_model(Path(folder, "model.safetensors")).params


# Runs


def test_without_arguments_it_learns_the_digits():
    done = run_process()
    assert done.returncode == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("digits-20")
    assert tree(folder) == sorted(FILES + PICTURES)
    accuracy, best, steps, report, after = done.stdout.splitlines()
    assert accuracy.startswith("test accuracy ")
    assert re.match(r"best epoch \d+ of 40 by val_score", best)
    assert steps.startswith("1,000 steps in ")
    assert report == f"report: {folder}/report.html"
    assert after == f"next: xpnet evaluate {folder}"
    # A phase has a line where a machine is slow.
    lines = [line for line in done.stderr.splitlines() if "note:" not in line and not line.endswith("…")]
    assert lines[0].startswith("step 1/1000  loss ")
    assert lines[-1].startswith("step 1000/1000  loss ")
    summary = json.loads((folder / "summary.json").read_text())
    assert tuple(summary) == KEYS
    assert summary["test_accuracy"] >= 0.97
    assert f"test accuracy {100 * summary['test_accuracy']:.2f} %" in accuracy
    assert (summary["steps"], summary["device"], summary["dtype"]) == (1000, "cpu", "float32")
    assert (summary["seed"], summary["status"]) == (0, "finished")


@pytest.mark.usefixtures("without_pictures")
def test_quiet_json(run):
    status, out, err = run(f"--out a --quiet --json {SMALL}")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(Path("a/summary.json").read_text())
    assert out.count("\n") == 1
    assert run(f"--out a --force --quiet {SMALL}") == (0, "", "")
    assert run(f"--out a --json {SMALL}")[1].splitlines()[-1].startswith('{"train_accuracy"')


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("flags", ["", "--dtype float64 --sampling shuffle"])
def test_a_run_repeats_bit_for_bit_from_its_config(run, flags):
    flags += " --hidden 8 6 --epochs 3 --seed 11 --batch-size 40 --out a --quiet"
    assert run(flags) == (0, "", "")
    assert run("--config a/config.json --out b --quiet") == (0, "", "")
    for name in ("config.json", "model.safetensors"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    assert run("--config a/config.json --out c --quiet --seed 12")[0] == 0
    assert not np.array_equal(params("a")["W1"], params("c")["W1"])


@pytest.mark.usefixtures("without_pictures")
def test_a_toml_file_and_flags_over_it(run):
    Path("run.toml").write_text('epochs = 2\nhidden = [8]\nout = "a"\nquiet = true\nreg = 0\n')
    assert run("--config run.toml") == (0, "", "")
    assert run("--config run.toml --iterations 7 --out b") == (0, "", "")
    a, b = (json.loads(Path(folder, "config.json").read_text()) for folder in "ab")
    assert (a["epochs"], a["iterations"], a["reg"]) == (2, None, 0.0)
    assert (b["epochs"], b["iterations"]) == (None, 7)
    assert json.loads(Path("b/summary.json").read_text())["steps"] == 7


@needs_matplotlib
@pytest.mark.parametrize("layout", ["python", "binary.tar.gz"])
def test_files_in_the_format_of_cifar10(run, layout):
    write_cifar(Path("data"), layout=layout, images_per_batch=100)
    flags = "--hidden 20 --iterations 40 --batch-size 50 --learning-rate 1e-3 --init-std 1e-3"
    status = run(f"--dataset cifar10 --data-dir data {flags} --out a --quiet --weights-image")
    assert status == (0, "", "")
    assert tree("a") == sorted([*FILES, "curves.png", "weights.png"])
    assert json.loads(Path("a/summary.json").read_text())["test_accuracy"] > 0.9
    config = json.loads(Path("a/config.json").read_text())
    assert config["learning_rate_decay"] == 0.9  # a default of this data set
    assert load_model(Path("a/model.safetensors")).class_names[3] == "cat"


@pytest.mark.usefixtures("without_pictures")
def test_arrays_of_ones_own(run):
    write_npz("my.npz")
    flags = "--batch-size 20 --learning-rate 0.5 --init-std 0.3"
    status, out, _ = run(f"--dataset my.npz {flags} {SMALL}")
    assert status == 0
    assert "test" not in out  # there are no rows for it
    (folder,) = Path("runs").glob("my-*")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["test_accuracy"] is None
    assert summary["val_accuracy"] > 0.8


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_a_folder_whose_name_is_no_text(run):
    folder = os.fsdecode(b"caf\xe9")
    status, out, _ = run(f"--out {folder} {SMALL}")
    assert status == 0
    assert out.splitlines()[-2] == "report: caf\ufffd/report.html"
    assert tree(folder) == sorted(FILES + PICTURES)


# Bad input: one line, status 2, and nothing left behind


def os_system_pickle():
    folder = write_cifar(Path("data"))
    (folder / "data_batch_2").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")


def cut_batch():
    file = write_cifar(Path("data"), layout="binary") / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-5])


def missing_batch():
    (write_cifar(Path("data")) / "data_batch_4").unlink()


def npz(**arrays):
    return lambda: write_npz("my.npz", **arrays)


CIFAR = "--dataset cifar10 --data-dir data --batch-size 10"
NPZ = "--dataset my.npz --batch-size 10"
FOLDER_IN_THE_WAY = "runs/a/config.json"


@pytest.mark.parametrize(
    ("prepare", "argv", "parts"),
    [
        (None, "--dataset mnist", ["unknown dataset 'mnist'", "digits, cifar10"]),
        (None, "--dataset none.npz", ["none.npz", "check the path"]),
        (None, "--dataset cifar10 --data-dir none", ["none"]),
        (missing_batch, CIFAR, ["data_batch_4", "fresh copy"]),
        (cut_batch, CIFAR, ["data_batch_3.bin", "truncated", "fresh copy"]),
        (os_system_pickle, CIFAR, ["data_batch_2", "system"]),
        (npz(y=np.full(80, np.nan)), NPZ, ["my.npz", "y holds NaN or None in every row"]),
        (npz(y=np.eye(80)), NPZ, ["my.npz", "y.argmax(axis=1)"]),
        (npz(X=np.full((80, 4), np.inf)), NPZ, ["my.npz", "X holds NaN or infinity in row 0"]),
        (
            npz(X=np.full((80, 4), np.nan), y=np.arange(80) % 2),
            NPZ + " --preprocess mean",
            ["column '0' has gaps", "use --preprocess table"],
        ),
        (npz(y=np.zeros(79, int)), NPZ, ["my.npz", "80", "79"]),
        (npz(), "my.npz --dataset my.npz", ["the data set is given twice", "leave out one"]),
        (npz(), "my.npz more.npz", ["unknown argument 'more.npz'"]),
        (npz(), NPZ + " --weights-image", ["--weights-image"]),
        (None, "--batch-size -1", ["--batch-size"]),
        (None, "--hidden 10 0", ["--hidden", "0"]),
        (None, "--learning-rate nan", ["--learning-rate", "nan"]),
        (None, "--reg -1", ["--reg", "-1"]),
        (None, "--batch-seed -1", ["--batch-seed", "-1"]),
        (None, "--iterations 5 --epochs 5", ["--epochs", "--iterations"]),
        (None, "--learning-rat 1", ["did you mean --learning-rate?"]),
        (None, "--dtype float16", ["float16", "float32"]),
        (None, "--device tpu", ["'tpu'", "cuda:N"]),
        (None, "--config none.toml", ["none.toml cannot be read"]),
        (lambda: Path("f").touch(), "--out f", ["f cannot be written"]),
        (lambda: Path("f").touch(), "--out f/a/b", ["f/a/b cannot be written"]),
        (lambda: Path("runs").touch(), "", ["runs cannot be written", "--out"]),
        (lambda: Path("a", "config.json").mkdir(parents=True), "--out a", ["is a folder"]),
        (lambda: Path("c.toml").write_text("sede = 3"), "--config c.toml", ["did you mean seed?"]),
        (lambda: Path("c.toml").write_text("seed = '3'"), "--config c.toml", ["c.toml: seed"]),
        (lambda: Path("c.json").write_text("{"), "--config c.json", ["not valid JSON"]),
        (
            lambda: Path("c.toml").write_text("epochs = 1\niterations = 1"),
            "--config c.toml",
            ["either --iterations or --epochs"],
        ),
    ],
)
def test_bad_input(run, prepare, argv, parts):
    if prepare:
        prepare()
    before = tree()
    status, out, err = run(argv)
    assert (status, out) == (2, "")
    assert err.startswith("xpnet train: error: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts)
    assert tree() == before


@pytest.mark.skipif(os.name != "posix", reason="/dev/null is of POSIX")
def test_bad_input_to_a_process():
    done = run_process("--out", "/dev/null/a")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("xpnet train: error: /dev/null/a cannot be written (")
    assert done.stderr.count("\n") == 1


def test_cuda_without_cupy(run, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(metadata, "distributions", list)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cupy" else find_spec(name))
    status, out, err = run("--device cuda")
    assert (status, out, err.count("\n"), tree()) == (2, "", 1, [])
    assert 'pip install "xpnet[cuda13]"' in err


def test_cuda_without_a_driver(run, monkeypatch):
    class CUDARuntimeError(RuntimeError):
        pass

    def get_device_count():
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    cupy = types.ModuleType("cupy")
    cupy.__spec__ = importlib.util.spec_from_loader("cupy", loader=None)
    runtime = types.SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=get_device_count)
    cupy.cuda = types.SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(metadata, "distributions", list)
    status, out, err = run("--device cuda:1")
    assert (status, out, err.count("\n"), tree()) == (2, "", 1, [])
    assert "NVIDIA driver" in err


# Runs that end before their time


def at(said):
    return int(re.search(r"training diverged at step (\d+): ", said)[1])


def test_a_loss_that_overflows(run):
    status, out, err = run(f"--learning-rate 1e6 --out a --quiet --json {SMALL}")
    assert status == 2
    summary = json.loads(out)
    assert summary["status"] == "diverged"
    assert at(err) <= summary["steps"]
    assert err == (
        f"xpnet train: error: training diverged at step {at(err)}: lower --learning-rate, which is "
        "1000000.0; parameters from before that are in a\n"
    )
    assert tree("a") == sorted(FILES + PICTURES)
    assert all(np.isfinite(value).all() for value in params("a").values())


@pytest.mark.usefixtures("without_pictures")
def test_an_ensemble_of_which_some_networks_overflow(run):
    """The first step at which one does is told."""
    status, out, err = run(f"--learning-rate 1e6 --ensemble 3 --out a --quiet --json {SMALL}")
    assert status == 2
    assert json.loads(out)["status"] == "diverged"
    assert err.count("\n") == 1
    flags = f"--learning-rate 1e6 --batch-seed 0 --out b --quiet {SMALL}"
    alone = [run(f"{flags} --seed {seed}")[2] for seed in range(3)]
    steps = [at(each) for each in (err, *alone)]
    assert steps[0] == min(steps[1:])
    assert all(np.isfinite(value).all() for value in params("a").values())


@pytest.mark.usefixtures("without_pictures")
def test_a_loss_that_is_infinite_from_the_start(run):
    status, _, err = run(f"--init-std 1e30 --out a --quiet {SMALL}")
    assert status == 2
    assert "training diverged at step 1: lower --init-std" in err


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_trained_so_far(number):
    # A runner in the background hands its ignoring of Ctrl-C down, which xpnet would respect.
    code = (
        "import signal, sys; from xpnet.train import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "--iterations",
        "100000000",
        "--hidden",
        "8",
        "--out",
        "a",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()
        while first.endswith("…\n"):  # a phase that lasts
            first = process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert first.startswith("step 1/100000000 ")
    assert process.returncode == 128 + number
    summary = json.loads(Path("a/summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert err.splitlines()[-1] == (
        f"xpnet train: interrupted after step {summary['steps']}: what was trained so far is in a; "
        "xpnet train --resume a continues from its last complete epoch"
    )
    assert "Traceback" not in err
    assert out.splitlines()[-1] == "report: a/report.html"  # what is next is said above
    (checkpoint,) = Path("a").glob("checkpoint-*")
    assert tree("a") == sorted([*FILES, *PICTURES, checkpoint.name])
    assert len(params("a")) == 4


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_ctrl_c_while_the_data_are_loaded(run, monkeypatch):
    monkeypatch.setattr(datasets, "load", interrupt)
    assert run("--out a/b") == (130, "", "xpnet train: interrupted\n")
    assert tree() == []


def test_ctrl_c_before_the_first_step(run, monkeypatch):
    def start(*_):
        shown = real_start(True)
        shown.on_step = lambda: signal.raise_signal(signal.SIGTERM)
        return shown

    real_start = carrying.progress.start
    monkeypatch.setattr(carrying.progress, "start", start)
    status, out, err = run(f"--out a {SMALL}")
    assert (status, out, tree()) == (143, "", [])
    assert err == "xpnet train: interrupted before the first step: nothing was saved\n"


@needs_matplotlib
def test_ctrl_c_while_pictures_are_drawn(run, monkeypatch):
    curves = plots.curves

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return curves(*args)

    monkeypatch.setattr(plots, "curves", interrupted)
    status, out, err = run(f"--out a --quiet {SMALL}")
    assert (status, out) == (130, "")
    assert err == "xpnet train: interrupted, but the run was already complete, in a\n"
    assert tree("a") == sorted([*FILES, *PICTURES])


@needs_matplotlib
def test_ctrl_c_again_while_pictures_are_drawn(run, monkeypatch):
    monkeypatch.setattr(plots, "curves", interrupt)
    status, out, err = run(f"--out a --quiet {SMALL}")
    assert (status, out) == (130, "")
    assert err == "xpnet train: interrupted: a is incomplete; complete it with xpnet train --resume a\n"
    assert tree("a") == [name for name in FILES if name not in ("report.html", "summary.json")]


def test_a_full_disk(run, monkeypatch):
    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    status, out, err = run(f"--out a/b --quiet {SMALL}")
    assert (status, out, tree()) == (2, "", [])
    assert err.endswith(": No space left on device: free some space there, or write elsewhere with --out\n")


def test_a_disk_without_room_for_the_network(run, monkeypatch):
    """It is said before the training, whose network would be lost, and an earlier run stays."""
    assert run(f"--out a --quiet {SMALL}")[0] == 0
    before = Path("a/model.safetensors").read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=3 * 2**20))
    status, out, err = run(f"--out a --quiet --force {SMALL} --hidden 4000")
    assert (status, out) == (2, "")
    assert err.startswith("xpnet train: error: a has 3.0 MiB free, but the run takes ")
    assert err.endswith("free some space there, or give another --out\n")
    assert Path("a/model.safetensors").read_bytes() == before
    assert run(f"--out a --quiet --force {SMALL}")[0] == 0


# Without matplotlib


def test_without_matplotlib(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run(f"--out a {SMALL}")
    assert status == 0
    assert err.splitlines()[-1] == (
        'xpnet train: note: no curves.png without matplotlib: pip install "xpnet[cli]"'
    )
    assert tree("a") == FILES
    assert run(f"--out a --force --quiet {SMALL}") == (0, "", "")

    status, out, err = run(f"--out b --weights-image {SMALL}")
    assert (status, out, err.count("\n"), Path("b").exists()) == (2, "", 1, False)
    assert 'pip install "xpnet[cli]"' in err


# The xpnet command


@pytest.mark.usefixtures("without_pictures")
def test_the_command_hands_on_to_train(capsys):
    assert xpnet_command.main(f"train --out a --quiet --json {SMALL}".split()) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 60
    assert xpnet_command.main(["train", "--seed", "x"]) == 2
    assert capsys.readouterr().err.startswith("xpnet train: error: --seed must be an integer, not 'x'")


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ([], "give a command: train"),
        (["trian"], "unknown command 'trian': did you mean train?"),
        (["brew"], "unknown command 'brew': use train, evaluate, "),
        (["--nope"], "command"),
    ],
)
def test_the_command_without_a_subcommand(argv, part, capsys):
    assert xpnet_command.main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("xpnet: error: ")
    assert err.count("\n") == 1
    assert part in err


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--version"], f"xpnet {__version__}"),
        (["--help"], "train"),
        (["train", "--help"], "(default: 0.02; cifar10: 0.0016)"),
        (["train", "--help"], "xpnet train --dataset digits --hidden 100 100 --epochs 20"),
        (["train", "--help"], "xpnet train people.csv --target plan --out runs/plans"),
        (["train", "--help-all"], "--label-smoothing X"),
        (["sweep", "--help"], "--halving, --no-halving"),
        (["sweep", "--help-all"], "--solver NAME [NAME ...] optimiser; one of sgd, "),
    ],
)
def test_help_and_version(argv, part, capsys):
    with pytest.raises(SystemExit, match="0"):
        xpnet_command.main(argv)
    assert part in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", xpnet_command.COMMANDS)
def test_the_help_of_every_subcommand_has_examples(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        xpnet_command.main([name, "--help"])
    usage, text, examples, *_ = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: xpnet {name}")
    assert text
    lines = examples.splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.startswith(f"  xpnet {name}") for line in lines)


def test_the_first_help_is_short(capsys):
    """With what most people use, and no setting that a command refuses."""
    for name in ("train", "sweep"):
        with pytest.raises(SystemExit, match="0"):
            xpnet_command.main([name, "--help"])
        flags = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
        assert {"--help-all", "--config", "--hidden", "--learning-rate", "--out"} <= flags
        assert len(flags) <= {"train": 25, "sweep": 32}[name]
        assert not flags & {"--beta2", "--ensemble", "--checkpoint-every", "--no-json"}


@needs_matplotlib
def test_images_may_be_taken_for_a_table_and_have_no_weights_of_pixels(run):
    table = "--preprocess table --iterations 5 --hidden 4"
    assert run(f"{table} --out a --quiet") == (0, "", "")
    assert Path("a/report.html").exists()
    status, _, err = run(f"{table} --weights-image --out b")
    assert status == 2
    assert "--preprocess table has no weights per pixel to draw: drop --weights-image" in err
    assert not Path("b").exists()
