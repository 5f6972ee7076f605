"""The house, read from the source: which rooms there are, who imports, names and prints what."""

import ast
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import xpnet

PACKAGE = Path(xpnet.__file__).parent

GROUND = {"errors", "typing", "files", "text", "values", "warn"}
"""Modules that every room may import, and which import no room."""

ROOMS = (
    *("device", "nn", "columns", "datasets", "data", "training", "reporting", "runs"),
    *("exporters", "estimator", "sweep", "recipes", "commands"),
)
DOORS = {"__init__", "__main__", "train", "two_layer_net"}
"""What stands beside the rooms: the package itself, what `python -m` takes, and the original class."""

PRINTING = {"commands", "two_layer_net", "estimator.notes"}
"""The command lines, and the classes that print with ``verbose``."""

ARRAY_LIBRARIES = {"cupy", "cupyx", "array_api_compat", "array_api_strict", "torch", "jax"}
NAMES_THEM = {"device", "exporters", "commands"}  # the last two for a format; they import none


def name_of(path):
    """``xpnet/sweep/plan.py`` to ``sweep.plan``, ``xpnet/sweep/__init__.py`` to ``sweep``."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def room_of(name):
    """``sweep.plan`` to ``sweep``; a module that is in no folder is its own."""
    return name.partition(".")[0]


MODULES = {name_of(path): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
modules = pytest.mark.parametrize("name", sorted(MODULES))


def imports_of(tree):
    """Every module of xpnet that ``tree`` imports, anywhere in it, and every outside name."""
    inside, outside = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            sources = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            sources = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for source in sources:
            if source == "xpnet.__version__":
                continue  # a text, which files of every room have in them
            root, _, rest = source.partition(".")
            if root == "xpnet":
                # The longest part of `a.b.c` that is a module; `from xpnet import get_device` is of
                # `__init__`.
                parts = rest.split(".")
                candidates = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
                inside.add(next((c for c in candidates if c in MODULES), "__init__"))
            else:
                outside.add(root)
    return inside, outside


def test_the_reader_of_imports_sees_them_all():
    tree = ast.parse(
        "from xpnet.nn import layers\nfrom xpnet import get_device\nfrom xpnet.nn.mlp import MLP\n"
        "import xpnet.device as d\nimport numpy as np\n"
        "def f():\n    if True:\n        from xpnet.sweep.plan import Cut\n        import cupy.cuda\n"
    )
    assert imports_of(tree) == (
        {"__init__", "nn.layers", "nn.mlp", "device", "sweep.plan"},
        {"numpy", "cupy"},
    )
    assert imports_of(ast.parse("import xpnet")) == ({"__init__"}, set())
    assert imports_of(ast.parse("from xpnet import __version__")) == (set(), set())


def may_import(room):
    """The rooms that the docstring of a room says it may import."""
    text = " ".join(ast.get_docstring(MODULES[room]).split())
    (said,) = re.findall(r"May import: ([^.]*)\.", text)
    if said.startswith("everything"):
        return set(ROOMS) | {"__init__", "two_layer_net"}
    return set() if said.startswith("nothing") else set(said.split(", "))


def test_ls_shows_the_architecture():
    files = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert (files, folders) == (GROUND | DOORS, set(ROOMS))
    assert len(files) <= 10


def test_rooms_import_only_what_they_say():
    """And nothing is said that is not so: the list of arrows is the one in the rooms' docstrings."""
    for room in ROOMS:
        inside = {
            room_of(other) for n in MODULES if room_of(n) == room for other in imports_of(MODULES[n])[0]
        }
        allowed = may_import(room)
        assert inside - GROUND - {room} <= allowed, room
        if room != "commands":
            assert allowed <= inside, f"{room} no longer imports {allowed - inside}"


def test_imports_go_only_downwards():
    TopologicalSorter({room: may_import(room) & set(ROOMS) - {room} for room in ROOMS}).prepare()
    for name in GROUND:
        assert {room_of(other) for other in imports_of(MODULES[name])[0]} <= GROUND
    for name in MODULES:
        above = {room_of(other) for other in imports_of(MODULES[name])[0]} & {"train", "__main__"}
        assert name in DOORS or not above


def test_no_modules_import_each_other_in_a_circle():
    TopologicalSorter({name: imports_of(tree)[0] for name, tree in MODULES.items()}).prepare()


