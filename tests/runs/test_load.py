"""A run as the commands that use it find it."""

import models
import pytest
from command_lines import write_run

from xpnet.errors import InputError
from xpnet.runs.model_file import save_model
from xpnet.runs.saved import open_run


def test_a_folder_or_any_model_in_it(tmp_path):
    run = write_run(tmp_path / "run", dataset="digits")
    save_model(run / "best.safetensors", models.make(norm="layer"))
    found = open_run(str(run))
    assert (found.folder, found.path) == (run, run / "model.safetensors")
    assert found.settings() == {"dataset": "digits"}
    best = open_run(str(run / "best.safetensors"))
    assert (best.folder, best.model.mlp.norm) == (run, "layer")


def test_what_is_no_path():
    with pytest.raises(InputError, match="a run is loaded from a path, not from None: give its folder"):
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
    with pytest.raises(InputError, match="give the data set with --dataset"):
        run.dataset(None, None, progress=False)


def test_a_data_set_of_another_task(tmp_path):
    run = open_run(str(write_run(tmp_path, models.make(of="numbers"))))
    with pytest.raises(InputError, match="digits is for classification, but the model is for regression"):
        run.dataset("digits", None, progress=False)


@pytest.mark.parametrize("content", ["{", "[]", '{"dataset": 3}', '{"nonsense": 1}', "\ud800"])
def test_settings_that_are_damaged(tmp_path, content):
    run = write_run(tmp_path)
    (run / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="or give the data set with --dataset"):
        open_run(str(run)).dataset(None, None, progress=False)
