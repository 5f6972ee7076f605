"""``~`` in every path, also where a shell leaves it: ``--out=~/x``, in files, in Python."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from sweeps import blobs

from xpnet import Config, datasets, fit, load, search, sweep
from xpnet.__main__ import main
from xpnet.files import path_of

pytestmark = [
    pytest.mark.usefixtures("without_pictures"),
    pytest.mark.skipif(os.name != "posix", reason="the home folder is in $HOME"),
]

BLOBS = blobs()
SMALL = ["--hidden", "4", "--iterations", "3", "--preprocess", "mean", "--schedule", "constant", "--quiet"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    np.savez(home / "my.npz", X=BLOBS.X_train, y=BLOBS.y_train)
    np.save(home / "new.npy", BLOBS.X_val)
    yield home
    assert list((tmp_path / "here").iterdir()) == []  # nothing in a folder named ~


def test_commands(home, capsys):
    run = ["--dataset=~/my.npz", "--recipe", "none", *SMALL]
    assert main(["train", *run, "--out=~/a", "--checkpoint-every", "1"]) == 0
    assert main(["train", "--resume=~/a", "--iterations", "9", "--quiet"]) == 0
    assert main(["train", "--init-from=~/a", "--out=~/b", "--quiet"]) == 0
    (home / "my.toml").write_text('dataset = "~/my.npz"\nout = "~/c"\n')
    assert main(["train", "--config=~/my.toml", *SMALL]) == 0
    assert (
        main(
            [
                "sweep",
                *[word for word in run if word not in ("--ensemble", "1")],
                "--seed",
                "1",
                "2",
                "--out=~/s",
            ]
        )
        == 0
    )
    assert main(["evaluate", "~/a", "--dataset=~/my.npz", "--out=~/b", "--quiet"]) == 0
    assert main(["evaluate", "~/s", "--quiet"]) == 0
    for run in ("~/a", "~/s"):
        assert main(["predict", run, "--input=~/new.npy", "--output=~/o.csv", "--quiet"]) == 0
        assert main(["export", run, "--format", "torch", "--output=~/o.safetensors"]) == 0
    assert {"a", "b", "c", "s", "o.csv", "o.safetensors"} <= {path.name for path in home.iterdir()}
    assert json.loads((home / "c" / "config.json").read_text())["dataset"] == str(home / "my.npz")
    for name in ("--resume", "--init-from", "--config"):
        assert main(["train", f"{name}=~/nowhere", "--quiet"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_python(home):
    settings = {"hidden": 4, "iterations": 3, "ensemble": 1}
    run = fit("~/my.npz", out="~/a", **settings)
    assert load("~/a").summary == run.summary
    assert fit(Path("~/my.npz"), init_from=Path("~/a")).model.class_names == run.model.class_names
    run.save("~/b/run")
    run.report("~/r.html")
    table = search("~/my.npz", grid={"seed": [1]}, out="~/s", **settings)
    assert load("~/s").summary == table.best.summary
    sweep.run([Config(batch_size=5, **settings)], BLOBS, out=Path("~/t"))
    assert {"a", "b", "r.html", "s", "t"} <= {path.name for path in home.iterdir()}
    assert datasets.load("~/my.npz").num_features == 5
    assert Config.of("~/b/run/config.json").hidden == (4,)
    assert Config(data_dir="~/x", out="~").out == str(home)


def test_a_user_that_there_is_not():
    assert path_of("~no-such-user/a") == Path("~no-such-user/a")
    assert main(["train", "--dataset=~no-such-user/a.npz"]) == 2
    assert main(["evaluate", "~no-such-user/a"]) == 2
