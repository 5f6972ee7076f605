"""The scripts beside the package: that they parse, what they refuse, and what a limit of time does."""

import importlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = (
    *("BUNDLE", "BUNDLE_MIB", "BUNDLE_PYTHON", "OUT", "PYTHON", "XPNET_DATA_DIR", "XPNET_GPU_DEVICE"),
    *("SMOKE_SECONDS", "TABLE_SECONDS", "TESTS_SECONDS", "TESTS_WORKERS"),
)
SCRIPTS = sorted((ROOT / "ci").glob("*.sh"))

pytestmark = pytest.mark.skipif(not SCRIPTS, reason="xpnet is installed without its checkout")
bash = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="there is no bash, or not of this system"
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    """These tests are part of what gpu.sh runs."""
    for name in (*SETTINGS, "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def load(monkeypatch):
    """Return what imports a script from its folder."""

    def load(folder, name):
        monkeypatch.syspath_prepend(str(ROOT / folder))
        return importlib.import_module(name)

    return load


# Shell


@bash
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_parses(script):
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@bash
@pytest.mark.parametrize(
    ("arguments", "settings", "part"),
    [
        (["gpu.sh", "smoke", "speed"], {}, "there is no stage speed: give some of smoke, tests and table"),
        (["gpu.sh", "smoke"], {"BUNDLE": "missing"}, "there is no folder BUNDLE=missing: make it with"),
        (["gpu.sh"], {"BUNDLE": "empty"}, "there are no wheels in BUNDLE=empty: fill it with"),
        (["gpu.sh"], {"BUNDLE": "full"}, "pip cannot install BUNDLE=full: "),
        (["gpu.sh"], {"SMOKE_SECONDS": "abc"}, "SMOKE_SECONDS=abc: give whole seconds, from 20"),
        (["gpu.sh"], {"TABLE_SECONDS": "08"}, "TABLE_SECONDS=08: give whole seconds, from 20"),
        (["gpu.sh"], {"TESTS_SECONDS": "19"}, "TESTS_SECONDS=19: give whole seconds, from 20"),
        (["gpu.sh"], {"TESTS_WORKERS": "all"}, "TESTS_WORKERS=all: give a number of processes, from 1"),
        (["gpu.sh"], {"PYTHON": "nopython"}, "PYTHON=nopython is no Python"),
        (["gpu.sh"], {"OUT": "full/a.whl"}, "nothing can be written to OUT=full/a.whl: name another"),
        (["gpu.sh"], {"OUT": "/proc/out"}, "nothing can be written to OUT=/proc/out: name another"),
        (["gpu-bundle.sh"], {}, "give the folder to make"),
        (["gpu-bundle.sh", "full"], {}, "full is not empty: give a new one"),
        (["gpu-bundle.sh", "full/a.whl"], {}, "a.whl is a file: give a new folder"),
        (["gpu-bundle.sh", "new"], {"PYTHON": "nopython"}, "PYTHON=nopython is no Python"),
        (["gpu-bundle.sh", "new"], {"BUNDLE_MIB": "few"}, "BUNDLE_MIB=few: give a whole number"),
        (["gpu-bundle.sh", "new"], {"XPNET_DATA_DIR": "none"}, "no folder XPNET_DATA_DIR=none: name the"),
        (["gpu-bundle.sh", "new"], {"XPNET_DATA_DIR": "full"}, "full: name the folder of CIFAR-10, or unset"),
    ],
)
def test_a_script_refuses_in_a_line(tmp_path, monkeypatch, arguments, settings, part):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.whl").touch()
    defaults = {"OUT": str(tmp_path / "out"), "PYTHON": sys.executable}
    for name, value in {**defaults, **settings}.items():
        monkeypatch.setenv(name, value)
    command = ["bash", ROOT / "ci" / arguments[0], *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [path for path in tmp_path.iterdir() if path.name not in ("empty", "full", "out")]


BUNDLING = """#!/bin/sh
case "$1 $2" in "-m pip") for last; do case $before in --dest) to=$last ;; esac; before=$last; done
  head -c 3000000 /dev/zero >"$to/a.whl"; exit ;; esac
exec {python} "$@"
"""


@bash
def test_a_bundle_is_whole_or_not_there(tmp_path, monkeypatch):
    """In place of pip stands what leaves a wheel of 3 MB."""
    python = tmp_path / "python"
    python.write_text(BUNDLING.format(python=sys.executable))
    python.chmod(0o755)
    monkeypatch.setenv("PYTHON", "./python")  # as seen from where the command is given
    monkeypatch.chdir(tmp_path)

    def bundle(limit):
        monkeypatch.setenv("BUNDLE_MIB", limit)
        command = ["bash", ROOT / "ci" / "gpu-bundle.sh", "some/bundle"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    refused = bundle("2")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "it takes 3 MiB of 2: name fewer requirements, or set BUNDLE_MIB=3" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["python"]
    made = bundle("3")
    assert (made.returncode, made.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "some" / "bundle").iterdir()} == {"README", "a.whl"}
    assert {path.name for path in tmp_path.iterdir()} == {"python", "some"}


@bash
def test_what_is_missing_is_told_before_anything_runs(tmp_path, monkeypatch):
    """Without its site-packages a Python has none of it."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PYTHON", str(python))
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    done = subprocess.run(
        ["bash", ROOT / "ci" / "gpu.sh", "smoke"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "not installed: numpy, cupy, array-api-compat, narwhals, safetensors, threadpoolctl: "
        "pip install numpy cupy-cuda12x (cupy-cuda13x for CUDA 13); "
        "pip install array-api-compat narwhals safetensors threadpoolctl, "
        "or bring them: ci/gpu-bundle.sh FOLDER, then BUNDLE=FOLDER ci/gpu.sh"
    ) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bundle_has_what_it_is_said_to_bring():
    script, bundle = (
        (ROOT / "ci" / name).read_text(encoding="utf-8") for name in ("gpu.sh", "gpu-bundle.sh")
    )
    said = " ".join(re.findall(r"\bneeded\+?=\((.*?)\)", script)).replace("_", "-").split()
    assert len(said) == 6
    assert set(said) <= set(re.sub("#.*", "", bundle.partition("packages=(")[2].partition("\n)")[0]).split())


@pytest.mark.parametrize("stage", ["smoke", "tests", "table"])
def test_a_stage_has_the_seconds_that_are_written(stage):
    script, text = ((ROOT / path).read_text(encoding="utf-8") for path in ("ci/gpu.sh", "CONTRIBUTING.md"))
    name = f"{stage.upper()}_SECONDS"
    seconds = re.search(rf"\$\(seconds {name} (\d+)\)", script)[1]
    assert re.search(rf"{name} \((?:default )?{seconds}\)", script)
    assert re.search(rf"\| `{stage}` .*\| {seconds} s ", text)
    assert f'timeout -k 2 "$(({stage}_seconds - 2))"' in script


def test_all_stages_end_within_seven_minutes():
    """By the limits of the script, the time to be killed in included."""
    script = (ROOT / "ci" / "gpu.sh").read_text(encoding="utf-8")
    of_device = [int(a) + int(b) for a, b in re.findall(r"timeout -k (\d+) (\d+) ", script)]
    of_stages = [int(n) for n in re.findall(r"\$\(seconds \w+ (\d+)\)", script)]
    assert (len(of_device), len(of_stages)) == (2, 3)
    assert sum(of_device) <= 20
    assert sum(of_device) + sum(of_stages) <= 420


# Limits of time


def python(code):
    return [sys.executable, "-c", code]


def test_a_command_in_time(load):
    ended = load("ci", "gpu_limits").run(python("print('done'); raise SystemExit(3)"), 60, keep=True)
    assert (ended.status, ended.late, ended.output) == (3, False, "done\n")
    assert str(ended).startswith("status 3, ")


def test_a_command_that_is_late_tells_what_it_has(load):
    code = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("begun", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("so far")
"""
    ended = load("ci", "gpu_limits").run(python(code), 2, keep=True)
    assert (ended.late, ended.output) == (True, "begun\nso far\n")
    assert str(ended).startswith("took longer than it may, ")


def test_a_command_that_does_not_listen_ends_all_the_same(load, monkeypatch):
    limits = load("ci", "gpu_limits")
    monkeypatch.setattr(limits, "GRACE", 0.1)
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    assert limits.run(python(code), 1).status == -9


# Parts of the tests


def test_all_tests_are_in_a_part(load):
    parts = load("ci", "gpu_tests").parts("cupy")
    for part in parts.values():
        for path in part.what:
            if "tests" in path:
                assert (ROOT / path.removeprefix("--ignore=")).exists()
    others = parts["other rooms"].what
    once = {path for name in ("layers and losses", "training") for path in parts[name].what if "/" in path}
    assert {f"--ignore={path}" for path in once if not path.startswith("--")} <= set(others)


SUITE = '<testsuites><testsuite name="{}" failures="{}" errors="0" /></testsuites>'


def test_results_of_parts_become_one_file(load, tmp_path):
    files = [tmp_path / name for name in ("a.xml", "b.xml", "torn.xml", "missing.xml")]
    for file, text in zip(files, (SUITE.format("a", 0), SUITE.format("b", 2), "<testsuites>"), strict=False):
        file.write_text(text)
    load("ci", "gpu_tests").merge(tmp_path / "all.xml", files)
    assert [suite.get("name") for suite in ET.parse(tmp_path / "all.xml").getroot()] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "late", "whole", "failures", "is_well"),
    [
        (0, False, True, 0, True),
        (1, False, False, 1, False),
        (2, True, False, 0, True),
        (2, True, False, 1, False),
        (2, True, True, 0, False),
        (-9, True, False, None, False),
    ],
)
def test_a_part_that_is_cut_off_fails_by_what_failed_in_it(
    load, tmp_path, status, late, whole, failures, is_well
):
    tests, limits = load("ci", "gpu_tests"), load("ci", "gpu_limits")
    if failures is not None:
        (tmp_path / "a.xml").write_text(SUITE.format("a", failures))
    ended = limits.Ended(status, 1.0, late)
    assert tests.is_well(tests.Part([], 1.0, whole), ended, tmp_path / "a.xml") is is_well


