"""The folder of a sweep: killed at any moment and taken up again, it ends as if undisturbed."""

import dataclasses
import json
import multiprocessing
import random
import shutil
import time
from unittest.mock import Mock

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import assert_same, blobs, rates, results, stacked, stop_after, sweep_to_kill

from xpnet import sweep
from xpnet.errors import InputError
from xpnet.sweep.plan import Cut
from xpnet.sweep.store import Store
from xpnet.training.history import Row


def run(configs, folder, **options):
    """Run a sweep in a folder; return it and the number of networks in each stack that it trained."""
    sizes = []
    found = sweep.run(
        configs,
        blobs(),
        out=folder,
        on_outcome=lambda outcome: sizes.append(len(outcome.rows)),
        **options,
    )
    return found, sizes


@pytest.fixture
def _cut_of_three(monkeypatch):
    """Cut sweeps in stacks of three, one after another, whatever would be fastest."""

    def choose(configs, *args):
        return Cut(min(3, len(configs), args[-1] or 3))  # the last is max_nets

    monkeypatch.setattr("xpnet.sweep.workers.choose_cut", choose)


def lines(folder):
    path = folder / "results.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def assert_one_line(caught, *words):
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# Killed and taken up again


def test_a_killed_sweep_ends_as_if_undisturbed(tmp_path):
    """The process gets SIGKILL three times, each time at a random moment after it has got on."""
    configs = rates(*np.linspace(0.05, 0.5, 16).tolist(), iterations=500, share_batches=False)
    options = {"halving": True, "max_nets": 2}
    folder, moments, kills = tmp_path / "killed", random.Random(3), 0
    for _ in range(3):
        before = len(lines(folder))
        process = multiprocessing.get_context("spawn").Process(
            target=sweep_to_kill, args=(configs, folder, options)
        )
        process.start()
        while process.is_alive() and len(lines(folder)) <= before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.join()
        kills += process.exitcode != 0
        process.close()
    assert kills  # a fast machine may be done before the last

    found, sizes = run(configs, folder, **options)
    undisturbed, all_sizes = run(configs, tmp_path / "undisturbed", **options)
    assert sum(sizes) < sum(all_sizes)
    assert results(found.rows) == results(undisturbed.rows)
    assert_same(found.best.params, undisturbed.best.params)
    assert len(lines(folder)) == len(lines(tmp_path / "undisturbed"))
    kept = {path.stem for path in (folder / "chunks").iterdir()}
    assert kept == {row["task"] for row in found.rows if row["status"] == "finished"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Settings, the folder of a finished sweep, and what it found."""
    configs = rates(0.1, 0.2, 0.3, 0.4, 1e300, iterations=6, share_batches=False)
    folder = tmp_path_factory.mktemp("finished")
    return configs, folder, run(configs, folder, max_nets=2)[0]


@given(share=st.floats(0, 1))
@hypothesis.settings(max_examples=30)
def test_results_cut_short_anywhere(finished, tmp_path_factory, share):
    configs, original, expected = finished
    folder = tmp_path_factory.mktemp("cut") / "copy"
    shutil.copytree(original, folder)
    content = (folder / "results.jsonl").read_bytes()
    (folder / "results.jsonl").write_bytes(content[: round(share * len(content))])
    found, sizes = run(configs, folder, max_nets=2)
    assert results(found.rows) == results(expected.rows)
    assert_same(found.best.params, expected.best.params)
    assert sorted(json.loads(line)["network"] for line in lines(folder)) == [0, 1, 2, 3, 4]
    assert (sum(sizes) == 0) == (len(content) - round(share * len(content)) <= 1)


@pytest.mark.parametrize("rubbish", [b"\x00" * 50, b"\xff\xfe\n", b"[1]\n{}\n\n", b'{"task": "rung0-net'])
def test_rubbish_among_the_results_is_dropped(finished, tmp_path, rubbish):
    configs, original, expected = finished
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    with (folder / "results.jsonl").open("ab") as file:
        file.write(rubbish)
    found, sizes = run(configs, folder)
    assert sizes == []
    assert found.rows == expected.rows
    assert (folder / "results.jsonl").read_bytes() == (original / "results.jsonl").read_bytes()


@pytest.mark.usefixtures("_cut_of_three")
def test_a_stack_of_which_a_line_is_missing_is_trained_as_a_whole(tmp_path):
    """Another stack would be other products, and in float32 other numbers."""
    configs = rates(*[0.1] * 6)
    run(configs, tmp_path)
    kept = "".join(line + "\n" for line in lines(tmp_path)[:-1])
    (tmp_path / "results.jsonl").write_text(kept)
    _, sizes = run(configs, tmp_path)
    assert sizes == [3]


def test_a_line_that_is_there_twice_counts_once(finished, tmp_path):
    configs, original, expected = finished
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    twice = [line + "\n" for line in lines(folder) for _ in range(2)]
    (folder / "results.jsonl").write_text("".join(twice))
    found, sizes = run(configs, folder)
    assert sizes == []
    assert found.rows == expected.rows
    assert len(lines(folder)) == 5


def test_a_finished_sweep_trains_nothing_again(finished, tmp_path):
    configs, original, expected = finished
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    found, sizes = run(configs, folder)
    assert sizes == []
    assert found.complete
    assert found.rows == expected.rows  # their seconds too
    assert_same(found.best.params, expected.best.params)
    assert found.best.history == expected.best.history


@pytest.mark.usefixtures("_cut_of_three")
@pytest.mark.parametrize(("halving", "steps"), [(False, (10, 60)), (True, (13, 2, 20))])
def test_a_stopped_sweep_goes_on(tmp_path, halving, steps):
    """Stopped in the first stack, and in another; with halving in each of the first rungs."""
    configs = rates(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, share_batches=False)
    for count in steps:
        stopped, _ = run(configs, tmp_path, halving=halving, should_stop=stop_after(count))
        assert not stopped.complete
        assert stopped.best is None
    found, _ = run(configs, tmp_path, halving=halving)
    undisturbed = sweep.run(configs, blobs(), halving=halving)
    assert results(found.rows) == results(undisturbed.rows)
    assert_same(found.best.params, undisturbed.best.params)


# How it is cut


@pytest.mark.usefixtures("_cut_of_three")
def test_what_is_left_is_cut_as_before(monkeypatch, tmp_path):
    configs = rates(*[0.1] * 7)
    _, sizes = run(configs, tmp_path, should_stop=stop_after(50))
    assert sizes == [3]
    monkeypatch.setattr("xpnet.sweep.workers.choose_cut", None)  # not asked again
    _, sizes = run(configs, tmp_path, max_nets=6)
    assert sizes == [2, 2]


@pytest.mark.usefixtures("_cut_of_three")
def test_smaller_stacks_can_be_asked_for_in_the_middle(tmp_path):
    """As one has to where the sweep was killed for want of memory."""
    configs = rates(*[0.1] * 6, share_batches=False)
    _, sizes = run(configs, tmp_path, should_stop=stop_after(50))
    assert sizes == [3]
    found, sizes = run(configs, tmp_path, max_nets=2, should_stop=stop_after(50))
    assert sizes == [1]
    found, sizes = run(configs, tmp_path, max_nets=1)
    assert sizes == [1, 1]
    assert results(found.rows) == results(sweep.run(configs, blobs()).rows)


# What is in the folder


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, {"params"}),
        ({"solver": "nesterov"}, {"params", "velocity"}),
        ({"solver": "adam", "ema": 0.9}, {"params", "gradients", "squares", "average"}),
        ({"solver": "adam", "ema": 0.9, "norm": "batch"}, {"params", "gradients", "squares", "average"}),
    ],
)
def test_networks_come_back_to_the_bit(tmp_path, size, changes, kinds):
    outcome = stacked(rates(0.1, 1e300, 0.3, **changes)[:size], blobs())
    first = Store(tmp_path, {"networks": [{}] * size})
    first.note_cut(0, Cut(size))
    first.save(outcome)
    again = Store(tmp_path, {"networks": [{}] * size})
    assert again.cuts == {0: Cut(size)}
    assert again.done() == outcome.rows
    for number, trained in outcome.trained.items():
        loaded = again.load("stack", number)
        assert loaded.state.keys() == trained.state.keys() == kinds
        for kind, arrays in trained.state.items():
            assert_same(loaded.state[kind], arrays)
            assert {v.dtype for v in loaded.state[kind].values()} == {np.dtype("float64")}
        assert_same(loaded.params, trained.params)
        np.testing.assert_array_equal(loaded.history.rows, trained.history.rows)
        np.testing.assert_array_equal(loaded.history.losses, trained.history.losses)
        assert all(isinstance(row, Row) for row in loaded.history.rows)


@pytest.mark.usefixtures("_cut_of_three")
@pytest.mark.parametrize("step", [13, 25])
def test_a_stopped_sweep_goes_on_with_the_state_of_its_solver(tmp_path, step):
    changes = {"solver": "adam", "ema": 0.9, "norm": "batch", "share_batches": False}
    configs = rates(0.01, 0.02, 0.05, 0.1, 0.03, 0.04, **changes)
    stopped, _ = run(configs, tmp_path, halving=True, should_stop=stop_after(step))
    assert not stopped.complete
    found, _ = run(configs, tmp_path, halving=True)
    undisturbed = sweep.run(configs, blobs(), halving=True)
    assert results(found.rows) == results(undisturbed.rows)
    assert_same(found.best.params, undisturbed.best.params)


def test_networks_are_written_before_their_lines(monkeypatch, tmp_path):
    """Or a kill between the two would leave lines of networks that are nowhere."""
    monkeypatch.setattr("safetensors.numpy.save", Mock(side_effect=OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        Store(tmp_path, {}).save(stacked(rates(0.1, 0.2), blobs()))
    assert not (tmp_path / "results.jsonl").exists()


def test_what_no_rung_needs_any_more_is_removed(tmp_path):
    configs = rates(*[0.1] * 6)
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks" / ".rung0-network0.safetensors.0a1b2c3d").touch()  # of a killed process
    found, _ = run(configs, tmp_path, halving=True, max_nets=2)
    kept = {path.name for path in (tmp_path / "chunks").iterdir()}
    assert kept == {f"{found.rows[0]['task']}.safetensors"}


@pytest.mark.usefixtures("_cut_of_three")
def test_every_chunk_leaves_its_best(tmp_path):
    found, _ = run(rates(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), tmp_path)
    kept = {path.stem for path in (tmp_path / "chunks").iterdir()}
    assert kept == {"rung0-network0", "rung0-network3"} == {row["task"] for row in found.rows}


# Folders that cannot be used


@pytest.mark.parametrize(
    "other",
    [
        lambda: {"configs": rates(0.1, 0.2, 0.3, 0.4)},
        lambda: {"configs": rates(0.1, 0.2, 0.7)},
        lambda: {"configs": rates(0.1, 0.2, 0.3, share_batches=False)},
        lambda: {"halving": True},
        lambda: {"data": blobs(rows=50)},
        lambda: {"data": blobs(seed=1)},
    ],
)
def test_the_folder_of_another_sweep_is_refused(tmp_path, other):
    same = {"configs": rates(0.1, 0.2, 0.3), "data": blobs(), "halving": False, "out": tmp_path}
    sweep.run(**same)
    content = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as caught:
        sweep.run(**(same | other()))
    assert_one_line(caught, str(tmp_path), "another sweep", "--out")
    assert content == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sweep.run(**same)


def test_force_removes_another_sweep(tmp_path):
    """But no file that a sweep does not write, and nothing before all is checked."""
    sweep.run(rates(0.1, 0.2, 0.3), blobs(), out=tmp_path)
    for name in ("notes.txt", "best.txt"):
        (tmp_path / name).touch()
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "model.safetensors").touch()
    configs = rates(0.1, 0.2, force=True)
    with pytest.raises(InputError, match="executor"):
        sweep.run(configs, blobs(), out=tmp_path, executor=1)
    assert (tmp_path / "best" / "model.safetensors").exists()
    found = sweep.run(configs, blobs(), out=tmp_path)
    assert len(found.rows) == len(lines(tmp_path)) == 2
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"notes.txt", "best.txt", "sweep.json", "results.jsonl", "chunks"}


def test_what_does_not_change_the_result_makes_no_other_sweep(finished, tmp_path):
    configs, original, expected = finished
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    quiet = [dataclasses.replace(config, quiet=True, out="elsewhere") for config in configs]
    found, sizes = run(quiet, folder, max_nets=5)
    assert sizes == []
    assert found.rows == expected.rows


@pytest.mark.parametrize("content", ["{", "[]", "null", "{}", '{"cuts": [1]}', '{"cuts": {"0": [1, 2, 3]}}'])
def test_a_damaged_description_is_one_line(tmp_path, content):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(InputError) as caught:
        sweep.run(rates(0.1, 0.2), blobs(), out=tmp_path)
    assert_one_line(caught, str(tmp_path / "sweep.json"), "--out")


def test_results_without_a_description_are_not_taken_for_this_sweeps(finished, tmp_path):
    _, original, _ = finished
    shutil.copy(original / "results.jsonl", tmp_path)
    with pytest.raises(InputError) as caught:
        sweep.run(rates(0.1, 0.2), blobs(), out=tmp_path)
    assert_one_line(caught, str(tmp_path / "results.jsonl"), "--out")


@pytest.mark.usefixtures("_cut_of_three")
@pytest.mark.parametrize("damage", ["cut short", "overwritten", "missing", "another's"])
def test_a_damaged_chunk_is_one_line(tmp_path, damage):
    """That of a rung, of whose networks the next goes on."""
    configs = rates(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    run(configs, tmp_path, halving=True, should_stop=stop_after(12))
    files = sorted((tmp_path / "chunks").iterdir())
    assert len(files) == 2
    for file, other in zip(files, reversed([f.read_bytes() for f in files]), strict=True):
        content = file.read_bytes()
        match damage:
            case "cut short":
                file.write_bytes(content[: len(content) // 2])
            case "overwritten":
                file.write_bytes(b"\xff" * len(content))
            case "missing":
                file.unlink()
            case "another's":
                file.write_bytes(other)
    with pytest.raises(InputError) as caught:
        run(configs, tmp_path, halving=True)
    assert_one_line(caught, str(tmp_path / "chunks"), "cannot be read", "run the sweep again")
