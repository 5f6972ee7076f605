"""What is shown of a run while it runs."""

import io

import numpy as np
import pytest

from xpnet.reporting import live, progress
from xpnet.training.history import History, Row


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands at ``clock[0]``."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def history(step):
    return History([Row(step, 1, 0.02, 0.51234, 0.9, 0.61, 0.85, 1.0)], [np.float64(0.5)] * step)


def train(shown, clock, epochs, seconds):
    """Train epochs of ten steps, each of that many seconds."""
    for epoch in range(1, epochs + 1):
        for _ in range(10):
            shown.on_step()
        clock[0] += seconds
        shown.on_epoch(history(10 * epoch))


def test_a_line_tells_all_there_is(clock, capsys):
    with progress.Lines(num_steps=40, batch_size=50) as shown:
        train(shown, clock, 1, seconds=0.25)
    assert capsys.readouterr().err == (
        "step 10/40  loss 0.5123  train 90.0 %  val 85.0 %  rate 0.02  2,000 samples/s  0:00:01 left\n"
    )


def test_a_regression_has_no_percent(clock, capsys):
    with progress.Lines(num_steps=40, batch_size=50, score="r2") as shown:
        train(shown, clock, 1, seconds=0.25)
    assert "  train R² 0.900  val R² 0.850  rate 0.02  " in capsys.readouterr().err


def test_the_last_line_of_a_run_that_ends_early(clock, capsys):
    """As when its time is over: the step that was about to begin did not, and nothing is left."""
    with progress.Lines(num_steps=400, batch_size=50) as shown:
        train(shown, clock, 2, seconds=0.25)
        shown.on_step()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("step 20/400 ")
    assert "left" not in last


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        (0.01, [10, 400]),
        (0.25, [10, 50, 90, 130, 170, 210, 250, 290, 330, 370, 400]),
        (5.0, [*range(10, 401, 10)]),
    ],
)
def test_the_first_and_the_last_line_and_one_a_second_between(clock, capsys, seconds, steps):
    with progress.Lines(num_steps=400, batch_size=50) as shown:
        train(shown, clock, 40, seconds)
    lines = capsys.readouterr().err.splitlines()
    assert [int(line.split()[1].partition("/")[0]) for line in lines] == steps
    assert "left" in lines[0]
    assert "left" not in lines[-1]


def test_what_an_interrupted_run_had_come_to(clock, capsys):
    shown = progress.Lines(num_steps=400, batch_size=50)
    train(shown, clock, 3, 0.1)
    with pytest.raises(KeyboardInterrupt), shown:
        raise KeyboardInterrupt
    assert capsys.readouterr().err.splitlines()[-1].startswith("step 30/400 ")


def test_steps_that_a_slower_stack_takes_beside_are_none_too_many():
    shown = progress.Progress(num_steps=20, batch_size=50)
    for _ in range(23):
        shown.on_step()
    assert (shown.steps, shown.left()) == (20, "")


def test_no_epoch_no_line(capsys):
    with progress.Lines(num_steps=400, batch_size=50) as shown:
        shown.on_step()
    assert capsys.readouterr().err == ""


def test_the_way_that_suits_the_stream(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    assert type(progress.start(1, 1)) is progress.Lines
    monkeypatch.setattr("sys.stderr", Terminal())
    assert type(progress.start(1, 1)) is progress.Bar
    assert type(progress.start(1, 1, quiet=True)) is progress.Progress
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress.start(1, 1)) is progress.Lines
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(live, "find_spec", lambda _: None)
    assert type(progress.start(1, 1)) is progress.Lines


def test_a_bar_on_a_terminal(clock, monkeypatch, capsys):
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stderr", terminal)
    with progress.start(40, 50) as shown:
        assert "preparing the data" in terminal.getvalue()
        train(shown, clock, 2, seconds=5)
    text = terminal.getvalue()
    for part in (
        "20/40",
        "0:00:10 left",
        "loss 0.5123",
        "val 85.0 %",
        "rate 0.02",
        "100 samples/s",
    ):
        assert part in text
    assert capsys.readouterr().out == ""


def test_quiet(clock, capsys):
    with progress.start(40, 50, quiet=True) as shown:
        train(shown, clock, 2, seconds=5)
    assert capsys.readouterr() == ("", "")


def test_a_run_that_goes_on_counts_on():
    """Speed and time left are of the steps of this process alone."""
    shown = progress.start(100, 10, done=60)
    assert shown.measured() == "preparing the data"
    for _ in range(2):
        shown.on_step()
    assert shown.steps == 62
    assert "left" in shown.left()
