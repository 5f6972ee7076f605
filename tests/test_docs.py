"""The documentation: every block of code on the pages runs, the site builds, and the tutorials execute.

Own code instead of Sybil or pytest-markdown-docs, which know of Python alone: most blocks here are commands.
"""

import json
import pkgutil
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet import datasets, recipes, sweep
from xpnet.__main__ import main
from xpnet.commands import COMMANDS, train
from xpnet.commands import sweep as sweep_command
from xpnet.errors import InputError
from xpnet.reporting import plots
from xpnet.runs import checkpoints as resume
from xpnet.runs.config import Config
from xpnet.runs.settings import kinds_of, read_file

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs" / "conf.py").exists(), reason="xpnet is installed without its checkout"
)

FENCE = re.compile(
    r"^(?P<mark><!-- not run: .+? -->\n\n?)?```(?P<kind>[\w{}-]+)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

TEXT = {"text", "csv", "json"}
"""Kinds of blocks that nobody would run."""

ELSEWHERE = (
    ". .venv/bin/activate",
    "ci/",
    "git ",
    "pip install ",
    "pytest",
    "python benchmarks/",
    "python3 -m venv ",
)
"""How commands begin that are not xpnet's: they need a network, or are what runs this test."""

PARSED = ("--scheduler", "--recipe", "--backend", "cifar10", "cuda", "mine.toml")
"""Words in commands whose settings are read and checked, but not trained with: what they need is not here."""

SMALL = {"--iterations": "20", "--epochs": "3", "--random": "4", "--checkpoint-every": "1"}
"""What a page's command gets instead, to be quick."""

OPTIONAL = ("matplotlib", "onnx", "optuna", "pandas", "PIL", "polars", "pyarrow", "sklearn", "tensorboardX")
"""Packages that a block may need. Where it says that one is missing it ends there, and the test is skipped
once the rest of its page has run."""

NOT_RUN = {"marked": 3, "elsewhere": 6, "parsed": 13}
"""On the site: marked ``<!-- not run: why -->``, and commands of the two kinds above. None comes unseen."""


def needs(*packages):
    """Skip a test where a package of the dependency group ``docs`` is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {missing}, of the group docs")


def missing(complaint):
    """The first package of `OPTIONAL` that a message names and that is not installed; None if none is."""
    return next((name for name in OPTIONAL if name in complaint and find_spec(name) is None), None)


class LeftOutError(Exception):
    """A command needs a package that is not installed: which."""


def blocks_of(page):
    """Kind, code, first line and mark of each block of a page."""
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        yield SimpleNamespace(**found.groupdict(), line=line, where=f"{page.name}:{line + 1}")


def commands_of(code):
    """The commands of a shell block as lists of words, without comments and the variables set in front."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words:
            yield words


def arguments_of(words):
    """The arguments of xpnet in a command, None if it is another's; what starts several is left out."""
    if words[0] in ("mpiexec", "srun") and "xpnet" in words:
        words = words[words.index("xpnet") :]
    if words[0] == "xpnet":
        return words[1:]
    if words[:2] == ["python", "-m"] and words[2].partition(".")[0] == "xpnet":
        return [*words[2].split(".")[1:], *words[3:]]
    return None


def made_small(arguments):
    """The arguments with `SMALL` in place of what would take long."""
    small = list(arguments)
    for i, word in enumerate(small[:-1]):
        small[i + 1] = SMALL.get(word, small[i + 1])
    if "--resume" in small and "--epochs" in small:  # more than it had
        small[small.index("--epochs") + 1] = "6"
    is_long = arguments[0] in ("train", "sweep") and not {"--iterations", "--epochs", "--resume"} & set(small)
    return [*small, "--iterations", SMALL["--iterations"]] if is_long else small


def is_parsed(arguments):
    """Whether the settings of a command are checked, but not trained with."""
    return arguments[0] in ("train", "sweep") and any(word in " ".join(arguments) for word in PARSED)


def run_command(arguments, where, monkeypatch, capfd):
    """Run one of xpnet's commands as a page has it, but quickly."""
    command, rest = arguments[0], arguments[1:]
    output = None
    if ">" in rest:
        rest, output = rest[: rest.index(">")], rest[-1]
    if is_parsed(arguments):
        if command == "train":
            train._read_config(rest)
        else:
            assert sweep_command._configs(sweep_command._read_settings(rest))
        return
    is_cut_off = "--checkpoint-every" in rest
    with monkeypatch.context() as patch:
        if is_cut_off:  # so that there is something to resume
            patch.setattr(resume.Checkpoints, "on_fit", then_interrupt(resume.Checkpoints.on_fit))
        status = main(made_small([command, *rest]))
    printed, complaint = capfd.readouterr()
    if status == 2 and (name := missing(complaint)):
        raise LeftOutError(name)
    assert status == (130 if is_cut_off else 0), f"{where}: {arguments}: {complaint}"
    if output is not None:
        Path(output).write_text(printed, encoding="utf-8")


def then_interrupt(on_fit):
    def on_fit_and_interrupt(self, fit):
        on_fit(self, fit)
        signal.raise_signal(signal.SIGINT)

    return on_fit_and_interrupt


def read_settings(block):
    """Check a TOML block; keep it under the name in its first line, for the commands below it."""
    named = re.match(r"# (\S+\.toml)\n", block.code)
    path = Path(named[1] if named else "block.toml")
    path.write_text(block.code, encoding="utf-8")
    assert read_file(path, Config), block.where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_runs(page, tmp_path, monkeypatch, capfd):
    left_out = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPNET_DATA_DIR", raising=False)
    if page != PAGES[0]:  # they take longer than all else, and are the same on each page
        monkeypatch.setattr(plots, "available", lambda: False)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")  # as in a clone
    namespace = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.mark is not None:
            continue
        if block.kind == "python":
            padded = "\n" * block.line + block.code  # so that a traceback names the page's line
            try:
                exec(compile(padded, str(page), "exec"), namespace)
            except (ImportError, InputError) as error:
                if (name := missing(str(error))) is None:
                    raise
                left_out.append(f"{block.where} needs {name}")
        elif block.kind == "sh":
            for words in commands_of(block.code):
                if (arguments := arguments_of(words)) is not None:
                    try:
                        run_command(arguments, block.where, monkeypatch, capfd)
                    except LeftOutError as name:
                        left_out.append(f"{block.where} needs {name}")
                else:
                    assert " ".join(words).startswith(ELSEWHERE), f"{block.where}: {words[0]} is not run"
        elif block.kind == "toml":
            read_settings(block)
        else:
            assert block.kind in TEXT or block.kind.startswith("{"), f"{block.where}: a block of what?"
    if left_out:
        pytest.skip(f"ran but for what is not installed: {', '.join(dict.fromkeys(left_out))}")


def test_what_is_not_run_is_counted():
    found = Counter(dict.fromkeys(NOT_RUN, 0))
    for block in (block for page in PAGES[1:] for block in blocks_of(page)):
        if block.mark is not None:
            found["marked"] += 1
        elif block.kind == "sh":
            each = [arguments_of(words) for words in commands_of(block.code)]
            found["elsewhere"] += sum(arguments is None for arguments in each)
            found["parsed"] += sum(arguments is not None and is_parsed(arguments) for arguments in each)
    assert found == NOT_RUN


def test_every_command_has_its_help_on_the_page():
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert re.findall(r"^```\{command-help\} (\w+)$", page, re.MULTILINE) == list(COMMANDS)


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    lists = re.findall(r"```\{toctree\}\n(?::[^\n]*\n)+\n(.*?)```", index, re.DOTALL)
    pages = [page.stem for page in PAGES[1:] if page.stem != "index"]
    assert sorted(" ".join(lists).split()) == sorted(pages + [f"tutorials/{path.stem}" for path in TUTORIALS])


def test_every_public_name_is_on_its_page():
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    listed = re.findall(r"^   (xpnet[\w.]+)$", page, re.MULTILINE)
    public = [f"xpnet.{name}" for name in dir(xpnet) if name != "__version__"]
    public += [f"{room.__name__}.{name}" for room in (datasets, sweep) for name in room.__all__]
    known = {pkgutil.resolve_name(name) for name in listed}
    assert [name for name in public if pkgutil.resolve_name(name) not in known] == []


@pytest.mark.parametrize("name", ["solver", "schedule", "activation", "preprocess"])
def test_the_page_of_techniques_names_every_choice(name):
    page = (ROOT / "docs" / "techniques.md").read_text("utf-8")
    choices = kinds_of(Config)[name].choices
    assert [choice for choice in choices if f"`{choice}`" not in page and choice != "none"] == []


def test_the_page_of_techniques_names_every_recipe():
    page = (ROOT / "docs" / "techniques.md").read_text("utf-8")
    assert [name for name in recipes.names() if f"| `{name}`" not in page] == []


@needs("sphinx", "sphinx_design", "myst_nb", "furo", "numpydoc")
@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy 2.0 spells its annotations out"
)
def test_the_site_builds_without_a_warning(tmp_path):
    # Every page is read and every reference resolved, which is where warnings come from.
    left_out = shutil.ignore_patterns("_build", "api", "internals")
    source = shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=left_out)
    options = ["-b", "dummy", "-W", "--keep-going", "-n", "-q", "-d", str(tmp_path / "trees")]
    # Looking for garbage in its trees takes a fifth of the time, and there is little.
    code = "import gc, sys; gc.disable(); from sphinx.cmd.build import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *options, str(source), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    found = json.loads(
        subprocess.run(
            [sys.executable, "-c", FOUND, str(tmp_path / "trees" / "environment.pickle")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    shown = set(found["objects"])
    for name in ("MLPClassifier", "MLPRegressor", "TableClassifier", "TableRegressor", "MLPSearchCV"):
        assert {f"xpnet.{name}.{part}" for part in ("fit", "predict", "score", "get_params")} <= shown
    # What people search for leads to the page that tells it: the index counts more than all text.
    for word, page in {
        "own data": "tables",
        "CSV": "tables",
        "GPU": "tutorials/gpu",
        "regression": "tutorials/table",
    }.items():
        assert [word, page] in found["index"]


FOUND = """
import json, pickle, sys
with open(sys.argv[1], "rb") as file:
    data = pickle.load(file).domaindata
pages = data["index"]["entries"].items()
entries = [[entry[1], page] for page, listed in pages for entry in listed if entry[3] == "main"]
print(json.dumps({"objects": list(data["py"]["objects"]), "index": entries}))
"""
"""What a built site has: names in the reference, and entries of the index with their pages."""


@needs("nbclient", "ipykernel", "pandas", "sklearn", "matplotlib", "pyarrow")
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_executes(path, tmp_path):
    """In a process of its own: nbclient's kernel and event loop leave warnings that are not ours."""
    command = [sys.executable, str(ROOT / "docs" / "execute.py"), "--check", str(tmp_path), path.stem]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sources_of(tmp_path / path.name) == sources_of(path)


def sources_of(notebook):
    return ["".join(cell["source"]) for cell in json.loads(notebook.read_text("utf-8"))["cells"]]


WIDEST = 100
"""Characters of code that a page shows on a screen of 1280 pixels without scrolling sideways."""


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_is_small_shows_what_it_does_and_names_no_machine(path):
    text = path.read_text("utf-8")
    assert len(text) <= 300_000
    code = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [line for source in code for line in "".join(source).splitlines() if len(line) > WIDEST] == []
    assert [cell for cell in json.loads(text)["cells"] if cell.get("outputs")]
    assert not re.search(r"/(home|root|tmp|work|Users)/|\\Users", text)
