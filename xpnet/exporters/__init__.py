"""Exports of trained models for other libraries: ``onnx`` and ``pytorch``.

`export` is the face of the room.

May import: device, nn, columns, data, training.
"""

from pathlib import Path

from xpnet.errors import InputError
from xpnet.training.model import Model

__all__ = ["FORMATS", "export"]

FORMATS = {"onnx": ".onnx", "torch": ".safetensors"}
"""The formats and their file suffixes."""


def export(model: Model, path: Path, format: str | None = None, opset: int | None = None) -> str:
    """Export a model for another library.

    Parameters
    ----------
    model
        The model.
    path
        The file to write.
    format
        Name in `FORMATS`; by default chosen by the suffix of the file.
    opset
        ONNX opset version, see `xpnet.exporters.onnx.export`.

    Returns
    -------
    str
        Python source of the PyTorch module that loads the file; empty for ONNX.

    Raises
    ------
    InputError
        If the format or opset is not supported, the package onnx is missing, or a table is exported for
        PyTorch.
    """
    if format is None:
        format = next((name for name, suffix in FORMATS.items() if path.suffix == suffix), path.suffix)
    if format == "onnx":
        from xpnet.exporters import onnx

        onnx.export(model, path, opset)
        return ""
    if format in FORMATS:
        if opset is not None:
            raise InputError("--opset applies to ONNX only: leave it out with the format torch")
        from xpnet.exporters import pytorch

        return pytorch.export(model, path)
    raise InputError(f"there is no format {format!r} to export to: use {' or '.join(FORMATS)}")
