"""Checkpoints: a run goes on from any of them to the bit, and however they fail, it goes on."""

import errno
import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fits import (
    EVERYTHING,
    HERE,
    assert_same,
    image_feed,
    learnable,
    own_sources,
    random_params,
    some_images,
    sources,
    train,
)
from resumes import RUN, all_of, name_of, names, run_with
from sweeps import BASE, blobs

from xpnet import files
from xpnet.nn.solvers import SOLVERS
from xpnet.runs import checkpoints as resume
from xpnet.runs.checkpoints import Checkpoints
from xpnet.runs.resume import identity
from xpnet.training.regime import Hyper


@pytest.fixture
def notes():
    return []


@pytest.fixture
def checkpoints(tmp_path, notes):
    return Checkpoints(tmp_path, HERE, RUN, 1, notes.append)


def kinds_of(fit):
    """Types and dtypes, by which a mean or a line of history.csv could differ."""
    rows = [(type(value), getattr(value, "dtype", None)) for row in fit.history.rows for value in row]
    return rows, [(type(loss), loss.dtype) for loss in fit.history.losses]


def go_through(device, dtype, folder, data, params, **settings):
    """Train undisturbed, and on from each checkpoint of the way; all must end the same."""
    writing = Checkpoints(folder, device, RUN, 1, pytest.fail)
    left = folder / "left"
    left.mkdir()

    def on_fit(fit):
        writing.on_fit(fit)
        shutil.copy(folder / name_of(fit.epoch), left)

    whole = train(device, params, data, dtype, on_fit=on_fit, **settings)
    paths = sorted(left.iterdir())
    assert names(folder) == [*(path.name for path in paths[-2:]), "left"]
    for path in paths:
        alone = folder / path.stem
        alone.mkdir()
        shutil.copy(path, alone)
        after = Checkpoints(alone, device, RUN, None, pytest.fail).latest().fit
        assert path.name == name_of(after.epoch)
        resumed = train(device, None, data, dtype, state=after.state, after=after, **settings)
        assert_same(all_of(resumed, device), all_of(whole, device))
        assert kinds_of(resumed) == kinds_of(whole)
    return whole


# To the bit


@pytest.mark.parametrize("nets", [(), (2, 2)])
def test_a_run_goes_on_from_any_checkpoint(device, dtype, tmp_path, nets):
    """With everything on: solver, average, statistics of the batch norm, draws of every kind, patience."""
    X, y = some_images(11)
    settings = {name: EVERYTHING[name] for name in ("mlp", "hyper", "regime")}
    settings |= {"num_steps": 15, "monitor": "val_loss", "patience": 3}
    settings["feed"] = image_feed(device, dtype, EVERYTHING["augmentation"])
    count = int(np.prod(nets))
    settings["sources"] = own_sources(*range(count)) if nets else sources(19)
    params = random_params(np.random.default_rng(1), nets, EVERYTHING["mlp"])
    data = None, None, (X - 128.0) / 64, y
    whole = go_through(device, dtype, tmp_path, data, params, **settings)
    assert {"params", "average"} < whole.state.keys()
    assert whole.best is not None


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_with_every_solver(tmp_path, solver, sampling):
    settings = {"solver": solver, "sampling": sampling, "sources": sources(2)}
    settings |= {"hyper": Hyper(0.05, 0.9, 0.01, weight_decay=0.01), "schedule": "cosine"}
    params = random_params(np.random.default_rng(2))
    whole = go_through(HERE, "float64", tmp_path, learnable(), params, **settings)
    assert whole.best is None


@pytest.mark.parametrize("patience", [None, 2])
def test_with_networks_that_diverged_before_and_after(device, dtype, tmp_path, patience):
    """And, with patience, one that had stopped: its next epochs are of no account."""
    params = random_params(np.random.default_rng(3), (4,))
    hyper = Hyper(np.array([0.1, 1e-30, 1e300, 1e-3]), np.array([1.0, 1e9, 1.0, 1e200]), 0.01)
    settings = {"hyper": hyper, "sources": sources(4), "num_steps": 32, "monitor": "val_loss"}
    settings |= {"patience": patience, "min_delta": 1e-4}
    whole = go_through(device, dtype, tmp_path, learnable(), params, **settings)
    at = whole.diverged_at.tolist()
    assert at[0] == 0 < at[2] < at[3]
    assert (at[1] == 0) == (patience is not None)
    assert (whole.stopped_at[1] > 0) == (patience is not None)


