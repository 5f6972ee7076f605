"""More of a run that has ended: ``resume`` with more epochs, patience or time; what Ctrl-C leaves."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from fits import PLAIN
from sweeps import blobs

from xpnet import InputError, fit, load, search
from xpnet.reporting import progress
from xpnet.runs import carry_out as carrying
from xpnet.runs import fit as fitting
from xpnet.runs import folder as run_folder
from xpnet.training.interrupt import StopSignals

pytestmark = pytest.mark.usefixtures("without_pictures")

BLOBS = blobs()
SMALL = PLAIN | {"hidden": 5, "batch_size": 20, "learning_rate": 0.05, "dtype": "float64", "seed": 2}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(**settings):
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(InputError) as caught:
        fit(BLOBS, **settings)
    assert before == {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert "\n" not in str(caught.value)
    return str(caught.value)


def undisturbed(**settings):
    return fit(BLOBS, **settings | {"checkpoint_every": None})


def same(run, other):
    for name, value in other.model.params.items():
        np.testing.assert_array_equal(run.model.params[name], value)
    rows = ([row._replace(seconds=0) for row in each.history.rows] for each in (run, other))
    assert next(rows) == next(rows)
    summaries = [each.summary | {"seconds": 0} for each in (run, other)]
    assert summaries[0] == summaries[1]


@pytest.mark.parametrize(
    ("every", "changes"),
    [
        (1, {}),
        (2, {"sampling": "shuffle"}),
        (3, {"sampling": "all", "schedule": "constant", "solver": "adam", "ema": 0.9}),
        (1, {"sampling": "all", "schedule": "step", "step_epochs": 2, "patience": 50}),
        (3, {"ensemble": 2}),
        (1, {"ensemble": 3, "bagging": True, "sampling": "all"}),
    ],
)
def test_a_longer_run_is_the_same_to_the_bit(every, changes):
    """Also where its last epoch is a short one, which a longer run does not have."""
    settings = SMALL | {"checkpoint_every": every} | changes
    fit(BLOBS, epochs=4, out="a", **settings)
    assert len(list(Path("a").glob("checkpoint-*"))) == 1
    run = fit(BLOBS, resume="a", epochs=7)
    same(run, fit(BLOBS, epochs=7, out="b", **settings))
    assert Path("a/config.json").read_bytes() == Path("b/config.json").read_bytes()
    same(fit(BLOBS, resume="a", iterations=60), undisturbed(iterations=60, **settings))


@pytest.mark.parametrize(
    "changes", [{"schedule": "cosine"}, {"schedule": "one-cycle"}, {"schedule": "constant", "warmup": 0.1}]
)
def test_a_schedule_that_depends_on_the_length(changes):
    fit(BLOBS, epochs=4, checkpoint_every=1, out="a", **SMALL | changes)
    with pytest.warns(UserWarning, match=r"depends on the number of steps, .* --init-from a "):
        run = fit(BLOBS, resume="a", epochs=8)
    assert (run.summary["status"], run.history.rows[-1].epoch) == ("finished", 8)


def test_a_run_that_ran_out_of_patience():
    settings = SMALL | {"monitor": "val_loss", "min_delta": 0.5, "epochs": 30, "checkpoint_every": 1}
    first = fit(BLOBS, out="a", **settings | {"patience": 3})
    assert first.summary["status"] == "stopped"
    assert "stopped by --patience 3" in refused(resume="a", epochs=60)
    assert "--patience can only be raised" in refused(resume="a", patience=2)
    same(fit(BLOBS, resume="a", patience=9), undisturbed(**settings | {"patience": 9}))
    same(fit(BLOBS, resume="a", patience=None, epochs=35), undisturbed(**settings | {"epochs": 35}))
    assert "--patience can only be raised" in refused(resume="a", epochs=99, patience=5)


def test_networks_of_an_ensemble_that_ran_out_of_patience_before():
    settings = SMALL | {"monitor": "val_loss", "epochs": 30, "ensemble": 3, "learning_rate": 0.5}
    fit(BLOBS, out="a", checkpoint_every=1, **settings | {"patience": 2})
    assert "has already stopped networks of this run" in refused(resume="a", patience=9)


def test_a_run_that_ran_out_of_time(monkeypatch):
    settings = SMALL | {"epochs": 9, "checkpoint_every": 4}
    clock = iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr("xpnet.training.ending.time.perf_counter", lambda: next(clock) / 10)
        cut = fit(BLOBS, max_time=0.5, out="a", **settings)
    assert cut.summary["status"] == "stopped"
    assert len(cut.history.rows) < 9
    summary = json.loads(Path("a/summary.json").read_text())
    Path("a/summary.json").write_text(json.dumps(summary | {"seconds": 0.6}))  # of another clock
    assert "was stopped by --max-time 0.5: give a longer one" in refused(resume="a", epochs=20)
    assert "give a longer --max-time" in refused(resume="a", max_time=0.2)
    run, whole = fit(BLOBS, resume="a", max_time=1e6), undisturbed(**settings)
    same(run, whole)


@pytest.mark.filterwarnings("ignore:training diverged")
def test_what_has_ended_for_good():
    fit(BLOBS, epochs=4, checkpoint_every=1, out="a", **SMALL)
    assert "is finished: give more --epochs" in refused(resume="a")
    assert "is finished: give more --epochs" in refused(resume="a", epochs=3)
    assert "is finished: give more --epochs" in refused(resume="a", max_time=1e9)
    assert "different settings (seed)" in refused(resume="a", epochs=9, seed=4)
    fit(BLOBS, epochs=4, out="b", **SMALL)
    assert "--init-from b " in refused(resume="b", epochs=9)
    fit(BLOBS, epochs=4, checkpoint_every=1, out="c", **SMALL | {"learning_rate": 1e200})
    assert not list(Path("c").glob("checkpoint-*"))
    assert "the run in c diverged" in refused(resume="c", epochs=9)


def test_cut_off_while_it_goes_on(monkeypatch):
    """The settings are then the new ones, and there is no summary that says that the run is done."""
    settings = SMALL | {"checkpoint_every": 1}
    fit(BLOBS, epochs=4, out="a", **settings)
    made = {"confusion-val.png", "model.onnx", "model-torch.safetensors"}
    for name in made:
        Path("a", name).touch()
    with monkeypatch.context() as patch:
        patch.setattr(carrying.experiment, "train", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(BLOBS, resume="a", epochs=8)
    left = {path.name for path in Path("a").iterdir()}
    assert "summary.json" not in left
    assert not made & left  # of the network of before
    assert load("a").config.epochs == 8
    same(fit(BLOBS, resume="a"), undisturbed(epochs=8, **settings))


def test_killed_before_there_is_a_model(monkeypatch):
    """Whoever wants to use it is told how it gets one, and nobody is sent in a circle."""
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(BLOBS, epochs=4, checkpoint_every=1, out="a", **SMALL)
    said = "was interrupted and has a checkpoint, but no model yet: finish it with xpnet train --resume a"
    for door in (load, lambda path: fit(BLOBS, init_from=path)):
        with pytest.raises(InputError, match=said):
            door("a")
    checkpoint = str(next(Path("a").glob("checkpoint-*")))
    with pytest.raises(
        InputError, match=r"is a checkpoint, not a model: resume its run with xpnet train --resume a$"
    ):
        load(checkpoint)
    assert refused(resume="a", epochs=1).endswith("give more steps, or start a new run in another folder")
    assert fit(BLOBS, resume="a").summary["status"] == "finished"


def test_a_sweep_is_no_run_to_resume():
    search(BLOBS, grid={"seed": [0, 1]}, epochs=1, out="s", **SMALL)
    with pytest.raises(
        InputError, match=r"s holds a sweep: run its command again .* further with --init-from s"
    ):
        fit(BLOBS, resume="s", epochs=2)


# Interrupted without checkpoints


@pytest.fixture
def interrupted_at(monkeypatch):
    """Train, and interrupt it before a step, in whichever thread that is taken."""

    def interrupted_at(step, **settings):
        made = []

        class Signals(StopSignals):
            def __init__(self, *numbers):
                super().__init__(*numbers)
                made.append(self)

        class Ending(progress.Progress):
            def on_step(self):
                super().on_step()
                if self.steps == step:
                    made[0].received = signal.SIGINT

        with monkeypatch.context() as patch:
            patch.setattr(fitting, "StopSignals", Signals)
            patch.setattr(carrying.progress, "start", lambda *_: Ending())
            return fit(BLOBS, **settings)

    return interrupted_at


LONG = {"ensemble": 3, "epochs": 120}  # too long for one thread to end before the other has begun
ONE_HAS_STOPPED = {"ensemble": 2, "patience": 3, "monitor": "val_loss", "learning_rate": 0.3, "seed": 2}


@pytest.mark.parametrize("changes", [{}, {"sampling": "all"}, LONG, ONE_HAS_STOPPED])
def test_ctrl_c_always_leaves_something_to_go_on_from(changes, interrupted_at, monkeypatch):
    """Of an ensemble the stacks, on a thread each, end with the same epoch."""
    monkeypatch.setattr("xpnet.runs.experiment.cores", lambda: 2)
    settings = SMALL | {"epochs": 12} | changes
    with pytest.warns(UserWarning, match="^training was interrupted after epoch"):
        cut = interrupted_at(10, out="a", **settings)
    assert cut.summary["status"] == "interrupted"
    (checkpoint,) = Path("a").glob("checkpoint-*")
    shutil.copytree("a", "b")
    run = fit(BLOBS, resume="a")
    whole = fit(BLOBS, **settings)
    for name, value in whole.model.params.items():
        np.testing.assert_array_equal(run.model.params[name], value)
    assert [row.step for row in run.history.rows] == [row.step for row in whole.history.rows]
    assert not list(Path("a").glob("checkpoint-*"))  # none was asked for
    assert fit(BLOBS, resume="b", epochs=130).summary["status"] != "interrupted"
    assert checkpoint.name > "checkpoint-000000004"


def test_ctrl_c_before_an_epoch_has_ended(interrupted_at):
    with pytest.warns(UserWarning, match="no epoch was complete, so resume='a' starts over"):
        cut = interrupted_at(2, out="a", epochs=3, **SMALL | {"sampling": "all"})
    assert cut.summary["status"] == "interrupted"
    assert not list(Path("a").glob("checkpoint-*"))
    same(fit(BLOBS, resume="a"), fit(BLOBS, epochs=3, **SMALL | {"sampling": "all"}))
