"""Trained models as files for other libraries: ``onnx`` and ``pytorch``.

`export` is the face of the room.

May import: device, nn, columns, data, training.
"""

from pathlib import Path

from xpnet.errors import InputError
from xpnet.training.model import Model

__all__ = ["FORMATS", "export"]

FORMATS = {"onnx": ".onnx", "torch": ".safetensors"}
"""The formats, and what the name of a file of each ends in."""


def export(model: Model, path: Path, format: str | None = None) -> str:
    """Write a model for another library.

    Parameters
    ----------
    model
        The model.
    path
        The file to write.
    format
        Name in `FORMATS`; by default the one whose files end as this one does.

    Returns
    -------
    str
        Python source of the PyTorch module that the file loads into; nothing for ONNX.

    Raises
    ------
    InputError
        No such format, the package onnx is missing, or PyTorch is asked for a table.
    """
    if format is None:
        format = next((name for name, suffix in FORMATS.items() if path.suffix == suffix), path.suffix)
    if format == "onnx":
        from xpnet.exporters import onnx

        onnx.export(model, path)
        return ""
    if format in FORMATS:
        from xpnet.exporters import pytorch

        return pytorch.export(model, path)
    raise InputError(f"there is no format {format!r} to export to: use {' or '.join(FORMATS)}")
