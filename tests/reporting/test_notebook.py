"""What is left in a notebook that is run without anybody watching, and what one who watches sees."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("nbclient") is None or find_spec("ipykernel") is None, reason="needs the group docs"
)

CELLS = (
    "import xpnet, warnings; run = xpnet.fit('digits', hidden=8, epochs=2)",
    "run = xpnet.fit('digits', hidden=8, epochs=4, ensemble=2)",
    "run = xpnet.fit('digits', hidden=8, epochs=2, quiet=True)",
    "table = xpnet.search('digits', grid={'reg': [0.0, 1e-3]}, hidden=8, epochs=2)",
    "table = xpnet.search('digits', grid={'reg': [0.0, 1e-3]}, hidden=8, epochs=2, quiet=True)",
)

RUN = """
import json, sys, nbformat, nbclient
updates = []
class Client(nbclient.NotebookClient):
    def process_message(self, message, cell, index):
        if message["msg_type"] in ("display_data", "update_display_data"):
            updates.append((index, message["content"]["data"]))
        return super().process_message(message, cell, index)
nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in json.loads(sys.argv[1])])
Client(nb, timeout=300, kernel_name="python3").execute()
print(json.dumps([[cell.outputs for cell in nb.cells], updates]))
"""


def test_each_call_leaves_one_line_of_text(tmp_path):
    """In a process of its own: nbclient's kernel and event loop leave warnings that are not ours."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(CELLS)],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    outputs, updates = json.loads(done.stdout.splitlines()[-1])
    assert [len(each) for each in outputs] == [1, 1, 0, 1, 0]
    left = [each[0]["data"] for each in outputs if each]
    assert all(set(data) == {"text/plain"} for data in left)
    texts = [data["text/plain"] for data in left]
    assert texts[0].startswith("step 50/50  loss ")
    assert texts[1].startswith("step 100/100  loss ")
    assert texts[2].startswith("2/2 networks  best: network ")
    for index in (0, 1):
        shown = [data["text/html"] for cell, data in updates if cell == index and "text/html" in data]
        phases = ("loading", "preprocessing", "training", "evaluating")
        assert all(any(phase in html and "<progress" in html for html in shown) for phase in phases)