def test_a_run_in_many_short_parts(tmp_path, notes):
    """Each part is broken off in the middle of an epoch and goes on from the last checkpoint."""
    params, settings = random_params(np.random.default_rng(5)), {"num_steps": 60, "sources": sources(6)}
    settings |= {"solver": "adam", "hyper": Hyper(0.01, ema=0.9), "monitor": "val_score"}
    whole = train(HERE, params, learnable(), **settings)
    after, parts = None, 0
    while after is None or after.epoch < len(whole.history.rows):
        checkpoints = Checkpoints(tmp_path, HERE, RUN, 2, notes.append)
        asked = itertools.count()
        state = None if after is None else after.state
        part = train(
            *(HERE, params if after is None else None, learnable()),
            **settings,
            state=state,
            after=after,
            on_fit=checkpoints.on_fit,
            should_stop=lambda asked=asked: next(asked) >= 13,
        )
        if not part.interrupted:
            break
        saved, parts = checkpoints.latest(), parts + 1
        after = None if saved is None else saved.fit
    assert parts >= 5
    assert notes == []
    assert_same(all_of(part), all_of(whole))


# Which are written, and which are kept


def test_the_last_two_are_kept(checkpoints, tmp_path):
    seen = []

    def on_fit(fit):
        type(checkpoints).on_fit(checkpoints, fit)
        seen.append(names(tmp_path))

    checkpoints.on_fit = on_fit
    run_with(checkpoints)
    epochs = [[1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]
    assert seen == [[name_of(epoch) for epoch in two] for two in epochs]


@pytest.mark.parametrize(("every", "epochs"), [(None, []), (2, [4, 6]), (4, [4]), (7, [])])
def test_every_so_many_epochs(tmp_path, notes, every, epochs):
    run_with(Checkpoints(tmp_path, HERE, RUN, every, notes.append))
    assert names(tmp_path) == [name_of(epoch) for epoch in epochs]


def test_they_are_forgotten_with_what_a_killed_process_left(checkpoints, tmp_path):
    run_with(checkpoints)
    (tmp_path / f".{name_of(7)}.0a1b2c3d").touch()
    for name in ("checkpoint-mine.safetensors", "model.safetensors", ".config.json.0a1b2c3d"):
        (tmp_path / name).touch()  # of no concern
    checkpoints.forget()
    assert names(tmp_path) == [".config.json.0a1b2c3d", "checkpoint-mine.safetensors", "model.safetensors"]
    assert checkpoints.latest() is None


def test_they_are_flushed_and_renamed(checkpoints, tmp_path, monkeypatch):
    flushed, fsync = [], files.os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda fd: flushed.append(names(tmp_path)) or fsync(fd))
    run_with(checkpoints)
    assert len(flushed) == 6
    for epoch, seen in enumerate(flushed, start=1):
        hidden = [name for name in seen if name.startswith(f".{name_of(epoch)}.")]
        assert len(hidden) == 1  # whole there, and not yet under its name
        assert name_of(epoch) not in seen


@pytest.mark.parametrize("where", ["writing", "flushing"])
def test_a_full_disk_ends_no_run_and_is_told_once(checkpoints, tmp_path, notes, monkeypatch, where):
    whole = run_with(checkpoints)
    checkpoints.forget()
    write_bytes = resume.Path.write_bytes
    full = OSError(errno.ENOSPC, "No space left on device")

    def write_half(path, content):
        if checkpoints.latest() is not None:
            with path.open("wb") as file:
                file.write(content[: len(content) // 2])
            raise full
        return write_bytes(path, content)

    def fsync(_):
        if checkpoints.latest() is not None:
            raise full

    if where == "writing":
        monkeypatch.setattr(resume.Path, "write_bytes", write_half)
    else:
        monkeypatch.setattr(files.os, "fsync", fsync)
    result = run_with(checkpoints)
    assert_same(all_of(result), all_of(whole))
    assert names(tmp_path) == [name_of(1)]  # the good one stays, and nothing is beside it
    assert len(notes) == 1
    assert "No space left on device" in notes[0]
    assert "after epoch 2" in notes[0]
    assert checkpoints.latest().fit.epoch == 1


@pytest.mark.parametrize("how", ["rows", "classes"])
def test_a_weighted_run_of_another_loss_does_not_go_on(how):
    """Its batches were over the sums of their own weights before; runs without weights are what they were."""
    data = blobs()
    plain = identity(BASE, data)
    if how == "rows":
        now = identity(BASE, replace(data, weight_train=np.linspace(1, 2, len(data.y_train))))
    else:
        now = identity(replace(BASE, class_weight="balanced"), data)
    assert "weights" not in plain
    assert now.keys() - plain.keys() == {"weights"}
