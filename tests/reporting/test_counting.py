"""How many of many are done: a bar on a terminal, lines elsewhere, nothing where that is asked for."""

import sys

import pytest

from xpnet.reporting import counting


def test_lines_are_few_and_the_last_is_whole(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(counting.time, "perf_counter", lambda: clock[0])
    with counting.start("networks") as count:
        count.expect(4)
        for _ in range(8):
            clock[0] += 0.5
            count.add(0.5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "0 of 4 networks  0:00:04 left"
    assert lines[-1] == "4 of 4 networks"
    assert len(lines) == 5


def test_the_last_line_has_no_time_left(capsys):
    def search():
        with counting.start("networks") as count:
            count.expect(4)
            count.add(1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    assert capsys.readouterr().err.splitlines()[-1] == "1 of 4 networks"


def test_nothing_is_shown_where_that_is_asked_for(capsys):
    with counting.start("networks", quiet=True) as count:
        count.expect(1)
        count.add(1.0)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with counting.start("networks") as count:
        assert isinstance(count, counting.Bar)
        count.expect(3)
        count.add(3.0)
    assert "3/3 networks" in capsys.readouterr().err


def test_a_cell_of_a_notebook_has_a_bar():
    count = counting.Cell("networks")
    count.expect(4)
    count.add(1.5)
    assert count.text().startswith("2/4 networks  0:00:")
    assert 'value="1.5" max="4"' in count.html()
    assert "2/4 networks" in count.html()
