"""What is shown of a run while it runs."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from terminals import screen_of

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


@pytest.fixture
def terminal(monkeypatch):
    """Lead standard error to a terminal, 80 columns wide, and return it."""
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")

    def terminal():
        monkeypatch.setattr("sys.stderr", Terminal())
        return sys.stderr

    return terminal


@pytest.fixture
def cell(monkeypatch):
    """A cell of a notebook: its outputs, in the order in which they were there."""
    shown = []

    def display(bundle, raw, display_id):
        assert raw
        assert display_id is True
        shown.append(bundle)
        return SimpleNamespace(update=update)

    def update(bundle, raw):
        assert raw
        shown.append(bundle)

    shell = SimpleNamespace(kernel=object())
    ipython = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


def history(step):
    return History([Row(step, 1, 0.02, 0.51234, 0.9, 0.61, 0.85, 1.0)], [np.float64(0.5)] * step)


def train(shown, clock, epochs, seconds, steps=None, **said):
    """Train epochs of ten steps, each of that many seconds."""
    shown.expect(steps or 10 * epochs, 50, **said)
    shown.on_phase("training")
    for epoch in range(1, epochs + 1):
        for _ in range(10):
            shown.on_step()
        clock[0] += seconds
        shown.on_epoch(history(10 * epoch))


def test_a_line_tells_all_there_is(clock, capsys):
    with progress.Lines() as shown:
        train(shown, clock, 1, 0.25, steps=40)
        assert capsys.readouterr().err == (
            "step 10/40  loss 0.5123  batch 90.0 %  val 85.0 %  rate 0.02  2,000 samples/s  0:00:01 left\n"
        )


def test_a_line_is_of_the_step_of_its_figures(clock, capsys):
    """Of networks on two threads one may be ahead of the epoch that both have ended."""
    with progress.Lines() as shown:
        shown.expect(400, 50)
        shown.on_phase("training")
        for step in (10, 15, 20):
            for _ in range(25 if step == 15 else 0):
                shown.on_step()
            clock[0] += 5
            shown.on_epoch(history(step))
    steps = [line.split()[1].rstrip(",") for line in capsys.readouterr().err.splitlines()]
    assert steps == ["10/400", "15/400", "20/400", "20/400"]


def test_a_regression_has_no_percent(clock, capsys):
    with progress.Lines() as shown:
        train(shown, clock, 1, 0.25, score="r2")
    assert "  batch R² 0.900  val R² 0.850  rate 0.02  " in capsys.readouterr().err


def test_the_last_line_of_a_run_that_ends_early(clock, capsys):
    """As when its time is over: the step that was about to begin did not, nothing is left, and it says so."""
    with progress.Lines() as shown:
        train(shown, clock, 2, 0.25, steps=400)
        shown.on_step()
        shown.on_phase("evaluating")
        assert len(capsys.readouterr().err.splitlines()) == 2  # at once, not after the files are written
        shown.steps = 20
    with progress.Lines() as shown:
        train(shown, clock, 2, 0.25, steps=400)
        shown.on_step()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("step 20/400, ended early  loss ")
    assert "left" not in last


def test_the_last_line_says_that_a_run_ended_early_even_if_that_of_its_epoch_was_due(clock, capsys):
    with progress.Lines() as shown:
        train(shown, clock, 2, 5, steps=400)
        shown.on_phase("evaluating")
        shown.on_phase("drawing")
    assert [line.partition("  ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "step 10/400",
        "step 20/400",
        "step 20/400, ended early",
    ]


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        (0.01, [10, 400]),
        (0.25, [10, 50, 90, 130, 170, 210, 250, 290, 330, 370, 400]),
        (5.0, [*range(10, 401, 10)]),
    ],
)
def test_the_first_and_the_last_line_and_one_a_second_between(clock, capsys, seconds, steps):
    with progress.Lines() as shown:
        train(shown, clock, 40, seconds)
    lines = capsys.readouterr().err.splitlines()
    assert [int(line.split()[1].partition("/")[0]) for line in lines] == steps
    assert "left" in lines[0]
    assert "left" not in lines[-1]


def test_what_an_interrupted_run_had_come_to(clock, capsys):
    shown = progress.Lines()
    train(shown, clock, 3, 0.1, steps=400)
    with pytest.raises(KeyboardInterrupt), shown:
        raise KeyboardInterrupt
    assert capsys.readouterr().err.splitlines()[-1].startswith("step 30/400, ended early ")


def test_steps_that_a_slower_stack_takes_beside_are_none_too_many():
    shown = progress.Lines()
    shown.expect(20, 50)
    shown.on_phase("training")
    for _ in range(23):
        shown.on_step()
    assert (shown.steps, shown.left()) == (20, "")


def test_no_epoch_no_line(capsys):
    with progress.Lines() as shown:
        shown.expect(400, 50)
        shown.on_step()
    assert capsys.readouterr().err == ""


def test_a_phase_has_a_line_if_it_lasts(monkeypatch, capsys):
    """Each begins a timer, which the next one, a line of an epoch or the end stops."""
    timers = []

    class Timer:
        def __init__(self, seconds, call, arguments):
            assert seconds == live.LASTING
            self.rings, self.runs = lambda: call(*arguments), False
            timers.append(self)

        def start(self):
            assert self.daemon  # the end of a process doesn't wait for it
            self.runs = True

        def cancel(self):
            self.runs = False

    monkeypatch.setattr(live.threading, "Timer", Timer)
    with progress.Lines() as shown:
        shown.on_phase("loading")
        (loading,) = timers
        assert loading.runs
        loading.rings()
        assert capsys.readouterr().err == "loading …\n"
        shown.on_phase("training")
        assert [timer.runs for timer in timers] == [False, True]
        shown.expect(40, 50)
        shown.on_step()
        shown.on_epoch(history(1))
        assert not timers[1].runs
        capsys.readouterr()
        timers[1].rings()  # too late: its thread had begun already
        assert capsys.readouterr().err == ""
        shown.on_phase("drawing")
    assert [timer.runs for timer in timers] == [False] * 3
    with progress.start(quiet=True) as shown:
        shown.on_phase("loading")
    assert len(timers) == 3


def test_the_way_that_suits_the_stream(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    assert type(progress.start()) is progress.Lines
    monkeypatch.setattr("sys.stderr", Terminal())
    assert type(progress.start()) is progress.Bar
    assert type(progress.start(quiet=True)) is progress.Progress
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress.start()) is progress.Lines
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(live, "find_spec", lambda _: None)
    assert type(progress.start()) is progress.Lines


def test_a_bar_on_a_terminal(clock, terminal, capsys):
    written = terminal()
    with progress.start() as shown:
        train(shown, clock, 2, 5, steps=40)
        shown._drawn.refresh()
        bar, figures = screen_of(written.getvalue())
        assert bar.startswith("training ")
        assert bar.endswith("  20/40  0:00:10 left")
        assert figures == "loss 0.5123  batch 90.0 %  val 85.0 %  rate 0.02  100 samples/s"
    bar, figures = screen_of(written.getvalue())
    assert bar.endswith("  20/40, ended early")
    assert figures.endswith("100 samples/s")
    assert written.getvalue().endswith("\x1b[?25h")  # the cursor is there again
    assert capsys.readouterr().out == ""


def test_every_phase_has_its_name_and_the_speed_stands_still_after_the_last_step(clock, terminal):
    written = terminal()
    with progress.start() as shown:
        for phase in ("loading", "preprocessing"):
            shown.on_phase(phase)
            (line,) = screen_of(written.getvalue())
            assert line.split()[0] == phase
        train(shown, clock, 2, 5)
        for phase in ("evaluating", "drawing"):
            clock[0] += 100
            shown.on_phase(phase)
            bar, figures = screen_of(written.getvalue())
            assert bar.split()[0] == phase
            assert bar.endswith("  20/20")
            assert figures.endswith("  100 samples/s")


def test_a_long_step_takes_nothing_off_the_speed_and_the_time_left_runs(clock):
    shown = progress.Shown()
    train(shown, clock, 2, 5, steps=40)
    shown.on_step()
    assert (shown.measured().split("  ")[-1], shown.left()) == ("100 samples/s", "0:00:10 left")
    clock[0] += 7
    assert (shown.measured().split("  ")[-1], shown.left()) == ("100 samples/s", "0:00:03 left")
    clock[0] += 7
    assert shown.left() == "0:00:00 left"


@pytest.mark.parametrize("columns", [60, 40])
def test_a_narrow_terminal_has_two_lines_too(columns, clock, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    written = terminal()
    with progress.start() as shown:
        train(shown, clock, 2, 5, steps=40)
    lines = screen_of(written.getvalue())
    assert len(lines) == 2
    assert all(len(line) <= columns - 2 for line in lines)  # ^C has room, which a terminal echoes
    assert lines[1].endswith("…")


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ValueError])
def test_what_goes_wrong_before_the_first_step_leaves_a_clean_terminal(reason, terminal):
    written = terminal()

    def load():
        with progress.start() as shown:
            shown.on_phase("loading")
            assert len(screen_of(written.getvalue())) == 1
            raise reason

    with pytest.raises(reason):
        load()
    written.write("the reason\n")
    assert screen_of(written.getvalue()) == ["the reason"]
    assert "\x1b[?25h" in written.getvalue()


def test_others_may_print_meanwhile(terminal):
    written = terminal()
    with progress.start() as shown:
        shown.on_phase("loading")
        with shown.hidden():
            assert screen_of(written.getvalue()) == []
            written.write("a table\n")
        first, second = screen_of(written.getvalue())
        assert (first, second.split()[0]) == ("a table", "loading")
        with pytest.raises(KeyboardInterrupt), shown.hidden():
            raise KeyboardInterrupt
        assert screen_of(written.getvalue()) == ["a table"]


def test_a_cell_of_a_notebook(cell, clock, capsys):
    """Not even with a terminal: that is where the kernel was started."""
    with progress.start() as shown:
        shown.on_phase("loading")
        assert "loading" in cell[-1]["text/html"]
        assert "value=" not in cell[-1]["text/html"]
        train(shown, clock, 2, 5, steps=40)
        assert 'value="20" max="40"' in cell[-1]["text/html"]
        assert "0:00:10 left" in cell[-1]["text/html"]
        assert cell[-1]["text/plain"].startswith("training  step 20/40  loss 0.5123")
        number = len(cell)
        shown.on_step()  # the clock stands
        assert len(cell) == number
        shown.on_phase("drawing")  # 20, as the step that was counted never ended
        assert 'value="20" max="40"' in cell[-1]["text/html"]
        assert "20/40, ended early" in cell[-1]["text/html"]
    figures = "loss 0.5123  batch 90.0 %  val 85.0 %  rate 0.02  100 samples/s"
    assert cell[-1] == {"text/plain": f"step 20/40, ended early  {figures}"}
    assert capsys.readouterr() == ("", "")


def test_an_error_leaves_nothing_in_a_notebook(cell):
    with pytest.raises(ValueError, match="no such"), progress.start():
        raise ValueError("no such file")
    assert cell[-1] == {"text/plain": ""}
    number = len(cell)
    with progress.start(quiet=True) as shown:
        shown.on_phase("loading")
    assert len(cell) == number


@pytest.mark.parametrize("shell", [None, SimpleNamespace(), SimpleNamespace(kernel=None)])
def test_what_is_no_notebook(shell, monkeypatch):
    """IPython in a terminal, or its modules in a program."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert not live.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not live.in_notebook()


def test_quiet(clock, capsys):
    with progress.start(quiet=True) as shown:
        train(shown, clock, 2, 5)
    assert capsys.readouterr() == ("", "")


def test_a_run_that_goes_on_counts_on():
    """Speed and time left are of the steps of this process alone."""
    shown = progress.Shown()
    shown.expect(100, 10, done=60)
    shown.on_phase("training")
    assert (shown.has_begun, shown.measured()) == (False, "")
    for _ in range(3):
        shown.on_step()
    assert shown.steps == 63
    assert "left" in shown.left()