@pytest.mark.parametrize("name", sorted(name for name in MODULES if room_of(name) not in NAMES_THEM))
def test_only_the_devices_name_an_array_library(name):
    tree = MODULES[name]
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named |= {  # import_module("cupy")
        node.value.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    named |= imports_of(tree)[1]
    assert not named & ARRAY_LIBRARIES


@pytest.mark.parametrize("name", sorted(name for name in MODULES if room_of(name) in NAMES_THEM - {"device"}))
def test_a_format_is_named_and_its_library_is_not_imported(name):
    assert not imports_of(MODULES[name])[1] & ARRAY_LIBRARIES


MATHS = [
    *(name for name in MODULES if room_of(name) == "nn" and name not in ("nn", "nn.mlp")),
    *("data.augment", "data.pixels", "data.views", "data.feed", "training.evaluation"),
]


@pytest.mark.parametrize("name", MATHS)
def test_the_maths_does_not_know_numpy(name):
    allowed = {"__future__", "collections", "dataclasses", "functools", "math", "typing"}
    assert not imports_of(MODULES[name])[1] - allowed


def names_asked_of_xp():
    """Every ``name`` of ``xp.name`` and ``anything.xp.name`` in the package."""
    return {
        node.attr
        for tree in MODULES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and "xp" in (getattr(node.value, "id", None), getattr(node.value, "attr", None))
    }


def test_what_is_asked_of_a_namespace_is_found_at_all():
    assert {"matmul", "vecdot", "take"} <= names_asked_of_xp()


@pytest.mark.parametrize(
    "library", ["numpy", "array_api_strict", "array_api_compat.cupy", "array_api_compat.torch", "jax.numpy"]
)
def test_every_namespace_has_what_is_asked_of_it(library):
    namespace = pytest.importorskip(library, exc_type=ImportError)
    # One name NumPy has from 2.1 only, and `pca` looks whether it is there.
    asked = names_asked_of_xp() - {"__array_namespace_info__"}
    assert not {name for name in asked if not hasattr(namespace, name)}


@pytest.mark.parametrize(
    ("library", "array"), [("numpy", "ndarray"), ("cupy", "ndarray"), ("torch", "Tensor"), ("jax", "Array")]
)
def test_every_array_can_be_transposed(library, array):
    assert hasattr(getattr(pytest.importorskip(library), array), "mT")


def printing(tree):
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print" for node in ast.walk(tree)
    )


def test_only_command_lines_print():
    names = {name for name, tree in MODULES.items() if printing(tree)}
    assert {name for name in names if room_of(name) != "commands"} <= PRINTING


def public(body):
    """The public functions and classes of a module or a class, with the methods of the classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@modules
def test_everything_public_says_what_it_is(name):
    tree = MODULES[name]
    assert ast.get_docstring(tree), "the module"
    for node in public(tree.body):
        assert ast.get_docstring(node), node.name


def test_public_names():
    names = [
        *("Config", "Dataset", "DeviceError", "History", "InputError", "MLP", "Model", "Run", "Sweep"),
        *("TwoLayerNet", "XpnetError", "fit", "get_device", "load", "search"),
    ]
    assert sorted(xpnet.__all__) == names
    estimators = ["MLPClassifier", "MLPRegressor", "MLPSearchCV", "TableClassifier", "TableRegressor"]
    assert dir(xpnet) == sorted([*names, *estimators, "__version__"])
    star = {}
    exec("from xpnet import *", star)
    assert set(names) == set(star) - {"__builtins__"}
    assert issubclass(xpnet.InputError, xpnet.XpnetError)
    assert issubclass(xpnet.DeviceError, xpnet.XpnetError)


@modules
def test_all_lists_what_there_is(name):
    """``__all__`` of each module: no name twice, none that the module doesn't have."""
    lists = [
        ast.literal_eval(node.value)
        for node in MODULES[name].body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__"
    ]
    for names in lists:
        assert len(set(names)) == len(names)
        module = importlib.import_module(f"xpnet.{name}".removesuffix(".__init__"))
        assert not {n for n in names if not hasattr(module, n)}


HEAVY = {
    *("array_api_compat", "array_api_strict", "cupy", "jax", "torch"),
    *("matplotlib", "onnx", "PIL", "pooch", "requests", "rich", "safetensors", "scipy", "sklearn"),
    *("tensorboardX", "tqdm"),
}


def loaded_by(statement):
    """The top-level modules of a new process after ``statement``."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_import_loads_nothing_else():
    loaded = loaded_by("import xpnet")
    assert "xpnet" in loaded
    assert not HEAVY & loaded
    assert loaded - loaded_by("pass") - sys.stdlib_module_names == {
        "xpnet"
    }  # not even NumPy: names load what they need


@pytest.mark.parametrize(
    "name", ["datasets.load", "datasets.from_arrays", "nn.backprop.loss_and_grads", "errors.RangeWarning"]
)
def test_rooms_that_the_documentation_names_are_there_when_they_are_asked_for(name):
    assert "xpnet" in loaded_by(f"import xpnet; xpnet.{name}")


def test_every_room_but_the_commands_can_be_asked_for():
    for name in [*ROOMS, "errors", "typing"]:
        if name not in ("commands", "recipes", "estimator"):  # the last needs scikit-learn
            assert getattr(xpnet, name) is importlib.import_module(f"xpnet.{name}")
    with pytest.raises(AttributeError, match="module 'xpnet' has no attribute 'rooms'"):
        xpnet.rooms  # noqa: B018


def test_a_command_listens_to_ctrl_c_before_it_loads_what_takes_a_while():
    for name in ("xpnet.__main__", "xpnet.train"):
        assert loaded_by(f"import {name}") - loaded_by("pass") - sys.stdlib_module_names == {"xpnet"}, name


def test_the_front_door_loads_numpy_and_nothing_else():
    for name in ("TwoLayerNet", "fit", "search"):
        loaded = loaded_by(f"import xpnet; xpnet.{name}")
        assert not HEAVY & loaded, name
        assert loaded - loaded_by("import numpy.random") - sys.stdlib_module_names == {"xpnet"}, name


def test_the_namespace_of_the_cpu_is_numpys():
    """All of it, with functions of its own beside it, not in its place. Modules come with their first use."""
    xp = xpnet.get_device("cpu").xp
    functions = {n: f for n, f in vars(np).items() if not (n.startswith("__") or isinstance(f, type(np)))}
    assert len(functions) > 400
    assert all(getattr(xp, name) is function for name, function in functions.items())
