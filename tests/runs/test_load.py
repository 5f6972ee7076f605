"""A run as the commands that use it find it."""

from dataclasses import replace

import models
import numpy as np
import pytest
from command_lines import write_run

from xpnet.errors import InputError
from xpnet.runs.load import SavedRun, open_run
from xpnet.runs.model_file import save_model


def test_a_folder_or_any_model_in_it(tmp_path):
    run = write_run(tmp_path / "run", dataset="digits")
    save_model(run / "best.safetensors", models.make(norm="layer"))
    found = open_run(str(run))
    assert (found.folder, found.path) == (run, run / "model.safetensors")
    assert found.settings() == {"dataset": "digits"}
    best = open_run(str(run / "best.safetensors"))
    assert (best.folder, best.model.mlp.norm) == (run, "layer")


def test_what_is_no_path():
    with pytest.raises(InputError, match="a run is loaded from its path, not from None: give its folder"):
        open_run(None)


def test_a_folder_of_a_sweep_is_its_best(tmp_path):
    run = write_run(tmp_path / "best", dataset="digits")
    found = open_run(str(tmp_path))
    assert (found.folder, found.path) == (run, run / "model.safetensors")
    assert found.settings() == {"dataset": "digits"}
    write_run(tmp_path)
    assert open_run(str(tmp_path)).folder == tmp_path


def test_a_model_alone_has_no_settings(tmp_path):
    run = open_run(str(write_run(tmp_path)))
    assert run.settings() == {}
    with pytest.raises(InputError, match="name the data set with --dataset"):
        run.dataset(None, None, progress=False)


def test_data_of_fewer_classes_fit(tmp_path):
    np.savez(tmp_path / "two.npz", X=models.rows(10), y=np.arange(10) % 2)
    run = open_run(str(write_run(tmp_path)))
    assert run.dataset(str(tmp_path / "two.npz"), None, progress=False).num_classes == 2


@pytest.mark.parametrize(
    ("class_names", "y", "numbers"),
    [
        (models.NAMES, ["dog", "cat", "dog"], [1, 0, 1]),  # by name
        (models.NAMES, [2, 1, 2], [2, 1, 2]),  # by number
        (("1", "3", "4"), [4, 3, 4], [2, 1, 2]),
        (("-1", "0", "1"), [0, 1, 1], [1, 2, 2]),  # though 0 and 1 could be numbers of classes
        (("False", "True"), [True, True, True], [1, 1, 1]),
    ],
)
def test_labels_are_the_models_also_where_some_are_missing(tmp_path, class_names, y, numbers):
    of = "classes" if len(class_names) == 3 else "one of two"
    model = replace(models.make(of=of), class_names=class_names)
    np.savez(tmp_path / "some.npz", X=models.rows(3), y=y, X_val=models.rows(3), y_val=y)
    found = SavedRun(tmp_path, tmp_path / "model.safetensors", model)
    data = found.dataset(str(tmp_path / "some.npz"), None, progress=False)
    assert data.y_train.tolist() == data.y_val.tolist() == numbers


@pytest.mark.parametrize(
    ("class_names", "y", "label"),
    [(models.NAMES, ["dog", "cow"], "'cow'"), (models.NAMES, [1, 3], "3"), (("1", "2", "3"), [0, 2], "0")],
)
def test_labels_that_are_none_of_the_models(tmp_path, class_names, y, label):
    model = replace(models.make(), class_names=class_names)
    np.savez(tmp_path / "other.npz", X=models.rows(2), y=y)
    found = SavedRun(tmp_path, tmp_path / "model.safetensors", model)
    with pytest.raises(InputError, match=f"has the label {label}, which is no class of the model: give"):
        found.dataset(str(tmp_path / "other.npz"), None, progress=False)


def test_data_of_another_task(tmp_path):
    np.savez(tmp_path / "three.npz", X=models.rows(9), y=np.arange(27).reshape(9, 3))
    np.savez(tmp_path / "two.npz", X=models.rows(9), y=np.arange(18).reshape(9, 2))
    run = open_run(str(write_run(tmp_path, models.make(of="numbers"))))
    data = run.dataset(str(tmp_path / "three.npz"), None, progress=False)
    assert (data.task, data.y_train.dtype) == ("regression", np.float64)
    with pytest.raises(InputError, match="has 2 outputs and the model 3"):
        run.dataset(str(tmp_path / "two.npz"), None, progress=False)
    with pytest.raises(InputError, match="digits is for classification and the model for regression"):
        run.dataset("digits", None, progress=False)


@pytest.mark.parametrize("content", ["{", "[]", '{"dataset": 3}', '{"nonsense": 1}', "\ud800"])
def test_settings_that_are_damaged(tmp_path, content):
    run = write_run(tmp_path)
    (run / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="or name the data set with --dataset"):
        open_run(str(run)).dataset(None, None, progress=False)
