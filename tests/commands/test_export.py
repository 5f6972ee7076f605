"""``xpnet export``: the files that it leaves, and what it prints."""

import builtins

import models
import pytest
from command_lines import call, refused, write_run

from xpnet.commands import export


def test_onnx(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    run = write_run(tmp_path / "run")
    status, out, err = call(export.main, capsys, run)
    path = run / "model.onnx"
    assert (status, out, err) == (0, "", f"xpnet export: written to {path}\n")
    assert onnx.load(path).producer_name == "xpnet"
    assert call(export.main, capsys, run, "--opset", 17, "--output", tmp_path / "17.onnx")[0] == 0
    assert onnx.load(tmp_path / "17.onnx").opset_import[0].version == 17
    argv = [run / "model.safetensors", "--format", "onnx", "--output", tmp_path / "a.onnx"]
    assert call(export.main, capsys, *argv)[0] == 0
    assert (tmp_path / "a.onnx").read_bytes() == path.read_bytes()


def test_torch(tmp_path, capsys):
    run = write_run(tmp_path / "run", models.make(networks=2, averaging="flip", residual=True))
    status, out, _ = call(export.main, capsys, run, "--format", "torch")
    assert status == 0
    compile(out, "printed", "exec")
    assert "class Averaged" in out
    assert "class Residual" in out
    assert (run / "model-torch.safetensors").is_file()


def test_what_a_user_can_mend(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    run = write_run(tmp_path / "run")

    def error(*argv):
        before = sorted(tmp_path.rglob("*"))
        line = refused(export.main, capsys, *argv)
        assert sorted(tmp_path.rglob("*")) == before
        return line

    assert "give the model.safetensors of a run" in error(tmp_path / "missing")
    assert "invalid choice: 'keras'" in error(run, "--format", "keras")
    assert "is a folder" in error(run, "--output", tmp_path)
    assert "there is no folder" in error(run, "--output", tmp_path / "missing" / "a.onnx")
    assert "--opset must be from 13 to" in error(run, "--opset", 9)
    torch = ["--format", "torch"]
    assert "--opset applies to ONNX only" in error(run, *torch, "--opset", 17)
    assert "is the model itself" in error(run, *torch, "--output", run / "model.safetensors")
    assert "give another --output" in error(run, *torch, "--output", "/proc/a.safetensors")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "onnx":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert 'pip install "xpnet[onnx]"' in error(run, "--format", "onnx")
