"""Execute the tutorials again and write what they show: ``python docs/execute.py [NAME ...]``.

With ``--check FOLDER`` they run on less data, and the result goes to that folder: ``tests/test_docs.py`` does
that, so that no tutorial goes stale. Each runs in a folder that holds ``examples`` alone, or with
``--in FOLDER`` in one that already holds what takes long.
"""

import argparse
import base64
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

import xpnet

TUTORIALS = Path(__file__).with_name("tutorials")
EXAMPLES = Path(__file__).parents[1] / "examples"

PLAIN = """
import os
os.environ |= {"TERM": "dumb", "COLUMNS": "96"}
"""
"""Commands then print lines of progress, not a bar that is drawn over itself."""

CELL = re.compile(r"\S*ipykernel_\d+[/\\]\d+\.py(?=:\d)")
"""The file that a warning names: that of a cell, with numbers that change from one execution to the next."""


def main():
    """Execute the notebooks that are named, by default all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="tutorials, by default all")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="run on less, and write here instead")
    parser.add_argument("--in", type=Path, metavar="FOLDER", dest="folder", help="where the notebooks run")
    arguments = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if unknown := [name for name in arguments.names if not (TUTORIALS / f"{name}.ipynb").is_file()]:
        parser.error(f"no tutorial {unknown[0]}: there are {', '.join(known())}")
    if arguments.check:
        arguments.check.mkdir(parents=True, exist_ok=True)
        os.environ["XPNET_NOTEBOOK_SMALL"] = "1"
    for name in arguments.names or known():
        path = TUTORIALS / f"{name}.ipynb"
        book = nbformat.read(path, 4)
        with tempfile.TemporaryDirectory() as empty:
            execute(book, (arguments.folder or Path(empty)).resolve())
        nbformat.write(book, arguments.check / path.name if arguments.check else path)
        print(f"executed {name}")


def known():
    """Return the names of all tutorials."""
    return sorted(path.stem for path in TUTORIALS.glob("*.ipynb"))


def execute(book, folder):
    """Run a notebook in a folder; leave out of its outputs what tells of the machine."""
    shutil.copytree(EXAMPLES, folder / "examples", dirs_exist_ok=True)
    book.cells.insert(0, nbformat.v4.new_code_cell(PLAIN))
    client = NotebookClient(book, timeout=3600, kernel_name="python3", record_timing=False)
    client.execute(cwd=str(folder))
    del book.cells[0]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    language = {"name": "python", "pygments_lexer": "ipython3"}  # which knows of !commands
    book.metadata = {"kernelspec": kernel, "language_info": language}
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
            for output in cell.outputs:
                tidy(output, folder)


def joined(outputs):
    """Return the outputs of a cell, all that it printed in a row as one, whatever parts it came in."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def tidy(output, folder):
    """Make paths relative, without numbers that change, and pictures small."""
    data = output.get("data", {})
    for holder, kind in ((output, "text"), (data, "text/plain"), (data, "text/html")):
        if kind in holder:
            text = holder[kind].replace("\r\n", "\n")
            for place in (folder, Path(xpnet.__file__).parents[1]):
                text = text.replace(f"{place}{os.sep}", "")
            text = CELL.sub("cell.py", text)
            holder[kind] = re.sub(r"(?<=data:image/png;base64,)[\w+/=]+", lambda png: small(png[0]), text)
    if "image/png" in data:
        data["image/png"] = small(data["image/png"])


def small(png):
    """Return a picture, in base64, in 96 colours: drawings have hardly more."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    packed = io.BytesIO()
    picture.quantize(96, dither=Image.Dither.NONE).save(packed, "png", optimize=True)
    return base64.b64encode(packed.getvalue()).decode("ascii")


if __name__ == "__main__":
    main()