# A step of the first minute, and the floor


def test_a_step_of_the_first_minute(load, capsys):
    load("ci", "gpu_smoke").products("cpu")
    assert capsys.readouterr().out.startswith("fp32: error ")


def test_the_floor_counts_what_a_step_does(load):
    floor, step = load("benchmarks", "floor"), load("benchmarks", "step")
    one, two = step.Sizes(batch=4, features=5, hidden=3, classes=2), step.Sizes(4, 5, 3, 2, nets=2)
    assert floor.operations(one) == 2 * 4 * (2 * 15 + 3 * 6)
    assert floor.operations(two) == 2 * floor.operations(one)
    assert floor.least_moved(one) == 4 * (2 * (15 + 6 + 3 + 2) + 20)
    assert floor.moved(one) == 4 * (3 * 15 + 4 * 6 + 3 * 5 + 4 * (6 * 3 + 3 * 2) + 4 * 20)
    assert floor.moved(two) < 2 * floor.moved(one)  # the batch is of both


def test_floors_at_rates(load):
    floor, step = load("benchmarks", "floor"), load("benchmarks", "step")
    sizes = step.Sizes(4, 5, 3, 2)
    counted = floor.Rates({"fp32": 1e3}, 1e3).counted(sizes)
    assert counted[floor.OPERATIONS] == pytest.approx(floor.operations(sizes) / 1e3)
    assert counted[floor.UNCACHED] > floor.least(counted)  # which it is no part of
    assert floor.least(counted) == max(counted[floor.OPERATIONS], counted[floor.BYTES])
    assert floor.least(floor.Rates({}, None).counted(sizes)) is None
    assert str(floor.Rates({}, None)) == "No rate could be measured."
