"""Signals and errors at the edge of a command line."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from xpnet.commands.console import run_command
from xpnet.errors import DeviceError, InputError
from xpnet.training import interrupt as training_interrupt
from xpnet.training.interrupt import StopSignals


def interrupt(*_):
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers():
    """Start from Python's own handler, which a runner in the background takes away."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("status", [0, 1])
def test_the_status_of_the_work(status, capsys):
    assert run_command("cmd", lambda _: status) == status
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a\nb"), "cmd: error: a b\n"),
        (DeviceError("no GPU"), "cmd: error: no GPU\n"),
        (
            OSError(28, "No space left", "a.png"),
            "cmd: error: a.png: No space left: free some space there, or write elsewhere with --out\n",
        ),
        (
            MemoryError("Unable to allocate"),
            "cmd: error: out of memory (Unable to allocate): use less data or smaller settings\n",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line(error, line, capsys):
    def work(_):
        raise error

    assert run_command("cmd", work) == 2
    assert capsys.readouterr() == ("", line)


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command("cmd", lambda _: 1 // 0)


def test_ctrl_c(capsys):
    assert run_command("cmd", interrupt) == 130
    assert capsys.readouterr() == ("", "cmd: interrupted\n")


def test_ctrl_c_while_a_class_is_made(capsys):
    """Python 3.11 makes another error of it, and it happens while modules load."""

    class Interrupting:
        __set_name__ = interrupt

    def work(_):
        class Owner:
            field = Interrupting()

    assert run_command("cmd", work) == 130
    assert capsys.readouterr() == ("", "cmd: interrupted\n")
    with pytest.raises(RuntimeError, match="ours"):
        run_command("cmd", lambda _: exec("raise RuntimeError('ours')"))


def test_sigterm():
    assert run_command("cmd", lambda _: signal.raise_signal(signal.SIGTERM)) == 143


def test_the_first_signal_is_only_noted_while_somebody_listens(monkeypatch):
    with StopSignals() as signals:
        with signals.listening():
            assert signals.received is None
            interrupt()
            assert signals.received == signal.SIGINT
            interrupt()  # the same key, pressed twice
            monkeypatch.setattr(training_interrupt, "ONE_PRESS", 0.0)
            with pytest.raises(KeyboardInterrupt):
                interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_the_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_that_is_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert run_command("cmd", lambda signals: interrupt() or int(signals.received or 0)) == 0


def test_outside_the_main_thread():
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(run_command("cmd", lambda _: 7)))
    thread.start()
    thread.join()
    assert statuses == [7]


def test_a_reader_that_has_gone():
    code = (
        "import sys; from xpnet.commands.console import run_command\n"
        "sys.exit(run_command('cmd', lambda _: print('text') or 0))"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(("encoding", "text"), [("cp1252", "R² \\u2212\n"), ("utf-8", "R² −\n")])
def test_signs_that_a_pipe_lacks_are_written_out(encoding, text):
    code = "from xpnet.commands.console import run_command; run_command('x', lambda _: print('R² −') or 0)"
    env = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env)
    assert done.stdout.decode(encoding).replace("\r\n", "\n") == text
    assert done.stderr == b""


def test_signs_that_the_locale_lacks_are_written_out():
    code = (
        "from xpnet.commands.console import run_command\n"
        "run_command('x', lambda _: print('R\\xb2 \\u2212') or 0)"
    )
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env.pop("PYTHONIOENCODING", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env)
    assert done.stdout.strip() in (rb"R\xb2 \u2212", "R² −".encode())  # macOS has UTF-8 there
