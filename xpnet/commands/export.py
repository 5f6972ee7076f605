"""``xpnet export``: export a trained run as a model for other libraries."""

from argparse import Namespace
from collections.abc import Sequence

from xpnet import exporters
from xpnet.commands.console import complain, run_command
from xpnet.commands.flags import Parser, add_run
from xpnet.commands.outputs import check_output, refusing
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.runs.folder import EXPORTS
from xpnet.runs.saved import open_run
from xpnet.text import printable

__all__ = ["main"]

NAME = "xpnet export"

FILES = dict(zip(("onnx", "torch"), EXPORTS, strict=True))
"""The formats, and the default file name of each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Export the run that the arguments name; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: _export(_parse(argv)))


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(
        NAME,
        "Export a trained run as a model that takes raw rows in float32: preprocessing, ensemble and "
        "test-time augmentation are part of it. onnx: the outputs are scores, probabilities and label. "
        "torch: writes a state dict, and prints the Python source of the module that loads it.",
        "xpnet export runs/mine",
        "xpnet export runs/mine --format torch --output mine.safetensors > mine.py",
    )
    add_run(parser)
    parser.add_argument("--format", choices=FILES, default="onnx", help="format to write (default: onnx)")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=f"file to write (default: {' or '.join(FILES.values())} in the folder of the run)",
    )
    parser.add_argument("--opset", metavar="N", type=int, help="ONNX opset version, 13 or more (default: 20)")
    return parser.read(argv)


def _export(given: Namespace) -> int:
    run = open_run(given.run)
    path = run.folder / FILES[given.format] if given.output is None else path_of(given.output)
    check_output(path)
    if path.exists() and path.samefile(run.path):
        raise InputError(f"{path} is the model itself: give another --output")
    with refusing(path):
        source = exporters.export(run.model, path, given.format, given.opset)
    print(source, end="")
    # Not on standard output, which holds the source alone.
    complain(NAME, f"written to {printable(str(path))}")
    return 0
