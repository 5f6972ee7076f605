"""Training again into the folder of a run: nothing stays beside the new network, and nothing is lost."""

import signal
from pathlib import Path

import numpy as np
import pytest
from fits import PLAIN
from sweeps import blobs

from xpnet import InputError, fit, load
from xpnet.commands import train
from xpnet.runs import folder as run_folder
from xpnet.runs import previous

pytestmark = pytest.mark.usefixtures("without_pictures")

BLOBS = blobs()
SMALL = PLAIN | {"hidden": 5, "batch_size": 20, "epochs": 2}
OF_RUNS = {
    *run_folder.FILES,
    *run_folder.EXPORTS,
    "confusion-test.png",
    "mistakes-val.png",
    "predicted-new.png",
    "checkpoint-000000007.safetensors",
    "events.out.tfevents.1790000000.host",
    ".summary.json.0123abcd",
    ".checkpoint-000000007.safetensors.89abcdef",
}
STRANGE = {
    "notes.txt",
    "confusion-matrix.png",
    "confusion-test.pdf",
    "mistakes.png",
    "checkpoint-best.safetensors",
    "checkpoint-7.safetensors",
    ".gitignore",
    ".hidden.0123abcd",
    "my-model.onnx",
    "data.npz",
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def tree(folder="a"):
    return {path.name for path in Path(folder).iterdir()}


def make(names, folder="a"):
    Path(folder).mkdir(exist_ok=True)
    for name in names:
        Path(folder, name).write_text(name)


def contents(folder="a"):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize("force", [False, True])
def test_files_of_runs_and_of_strangers(force):
    make(OF_RUNS | STRANGE)
    Path("a/previous-1").mkdir()
    Path("a/confusion-val.png").mkdir()  # a folder is none of a run's files
    place = previous.set_aside(Path("a"), force)
    assert place == (None if force else Path("a/previous-2"))
    assert tree() == STRANGE | {"previous-1", "confusion-val.png"} | (set() if force else {"previous-2"})
    if place is not None:
        assert {name: Path(place, name).read_text() for name in tree(place)} == {n: n for n in OF_RUNS}


def test_a_folder_without_a_run():
    for names in (set(), STRANGE, {"model.onnx", "confusion-test.png"}):
        make(names)
        before = contents()
        for force in (False, True):
            assert previous.set_aside(Path("a"), force) is None
        assert contents() == before


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moved", [0, 1, 7])
@pytest.mark.parametrize("force", [False, True])
def test_all_is_moved_or_nothing(monkeypatch, error, moved, force):
    make(OF_RUNS | STRANGE)
    before, replace, done = contents(), Path.replace, []

    def fail(path, target):
        if len(done) == moved:
            done.append(path)
            raise error
        done.append(path)
        return replace(path, target)

    monkeypatch.setattr(previous.Path, "replace", fail)
    expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        previous.set_aside(Path("a"), force)
    assert contents() == before
    assert tree() == OF_RUNS | STRANGE
    if expected is InputError:
        reason = "the files in a cannot be moved aside (No space left on device): give another --out"
        assert str(caught.value) == reason


# At each door


def test_fit_again_into_a_folder():
    first = fit(BLOBS, out="a", checkpoint_every=1, **SMALL)
    make({"confusion-val.png", "mistakes-val.png", "notes.txt"})
    before = {path.name: content for path, content in contents().items()}
    with pytest.warns(
        UserWarning, match=r"^the previous run in a was moved to a/previous-1; --force deletes"
    ):
        second = fit(BLOBS, out="a", **SMALL | {"epochs": 3})
    assert tree("a") == tree("a/previous-1") - {"checkpoint-000000002.safetensors"} - {
        "confusion-val.png",
        "mistakes-val.png",
    } | {"notes.txt", "previous-1"}
    assert {p.name: c for p, c in contents("a/previous-1").items()} | {"notes.txt": b"notes.txt"} == before
    assert load("a").summary == second.summary
    assert load("a/previous-1").summary == first.summary
    same = fit(BLOBS, resume="a/previous-1", epochs=3)  # where it is now, it goes on
    np.testing.assert_array_equal(same.model.params["W1"], second.model.params["W1"])

    fit(BLOBS, out="a", force=True, **SMALL)
    assert "previous-2" not in tree()
    assert load("a/previous-1").summary["steps"] == same.summary["steps"]


def test_train_again_into_a_folder(capsys):
    argv = ["--hidden", "5", "--iterations", "3", "--out", "a", "--quiet"]
    notes = []
    for more in ([], [], ["--force"], []):
        assert train.main(argv + more) == 0
        out, err = capsys.readouterr()
        assert out == ""
        notes.append(err)
    told = "xpnet train: note: the previous run in a was moved to a/previous-{}; --force deletes it instead\n"
    assert notes == ["", told.format(1), "", told.format(2)]


def test_save_into_the_folder_of_a_run():
    first, second = (fit(BLOBS, out=out, **SMALL | {"seed": seed}) for seed, out in ((1, "a"), (2, "b")))
    first.save("a")  # where it is already
    load("a").save("a")
    assert "previous-1" not in tree("a")
    with pytest.warns(UserWarning, match="was moved to a/previous-1"):
        second.save("a")
    assert load("a").summary == second.summary
    first.save("a", force=True)
    assert "previous-2" not in tree("a")
    assert load("a").summary == first.summary


# Not before the new run is certain to begin


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"preprocess": "pca", "components": 99}, InputError),
        ({"class_weight": {"9": 2}}, InputError),
        ({"init_from": "nowhere"}, InputError),
        ({"loss": "squared-error"}, InputError),
        ({"hidden": 0}, InputError),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_run_that_does_not_begin_moves_nothing(changes, error, force):
    fit(BLOBS, out="a", **SMALL)
    before = contents()
    with pytest.raises(error):
        fit(BLOBS, out="a", force=force, checkpoint_every=1, **SMALL | changes)
    assert contents() == before


def test_rows_that_cannot_be_prepared_and_ctrl_c_before_move_nothing(monkeypatch):
    fit(BLOBS, out="a", **SMALL)
    before, prepare = contents(), run_prepare()

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return prepare(*args)

    for instead, error in ((fail, InputError), (interrupted, KeyboardInterrupt)):
        monkeypatch.setattr("xpnet.runs.experiment.prepare", instead)
        with pytest.raises(error):
            fit(BLOBS, out="a", tensorboard=False, checkpoint_every=1, **SMALL)
        assert contents() == before


def run_prepare():
    from xpnet.runs import experiment

    return experiment.prepare


def fail(*_):
    raise InputError("a value is too large: give smaller ones")


def test_events_of_tensorboard_begin_anew():
    pytest.importorskip("tensorboardX")
    fit(BLOBS, out="a", tensorboard=True, **SMALL)
    with pytest.warns(UserWarning, match="previous-1"):
        fit(BLOBS, out="a", tensorboard=True, **SMALL)
    for folder in ("a", "a/previous-1"):
        assert len(list(Path(folder).glob("events.out.*"))) == 1
