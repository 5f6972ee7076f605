"""What is shown of a sweep while it runs."""

from types import SimpleNamespace

import pytest

from xpnet.runs.config import Config
from xpnet.sweep import display
from xpnet.training.history import Row

CONFIGS = [Config(learning_rate=rate) for rate in (0.01, 0.02, 0.03)]
STACK = SimpleNamespace(key="rung0-network0", configs={0: CONFIGS[0], 1: CONFIGS[1]}, before={})


def row(number, val, steps=40, status="finished"):
    return {"network": number, "train_score": 0.9, "val_score": val, "status": status, "steps": steps}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands at ``clock[0]``."""
    now = [100.0]
    monkeypatch.setattr(display.time, "perf_counter", lambda: now[0])
    return now


def test_networks_are_counted_once_they_are_done(clock):
    shown = display.Moving()
    shown.expect(CONFIGS, 120)
    shown.on_phase("training")
    assert (shown.counts(), shown.left(), shown.lasts()) == ("0/3 networks", "", False)
    clock[0] += 10
    shown.on_epoch(STACK, Row(20, 1, 0.01, 0.5, [0.8, 0.9], 0.6, [0.7, 0.6], 1.0))
    assert (shown.counts(), shown.steps(), shown.left()) == ("0/3 networks", 40, "0:00:20 left")
    assert (shown.leader(), shown.lasts()) == ("network 0, val 70.00 %", True)
    shown.on_outcome(SimpleNamespace(key=STACK.key, rows=[row(0, 0.7), row(1, 0.8)]))
    assert (shown.counts(), shown.leader()) == ("2/3 networks", "network 1, val 80.00 %")
    shown.on_phase("drawing")
    assert shown.left() == ""


def test_what_an_earlier_call_has_done_is_no_time_left(clock):
    shown = display.Moving()
    shown.expect(CONFIGS, 120)
    shown.on_phase("training")
    shown.on_recorded([row(0, 0.7), row(1, 0.8)])
    assert shown.counts() == "2/3 networks"
    clock[0] += 10
    alone = SimpleNamespace(key="rung0-network2", configs={2: CONFIGS[2]}, before={})
    shown.on_epoch(alone, Row(20, 1, 0.01, 0.5, 0.8, 0.6, 0.7, 1.0))
    assert shown.left() == "0:00:10 left"


def test_the_last_line_is_of_the_last_network(clock, capsys):
    """However soon after another it ended, and no time is left."""
    with display.Lines() as shown:
        shown.expect(CONFIGS, 120)
        shown.on_phase("training")
        clock[0] += 10
        shown.on_outcome(SimpleNamespace(key=STACK.key, rows=[row(0, 0.7), row(1, 0.8)]))
        clock[0] += 0.1
        shown.on_outcome(SimpleNamespace(key="rung0-network2", rows=[row(2, 0.9, steps=20)]))  # stopped early
        shown.on_phase("evaluating")
        first, last = capsys.readouterr().err.splitlines()
        assert first == "2/3 networks, 0:00:05 left; best so far: network 1, val 80.00 %"
        assert last == "3/3 networks; best: network 2, val 90.00 %"
        shown.on_phase("drawing")
    assert capsys.readouterr().err == ""


def test_the_last_line_of_an_interrupted_sweep(clock, capsys):
    with display.Lines() as shown:
        shown.expect(CONFIGS, 120)
        shown.on_phase("training")
        clock[0] += 10
        shown.on_outcome(SimpleNamespace(key=STACK.key, rows=[row(0, 0.7), row(1, 0.8)]))
    assert capsys.readouterr().err.splitlines()[-1] == "2/3 networks; best so far: network 1, val 80.00 %"


def test_halving_counts_the_networks_of_a_rung():
    shown = display.Moving()
    shown.expect(CONFIGS, 120, rungs=2)
    shown.on_phase("training")
    assert shown.counts() == "rung 1 of 2, 0 networks"
    of_all = [row(number, 0.7) | {"task": "rung0-network0"} for number in range(3)]
    shown.on_outcome(SimpleNamespace(key="rung0-network0", rows=of_all))
    assert shown.counts() == "rung 1 of 2, 3 networks"
    kept = SimpleNamespace(key="rung1-network1", configs={1: CONFIGS[1]}, before={})
    shown.on_epoch(kept, Row(60, 1, 0.01, 0.5, 0.8, 0.6, 0.7, 1.0))
    assert shown.counts() == "rung 2 of 2, 0 networks"
    shown.on_outcome(SimpleNamespace(key=kept.key, rows=[row(1, 0.8, steps=80) | {"task": kept.key}]))
    assert shown.counts() == "rung 2 of 2, 1 networks"
    shown.on_phase("evaluating")
    assert shown.counts() == "3/3 networks"


def test_a_cell_has_the_table_until_the_end():
    shown = display.Cell()
    shown.on_phase("loading")
    assert (shown.text(), "<table>" in shown.html()) == ("loading", False)
    shown.expect(CONFIGS, 120)
    shown.on_phase("training")
    shown.on_outcome(SimpleNamespace(key=STACK.key, rows=[row(0, 0.7), row(1, 0.8)]))
    assert shown.text().endswith("  best so far: network 1, val 80.00 %")
    assert "<td>0.02</td>" in shown.html()
    shown.phase = ""
    assert shown.text() == "2/3 networks  best: network 1, val 80.00 %"
    assert "<table>" not in shown.html()


def test_the_way_that_suits_the_stream():
    assert type(display.start(quiet=False)) is display.Lines
    assert type(display.start(quiet=True)) is display.Display
